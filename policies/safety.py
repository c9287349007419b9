"""Limits on exploration: what may happen to a policy's probabilities before one is drawn from them.

`limit` takes probabilities, in which the learner's own epsilon is mixed already, through four steps over the eligible
candidates, in this order:

1. widen: p <- (1 - w) p + w / k: a share w of the choices is spread evenly over the k eligible;
2. floor: whoever is below f is raised to it, at the expense of what the others have above it. A floor of no more than
   epsilon / k changes nothing;
3. budget: of the candidates that do not have the highest expected reward, what exceeds the floor is scaled down until
   they have at most the budget together, and the best get the rest. A floor for which the budget is too small gives
   way;
4. conservative: a candidate that the slack does not cover loses all it has to the baseline's.

What limits harm comes last and has the last word: no epsilon, widening or floor outlives the conservative condition,
and the baseline's candidate, which is not an exploration, is not held to the budget where that condition gives to it.

The conservative condition is that of Kazerouni, Ghavamzadeh, Abbasi-Yadkori and Van Roy (2017), "Conservative
contextual linear bandits": at all times, what was chosen has earned at least 1 - alpha of what the baseline would
have. With E the past choices other than the baseline's, and B those of the baseline's own candidate, it reads

    sum_E r_a + alpha sum_B r_b >= (1 - alpha) sum_E r_b.

With confidence bounds l <= r <= u (the mean -+ width deviations), and the expected m_b for what the baseline earns
when it is chosen, each choice changes the slack by

    l_a - (1 - alpha) u_b  for another candidate,    alpha m_b  for the baseline's;

and a candidate may be chosen only if the slack stays >= 0 with it. So the condition holds for whatever is drawn, not
just on average, and is deterministic given scores and slack. Each bound is taken when the choice is made, and they are
added up: more cautious than the paper's one bound on the whole sum, but a sum over a log. Where the bounds hold, what
is lost beyond alpha is at most alpha sum_B (m_b - r_b): the learner's errors on what it sees the most of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from policies import exploration
from policies.types import InvalidInput, Scores

#: the parts of a score that are there before anything is learned.
UNTRAINED = ("prior", "match")


@dataclass(frozen=True)
class Conservative:
    """How much may be lost against a baseline, and what past choices leave of that.

    alpha: the share in [0, 1] of the baseline's reward that may be lost. slack: the sum of what past choices changed.
    baseline: index of the candidate that the baseline would choose; None, or one that is not eligible, stands for the
    eligible candidate of the highest untrained score. width: posterior deviations from the mean to a confidence bound;
    they are those of rewards with unit noise, twice the most that a reward in [0, 1] can have, so 1 is two standard
    errors there. lowest, highest: what a reward can be; no bound lies outside.
    """

    alpha: float
    slack: float = 0.0
    baseline: int | None = None
    width: float = 1.0
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        _check("alpha", self.alpha, 0.0, 1.0)
        _check("width", self.width, 0.0, math.inf)
        if math.isnan(self.slack) or not self.lowest <= self.highest:
            raise InvalidInput(f"limits: slack {self.slack!r} between rewards {self.lowest!r} and {self.highest!r}")


@dataclass(frozen=True)
class Limits:
    """What exploration must keep to: shares in [0, 1], and a baseline where there is one.

    floor: the least probability of an eligible candidate (never more than an even share). budget: the most
    probability on candidates other than the best-expected. widen: share spread evenly.
    """

    floor: float = 0.0
    budget: float = 1.0
    widen: float = 0.0
    conservative: Conservative | None = None

    def __post_init__(self) -> None:
        for name in ("floor", "budget", "widen"):
            _check(name, getattr(self, name), 0.0, 1.0)

    def after(self, scores: Scores, eligible: Sequence[bool], index: int) -> Limits:
        """The limits that are left for the next choice once the candidate at the index is chosen."""
        if self.conservative is None:
            return self
        change = float(stakes(scores, eligible, self.conservative).change[index])
        return replace(self, conservative=replace(self.conservative, slack=self.conservative.slack + change))


@dataclass(frozen=True, eq=False)
class Stakes:
    """What choosing each of k candidates does to the slack.

    baseline: index of the baseline's candidate; expected, upper: its expected reward, and that reward's upper bound.
    lower, change: (k,) float64, each candidate's lower bound, and what its choice changes.
    """

    baseline: int
    expected: float
    upper: float
    lower: Tensor
    change: Tensor


def stakes(scores: Scores, eligible: Sequence[bool], conservative: Conservative) -> Stakes:
    """Weigh each candidate's choice against the baseline's, by what they are expected to earn."""
    low, high = conservative.lowest, conservative.highest
    mean, reach = scores.expected, scores.deviation * conservative.width
    lower = (mean - reach).clamp(low, high)
    baseline = _baseline(scores, eligible, conservative.baseline)
    upper = float((mean[baseline] + reach[baseline]).clamp(low, high))
    expected = float(mean[baseline].clamp(low, high))
    change = lower - (1.0 - conservative.alpha) * upper
    change[baseline] = conservative.alpha * expected
    return Stakes(baseline, expected, upper, lower, change)


def limit(probabilities: Tensor, scores: Scores, eligible: Sequence[bool], limits: Limits) -> Tensor:
    """Bring probabilities (k,) of candidates with these scores within the limits: (k,) float64, sum 1.

    Those not eligible stay exactly 0. Deterministic: what it gives is what is drawn from, and logged.
    """
    where = torch.tensor(eligible, device=probabilities.device).nonzero().squeeze(1)
    k = where.numel()
    if not k:
        raise InvalidInput(f"candidates: none of the {len(eligible)} is eligible")
    some, floor = probabilities[where], min(limits.floor, 1.0 / k)
    if limits.widen:
        some = exploration.mix(some, limits.widen)
    if floor:
        some = _floored(some, floor)
    if limits.budget < 1.0:
        some = _budgeted(some, scores.mean[where], limits.budget, floor)
    result = torch.zeros_like(probabilities)
    result[where] = some
    return result if limits.conservative is None else _covered(result, scores, eligible, limits.conservative)


def _floored(p: Tensor, floor: float) -> Tensor:
    """Raise those below the floor to it, and scale what the others have above it to keep the sum."""
    missing, above = float((floor - p).clamp_min(0.0).sum()), (p - floor).clamp_min(0.0)
    if not missing or not float(above.sum()):
        return p
    return above * max(1.0 - missing / float(above.sum()), 0.0) + floor


def _budgeted(p: Tensor, mean: Tensor, budget: float, floor: float) -> Tensor:
    """Scale what the non-best have above the floor (or an even share of the budget) down to the budget."""
    best = mean == mean.max()
    explored, certain = p[~best], p[best]
    if float(explored.sum()) <= budget:
        return p
    kept = min(floor, budget / explored.numel())
    above = explored - kept
    result = torch.empty_like(p)
    result[~best] = above * ((budget - kept * explored.numel()) / float(above.sum())) + kept
    share = certain / certain.sum() if float(certain.sum()) else torch.full_like(certain, 1.0 / certain.numel())
    result[best] = share * (1.0 - budget)
    return result


def _covered(p: Tensor, scores: Scores, eligible: Sequence[bool], conservative: Conservative) -> Tensor:
    """Give what is on candidates that would break the slack to the baseline's."""
    found = stakes(scores, eligible, conservative)
    broken = found.change + conservative.slack < 0.0
    broken[found.baseline] = False
    result = p.masked_fill(broken, 0.0)
    result[found.baseline] += p[broken].sum()
    return result


def _baseline(scores: Scores, eligible: Sequence[bool], named: int | None) -> int:
    """The candidate named if it is eligible, else the first eligible one of the highest untrained score."""
    if named is not None and eligible[named]:
        return named
    parts = [scores.parts[name].tolist() for name in UNTRAINED if name in scores.parts]
    return max((i for i, able in enumerate(eligible) if able), key=lambda i: sum(part[i] for part in parts))


def _check(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"limits: {name} {value!r} is outside [{low:g}, {high:g}]")
