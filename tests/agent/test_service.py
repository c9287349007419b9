from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
import torch

from agent.candidates import Reply
from agent.decision import Situation
from agent.errors import Conflict, InvalidInput, LogUnavailable, Unknown
from agent.explain import explain
from agent.log import LearningLog
from agent.model import context_of
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import REPLIES, SETTINGS, asked


def expected(service, text: str) -> dict[str, float]:
    """The expected reward of each reply to a text."""
    body = service.decision(service.decide("replies", asked(text, message=f"peek {text}")).id).body
    return dict(zip(body["candidates"], torch.tensor(list(body["parts"].values())).sum(0).tolist(), strict=True))


def test_a_decision_is_logged_with_all_that_repeats_it(service):
    decision = service.decide("replies", asked())
    assert decision.chosen in {reply.id for reply in REPLIES}
    assert sum(decision.probabilities.values()) == pytest.approx(1.0)
    assert decision.propensity == decision.probabilities[decision.chosen]
    found = explain(service.log, service.decision(decision.id))
    assert found["repeats"]
    assert found["chosen"] == decision.chosen
    assert found["text"] == "where is my money"


def test_ids_of_people_are_nowhere_in_the_log(service):
    situation = asked("my mail is ann@example.org and my card 4111 1111 1111 1111", conversation="+441234567")
    decision = service.decide("replies", situation)
    service.hear(situation)
    service.record(signal="thumb", value=1, conversation="+441234567", actor="+441234567")
    service.log.close()
    held = b"".join(path.read_bytes() for path in service.home.glob("learning.db*"))
    for secret in (b"441234567", b'p1"', b"ann@", b"4111 1111"):
        assert secret not in held
    assert decision.id.encode() in held


def test_feedback_moves_what_is_expected_here_more_than_elsewhere(service):
    before, elsewhere = expected(service, "where is my money"), expected(service, "is it raining")
    for n in range(3):
        decision = service.decide("replies", asked(message=f"m{n}"), candidates=["refund"])
        service.record(signal="thumb", value=0, decision=decision.id)
    after = expected(service, "where is my money")
    assert after["refund"] < before["refund"]
    assert after["delivery"] == before["delivery"]
    moved = abs(expected(service, "is it raining")["refund"] - elsewhere["refund"])
    assert moved < before["refund"] - after["refund"]


