"""The ledger: places, what the learner is to be told, and its state."""

from __future__ import annotations

import pytest
import torch

from agent.errors import InvalidInput
from agent.influence import Guard
from agent.ledger import Change, Ledger, claim_of
from agent.log import Event
from agent.rewards import Earned
from policies.types import Reward

GUARD = Guard(share=0.1, floor=2.0)


def decision(number: int, person: str | None = "ann") -> Event:
    body = {"candidates": ["refund"], "person": person}
    return Event(f"d{number}", "decision", 60.0 * number, "replies", "c", None, f"d{number}", body, seq=number)


def thumb(number: int) -> Earned:
    return Earned(1.0, 1.0, 60.0 * number)


def credit(ledger: Ledger, decision: Event, reward: Earned | None, *, seq: int) -> None:
    ledger.credit(decision, None if reward is None else claim_of(decision, 0, reward), seq=seq)


def told(ledger: Ledger) -> list[Change]:
    changes = ledger.changes()
    for change in changes:
        ledger.tell(change.decision, change.new)
    return changes


def test_what_is_new_is_to_be_told_once_in_the_order_in_which_it_was_credited():
    ledger = Ledger(GUARD)
    credit(ledger, decision(2), thumb(2), seq=11)
    credit(ledger, decision(1), thumb(1), seq=12)
    assert [(change.decision, change.old, change.new) for change in told(ledger)] == [
        ("d2", None, Reward(1.0, 1.0)),
        ("d1", None, Reward(1.0, 1.0)),
    ]
    assert told(ledger) == []
    assert [id for _, id in ledger.after((11, 2))] == ["d1"]


def test_what_comes_back_takes_its_old_place():
    ledger = Ledger(GUARD)
    for number in (1, 2):
        credit(ledger, decision(number), thumb(number), seq=10 + number)
    told(ledger)
    credit(ledger, decision(1), None, seq=13)
    assert told(ledger) == [Change("d1", (11, 1), Reward(1.0, 1.0), None)]
    assert [id for _, id in ledger.after((0, 0))] == ["d2"]
    credit(ledger, decision(1), thumb(1), seq=14)
    assert told(ledger) == [Change("d1", (11, 1), None, Reward(1.0, 1.0))]
    assert [id for _, id in ledger.after((0, 0))] == ["d1", "d2"]
    assert ledger.last == (12, 2)


def test_what_comes_and_goes_between_two_looks_was_never_there():
    ledger = Ledger(GUARD)
    credit(ledger, decision(1), thumb(1), seq=11)
    credit(ledger, decision(1), None, seq=12)
    assert ledger.changes() == []


def test_one_reward_too_many_changes_those_before_it():
    ledger = Ledger(GUARD)
    for number in (1, 2):
        credit(ledger, decision(number), thumb(number), seq=number + 10)
    told(ledger)
    credit(ledger, decision(3), thumb(3), seq=13)
    changes = told(ledger)
    assert [change.decision for change in changes] == ["d1", "d2", "d3"]
    assert sum(change.new.weight for change in changes if change.new is not None) <= GUARD.floor
    credit(ledger, decision(3), None, seq=14)
    assert [change.new for change in told(ledger)] == [Reward(1.0, 1.0), Reward(1.0, 1.0), None]


def test_its_state_gives_it_back_to_the_bit():
    ledger = Ledger(GUARD)
    for number in range(9):
        credit(
            ledger, decision(number, None if number % 3 else "ann"), Earned(0.1 * number, 0.3, 0.7 * number), seq=number
        )
        ledger.wait(decision(20 + number), number % 2 == 0)
    credit(ledger, decision(9), Earned(0.2, 0.1), seq=9)
    credit(ledger, decision(4), None, seq=10)
    told(ledger)
    ledger.tell("d3", None)  # what the learner could not take
    again = Ledger.from_state(ledger.state(), GUARD)
    assert torch.equal(again.state(), ledger.state())
    assert again.told == ledger.told
    assert {id: again.reward(id) for id in again.told} == {id: ledger.reward(id) for id in ledger.told}
    assert list(again.after((0, 0))) == list(ledger.after((0, 0)))
    assert again.last == ledger.last == (9, 9)
    assert again.due(60.0 * 24) == ledger.due(60.0 * 24) == ["d20", "d22", "d24"]
    assert again.changes() == []


@pytest.mark.parametrize("state", [b"", b"half", b'{"rows": 1}'])
def test_what_is_no_state_of_a_ledger_is_refused(state):
    with pytest.raises(InvalidInput, match="not the state of a ledger"):
        Ledger.from_state(torch.tensor(list(state), dtype=torch.uint8), GUARD)
