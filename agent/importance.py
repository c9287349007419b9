"""Importance: what told the candidates of a loop apart, part by part and named feature by named feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from agent.errors import Unknown
from agent.log import Event, LearningLog
from agent.moment import Moment, Moments
from agent.snapshots import Snapshots

WINDOW = 1000  # decisions looked at unless told otherwise
# Parts that are a sum over the named features of a context, each of which adds what it would add alone.
FEATURE_PARTS = ("match", "own:features")
_TIE = 1e-12  # candidates this near to one another are equally good: the rest is rounding


@dataclass
class _Tally:
    """What has been added up about one part, or one named feature, over decisions."""

    covariance: float = 0.0
    spread: float = 0.0
    changed: float = 0.0
    present: int = 0


@dataclass
class _Tallies:
    """What has been added up over decisions, and the variance of the scores."""

    decisions: int = 0
    variance: float = 0.0
    spread: float = 0.0
    parts: dict[str, _Tally] = field(default_factory=dict)
    features: dict[str, _Tally] = field(default_factory=dict)


def importance(
    log: LearningLog,
    loop: str,
    *,
    last: int = WINDOW,
    features: bool = False,
    snapshots: Snapshots | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Importance of each part of the scores in the loop's `last` decisions: in how far it tells candidates apart.

    What is the same for all eligible candidates decides nothing. So, over the decisions with two or more of them,
    a part's `share` is the sum of its covariances with the score, across the candidates, over the sum of the scores'
    variances. That is the Shapley value of the game in which parts together are worth the variance of their sum
    (Colini-Baldeschi, Scarsini and Vaccari 2018, "Variance allocation and Shapley value"): exact where scores
    are sums, as here, and without going through all subsets. Shares sum to 1; one below 0 works against the others.
    `spread` is the mean absolute deviation of the part across the candidates, in units of reward. `changes_best` is how
    often the best candidate would be another without the part (where several then tie, by how many of them).

    With `features`, the same of each named feature, by what it adds within `FEATURE_PARTS`: their shares sum to those
    parts' shares. That needs the model of each decision, so the log is folded up to each of them, which takes its time.

    Returns:
        `loop`, `decisions` (used), `since`, `until` (unix seconds), `spread` of the scores, `parts` and `features`:
        `name`, `share` (None where all scored alike), `spread`, `changes_best` of each, the weightiest first, and
        `present`: in how many decisions.

    Raises:
        Unknown: there is no such loop, or it has no decision with two eligible candidates.
    """
    events = _decisions(log, loop, last)
    moments = Moments(log, loop, snapshots=snapshots)
    tallies = _Tallies()
    for number, decision in enumerate(events, 1):
        named = _by_feature(moments.of(decision)) if features else {}
        _add(tallies, decision, named)
        progress(number, len(events))
    return {
        "loop": loop,
        "decisions": tallies.decisions,
        "since": events[0].at,
        "until": events[-1].at,
        "spread": tallies.spread / tallies.decisions,
        "parts": _rows(tallies.parts, tallies),
        "features": _rows(tallies.features, tallies),
    }


def _decisions(log: LearningLog, loop: str, last: int) -> list[Event]:
    """The latest decisions that had something to choose from, in the order in which models can be folded to them."""
    if next(log.read(kinds=("settings",), loop=loop, limit=1), None) is None:
        raise Unknown(f"unknown loop {loop!r}")
    found = log.read(kinds=("decision",), loop=loop, newest_first=True, limit=last)
    events = [event for event in found if sum(event.body["eligible"]) > 1]
    if not events:
        raise Unknown(f"loop {loop!r}: no decision between two or more candidates yet")
    return sorted(events, key=lambda event: (event.body["model_seq"], event.seq))


def _by_feature(moment: Moment) -> dict[str, Tensor]:
    """What each named feature of the context adds to the scores (k,): its parts, were it the only one."""
    found, nothing = {}, torch.zeros(len(moment.candidates), dtype=torch.float64)
    for name, value in moment.context.features.items():
        parts = moment.scores(replace(moment.context, features={name: value})).parts
        found[name] = sum((parts[part] for part in FEATURE_PARTS if part in parts), nothing)
    return found


def _add(tallies: _Tallies, decision: Event, named: Mapping[str, Tensor]) -> None:
    """Add one decision, of whose k candidates the eligible count."""
    eligible = torch.tensor(decision.body["eligible"])
    parts = torch.tensor(list(decision.body["parts"].values()), dtype=torch.float64)[:, eligible]
    added = torch.stack([part[eligible] for part in named.values()]) if named else parts[:0]
    score = parts.sum(0)
    deviations = score - score.mean()
    tallies.decisions += 1
    tallies.variance += float(deviations.square().mean())
    tallies.spread += float(deviations.abs().mean())
    _tally(tallies.parts, list(decision.body["parts"]), parts, score)
    _tally(tallies.features, list(named), added, score)


def _tally(tallies: dict[str, _Tally], names: Sequence[str], summands: Tensor, score: Tensor) -> None:
    """Add the summands (m, k) of scores (k,), by name."""
    deviations = summands - summands.mean(1, keepdim=True)
    covariances = (deviations * (score - score.mean())).mean(1).tolist()
    spreads = deviations.abs().mean(1).tolist()
    best, best_without = _best(score[None]), _best(score - summands)
    changed = (1.0 - (best & best_without).sum(1) / best_without.sum(1)).tolist()
    for name, covariance, spread, change in zip(names, covariances, spreads, changed, strict=True):
        tally = tallies.setdefault(name, _Tally())
        tally.covariance += covariance
        tally.spread += spread
        tally.changed += change
        tally.present += 1


def _best(scores: Tensor) -> Tensor:
    """Which of scores (m, k) are the highest in their row, ties included."""
    return scores >= scores.max(dim=1, keepdim=True).values - _TIE


def _rows(found: Mapping[str, _Tally], tallies: _Tallies) -> list[dict[str, Any]]:
    rows = [
        {
            "name": name,
            "share": tally.covariance / tallies.variance if tallies.variance > _TIE**2 else None,
            "spread": tally.spread / tallies.decisions,
            "changes_best": tally.changed / tallies.decisions,
            "present": tally.present,
        }
        for name, tally in found.items()
    ]
    return sorted(rows, key=lambda row: (-(row["share"] or 0.0), -row["spread"], row["name"]))
