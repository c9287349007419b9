"""What people write and decide about replies: versions, conflicts, times, and what holds when the domain comes back."""

from __future__ import annotations

import threading

import pytest
import torch

from agent.candidates import CONSOLE, Reply, barred
from agent.decision import Situation
from agent.editing import LONGEST, MOST_TEXTS, made_id
from agent.errors import Conflict, InvalidInput, Unknown
from agent.examples import CUE, LIKE, UNLIKE, likeness
from agent.explain import explain
from agent.model import Model
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import REPLIES, SETTINGS, asked


def own(service, id):
    """What a candidate is expected to earn beyond the prior, and how sure that is."""
    body = service.decision(service.decide("replies", asked(message=f"peek{service.log.last_seq()}")).id).body
    place = body["candidates"].index(id)
    return body["parts"]["own"][place], body["deviation"][place]


def liked(service, id, *, times=3, value=1):
    for _ in range(times):
        situation = asked(message=f"m{service.log.last_seq()}")
        decision = service.decide("replies", situation, candidates=[id])
        service.record(signal="thumb", value=value, decision=decision.id)
    return decision


# Writing


def test_words_wait_for_no_learner(open_service, service, monkeypatch):
    """Of a long log the first fold takes minutes: who reads and writes replies meanwhile never notices."""
    other = open_service()
    monkeypatch.setattr(Model, "catch_up", lambda *_: pytest.fail("a model was asked"))
    made = other.write("replies", texts=["We are closed on Sundays."], who="ann")
    edited = other.edit("replies", made.id, ["We are closed at weekends."], who="ann")
    other.mark("replies", "refund", state="disabled", who="ann")
    other.schedule("replies", made.id, since=1.0, until=2e9, who="ann")
    assert other.draft("replies", ["On Mondays, too."], id=made.id).version == 3
    assert [version.reply.version for version in service.history("replies", made.id)] == [2, 1]
    states = {reply.id: reply.state for reply in service.overview("replies").candidates}
    assert states == {"refund": "disabled", "delivery": "enabled", made.id: "enabled"}
    assert [reply.texts for reply in service.written("replies")] == [edited.texts]
    assert service.standing("replies").champion == service.settings("replies")


def test_a_reply_that_somebody_wrote_is_used_at_once_everywhere(open_service, service):
    other = open_service()
    other.model("replies")
    reply = service.write(
        "replies", texts=["Ask the bank.", "Ask your bank."], who="ann", intents=["bank"], why="inbox"
    )
    assert (reply.state, reply.approved, reply.version, reply.origin) == ("enabled", True, 1, CONSOLE)
    assert reply.id == made_id("Ask the bank.")
    assert reply.id.startswith("reply:ask-the-bank-")
    assert reply.features == {"intent:bank": 1.0}
    assert other.decide("replies", asked(), candidates=[reply.id]).chosen == reply.id
    (version,) = other.history("replies", reply.id)
    assert (version.who, version.why, version.reply) == ("ann", "inbox", reply)
    assert service.reconcile("replies", REPLIES, who="test") == 0
    assert verify(service)["ok"]


def test_a_strict_loop_takes_what_people_write(service):
    service.configure("replies", LoopSettings(learner=SETTINGS.learner, strict=True), who="test")
    reply = service.write("replies", texts=["Yes."], who="ann")
    assert service.decide("replies", asked(), candidates=[reply.id]).chosen == reply.id


