"""A guard on influence: what share of each reward's weight counts, given all the rewards that stand. Pure.

Two bounds hold on every candidate. **Bursts**: identical feedback (same candidate, same value to a tenth, same stretch
of time) counts in full up to `burst` thumbs; n thumbs beyond that count as burst * (1 + ln(n / burst)). **Shares**: all
that one person's feedback counts on a candidate is at most `share` of what everybody's counts there, or `floor` thumbs
if that is more (bounding each user's contribution: Amin, Kulesza, Munoz and Vassilvitskii, ICML 2019). The bound is
one number for all persons of a candidate, so several who overdo it do not make room for one another.

What counts depends on the set of standing rewards alone, to the bit: totals are kept in whole numbers, so the order in
which rewards come and go leaves no trace. They are rounded up to geometric steps before anything is derived from them,
so that a factor seldom moves: n rewards of one person or burst move each other's factors log(n) times, not n.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agent.rewards import Earned

_STEPS_PER_DOUBLING = 4
# By square roots, which are rounded the same everywhere; powers are not.
_POWERS = (1.0, math.sqrt(math.sqrt(2.0)), math.sqrt(2.0), math.sqrt(2.0) * math.sqrt(math.sqrt(2.0)))
_LOG_STEP = math.log(2.0) / _STEPS_PER_DOUBLING
_UNIT = 2.0**32  # whole numbers of these to a thumb

_BurstKey = tuple[str, float, int]
_PersonKey = tuple[str, str | None]


@dataclass(frozen=True)
class Guard:
    """The bounds in force; None switches one off. Weights are in thumbs.

    `share` is in (0, 1). `floor` and `burst` are at least 1: one reward alone always counts in full. A burst is
    looked for in stretches of `burst_seconds`.
    """

    share: float | None = None
    floor: float = 10.0
    burst: float | None = None
    burst_seconds: float = 60.0


@dataclass(frozen=True)
class Claim:
    """A standing reward: for which candidate, from whom (None: nobody is known), and what it weighs unguarded."""

    candidate: str
    person: str | None
    earned: Earned


@dataclass(frozen=True)
class Held:
    """What the guard holds back on a candidate: of `weight` thumbs, `counted` count.

    Of a person, `person` is set; of a burst, its `value` and when it began (`at`, unix seconds).
    """

    candidate: str
    weight: float
    counted: float
    person: str | None = None
    value: float | None = None
    at: float | None = None


class Influence:
    """The factor of every claim, kept up to date as claims come and go."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.claims: dict[str, Claim] = {}
        self._bursts: dict[_BurstKey, _Group] = {}
        self._people: dict[_PersonKey, _Group] = {}
        self._spreads: defaultdict[str, _Spread] = defaultdict(_Spread)
        # Those above level 0, which are few.
        self._hot: set[_BurstKey] = set()
        self._heavy: set[_PersonKey] = set()
        self._burst_steps = _Steps(guard.burst or 1.0)
        self._share_steps = _Steps(guard.floor)

    def put(self, id: str, claim: Claim) -> set[str]:
        """Let a claim stand, in place of the one of this id; the ids of all whose factor may be another now."""
        touched = {id}
        if id in self.claims:
            self._weigh(id, self.claims[id], 0, touched)
        self.claims[id] = claim
        self._weigh(id, claim, _amount(claim.earned.weight), touched)
        return touched

    def drop(self, id: str) -> set[str]:
        """Take a claim away; its id and those of all whose factor may be another now."""
        touched = {id}
        self._weigh(id, self.claims[id], 0, touched)
        del self.claims[id]
        return touched

    def factor(self, id: str) -> float:
        """What share of the claim's weight counts, in (0, 1]."""
        claim = self.claims[id]
        if self.guard.share is None:
            return self._damping(claim)
        level, cap = self._people[claim.candidate, claim.person].level, self._spreads[claim.candidate].cap
        return self._damping(claim) * _power(min(0, cap - level))

    @property
    def held(self) -> tuple[int, int]:
        """How many persons are capped, and how many bursts damped. Safe to ask while another thread folds."""
        spreads = self._spreads
        capped = sum(self._people.get(key, _NOBODY).level > spreads[key[0]].cap for key in tuple(self._heavy))
        return capped, len(self._hot)

    def capped(self) -> list[Held]:
        """The persons whose share is capped, by candidate."""
        found = []
        for candidate, person in self._heavy:
            group, cap = self._people[candidate, person], self._spreads[candidate].cap
            if group.level > cap:
                total = group.total / _UNIT
                found.append(Held(candidate, total, total * _power(cap - group.level), person=person))
        return sorted(found, key=lambda held: (held.candidate, -held.weight))

    def bursts(self) -> list[Held]:
        """The bursts that are damped, by candidate. Safe to ask while another thread folds."""
        found = []
        for key in tuple(self._hot):
            (candidate, value, number), group = key, self._bursts.get(key)
            if group is None:
                continue
            total, at = group.total / _UNIT, number * self.guard.burst_seconds
            found.append(Held(candidate, total, total * _damping(group.level), value=value, at=at))
        return sorted(found, key=lambda held: (held.candidate, -held.weight))

    def _weigh(self, id: str, claim: Claim, amount: int, touched: set[str]) -> None:
        """Let a claim weigh an amount (0: nothing any more) in its burst and in what its person's feedback counts."""
        moved, key = {id}, _burst_of(claim, self.guard)
        if key is not None:
            moved.update(_set(self._bursts, key, id, amount, self._burst_steps))
            (self._hot.add if self._bursts.get(key, _NOBODY).level else self._hot.discard)(key)
        touched.update(moved)
        if self.guard.share is None:
            return
        for each in moved:
            gone = each == id and not amount
            self._weigh_person(each, 0 if gone else self._damped(self.claims[each]), touched)
        self._recap(claim.candidate, touched)

    def _weigh_person(self, id: str, amount: int, touched: set[str]) -> None:
        claim = self.claims[id]
        key, spread = (claim.candidate, claim.person), self._spreads[claim.candidate]
        before = self._people.get(key, _NOBODY)
        spread.levels[before.level] -= before.total
        # Those whom nobody knows are not one person.
        steps = self._share_steps if claim.person is not None else None
        touched.update(_set(self._people, key, id, amount, steps))
        after = self._people.get(key, _NOBODY)
        spread.levels[after.level] += after.total
        (self._heavy.add if after.level else self._heavy.discard)(key)

    def _recap(self, candidate: str, touched: set[str]) -> None:
        spread = self._spreads[candidate]
        cap = _cap(spread.levels, self._share_steps, self.guard.share or 0.0)
        if cap != spread.cap:
            spread.cap = cap
            for key in self._heavy:
                if key[0] == candidate:
                    touched.update(self._people[key].members)

    def _damped(self, claim: Claim) -> int:
        return _amount(claim.earned.weight * self._damping(claim))

    def _damping(self, claim: Claim) -> float:
        key = _burst_of(claim, self.guard)
        return 1.0 if key is None else _damping(self._bursts[key].level)


