"""Signals -> reward: what people's reactions say about a decision, as one number in [0, 1]. Pure functions.

Explicit signals (a thumb, a rating) outrank behaviour (thanks, a rephrased question), a signal about the
reply itself outranks one about the whole conversation, and among equals the latest explicit one holds, for
people change their minds. What is said of a whole conversation weighs less on its earlier turns. Where nothing was
said in the time that a loop waits, its default holds until something is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.errors import InvalidInput
from agent.log import Event
from policies.types import Reward


@dataclass(frozen=True)
class Signal:
    """A kind of reaction: its values run from `worst` to `best`, and it counts `weight` (0 to 1) of a thumb.

    Where `best` is infinite, values are amounts of money.
    """

    name: str
    worst: float
    best: float
    weight: float
    explicit: bool
    whole_numbers: bool = False

    def scaled(self, value: float, *, money: float | None = None) -> float:
        """The value in [0, 1]; of amounts, `money` or more is 1, and without it, whatever is more than nothing.

        Raises:
            InvalidInput: the value lies outside the signal's range.
        """
        low, high = sorted((self.worst, self.best))
        inside = math.isfinite(value) and low <= value <= high
        if not inside or (self.whole_numbers and value != int(value)):
            numbers = "a whole number" if self.whole_numbers else "a number"
            raise InvalidInput(
                f"signal {self.name!r}: value must be {numbers} from {self.worst:g} (worst) to {self.best:g} (best); "
                f"got {value!r}"
            )
        if math.isinf(self.best):
            return float(value > 0.0) if money is None else min(1.0, value / money)
        return (value - self.worst) / (self.best - self.worst)


SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("thumb", worst=0, best=1, weight=1.0, explicit=True, whole_numbers=True),
        Signal("rating", worst=1, best=5, weight=1.0, explicit=True, whole_numbers=True),
        Signal("csat", worst=1, best=5, weight=0.5, explicit=True, whole_numbers=True),
        Signal("reward", worst=0, best=1, weight=1.0, explicit=True),
        Signal("click", worst=0, best=1, weight=0.5, explicit=False, whole_numbers=True),
        Signal("suggestion", worst=0, best=1, weight=1.0, explicit=False),
        Signal("thanks", worst=0, best=1, weight=0.3, explicit=False, whole_numbers=True),
        Signal("rephrased", worst=1, best=0, weight=0.3, explicit=False, whole_numbers=True),
        Signal("handover", worst=1, best=0, weight=0.3, explicit=False, whole_numbers=True),
        # Left in the middle, or came back with the same problem.
        Signal("left", worst=1, best=0, weight=0.2, explicit=False, whole_numbers=True),
        Signal("returned", worst=1, best=0, weight=0.4, explicit=False, whole_numbers=True),
        # Said nothing more after an answer; or said that it helped.
        Signal("resolved_assumed", worst=0, best=1, weight=0.1, explicit=False, whole_numbers=True),
        Signal("resolved_confirmed", worst=0, best=1, weight=0.5, explicit=True, whole_numbers=True),
        # About an item that was shown. What was bought is told in money.
        Signal("asked_about", worst=0, best=1, weight=0.3, explicit=False, whole_numbers=True),
        Signal("asked_for_more", worst=1, best=0, weight=0.2, explicit=False, whole_numbers=True),
        Signal("added", worst=0, best=1, weight=1.0, explicit=True, whole_numbers=True),
        Signal("dismissed", worst=1, best=0, weight=0.5, explicit=True, whole_numbers=True),
        Signal("bought", worst=0, best=math.inf, weight=1.0, explicit=True),
    )
}


def signal(name: str) -> Signal:
    """The signal of this name.

    Raises:
        InvalidInput: there is none; the message lists those there are.
    """
    if name not in SIGNALS:
        raise InvalidInput(f"unknown signal {name!r}; known are {', '.join(SIGNALS)}")
    return SIGNALS[name]


@dataclass(frozen=True)
class Rules:
    """What one loop makes of outcomes: the part of its settings that decides rewards.

    `weights` are of kinds of signal, in place of the signal's own (0 switches it off). `decay` (0 to 1) is what an
    outcome on a conversation loses in weight with each turn decided between the decision and itself. `default` is
    earned where the wait for outcomes has expired; None leaves missing feedback out. `worth` (0 to 1) is the reward at
    the best value of a kind of signal, 1 unless given; `money` is the amount from which a purchase earns that. What
    comes more than `window` seconds after the decision comes of something else.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    decay: float = 1.0
    default: Reward | None = None
    worth: Mapping[str, float] = field(default_factory=dict)
    money: float | None = None
    window: float | None = None

    def weight(self, signal: Signal) -> float:
        """What an outcome of this kind weighs in the loop, in thumbs."""
        return self.weights.get(signal.name, signal.weight)

    def reward(self, signal: Signal, value: float) -> float:
        """What an outcome of this kind and value earns, in [0, 1]."""
        return signal.scaled(value, money=self.money) * self.worth.get(signal.name, 1.0)


