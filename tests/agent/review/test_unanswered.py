"""What fell through is found for each reason, leaves when somebody saw to it, and comes back when that is undone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.candidates import Reply
from agent.decision import Situation
from agent.review.inbox import Inbox, sort
from agent.review.index import ReviewIndex
from agent.review.unanswered import REASONS, Search, questions, settled_of
from agent.service import Service
from tests.agent.conftest import SETTINGS, Clock

LOOP = "replies"


class Desk:
    """What happens to questions, each in a conversation of its own unless told otherwise."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self.service, self.clock, self.turns = service, clock, dict[str, str]()
        self.index = ReviewIndex(service.log, service.home)

    def ask(self, name: str, text: str, *, intent: str = "", said: str = "", person: str = "p") -> Situation:
        features = {f"intent:{intent}": 1.0} if intent else {}
        situation = Situation([text], f"c-{name}", person, f"m-{name}", "web", features)
        self.service.hear(situation)
        self.turns[name] = self.service.turn(f"c-{name}", f"m-{name}")
        if said:
            answer = Situation([said], f"c-{name}", person, f"m-{name}", "web", {f"action:{said}": 1.0})
            self.service.hear(answer, who="bot")
        return situation

    def found(self, **search: object) -> dict[str, list[str]]:
        self.index.catch_up()
        names = {turn: name for name, turn in self.turns.items()}
        found = questions(self.index, Search(**search), now=self.clock.now)  # type: ignore[arg-type]
        return {names.get(question.key, question.text): question.reasons for question in found}

    def sorted(self) -> Inbox:
        self.index.catch_up()
        return sort(self.service, self.index, Search(), now=self.clock.now)


@pytest.fixture
def desk(service: Service, clock: Clock) -> Desk:
    return Desk(service, clock)


def everything(desk: Desk) -> None:
    """One question for each reason, and two that were answered."""
    service = desk.service
    desk.ask("fine", "where is my parcel", intent="track", said="utter_track")
    desk.ask("unheard", "mumble", intent="nlu_fallback")
    desk.ask("default", "what about that", said="utter_default")
    decided = service.decide(LOOP, desk.ask("gone", "never mind"), seed=1)
    service.record(signal="left", value=1, turn=decided.turn)
    decided = service.decide(LOOP, desk.ask("passed on", "I want somebody else"), seed=1)
    service.record(signal="handover", value=1, conversation="c-passed on")
    service.decide(LOOP, desk.ask("kept", "and this"), seed=1)
    service.configure("shy", type(SETTINGS)(**{**SETTINGS.as_body(), "abstain": True, "threshold": 5.0}), who="t")
    service.reconcile("shy", [Reply("only", ("only",))], who="t")
    service.decide("shy", desk.ask("nothing fits", "what else is there"), seed=1)
    service.decide("shy", Situation(["asked in no conversation"]), seed=1)


def test_each_reason_finds_its_own(desk: Desk) -> None:
    everything(desk)
    expected = {
        "unheard": ["not understood"],
        "default": ["default reply"],
        "gone": ["left"],
        "passed on": ["handed over"],
        "nothing fits": ["abstained"],
        "asked in no conversation": ["abstained"],
    }
    assert desk.found() == expected
    for reason in REASONS:
        assert set(desk.found(reasons=(reason,))) == {name for name, why in expected.items() if why == [reason]}
    assert desk.found(channel="telegram") == {}
    assert set(desk.found(channel="web")) == set(expected) - {"asked in no conversation"}
    desk.clock.now += 40 * 86_400.0
    assert desk.found() == {}
    assert len(desk.found(days=90)) == len(expected)


def test_the_replies_that_stand_for_no_answer_can_be_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ask("a", "one", said="utter_sorry")
    desk.ask("b", "two", said="utter_default")
    assert set(desk.found()) == {"b"}
    monkeypatch.setenv("REJOINDER_FALLBACK_REPLIES", "utter_sorry, utter_hm")
    assert set(desk.found()) == {"a"}


def test_what_was_seen_to_leaves_and_comes_back(desk: Desk) -> None:
    everything(desk)
    box = desk.sorted()
    before = set(desk.found())
    pile = next(pile for pile in box.piles if pile.medoid == "mumble")
    done = desk.service.settle([pile.key], who="ann", answer="replies/refund")
    assert set(desk.found()) == before - {"unheard"}
    assert settled_of(desk.index, [pile.key, "other"]) == {pile.key}
    assert len(box.without({pile.key}).piles) == len(box.piles) - 1
    undone = desk.service.revoke(done.event_id, who="bea")
    assert set(desk.found()) == before
    assert desk.service.revoke(done.event_id, who="bea").duplicate
    desk.service.revoke(undone.event_id, who="bea")
    assert set(desk.found()) == before - {"unheard"}
    desk.ask("again", "mumble", intent="nlu_fallback")
    assert set(desk.found()) == before - {"unheard"} | {"again"}


def test_piles_hold_what_was_asked_and_by_how_many(desk: Desk) -> None:
    said = ("Are you open?", "are you open", "ARE YOU OPEN", "something else")
    for n, text in enumerate(said):
        desk.ask(f"{n}", text, intent="nlu_fallback", person=f"p{n // 2}")
    box = desk.sorted()
    assert (box.size, [len(pile.questions) for pile in box.piles]) == (4, [3, 1])
    (most, _) = box.piles
    assert (most.customers, [times for _, times in most.counts], most.reasons) == (2, [3], [("not understood", 3)])
    assert (sum(most.curve), most.loop) == (3, LOOP)
    assert most.closest is not None
    assert most.closest.id in {reply.id for reply in desk.service.overview(LOOP).candidates}
    left = most.without({most.questions[0].key})
    assert left is not None
    assert len(left.questions) == 2


def test_the_same_questions_make_the_same_piles(desk: Desk) -> None:
    def shape(box: Inbox) -> Sequence[object]:
        return [(pile.key, list(pile.texts), pile.counts, pile.curve) for pile in box.piles]

    everything(desk)
    now = desk.clock.now
    desk.index.catch_up()
    boxes = [sort(desk.service, desk.index, Search(), now=now) for _ in range(2)]
    assert shape(boxes[0]) == shape(boxes[1])
    fresh = ReviewIndex(desk.service.log, desk.service.home / "fresh")
    fresh.catch_up()
    assert shape(sort(desk.service, fresh, Search(), now=now)) == shape(boxes[0])


def test_nothing_makes_an_empty_inbox(desk: Desk) -> None:
    assert desk.sorted().piles == []