def test_an_outcome_delivered_again_counts_once(service):
    decision = service.decide("replies", asked())
    first = service.record(signal="thumb", value=1, decision=decision.id, event_id="e")
    once = service.model("replies").learner.state_dict()
    again = service.record(signal="thumb", value=1, decision=decision.id, event_id="e")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert torch.equal(service.model("replies").learner.state_dict()["header"], once["header"])
    assert verify(service)["ok"]
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_an_event_id_used_for_another_outcome_is_a_conflict(service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id, event_id="e")
    with pytest.raises(Conflict):
        service.record(signal="thumb", value=0, decision=decision.id, event_id="e")


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"decision": "nobody"}, Unknown, "unknown decision 'nobody'"),
        ({"turn": "nowhere"}, Unknown, "unknown turn 'nowhere'"),
        ({"conversation": "never"}, Unknown, "unknown conversation 'never'"),
        ({}, InvalidInput, "exactly one of"),
        ({"decision": "a", "turn": "b"}, InvalidInput, "exactly one of"),
        ({"decision": "d", "signal": "thump"}, InvalidInput, "unknown signal"),
        ({"decision": "d", "value": 7}, InvalidInput, "value must be"),
        ({"decision": "{id}", "event_id": "activated:{id}"}, InvalidInput, "are the log's own"),
        ({"decision": "d", "value": float("nan")}, InvalidInput, "value must be"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused_and_not_kept(service, given, error, says):
    id = service.decide("replies", asked()).id
    given = {name: value.format(id=id) if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(error, match=says):
        service.record(**{"signal": "thumb", "value": 1, **given})
    assert "outcome" not in service.log.counts()


def test_a_turns_outcome_credits_only_what_was_sent(service):
    sent, unsent = service.decide("replies", asked()), service.decide("replies", asked())
    service.activate(sent.id)
    service.record(signal="thumb", value=1, turn=sent.turn)
    assert explain(service.log, service.decision(sent.id))["reward"] == {"value": 1.0, "weight": 1.0}
    assert explain(service.log, service.decision(unsent.id))["reward"] is None
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_an_activation_that_comes_after_the_outcome_counts_the_same(open_service, service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, turn=decision.turn)
    assert verify(service)["loops"]["replies"]["credited"] == 0
    assert service.activate(decision.id)
    assert not service.activate(decision.id)
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_what_was_only_watched_cannot_be_activated(service):
    decision = service.decide("replies", asked(), live=False)
    with pytest.raises(InvalidInput, match="only watched"):
        service.activate(decision.id)


def test_a_loop_abstains_below_its_threshold(service):
    service.configure("replies", LoopSettings(threshold=10.0), who="test")
    assert service.decide("replies", asked()) is None
    assert service.recommend("replies", asked()) is None
    assert "decision" not in service.log.counts()


@pytest.mark.parametrize(
    ("loop", "candidates", "says"),
    [
        ("nothing", None, "unknown loop 'nothing'"),
        ("replies", ["who"], "unknown candidate 'who'"),
        ("replies", [], "0"),
    ],
)
def test_a_decision_that_cannot_be_made_says_why(service, loop, candidates, says):
    with pytest.raises(InvalidInput, match=says):
        service.decide(loop, asked(), candidates=candidates)


def test_no_message_no_decision(service):
    situation = asked()
    with pytest.raises(InvalidInput, match="no message"):
        service.decide("replies", type(situation)([], conversation="c"))


def test_the_same_settings_and_replies_again_log_nothing(service):
    before = service.log.last_seq()
    service.configure("replies", SETTINGS, who="test")
    assert service.reconcile("replies", REPLIES, who="test") == 0
    assert service.log.last_seq() == before


def test_a_changed_reply_is_a_new_version_and_old_decisions_keep_theirs(service):
    decision = service.decide("replies", asked(), candidates=["refund"])
    assert service.reconcile("replies", [Reply("refund", ("Quite other words.",))], who="test") == 1
    service.record(signal="thumb", value=1, decision=decision.id)
    service.record(signal="thumb", value=1, decision=service.decide("replies", asked(message="m2")).id)
    assert service.model("replies").library.get("refund").version == 2
    assert verify(service)["ok"]


def test_a_disabled_reply_is_not_chosen_and_one_that_is_all_there_is_is_refused(service):
    service.mark("replies", "refund", state="disabled", who="test")
    for n in range(20):
        assert service.decide("replies", asked(message=f"m{n}")).chosen == "delivery"
    with pytest.raises(InvalidInput, match="none of its 1 candidates is eligible"):
        service.decide("replies", asked(), candidates=["refund"])


def test_what_another_process_recorded_is_seen_before_the_next_decision(open_service, service):
    other = open_service()
    decision = service.decide("replies", asked(), candidates=["refund"])
    before = expected(service, "where is my money")["refund"]
    other.record(signal="thumb", value=0, decision=decision.id)
    assert expected(service, "where is my money")["refund"] < before


def test_a_locked_log_makes_no_decision_but_can_still_recommend(service):
    service.log._busy_seconds = 0.1
    service.log.close()
    service.decide("replies", asked())
    lock = sqlite3.connect(service.log.path)
    lock.execute("begin immediate")
    try:
        with pytest.raises(LogUnavailable, match="locked"):
            service.decide("replies", asked(message="m2"))
        assert service.recommend("replies", asked(message="m2")) in {"refund", "delivery"}
    finally:
        lock.rollback()
        lock.close()
    assert service.decide("replies", asked(message="m2")) is not None


def test_an_earlier_message_counts_where_history_is_on(service):
    service.configure("replies", LoopSettings(history=0.5), who="test")
    situation = type(asked())(["about my refund", "and how long?"], conversation="c", message_id="m")
    refs = service.decision(service.decide("replies", situation).id).body["context"]["blocks"][""]
    assert [weight for _, weight in refs] == [0.5, 1.0]


def test_the_dialogue_is_held_in_blocks_that_come_back_from_the_log(service):
    situation = Situation(
        ["my refund", "and when?"], conversation="c", message_id="m", replies=["Hello.", "It was sent."]
    )
    event = service.decision(service.decide("replies", situation).id)
    assert set(event.body["context"]["blocks"]) == {"", "last_reply", "history"}
    context = context_of(event, service.log, encoder=service.model("replies").settings.encoder)
    service.activate(event.id)
    service.record(signal="thumb", value=1, decision=event.id)
    parts = service.model("replies").learner.scores(context, [service.model("replies").offer("refund")]).parts
    assert {"own", "own:last_reply", "own:history", "own:together"} <= set(parts)
    assert verify(service)["ok"]


def test_blocks_that_there_are_not_are_refused():
    with pytest.raises(InvalidInput, match="blocks must be a list out of last_reply, history"):
        LoopSettings(blocks=["mood"])


def test_a_conversations_rating_credits_its_turns_the_last_ones_most(service):
    turns = [service.decide("replies", asked(f"text {n}", message=f"m{n}")) for n in range(3)]
    again = service.decide("replies", asked("text 2", message="m2"))  # another decision of the last turn
    elsewhere = service.decide("replies", asked("text 9", message="m9", conversation="c9"))
    for decision in (*turns, again, elsewhere):
        service.activate(decision.id)
    service.record(signal="csat", value=5, conversation="c1")
    after = service.decide("replies", asked("text 4", message="m4"))
    service.activate(after.id)

    def weight(decision) -> float | None:
        reward = explain(service.log, service.decision(decision.id))["reward"]
        return None if reward is None else reward["weight"]

    csat, decay = SETTINGS.signals["csat"], SETTINGS.csat_decay
    assert [weight(decision) for decision in (*turns, again)] == [csat * decay**2, csat * decay, csat, csat]
    assert weight(elsewhere) is weight(after) is None
    assert verify(service)["ok"]


def test_one_person_who_presses_without_end_is_held_back_and_shown(service):
    service.configure("replies", replace(SETTINGS, share_floor=2.0, burst=3.0), who="test")
    for n in range(12):
        decision = service.decide("replies", asked(message=f"m{n}"), candidates=["refund"])
        service.record(signal="thumb", value=1, decision=decision.id, at=1e6 + 10.0 * n)
    service.model("replies")
    fold = service.folds()["replies"]
    assert fold.capped == 1
    assert fold.bursts == 2
    report = verify(service)
    assert report["ok"], report["problems"]
    assert report["loops"]["replies"]["capped_persons"] == 1
    (person,) = report["held"]["replies"]["persons"]
    assert person["person"] == service.identity.person("p1")
    assert person["counted"] <= 2.0 < person["weight"]
    assert [burst["value"] for burst in report["held"]["replies"]["bursts"]] == [1.0, 1.0]


def test_how_far_it_is_can_be_asked_before_anything_is_folded(open_service, service, monkeypatch):
    """A page asks for it from another thread, at any moment of the first fold."""
    service.decide("replies", asked())
    other, seen, read = open_service(), [], LearningLog.read

    def looking(self, **wanted):
        seen.append((other.folds(), other.bursts()))
        return read(self, **wanted)

    monkeypatch.setattr(LearningLog, "read", looking)
    other.model("replies")
    assert seen[0] == ({}, {})
    assert other.folds()["replies"].seq == other.log.last_seq()


def test_feedback_dates_from_the_choice(service, clock, monkeypatch):
    told = []
    learner = type(service.model("replies").learner)
    monkeypatch.setattr(learner, "revise", lambda *_, at, **__: told.append(at))
    decision = service.decide("replies", asked())
    clock.now += 1_000.0
    service.record(signal="thumb", value=1, decision=decision.id, at=clock.now)
    service.model("replies")
    assert told == [service.decision(decision.id).at]
