"""Candidates: which may be chosen, who said so, and why not."""

from __future__ import annotations

import json
import logging

import pytest

from agent.candidates import ABSTAIN, Library, Reply, barred
from agent.errors import InvalidInput, NoneEligible, Unknown
from agent.explain import explain
from agent.log import Event
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import REPLIES, SETTINGS, asked


def chances(service, **given):
    return service.decide("replies", asked(message="peek"), **given).probabilities


def reasons(service):
    decision = service.decide("replies", asked(message="why"))
    rows = explain(service.log, service.decision(decision.id))["candidates"]
    return {row["candidate"]: row["barred"] for row in rows}


@pytest.mark.parametrize(
    ("states", "strict", "expected"),
    [
        (["enabled", "disabled", "blocked"], False, [None, "disabled", "blocked"]),
        (["enabled", "pinned", "blocked"], False, ["not pinned", None, "blocked"]),
        (["pinned", "pinned", "enabled"], False, [None, None, "not pinned"]),
        (["enabled", "enabled", "enabled"], True, [None, "not approved", None]),
        (["enabled", "pinned", "enabled"], True, [None, "not approved", None]),
        (["enabled", "blocked", "pinned"], True, ["not pinned", "blocked", None]),
    ],
)
def test_who_may_be_chosen(states, strict, expected):
    offered = [Reply(str(i), ("words",), state=state, approved=i != 1) for i, state in enumerate(states)]
    assert barred(offered, strict=strict) == expected


def test_a_blocked_candidate_is_never_chosen_and_no_reconcile_lifts_that(open_service, service):
    assert service.mark("replies", "refund", state="blocked", who="lead", why="legal").state == "blocked"
    assert chances(service) == {"refund": 0.0, "delivery": 1.0}
    assert reasons(service) == {"refund": "blocked", "delivery": None}
    service.reconcile("replies", REPLIES, who="domain")
    service.reconcile("replies", [Reply("refund", ("Quite other words.",))], who="domain")
    refund = service.model("replies").library.get("refund")
    assert (refund.state, refund.version) == ("blocked", 2)
    assert chances(service)["refund"] == 0.0
    other = open_service()
    assert other.model("replies").library.all() == service.model("replies").library.all()
    with pytest.raises(NoneEligible, match=r"none of its 1 candidates is eligible \(1 blocked\)"):
        service.decide("replies", asked(), candidates=["refund"])
    assert verify(service)["ok"]


def test_new_words_logged_by_a_process_that_had_not_heard_of_it_do_not_lift_a_block(service):
    service.mark("replies", "refund", state="blocked", who="lead")
    late = Reply("refund", ("Other words.",), version=2).event("replies", who="domain", at=1.0)
    service.log.append([late])
    assert service.model("replies").library.get("refund").state == "blocked"
    assert service.model("replies").library.get("refund").version == 2


def test_where_one_is_pinned_only_pinned_ones_are_chosen(service):
    service.mark("replies", "delivery", state="pinned", who="lead")
    assert chances(service) == {"refund": 0.0, "delivery": 1.0}
    assert reasons(service) == {"delivery": None, "refund": "not pinned"}
    assert chances(service, candidates=["refund"]) == {"refund": 1.0}
    service.mark("replies", "delivery", state="blocked", who="lead")
    assert chances(service) == {"refund": 1.0, "delivery": 0.0}


def test_strict_loops_choose_approved_words_only(service):
    service.configure("replies", LoopSettings(learner=SETTINGS.learner, strict=True), who="test")
    added = Reply("invoice", ("An invoice.",), approved=False)
    service.reconcile("replies", [added], who="api")
    assert chances(service)["invoice"] == 0.0
    assert reasons(service)["invoice"] == "not approved"
    assert service.mark("replies", "invoice", approved=True, who="lead").approved
    assert chances(service)["invoice"] > 0.0
    service.reconcile("replies", [added], who="api")
    assert chances(service)["invoice"] > 0.0  # the same words stay approved
    service.reconcile("replies", [Reply("invoice", ("Other words.",), approved=False)], who="api")
    assert chances(service)["invoice"] == 0.0
    service.mark("replies", "refund", approved=False, who="lead")
    service.mark("replies", "delivery", approved=False, who="lead")
    with pytest.raises(NoneEligible, match="3 not approved"):
        service.decide("replies", asked())


