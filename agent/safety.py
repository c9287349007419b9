"""Safety: the limits in force for a decision, and the slack that past decisions leave to exploration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agent.log import Event, LearningLog
from agent.rewards import activated
from agent.settings import LoopSettings
from agent.standing import GOVERNING
from policies.safety import Conservative, Limits, stakes
from policies.types import Candidate, Choice

PRIOR = "prior"  # the baseline that needs no name
_FOLDED = ("decision", "activated", "outcome")
_TOLERANCE = 1e-9
_LOWEST, _HIGHEST = 0.0, 1.0  # rewards are scaled to [0, 1]


class Slack:
    """What a loop's past decisions leave of what its conservative condition allows to lose: a fold of its log.

    A decision that takes from the slack counts from when it is made; one that adds to it, once it is known to have been
    sent. So what was not sent, or is not yet, is never built upon. Decisions that nobody acts on count as nothing.
    """

    def __init__(self, log: LearningLog, loop: str) -> None:
        self._log, self._loop = log, loop
        self._seq: int | None = None
        self._value = 0.0

    def at(self, seq: int, *, afresh: bool = False) -> float:
        """The slack at a `seq` no earlier than the last one asked for.

        It goes on from the newest decision in the log, which holds the slack that it was made with; `afresh` adds all
        of them up.
        """
        if self._seq is None:
            self._start(seq, afresh)
        for event in self._log.read(after=self._seq or 0, upto=seq, kinds=_FOLDED, loop=self._loop):
            self._value += self._change(event)
        self._seq = max(seq, self._seq or 0)
        return self._value

    def _start(self, upto: int, afresh: bool) -> None:
        newest = self._log.read(upto=upto, kinds=("decision",), loop=self._loop, newest_first=True, limit=1)
        condition = next((_condition(event) for event in newest), None)
        if condition is not None and not afresh:
            self._seq, self._value = condition["seq"], condition["slack"]
            return
        settings = self._log.read(upto=upto, kinds=GOVERNING, loop=self._loop)
        conservative = (e.seq for e in settings if e.body["settings"].get("conservative") is not None)
        self._seq = next(conservative, upto)

    def _change(self, event: Event) -> float:
        if event.kind == "decision":
            condition = _condition(event)
            return min(condition["change"], 0.0) if condition is not None else 0.0
        decision = self._log.event(event.decision) if event.decision is not None else None
        if decision is None or decision.loop != self._loop or (condition := _condition(decision)) is None:
            return 0.0
        known = activated(self._log.evidence(decision, upto=event.seq - 1))
        return 0.0 if known else max(condition["change"], 0.0)


def limits_of(
    settings: LoopSettings, candidates: Sequence[Candidate], *, slack: Slack, seq: int, live: bool, widen: float = 0.0
) -> Limits | None:
    """The limits in force for a decision among these candidates by a model at `seq`; None where there are none.

    `widen` is a share of choices to spread evenly on top. The conservative condition binds what is acted on alone.
    """
    condition = None
    if settings.conservative is not None and live:
        ids = [candidate.id for candidate in candidates]
        condition = Conservative(
            alpha=settings.conservative,
            slack=slack.at(seq),
            baseline=ids.index(settings.baseline) if settings.baseline in ids else None,
            width=settings.width,
            lowest=_LOWEST,
            highest=_HIGHEST,
        )
    budget = 1.0 if settings.budget is None else settings.budget
    limits = Limits(floor=settings.floor, budget=budget, widen=widen, conservative=condition)
    return None if limits == Limits() else limits


def body_of(limits: Limits, choice: Choice, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What a decision event keeps of the limits it was made within, and of what it does to the slack."""
    body: dict[str, Any] = {"floor": limits.floor, "budget": limits.budget, "widen": limits.widen}
    if (condition := limits.conservative) is not None:
        found = stakes(choice.scores, [candidate.eligible for candidate in candidates], condition)
        body["conservative"] = {
            "alpha": condition.alpha,
            "width": condition.width,
            "slack": condition.slack,
            "baseline": candidates[found.baseline].id,
            "expected": found.expected,
            "upper": found.upper,
            "lower": float(found.lower[choice.index]),
            "change": float(found.change[choice.index]),
        }
    return body


def limits_from(body: Mapping[str, Any], candidates: Sequence[str]) -> Limits | None:
    """The limits that a decision event keeps of the decision among these candidates; None where there were none."""
    if not body:
        return None
    kept = body.get("conservative")
    condition = None
    if kept is not None:
        condition = Conservative(
            alpha=kept["alpha"],
            slack=kept["slack"],
            baseline=candidates.index(kept["baseline"]),
            width=kept["width"],
            lowest=_LOWEST,
            highest=_HIGHEST,
        )
    return Limits(floor=body["floor"], budget=body["budget"], widen=body["widen"], conservative=condition)


def wrong_with(log: LearningLog, loop: str, decisions: Sequence[Event]) -> list[str]:
    """What is wrong with the slack that a loop's decisions say they were made with, one line each."""
    slack, found = Slack(log, loop), []
    bound = [(d.body["model_seq"], d, c) for d in decisions if (c := _condition(d)) is not None]
    for seq, decision, condition in sorted(bound, key=lambda item: item[0]):
        there = slack.at(seq, afresh=True)
        if not math.isclose(there, condition["slack"], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            place = f"decision {decision.id} (seq {decision.seq})"
            found.append(f"{place}: it was made with a slack of {condition['slack']:g}, but the log leaves {there:g}")
    return found


def _condition(decision: Event) -> dict[str, Any] | None:
    """The conservative condition that a decision was made under, with the `seq` at which its slack was folded."""
    condition = decision.body.get("limits", {}).get("conservative")
    return None if condition is None else {**condition, "seq": decision.body["model_seq"]}
