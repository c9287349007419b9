"""The queue: who is shown what, in which order, and how far people have come and agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decision import Situation
from agent.errors import InvalidInput
from agent.review import queue
from agent.review.index import ReviewIndex
from agent.review.queue import PARTS, agreements, progress, upcoming
from agent.service import Service

# Of each conversation: what the customer signalled.
SAID = (("thumb", 0), ("thumb", 1), ("handover", 1), None, ("rating", 1), ("rating", 5), None, ("thumb", 0))


class Desk:
    """Conversations to review, and reviewers."""

    def __init__(self, service: Service, home: Path) -> None:
        self.service, self.index = service, ReviewIndex(service.log, home)
        for n, said in enumerate(SAID):
            decided = service.decide("replies", Situation([f"question {n}"], f"c{n}", f"p{n}", "m"), seed=n)
            service.activate(decided.id)
            if said is not None:
                service.record(signal=said[0], value=said[1], decision=decided.id)
        self.keys = [service.identity.conversation(f"c{n}") for n in range(len(SAID))]

    def note(self, what: str, value: str, n: int, who: str) -> str:
        return self.service.annotate(what, value, who=who, conversation=self.keys[n]).event_id

    def part(self, part: str, who: str = "Ida") -> list[int]:
        self.index.catch_up()
        return [self.keys.index(item.row["key"]) for item in upcoming(self.index, who, part=part)]


@pytest.fixture
def desk(service: Service, home: Path) -> Iterator[Desk]:
    desk = Desk(service, home)
    yield desk
    desk.index.close()


def test_the_useful_come_first_and_each_conversation_once(desk: Desk) -> None:
    found = desk.part("useful")
    assert sorted(found) == list(range(len(SAID)))
    assert set(found[:3]) <= {0, 2, 4, 7}
    assert set(desk.part("dissatisfied")) == {0, 2, 4, 7}
    assert desk.part("handed over") == [2]
    assert set(desk.part("control")) == set(range(len(SAID)))
    assert desk.part("second") == desk.part("mine") == []
    with pytest.raises(InvalidInput, match="part: must be one of useful"):
        desk.part("odd")


def test_what_is_reviewed_or_somebody_elses_is_left_out(desk: Desk) -> None:
    verdict = desk.note("reviewed", "bad", 0, "Ida")
    desk.note("assigned", "Ben", 4, "Ida")
    for part in PARTS:
        assert not {0, 4} & set(desk.part(part))
    assert desk.part("second", "Ben") == [0]
    assert desk.part("mine", "Ben") == [4]
    assert 4 in desk.part("useful", "Ben")
    desk.service.revoke(verdict, who="Ida")
    assert 0 in desk.part("dissatisfied")
    assert desk.part("second", "Ben") == []


def test_the_queue_mixes_in_what_was_drawn_at_random_and_what_is_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_CONTROL", 2)
    monkeypatch.setattr(queue, "_NEW", 10_000)
    monkeypatch.setattr(queue, "_RARE", 0)
    desk.index.catch_up()
    parts = [item.part for item in upcoming(desk.index, "Ida", limit=6)]
    assert parts.count("control") >= 2
    assert parts[0] == "useful"


def test_progress_counts_what_stands(desk: Desk) -> None:
    before = progress(desk.index, "Ida", now=desk.service._clock())
    desk.note("reviewed", "bad", 0, "Ida")
    taken = desk.note("reviewed", "good", 2, "Ida")
    desk.note("reviewed", "good", 4, "Ben")
    desk.service.revoke(taken, who="Ida")
    desk.index.catch_up()
    found = progress(desk.index, "Ida", now=desk.service._clock())
    assert found.today == 1
    assert dict(found.by_reviewer) == {"Ida": 1, "Ben": 1}
    assert dict(found.verdicts) == {"bad": 1, "good": 1}
    assert before.today == 0
    assert found.left == len(desk.part("useful")) - sum(
        row["priority"] == 0 and row["verdict"] is None for row in desk.index.rows("select * from conversations")
    )


def test_two_reviewers_agree_as_far_as_they_do(desk: Desk) -> None:
    for n, (one, other) in enumerate([("good", "good"), ("bad", "bad"), ("bad", "good"), ("good", "good")]):
        desk.note("reviewed", "mixed", n, "Ida")
        desk.note("reviewed", one, n, "Ida")  # the latest word holds
        desk.note("reviewed", other, n, "Ben")
    desk.note("reviewed", "good", 5, "Ben")
    desk.index.catch_up()
    (found,) = agreements(desk.index, now=desk.service._clock())
    assert (found.one, found.other, found.conversations, found.share) == ("Ben", "Ida", 4, 0.75)
    assert found.kappa == pytest.approx((0.75 - 0.5) / 0.5)


VERDICT = st.sampled_from(["good", "bad", "mixed"])


@given(st.lists(st.tuples(VERDICT, VERDICT), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_one_exactly_for_full_agreement(pairs: list[tuple[str, str]]) -> None:
    share, kappa = queue._agreement(pairs)
    assert queue._agreement([(b, a) for a, b in pairs]) == (share, pytest.approx(kappa) if kappa is not None else None)
    if kappa is None:
        assert share == 1.0
    else:
        assert kappa <= 1.0
        assert (kappa == pytest.approx(1.0)) is (share == 1.0)