@pytest.mark.parametrize("text", ["Ünïcode & söns!", "!!!", "退款", "x" * 500, "a\n\nb"])
def test_any_words_have_an_id(service, text):
    reply = service.write("replies", texts=[text], who="ann")
    assert reply.id.isprintable()
    assert len(reply.id) < 64
    assert made_id(text) == reply.id != made_id(text + "?")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"texts": []}, InvalidInput),
        ({"texts": ["fine", "  "]}, InvalidInput),
        ({"texts": "a string"}, InvalidInput),
        ({"texts": ["x" * (LONGEST + 1)]}, InvalidInput),
        ({"texts": [str(i) for i in range(MOST_TEXTS + 1)]}, InvalidInput),
        ({"texts": [1]}, InvalidInput),
        ({"texts": ["half a \ud800 pair"]}, InvalidInput),
        ({"texts": ["a"], "features": {"intent:x": 2.0}}, InvalidInput),
        ({"texts": ["a"], "features": {"intent:x": float("nan")}}, InvalidInput),
        ({"texts": ["a"], "examples": [""]}, InvalidInput),
        ({"texts": ["a"], "id": ""}, InvalidInput),
        ({"texts": ["a"], "id": "abstain"}, InvalidInput),
        ({"texts": ["a"], "id": "a\nb"}, InvalidInput),
        ({"texts": ["a"], "id": "refund"}, Conflict),
    ],
)
def test_what_is_no_reply_is_refused_and_nothing_logged(service, given, error):
    seq = service.log.last_seq()
    with pytest.raises(error):
        service.write("replies", who="ann", **given)
    assert service.log.last_seq() == seq
    with pytest.raises(Unknown):
        service.write("nowhere", texts=["a"], who="ann")


# Editing


def test_an_edit_is_a_new_version_and_the_old_one_is_kept(service):
    before = liked(service, "refund")
    edited = service.edit("replies", "refund", ["It takes a week."], who="ann", why="law", version_seen=1)
    assert (edited.version, edited.texts, edited.origin) == (2, ("It takes a week.",), CONSOLE)
    versions = service.history("replies", "refund")
    assert [v.reply.texts for v in versions] == [("It takes a week.",), REPLIES[0].texts]
    assert [(v.who, v.why) for v in versions] == [("ann", "law"), ("test", "")]
    assert service.reply("replies", "refund", 1).texts == REPLIES[0].texts
    assert explain(service.log, service.decision(before.id))["chosen"] == "refund"
    seq = service.log.last_seq()
    assert service.edit("replies", "refund", ["It takes a week."], who="bob") == edited
    assert service.log.last_seq() == seq
    assert verify(service)["ok"]


def test_new_words_begin_at_the_old_mean_and_a_typo_inherits_all(service):
    # What one person says counts less the more others say: not what this is about.
    service.configure("replies", LoopSettings(learner=SETTINGS.learner, share=None, burst=None), who="test")
    _, untrained = own(service, "delivery")
    liked(service, "refund", times=6)
    mean, sure = own(service, "refund")
    assert sure < untrained * 0.9
    service.edit("replies", "refund", ["Money goes back in 5 days."], who="ann", typo=True)
    assert own(service, "refund") == pytest.approx((mean, sure), abs=1e-9)
    service.edit("replies", "refund", ["We send it at once."], who="ann")
    assert own(service, "refund") == pytest.approx((mean, untrained), abs=1e-9)
    liked(service, "refund", times=6, value=0)
    assert own(service, "refund")[0] < mean
    # Back to words that had been: what was learned of them holds again, and nothing of what came between.
    service.edit("replies", "refund", REPLIES[0].texts, who="ann")
    assert own(service, "refund") == pytest.approx((mean, sure), abs=1e-9)
    assert verify(service)["ok"]


def test_an_outcome_on_an_old_version_can_be_corrected_and_moves_the_new_ones_beginning(open_service, service):
    service.decide("replies", asked(message="first"), candidates=["refund"])
    decision = liked(service, "refund", times=1)
    service.edit("replies", "refund", ["Other words."], who="ann")
    liked(service, "refund", times=2)
    before = own(service, "refund")
    (outcome,) = [e for e in service.log.read(kinds=("outcome",)) if e.decision == decision.id]
    service.revoke(outcome.id, who="ann")
    assert own(service, "refund")[0] < before[0]
    again = Model(open_service().log, "replies")
    again.catch_up()
    mine, theirs = service.model("replies").learner.sums(), again.learner.sums()
    for name in {*mine, *theirs}:  # what is not named is 0
        one, other = (sums.get(name, torch.zeros(1, dtype=torch.float64)) for sums in (mine, theirs))
        gap = one - other if one.numel() and other.numel() else torch.cat([one.reshape(-1), other.reshape(-1)])
        assert not gap.numel() or float(gap.abs().max()) < 1e-9, name
    assert verify(service)["ok"]