def test_a_mark_starts_no_version_and_the_same_mark_again_logs_nothing(service):
    decision = service.decide("replies", asked(), candidates=["refund"])
    service.record(signal="thumb", value=1, decision=decision.id)
    before = service.model("replies").learner.sums()
    seq = service.log.last_seq()
    for _ in range(2):
        assert service.mark("replies", "refund", state="pinned", approved=True, who="lead").version == 1
    (event,) = service.log.read(after=seq)
    assert (event.kind, event.body) == (
        "mark",
        {"id": "refund", "version": 1, "state": "pinned", "who": "lead", "why": ""},
    )
    after = service.model("replies").learner.sums()
    assert all((before[name] == after[name]).all() for name in before)
    assert verify(service)["ok"]


@pytest.mark.parametrize(
    ("id", "given", "error", "says"),
    [
        ("nobody", {"state": "blocked"}, Unknown, "unknown candidate 'nobody'"),
        ("refund", {"state": "banned"}, InvalidInput, "there are enabled, disabled, pinned, blocked"),
        ("refund", {}, InvalidInput, "a mark gives a state"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(service, id, given, error, says):
    seq = service.log.last_seq()
    with pytest.raises(error, match=says):
        service.mark("replies", id, who="lead", **given)
    assert service.log.last_seq() == seq


def test_a_log_from_before_marks_and_approvals_folds(service):
    body = {"id": "old", "version": 1, "texts": ["old"], "features": {}, "state": "disabled", "who": "api"}
    library = Library()
    library.apply(Event("candidate:replies:old:1", "candidate", 1.0, "replies", body=body))
    assert library.get("old") == Reply("old", ("old",), state="disabled", version=1, approved=False)
    library.apply(
        Event("candidate:replies:old:2", "candidate", 1.0, "replies", body={**body, "version": 2, "who": "x"})
    )
    assert library.get("old").approved
    library.apply(Event("m", "mark", 1.0, "replies", body={"id": "unheard of", "version": 3, "approved": True}))
    assert len(library) == 1


def test_decisions_from_before_reasons_and_limits_are_explained(service):
    event = service.decision(service.decide("replies", asked()).id)
    old = {name: value for name, value in event.body.items() if name not in ("barred", "limits")}
    found = explain(service.log, Event(event.id, "decision", event.at, event.loop, decision=event.id, body=old))
    assert found["limits"] == {}
    assert [row["barred"] for row in found["candidates"]] == [None, None]
    json.dumps(found)


# Abstaining as a candidate


@pytest.fixture
def shy(service):
    """The loop, with abstaining expected to earn 0.6, more than any reply."""
    settings = LoopSettings(policy="linucb", learner={**SETTINGS.learner, "alpha": 0.0}, threshold=0.6, abstain=True)
    service.configure("replies", settings, who="test")
    return service


def test_abstaining_is_chosen_and_learned_from_like_any_other(shy):
    first = shy.decide("replies", asked(), candidates=["refund"])
    assert first.chosen == ABSTAIN
    rows = explain(shy.log, shy.decision(first.id))["candidates"]
    assert {row["candidate"]: row["expected"] for row in rows} == {ABSTAIN: 0.6, "refund": 0.5}
    assert shy.recommend("replies", asked()) == ABSTAIN
    shy.activate(first.id)
    shy.record(signal="thumb", value=0, turn=first.turn)
    assert shy.decide("replies", asked(message="later")).chosen != ABSTAIN
    assert verify(shy)["ok"]


def test_abstaining_rivals_no_reply(shy):
    learner = {**SETTINGS.learner, "alpha": 0.0, "rivals": 2}
    shy.configure("replies", LoopSettings(policy="linucb", learner=learner, threshold=0.6, abstain=True), who="test")
    own = {}
    for state in ("enabled", "blocked"):
        shy.mark("replies", ABSTAIN, state=state, who="lead")
        decision = shy.decide("replies", asked(message=state))
        shy.record(signal="thumb", value=1, decision=decision.id)
        rows = explain(shy.log, shy.decision(shy.decide("replies", asked(message=f"{state} again")).id))["candidates"]
        own[state] = {row["candidate"]: row["expected"] - row["parts"]["prior"] for row in rows}
    assert own["enabled"][ABSTAIN] > 0.0
    assert own["enabled"]["refund"] == own["enabled"]["delivery"] == 0.0
    assert own["blocked"][ABSTAIN] == own["enabled"][ABSTAIN]
    assert sorted(x > 0.0 for x in (own["blocked"]["refund"], own["blocked"]["delivery"])) == [False, True]
    assert verify(shy)["ok"]


def test_abstaining_ceases_to_be_a_candidate_and_comes_back_at_another_threshold(shy):
    shy.decide("replies", asked())
    shy.configure("replies", SETTINGS, who="test")
    assert set(chances(shy)) == {"refund", "delivery"}
    again = LoopSettings(policy="linucb", learner=SETTINGS.learner, threshold=0.9, abstain=True)
    shy.configure("replies", again, who="test")
    assert set(chances(shy)) == {"refund", "delivery", ABSTAIN}
    assert shy.model("replies").library.get(ABSTAIN).prior == 0.9
    assert shy.model("replies").library.get(ABSTAIN).version == 2
    assert verify(shy)["ok"]


def test_abstaining_can_be_blocked_and_its_id_is_taken(shy):
    shy.mark("replies", ABSTAIN, state="blocked", who="lead")
    assert shy.decide("replies", asked()).chosen != ABSTAIN
    with pytest.raises(InvalidInput, match="stands for choosing nothing"):
        shy.reconcile("replies", [Reply(ABSTAIN, ("I say nothing.",))], who="api")


# The apprentice


def test_an_apprentice_proposes_and_learns_from_what_was_done(service):
    service.configure("replies", LoopSettings(learner=SETTINGS.learner, apprentice=True), who="test")
    proposed = service.decide("replies", asked())
    assert not proposed.live
    with pytest.raises(InvalidInput, match="only watched"):
        service.activate(proposed.id)
    service.record(signal="thumb", value=1, turn=proposed.turn)
    assert verify(service)["loops"]["replies"]["credited"] == 0
    done = next(reply.id for reply in REPLIES if reply.id != proposed.chosen)
    assert service.observe(proposed.id, done)
    assert not service.observe(proposed.id, done)
    assert not service.observe(proposed.id, proposed.chosen)  # the first said holds
    found = explain(service.log, service.decision(proposed.id))
    assert (found["observed"], found["reward"]) == (done, {"value": 1.0, "weight": 1.0})
    assert found["activated"] is False
    later = service.decision(service.decide("replies", asked(message="m2")).id).body
    own = dict(zip(later["candidates"], later["parts"]["own"], strict=True))
    assert own[done] > 0.0
    assert own[proposed.chosen] == 0.0
    report = verify(service)
    assert report["ok"], report["problems"]
    assert report["loops"]["replies"]["credited"] == 1


def test_an_apprentice_watches_even_where_it_would_have_abstained(service):
    settings = LoopSettings(learner=SETTINGS.learner, threshold=0.9, apprentice=True)
    service.configure("replies", settings, who="test")
    watched = service.decide("replies", asked())
    assert (watched.live, watched.abstained) == (False, True)
    service.observe(watched.id, "refund")
    service.record(signal="thumb", value=1, turn=watched.turn)
    assert explain(service.log, service.decision(watched.id))["abstained"]
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_a_watched_decisions_proposal_is_never_taught(service):
    watched = service.decide("replies", asked(), live=False)
    service.record(signal="thumb", value=1, decision=watched.id)
    assert verify(service)["loops"]["replies"]["credited"] == 0
    assert verify(service)["ok"]


def test_what_cannot_have_been_observed_is_refused(service):
    watched, acted = service.decide("replies", asked(), live=False), service.decide("replies", asked())
    with pytest.raises(InvalidInput, match="'nothing' is none of its candidates"):
        service.observe(watched.id, "nothing")
    with pytest.raises(InvalidInput, match="not only watched"):
        service.observe(acted.id, "refund")
    with pytest.raises(InvalidInput, match="are the log's own"):
        service.record(signal="thumb", value=1, decision=acted.id, event_id=f"observed:{watched.id}")


def test_nothing_is_warned_of_where_nothing_is_wrong(service, caplog):
    with caplog.at_level(logging.WARNING):
        chances(service)
    assert not caplog.records