#: every signal at its own weight, conversations credited evenly, no default.
PLAIN = Rules()


@dataclass(frozen=True)
class Earned(Reward):
    """A reward that outcomes amount to.

    `at` is when the latest of those outcomes was given (unix seconds); None for a default, which nobody gave.
    """

    at: float | None = None


@dataclass(frozen=True)
class _Standing:
    """An outcome that has not been taken back: what it weighs here, and when it was given."""

    signal: Signal
    reward: float
    weight: float
    direct: bool
    at: float


def activated(evidence: Sequence[Event]) -> bool:
    """Whether a decision was really acted on. An outcome on the decision itself proves that it was."""
    return any(e.kind == "activated" or (e.kind == "outcome" and e.decision is not None) for e in evidence)


def earned(
    evidence: Sequence[Event], rules: Rules = PLAIN, *, later: Sequence[int] = (), since: float = -math.inf
) -> Earned | None:
    """What a decision has earned, from the events about it in the order of the log; None while nothing is known.

    `later` are the `seq` at which the later turns of its conversation were first decided, ascending; `since` is when it
    was made (unix seconds). A decision that was never activated, and in whose place nothing was observed, earns
    nothing; what weighs nothing was never said.
    """
    if not activated(evidence) and not any(event.kind == "observed" for event in evidence):
        return None
    until = math.inf if rules.window is None else since + rules.window
    said = [o for o in _standing(evidence, rules, later) if o.weight > 0.0 and o.at <= until]
    if said:
        return _combined(said)
    if rules.default is not None and any(event.kind == "wait_expired" for event in evidence):
        return Earned(rules.default.value, rules.default.weight)
    return None


def taken_back(events: Sequence[Event]) -> set[str]:
    """The ids of what is taken back, of events in the order of the log; what took back may be taken back itself."""
    found: set[str] = set()
    for event in reversed(events):
        if event.kind == "revoked" and event.id not in found:
            found.add(event.body["event_id"])
    return found


def _standing(evidence: Sequence[Event], rules: Rules, later: Sequence[int]) -> list[_Standing]:
    standing: dict[str, _Standing] = {}
    gone = taken_back(evidence)
    for event in evidence:
        if event.id in gone:
            continue
        if event.kind == "outcome":
            standing[event.id] = _outcome(event, rules, later)
        elif event.kind == "correction" and event.body["event_id"] in standing:
            # Moved to the end: a correction is the latest word.
            old = standing.pop(event.body["event_id"])
            value = rules.reward(old.signal, float(event.body["value"]))
            standing[event.body["event_id"]] = replace(old, reward=value)
    return list(standing.values())


def _outcome(event: Event, rules: Rules, later: Sequence[int]) -> _Standing:
    kind, direct = signal(event.body["signal"]), event.conversation is None
    turns = 0 if direct else bisect_left(later, event.seq)
    weight = rules.weight(kind) * rules.decay**turns
    return _Standing(kind, rules.reward(kind, float(event.body["value"])), weight, direct, event.at)


def _combined(outcomes: Sequence[_Standing]) -> Earned:
    for direct in (True, False):
        said = [o for o in outcomes if o.signal.explicit and o.direct is direct]
        if said:
            return Earned(said[-1].reward, said[-1].weight, said[-1].at)
    weight = sum(o.weight for o in outcomes)
    mean = sum(o.weight * o.reward for o in outcomes) / weight
    return Earned(mean, min(1.0, weight), max(o.at for o in outcomes))


def looked_at(examination: float, expected: float) -> float:
    """How likely it is that somebody who did not react to what was shown had looked at it, in [0, 1].

    `examination` is the chance of looking at its position, `expected` that of reacting once looked at: the position-
    based model, whose every pass of expectation and maximisation weighs what was passed over like this (Wang et al.,
    Position bias estimation for unbiased learning to rank in personal search, WSDM 2018, equation 5).
    """
    reacting = min(max(expected, 0.01), 0.99)
    return examination * (1.0 - reacting) / (1.0 - examination * reacting)