def test_a_snapshot_and_a_fold_from_nothing_know_the_same_versions(open_service, service):
    liked(service, "refund")
    service.edit("replies", "refund", ["Other words."], who="ann")
    liked(service, "refund")
    service.schedule("replies", "refund", since=None, until=9e9, who="ann")
    service.model("replies").save()
    again = open_service()
    mine, theirs = service.model("replies").library, again.model("replies").library
    assert [(r, r.lineage) for r in mine.all()] == [(r, r.lineage) for r in theirs.all()]
    assert own(again, "refund") == pytest.approx(own(service, "refund"), abs=1e-12)


def test_of_two_who_edit_at_once_the_second_is_told_and_nothing_is_lost(open_service, service):
    ann, bob = service, open_service()
    seen = bob.history("replies", "refund")[0].reply.version
    ann.edit("replies", "refund", ["Ann's words."], who="ann", version_seen=seen)
    with pytest.raises(Conflict, match=r"version 2 is ann's, of 1970-01-12 .* UTC; look at it again"):
        bob.edit("replies", "refund", ["Bob's words."], who="bob", version_seen=seen)
    assert bob.history("replies", "refund")[0].reply.texts == ("Ann's words.",)
    bob.edit("replies", "refund", ["Bob's words."], who="bob", version_seen=2)
    assert [v.who for v in ann.history("replies", "refund")] == ["bob", "ann", "test"]
    with pytest.raises(Conflict, match="is there already: version 3 is bob's"):
        ann.write("replies", id="refund", texts=["mine"], who="ann")