def factors(claims: Mapping[str, Claim], guard: Guard) -> dict[str, float]:
    """The factor of every claim, from all of them at once: what `Influence` must agree with to the bit."""
    damping = _dampings(claims, guard)
    if guard.share is None:
        return damping
    totals: Counter[_PersonKey] = Counter()
    for id, claim in claims.items():
        totals[claim.candidate, claim.person] += _amount(claim.earned.weight * damping[id])
    steps = _Steps(guard.floor)
    levels = {key: steps.level(total) if key[1] is not None else 0 for key, total in totals.items()}
    spreads: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for key, total in totals.items():
        spreads[key[0]][levels[key]] += total
    caps = {candidate: _cap(spread, steps, guard.share) for candidate, spread in spreads.items()}
    return {
        id: damping[id] * _power(min(0, caps[claim.candidate] - levels[claim.candidate, claim.person]))
        for id, claim in claims.items()
    }


def _dampings(claims: Mapping[str, Claim], guard: Guard) -> dict[str, float]:
    keys = {id: _burst_of(claim, guard) for id, claim in claims.items()}
    totals: Counter[_BurstKey | None] = Counter()
    for id, claim in claims.items():
        totals[keys[id]] += _amount(claim.earned.weight)
    steps = _Steps(guard.burst or 1.0)
    return {id: 1.0 if key is None else _damping(steps.level(totals[key])) for id, key in keys.items()}


@dataclass
class _Group:
    """Claims that share a bound: the amount of each, their total, and the step it is rounded up to."""

    members: dict[str, int] = field(default_factory=dict)
    total: int = 0
    level: int = 0


_NOBODY = _Group()


@dataclass
class _Spread:
    """How the feedback on a candidate is spread: the amount by level of the person, and the level that is the cap."""

    levels: Counter[int] = field(default_factory=Counter)
    cap: int = 0


class _Steps:
    """Totals in geometric steps from a base (thumbs) on: step 0 reaches up to the base, four steps double it."""

    def __init__(self, base: float) -> None:
        self._base = base * _UNIT
        self._bounds = [int(self._base)]

    def level(self, total: int) -> int:
        """The lowest step that reaches up to the total."""
        while self._bounds[-1] < total:
            self._bounds.append(self.bound(len(self._bounds)))
        return bisect_left(self._bounds, total)

    def bound(self, level: int) -> int:
        """The largest total of a step."""
        return int(self._base * _power(level))


_Key = TypeVar("_Key", _BurstKey, _PersonKey)


def _set(groups: dict[_Key, _Group], key: _Key, id: str, amount: int, steps: _Steps | None) -> Iterable[str]:
    """Set what a claim adds to a group (0: it leaves); the members, if the group's level moved by that."""
    group = groups.setdefault(key, _Group())
    group.total += amount - group.members.pop(id, 0)
    if amount:
        group.members[id] = amount
    elif not group.members:
        del groups[key]
    before, group.level = group.level, steps.level(group.total) if steps is not None else 0
    return group.members if group.level != before else ()


def _cap(levels: Mapping[int, int], steps: _Steps, share: float) -> int:
    """The highest level at which one person counts no more than the share of what all then count; 0 if none is."""
    present = sorted((level, amount) for level, amount in levels.items() if amount)
    for cap in range(present[-1][0] if present else 0, 0, -1):
        counted = sum(amount * _power(min(0, cap - level)) for level, amount in present)
        if steps.bound(cap) <= share * counted:
            return cap
    return 0


def _burst_of(claim: Claim, guard: Guard) -> _BurstKey | None:
    """Which feedback it is identical with; None for a default, which nobody gave."""
    if guard.burst is None or claim.earned.at is None:
        return None
    return claim.candidate, round(claim.earned.value, 1), math.floor(claim.earned.at / guard.burst_seconds)


def _amount(weight: float) -> int:
    return max(1, round(weight * _UNIT))


def _damping(level: int) -> float:
    """What counts of each thumb in a burst whose total was rounded up to this step."""
    return (1.0 + level * _LOG_STEP) * _power(-level)


def _power(steps: int) -> float:
    """The size of so many steps: 2 ** (steps / 4)."""
    return math.ldexp(_POWERS[steps % _STEPS_PER_DOUBLING], steps // _STEPS_PER_DOUBLING)
