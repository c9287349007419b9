"""Drift: do replies still earn what is expected of them? A loop's change detector, a part of the fold.

What an outcome says of a decision for the first time, less what was expected of it then, is a residual: about 0 on
average for as long as the model is right. A mean that moves away from 0 is an alert; one that moves towards it is
only the model learning. Both numbers are in the log, so the detector needs no model, and is the same under any.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agent.errors import InvalidInput, LogUnavailable
from agent.log import Event, LearningLog
from policies.drift import Adwin, Change
from policies.types import InvalidInput as Refused
from policies.types import Reward

#: what the names of its tensors begin with in a snapshot.
PREFIX = "drift."
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DriftSettings:
    """How a loop watches for drift.

    `sensitivity` (from 0, which is off, to below 1): while nothing changes, at most this share of credits brings a
    false alert; far fewer in practice. `widen` (from 0, which only alerts, to below 1) is the share of probability
    that is spread evenly over the eligible candidates after an alert; it falls to nothing, in a straight line, over
    the next `widen_for` credits.
    """

    sensitivity: float = 0.01
    widen: float = 0.0
    widen_for: int = 200

    def __post_init__(self) -> None:
        for name in ("sensitivity", "widen"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
                raise InvalidInput(f"drift: {name} must be a number from 0 to below 1; got {value!r}")
            object.__setattr__(self, name, float(value))
        span: Any = self.widen_for
        if isinstance(span, bool) or not isinstance(span, int) or span < 1:
            raise InvalidInput(f"drift: widen_for must be a whole number of credits from 1; got {span!r}")

    @classmethod
    def of(cls, given: Any) -> DriftSettings:
        """Settings from a mapping as people write it; what is not given has its default.

        Raises:
            InvalidInput: not a mapping, an unknown name, or a value out of range.
        """
        names = list(cls.__dataclass_fields__)
        if not isinstance(given, Mapping):
            raise InvalidInput(f"drift must be a mapping of {', '.join(names)}; got {given!r}")
        if unknown := [name for name in given if name not in names]:
            raise InvalidInput(f"drift has no setting {unknown[0]!r}; it has {', '.join(names)}")
        return cls(**given)


class Drift:
    """The detector of one loop, and the alerts it raised that are not in the log yet.

    A credit is an outcome that tells of at least one decision what it earned, for the first time. It counts once,
    with the mean of its residuals: what is said of a whole conversation is one person's word, however many decisions
    it is about.
    """

    def __init__(self, loop: str) -> None:
        self.loop = loop
        self.settings = DriftSettings(sensitivity=0.0)
        self.credits = 0
        self.alerts: list[Event] = []
        self._detector: Adwin | None = None
        self._alerted_at: int | None = None  # the number of credits at the last alert
        self._residuals: list[float] = []

    def configure(self, event: Event) -> None:
        """Watch by the settings that an event puts in force from here on; another sensitivity begins a new window."""
        settings = DriftSettings.of(event.body["settings"].get("drift", {}))
        if settings.sensitivity != self.settings.sensitivity:
            self._detector = Adwin(delta=settings.sensitivity) if settings.sensitivity else None
        self.settings = settings

    def credit(self, decision: Event, reward: Reward) -> None:
        """Hear the first that is known of what a decision has earned."""
        self._residuals.append(reward.value - expected(decision))

    def settle(self, event: Event) -> None:
        """Let the event that the last credits came from count, and raise an alert if the mean has left 0."""
        residuals, self._residuals = self._residuals, []
        if not residuals or self._detector is None:
            return
        self.credits += 1
        change = self._detector.update(math.fsum(residuals) / len(residuals))
        if change is not None and abs(change.after) > abs(change.before):
            self._alerted_at = self.credits
            self.alerts.append(self._alert(event, change))

    def widening(self, settings: DriftSettings | None = None) -> float:
        """The share of probability, from 0 to below 1, to spread evenly over the eligible candidates now.

        By the settings in force, or by others: a challenger has its own.
        """
        settings = settings or self.settings
        if self._alerted_at is None:
            return 0.0
        left = 1.0 - (self.credits - self._alerted_at) / settings.widen_for
        return settings.widen * max(0.0, left)

    def announce(self, log: LearningLog) -> None:
        """Append the alerts that the log lacks. While it cannot be written they are kept for the next time."""
        try:
            if missing := [alert for alert in self.alerts if log.event(alert.id) is None]:
                log.append(missing)
        except LogUnavailable as error:
            _log.warning("loop %s: an alert waits to be logged: %s", self.loop, error)
        else:
            self.alerts.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """All that the fold has made of the log so far, named `drift.…`, for a snapshot."""
        own = {
            "settings": [self.settings.sensitivity, self.settings.widen, self.settings.widen_for],
            "credits": [self.credits, -1 if self._alerted_at is None else self._alerted_at],
        }
        state = {name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in own.items()}
        detector = {} if self._detector is None else self._detector.state_dict()
        return {f"{PREFIX}{name}": tensor for name, tensor in {**state, **detector}.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state in a snapshot.

        Raises:
            policies.InvalidInput: it holds none, or not one that `state_dict` gave.
        """
        own = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
        try:
            sensitivity, widen, widen_for = own["settings"].tolist()
            credited, alerted_at = own["credits"].tolist()
            settings = DriftSettings(sensitivity, widen, int(widen_for))
        except (KeyError, ValueError) as error:
            raise Refused("state: holds no drift detector") from error
        detector = Adwin(delta=sensitivity) if sensitivity else None
        if detector is not None:
            detector.load_state_dict(own)
        self.settings, self.credits, self._detector = settings, int(credited), detector
        self._alerted_at = None if alerted_at < 0 else int(alerted_at)

    def _alert(self, event: Event, change: Change) -> Event:
        body = {
            "detector": "adwin",
            "sensitivity": self.settings.sensitivity,
            "direction": "up" if change.after > change.before else "down",
            "before": change.before,
            "after": change.after,
            "credits_before": change.values_before,
            "credits_after": change.values_after,
        }
        return Event(f"alert:{self.loop}:{event.seq}", "alert", event.at, self.loop, body=body)


def expected(decision: Event) -> float:
    """What was expected of the candidate chosen, from the decision's event, as a reward: cut to [0, 1]."""
    index = decision.body["index"]
    return min(1.0, max(0.0, math.fsum(part[index] for part in decision.body["parts"].values())))


def described(alert: Event) -> str:
    """An alert in words: what replies earn against what is expected of them, before and since."""
    body = alert.body
    more = "more" if body["after"] > 0 else "less"
    words = (
        f"replies earn {more} than expected: {body['after']:+.2f} on average over the last "
        f"{body['credits_after']} credits, {body['before']:+.2f} before"
    )
    return words.replace("-", "\N{MINUS SIGN}")


def disagreements(logged: Sequence[Event], *, used: Drift, refolded: Drift) -> list[str]:
    """How a loop's detector in use and its alerts in the log differ from a refold, which has announced none of its own.

    An alert that the refold alone knows is no disagreement: whoever folds next will log it.
    """
    found = {alert.id: alert for alert in refolded.alerts}
    problems = [
        f"{alert.id}: a refold from nothing raises no such alert"
        for alert in logged
        if alert.id not in found or alert.body != found[alert.id].body
    ]
    ours, theirs = used.state_dict(), refolded.state_dict()
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
        problems.append("the drift detector differs from that of a refold from nothing")
    return problems