def test_edits_of_many_at_once_all_stand_in_some_order(open_service, service):
    people = [open_service() for _ in range(4)]
    start = threading.Barrier(len(people))
    failed = []

    def one(number, turn, person):
        try:
            person.edit("replies", "refund", [f"{number} {turn}"], who=str(number))
        except Conflict as error:
            failed.append(str(error))

    def edit(number, person):
        start.wait()
        for turn in range(3):
            one(number, turn, person)

    threads = [threading.Thread(target=edit, args=args) for args in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = service.history("replies", "refund")
    assert [v.reply.version for v in versions] == list(range(len(versions), 0, -1))
    assert len(versions) - 1 + len(failed) == 12
    assert verify(service)["ok"]


# What a domain offers again


def test_edits_hold_until_what_was_offered_changes(service):
    service.edit("replies", "refund", ["By hand."], who="ann")
    for _ in range(2):
        assert service.reconcile("replies", REPLIES, who="test") == 0
    assert service.model("replies").library.get("refund").texts == ("By hand.",)
    assert service.reconcile("replies", [Reply("refund", ("The domain's new words.",))], who="test") == 1
    reply = service.model("replies").library.get("refund")
    assert (reply.texts, reply.version, reply.origin) == (("The domain's new words.",), 3, "")
    assert service.reconcile("replies", [Reply("refund", ("The domain's new words.",))], who="test") == 0


def test_an_edit_takes_other_intents_and_keeps_its_words(service):
    service.edit("replies", "refund", ["By hand."], who="ann")
    for _ in range(2):
        service.reconcile("replies", [Reply("refund", REPLIES[0].texts, {"intent:refund": 1.0})], who="test")
    reply = service.model("replies").library.get("refund")
    assert (reply.texts, reply.features, reply.version) == (("By hand.",), {"intent:refund": 1.0}, 3)
    assert service.model("replies").library.get("refund").lineage == reply.lineage
    assert service.reconcile("replies", [Reply("refund", ("New.",), {"intent:refund": 1.0})], who="test") == 1


def test_a_title_that_was_the_first_of_the_texts_is_no_other_candidate(service):
    service.reconcile("replies", [Reply("action", ("the title", "words"))], who="config.yml")
    liked(service, "action")
    before = own(service, "action")
    service.reconcile("replies", [Reply("action", ("words",), title="the title")], who="config.yml")
    assert service.model("replies").library.get("action").version == 2
    assert own(service, "action") == pytest.approx(before, abs=1e-12)


# Times


@pytest.mark.parametrize(
    ("since", "until", "at", "expected"),
    [
        (None, None, 5.0, None),
        (5.0, None, 4.9, "not yet"),
        (5.0, None, 5.0, None),
        (None, 5.0, 4.9, None),
        (None, 5.0, 5.0, "no longer"),
        (5.0, 6.0, 5.5, None),
        (5.0, None, None, None),
    ],
)
def test_when_a_candidate_may_be_chosen(since, until, at, expected):
    assert barred([Reply("a", ("a",), since=since, until=until)], strict=False, at=at) == [expected]


def test_a_pinned_reply_out_of_time_keeps_nobody_out():
    offered = [Reply("a", ("a",), state="pinned", until=1.0), Reply("b", ("b",))]
    assert barred(offered, strict=False, at=2.0) == ["no longer", None]


def test_a_schedule_is_kept_by_the_decisions_own_time_and_the_log_says_why(open_service, service, clock):
    service.schedule("replies", "refund", since=clock.now + 1_000.0, until=clock.now + 2_000.0, who="ann", why="sale")
    seen = []
    for _ in range(3):
        body = service.decision(service.decide("replies", asked(message=f"m{clock.now}")).id).body
        seen.append(body["barred"].get("refund"))
        clock.now += 1_000.0
    assert seen == ["not yet", None, "no longer"]
    assert open_service().model("replies").library.get("refund") == service.model("replies").library.get("refund")
    service.edit("replies", "refund", ["Other words."], who="ann")
    assert service.model("replies").library.get("refund").until is not None  # the time is the candidate's
    seq = service.log.last_seq()
    held = service.model("replies").library.get("refund")
    assert service.schedule("replies", "refund", since=held.since, until=held.until, who="bob") == held
    assert service.log.last_seq() == seq
    service.schedule("replies", "refund", since=None, until=None, who="ann")
    assert "refund" in service.decide("replies", asked(message="later"), candidates=["refund"]).chosen
    assert verify(service)["ok"]


@pytest.mark.parametrize(("since", "until"), [(2.0, 1.0), (1.0, 1.0), (float("nan"), None), (None, True)])
def test_a_schedule_that_makes_no_sense_is_refused(service, since, until):
    seq = service.log.last_seq()
    with pytest.raises(InvalidInput):
        service.schedule("replies", "refund", since=since, until=until, who="ann")
    assert service.log.last_seq() == seq


def test_what_is_written_is_offered_while_it_may_be_chosen(service, clock):
    first, second = (service.write("replies", texts=[text], who="ann").id for text in ("One.", "Two."))
    assert [reply.id for reply in service.written("replies")] == [first, second]
    service.mark("replies", first, state="disabled", who="ann")
    service.schedule("replies", second, since=None, until=clock.now + 100.0, who="ann")
    assert [reply.id for reply in service.written("replies")] == [second]
    clock.now += 200.0
    assert service.written("replies") == []


# Questions that a reply was written for


def test_likeness_rises_from_unlike_to_like():
    examples = torch.eye(3, dtype=torch.float64)
    values = []
    for cosine in (-1.0, UNLIKE, (UNLIKE + LIKE) / 2.0, LIKE, 1.0):
        rest = (1.0 - cosine**2) ** 0.5
        values.append(likeness(torch.tensor([cosine, 0.0, -rest], dtype=torch.float64), examples))
    assert values == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_a_reply_is_chosen_for_the_questions_it_was_written_for_and_the_decision_keeps_why(service):
    learner = {**SETTINGS.learner, "prior_match": 0.4, "alpha": 0.0}
    service.configure("replies", LoopSettings(policy="linucb", learner=learner), who="test")
    reply = service.write("replies", texts=["In the cellar."], examples=["where is the cellar?"], who="ann")
    decision = service.decide("replies", Situation(["where is the cellar?"], conversation="c", message_id="m"))
    assert decision.chosen == reply.id
    body = service.decision(decision.id).body
    place = body["candidates"].index(reply.id)
    assert body["cues"][CUE][place] == 1.0
    assert body["parts"]["match"][place] == pytest.approx(0.4)
    assert (
        CUE
        not in service.decision(service.decide("replies", asked("of something else")).id).body["context"]["features"]
    )
    service.record(signal="thumb", value=1, decision=decision.id)
    service.edit("replies", reply.id, examples=["where is the attic?"], who="ann")
    later = service.decide("replies", Situation(["where is the attic?"], conversation="c", message_id="m2"))
    assert (later.chosen, later.version) == (reply.id, 2)
    assert "cues" not in service.decision(service.decide("replies", Situation(["where is the cellar?"])).id).body
    report = verify(service)
    assert report["ok"], report["problems"]
