"""Signals -> reward: what people's reactions say about a decision, as one number in [0, 1]. Pure functions.

Explicit signals (a thumb, a rating) outrank behaviour (thanks, a rephrased question), a signal about the
reply itself outranks one about the whole conversation, and among equals the latest explicit one holds, for
people change their minds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import InvalidInput
from agent.log import Event
from policies.types import Reward


@dataclass(frozen=True)
class Signal:
    """A kind of reaction: its values run from `worst` to `best`, and it counts `weight` (0 to 1) of a thumb."""

    name: str
    worst: float
    best: float
    weight: float
    explicit: bool
    whole_numbers: bool = False

    def scaled(self, value: float) -> float:
        """The value in [0, 1].

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
        return (value - self.worst) / (self.best - self.worst)


SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("thumb", worst=0, best=1, weight=1.0, explicit=True, whole_numbers=True),
        Signal("rating", worst=1, best=5, weight=1.0, explicit=True, whole_numbers=True),
        Signal("csat", worst=1, best=5, weight=0.5, explicit=True, whole_numbers=True),
        Signal("reward", worst=0, best=1, weight=1.0, explicit=True),
        Signal("click", worst=0, best=1, weight=0.5, explicit=False, whole_numbers=True),
        Signal("thanks", worst=0, best=1, weight=0.3, explicit=False, whole_numbers=True),
        Signal("rephrased", worst=1, best=0, weight=0.3, explicit=False, whole_numbers=True),
        Signal("handover", worst=1, best=0, weight=0.3, explicit=False, whole_numbers=True),
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
class _Standing:
    """An outcome that has not been taken back."""

    signal: Signal
    value: float
    direct: bool


def activated(evidence: Sequence[Event]) -> bool:
    """Whether a decision was really acted on. An outcome on the decision itself proves that it was."""
    return any(e.kind == "activated" or (e.kind == "outcome" and e.decision is not None) for e in evidence)


def earned(evidence: Sequence[Event]) -> Reward | None:
    """What a decision has earned, from the events about it in the order of the log; None while nothing is known.

    A decision that was never activated, and in whose place nothing was observed, earns nothing.
    """
    if not activated(evidence) and not any(event.kind == "observed" for event in evidence):
        return None
    standing: dict[str, _Standing] = {}
    revoked: set[str] = set()
    for event in evidence:
        if event.kind == "outcome" and event.id not in revoked:
            standing[event.id] = _Standing(
                signal(event.body["signal"]), float(event.body["value"]), direct=event.conversation is None
            )
        elif event.kind == "revoked":
            revoked.add(event.body["event_id"])
            standing.pop(event.body["event_id"], None)
        elif event.kind == "correction" and event.body["event_id"] in standing:
            # Moved to the end: a correction is the latest word.
            old = standing.pop(event.body["event_id"])
            standing[event.body["event_id"]] = _Standing(old.signal, float(event.body["value"]), old.direct)
    return _combined(list(standing.values()))


def _combined(outcomes: Sequence[_Standing]) -> Reward | None:
    for direct in (True, False):
        said = [o for o in outcomes if o.signal.explicit and o.direct is direct]
        if said:
            return Reward(said[-1].signal.scaled(said[-1].value), said[-1].signal.weight)
    weight = sum(o.signal.weight for o in outcomes)
    if not weight:
        return None
    mean = sum(o.signal.weight * o.signal.scaled(o.value) for o in outcomes) / weight
    return Reward(mean, min(1.0, weight))
