"""The ledger of a loop: what each of its decisions has earned, what of that counts, and what the learner was told.

All of it follows from the log; a snapshot keeps it so that the log need not be read again. The rewards stand in the
order of their places: a decision's place is that of the event it was first credited by (`seq`), and among those that
one event credited, its own. It stays the same for ever.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agent.errors import InvalidInput
from agent.influence import Claim, Guard, Influence
from agent.log import Event, LearningLog
from agent.rewards import PLAIN, Earned, Rules, earned, looked_at
from agent.standing import standing_of
from policies.types import Reward

Place = tuple[int, int]
START: Place = (0, 0)


@dataclass(frozen=True)
class Change:
    """A decision whose reward is not what the learner was told: `old` is to become `new`, None being no reward."""

    decision: str
    place: Place
    old: Reward | None
    new: Reward | None


class Ledger:
    """The standing rewards of one loop, the guard over them, and which decisions still wait for feedback."""

    def __init__(self, guard: Guard) -> None:
        self.influence = Influence(guard)
        self.told: dict[str, Reward] = {}  # what the learner holds, by decision
        self._places: dict[str, Place] = {}
        self._touched: set[str] = set()  # decisions whose reward may differ from what was told
        self._waiting: dict[str, float] = {}
        # By candidate, and of all (None): the weight of its claims, and times value.
        self._totals: dict[str | None, tuple[float, float]] = {}

    @property
    def last(self) -> Place:
        """The last place there is."""
        return next(reversed(self._places.values()), START)

    def knows(self, id: str) -> bool:
        """Whether a decision has ever earned anything."""
        return id in self._places

    def made(self, id: str) -> int:
        """`seq` of a decision that has earned something."""
        return self._places[id][1]

    def credit(self, decision: Event, claim: Claim | None, *, seq: int) -> None:
        """Enter what a decision has earned by the event at `seq`, in place of what it had; None strikes it out."""
        id = decision.id
        if id in self.influence.claims:
            self._total(self.influence.claims[id], -1.0)
        if claim is not None:
            self._places.setdefault(id, (seq, decision.seq))
            self._touched |= self.influence.put(id, claim)
            self._total(claim, 1.0)
        elif id in self.influence.claims:
            self._touched |= self.influence.drop(id)

    def earned(self, candidate: str | None = None) -> tuple[float, float]:
        """How much feedback stands on a candidate (or on all), in thumbs and before any guard; and its rewards' sum."""
        return self._totals.get(candidate, (0.0, 0.0))

    def _total(self, claim: Claim, sign: float) -> None:
        added = sign * claim.earned.weight
        for whose in (claim.candidate, None):
            weight, total = self._totals.get(whose, (0.0, 0.0))
            self._totals[whose] = (weight + added, total + added * claim.earned.value)

    def wait(self, decision: Event, waits: bool) -> None:
        """Note whether a decision was acted on and waits for feedback."""
        if waits:
            self._waiting[decision.id] = decision.at
        else:
            self._waiting.pop(decision.id, None)

    def due(self, before: float) -> list[str]:
        """The waiting decisions that were made at or before this time."""
        return [id for id, at in self._waiting.items() if at <= before]

    def reward(self, id: str) -> Reward | None:
        """What counts of what a decision has earned."""
        claim = self.influence.claims.get(id)
        if claim is None:
            return None
        return Reward(claim.earned.value, claim.earned.weight * self.influence.factor(id))

    def changes(self) -> list[Change]:
        """Where what counts is not what the learner was told, in order of place. Asked once, they are settled."""
        found = [Change(id, self._places[id], self.told.get(id), self.reward(id)) for id in self._touched]
        self._touched = set()
        return sorted((change for change in found if change.old != change.new), key=lambda change: change.place)

    def tell(self, id: str, reward: Reward | None) -> None:
        """Note what the learner holds of a decision from now on."""
        if reward is None:
            self.told.pop(id, None)
        else:
            self.told[id] = reward

    def after(self, place: Place) -> Iterator[tuple[Place, str]]:
        """The standing rewards beyond a place, in order."""
        beyond = []
        for id in reversed(self._places):
            if self._places[id] <= place:
                break
            if id in self.influence.claims:
                beyond.append((self._places[id], id))
        return reversed(beyond)

    def state(self) -> Tensor:
        """All of it as bytes (n,): what stands, what waits, and where the learner holds something else than counts."""
        candidates: dict[str, int] = {}
        people: dict[str | None, int] = {}
        rows: list[list[Any]] = []
        for id, place in self._places.items():
            claim = self.influence.claims.get(id)
            if claim is None:
                rows.append([id, *place])
                continue
            candidate = candidates.setdefault(claim.candidate, len(candidates))
            person = people.setdefault(claim.person, len(people))
            reward = claim.earned
            rows.append([id, *place, candidate, person, reward.value, reward.weight, reward.at])
        otherwise = {id: self.told.get(id) for id in self._places if self.told.get(id) != self.reward(id)}
        kept = {
            "candidates": list(candidates),
            "people": list(people),
            "rows": rows,
            "waiting": self._waiting,
            "told": {id: None if told is None else [told.value, told.weight] for id, told in otherwise.items()},
        }
        packed = zlib.compress(json.dumps(kept, separators=(",", ":")).encode(), level=1)
        return torch.frombuffer(bytearray(packed), dtype=torch.uint8)

    @classmethod
    def from_state(cls, state: Tensor, guard: Guard) -> Ledger:
        """The ledger that `state` gave, under the same guard.

        Raises:
            InvalidInput: it is not one that `state` gave.
        """
        ledger = cls(guard)
        try:
            kept = json.loads(zlib.decompress(state.numpy().tobytes()))
            for id, seq, own, *claim in kept["rows"]:
                ledger._places[id] = (seq, own)
                if claim:
                    candidate, person, *reward = claim
                    whose = kept["candidates"][candidate], kept["people"][person]
                    known = Claim(*whose, Earned(*reward))
                    ledger.influence.put(id, known)
                    ledger._total(known, 1.0)
            ledger._waiting = dict(kept["waiting"])
            ledger.told = {id: reward for id in ledger._places if (reward := ledger.reward(id)) is not None}
            for id, told in kept["told"].items():
                ledger.tell(id, None if told is None else Reward(*told))
        except (zlib.error, ValueError, TypeError, KeyError, IndexError) as error:
            raise InvalidInput(f"not the state of a ledger ({error})") from error
        return ledger


def claim_of(decision: Event, index: int, reward: Earned) -> Claim:
    """What a decision's reward claims to weigh: on the candidate at an index, by the person who was answered.

    Where no person is known, a conversation is somebody's.
    """
    return Claim(decision.body["candidates"][index], decision.body.get("person") or decision.conversation, reward)


def credit_of(log: LearningLog, decision: Event, evidence: Sequence[Event], rules: Rules) -> Earned | None:
    """What a decision has earned by this evidence on it, before any guard."""
    of_conversation = rules.decay < 1.0 and any(event.conversation is not None for event in evidence)
    later = log.later_turns(decision) if of_conversation else ()
    reward = earned(evidence, rules, later=later, since=decision.at)
    slate = decision.body.get("slate")
    if reward is None or reward.at is not None or slate is None:
        return reward
    # Nobody reacted to this position, and the lower it is the less that says.
    expected = sum(part[decision.body["index"]] for part in decision.body["parts"].values())
    return replace(reward, weight=reward.weight * looked_at(slate["examination"], expected))


def rules_of(log: LearningLog, loop: str | None) -> Rules:
    """The rules of reward in force in a loop, the champion's, from the log alone."""
    champion = standing_of(log, loop).champion
    return PLAIN if champion is None else champion.rules
