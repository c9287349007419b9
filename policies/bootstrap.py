"""Confidence intervals for a ratio of sums over independent units: the studentised (bootstrap-t) interval.

Units are drawn with replacement, and each replicate is divided by its own standard error (Efron 1981; Hall 1992), which
follows the skewness that importance weights have and that percentiles of the replicates miss. A unit may be one row or
all rows of one person (Cameron, Gelbach and Miller 2008). Where a replicate has no spread, its statistic is infinite:
too few different units make the interval unbounded, not narrow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: draws held in memory at a time.
BLOCK = 1 << 20
#: a spread below this share of what it is measured against is rounding.
NEGLIGIBLE = 1e-12


def standard_error(numerator: Tensor, denominator: Tensor) -> float:
    """Give the standard error of sum(numerator) / sum(denominator) by linearisation; both (g,), a number per unit."""
    total = denominator.sum()
    residual = numerator - numerator.sum() / total * denominator
    return float(residual.square().sum().sqrt() / total)


def interval(numerator: Tensor, denominator: Tensor, *, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Bound the ratio of expectations that sum(numerator) / sum(denominator) estimates.

    numerator, denominator (g,): what each of g independent units adds, float64; denominators >= 0, not all 0.
    level: the probability of covering. resamples: at least 2 / (1 - level) - 1. Deterministic in the seed.
    Ends are infinite where the units are too few, or too alike, to tell how far off the ratio may be.
    """
    ratio = float(numerator.sum() / denominator.sum())
    residual = numerator - ratio * denominator
    scale = float(residual.abs().max())
    if numerator.numel() < 2 or scale <= NEGLIGIBLE * float(numerator.abs().max()):
        return -math.inf, math.inf
    statistics = _studentised(residual / scale, denominator / denominator.max(), resamples, seed)
    rank = int((resamples + 1) * (1.0 - level) / 2.0 + 1e-9)
    error = standard_error(numerator, denominator)
    # A replicate that says nothing (0 / 0) counts as infinite on both sides.
    least = statistics.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf).sort().values[rank - 1]
    most = statistics.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).sort().values[-rank]
    return ratio - float(most) * error, ratio - float(least) * error


def _studentised(residual: Tensor, denominator: Tensor, resamples: int, seed: int) -> Tensor:
    """Give (resamples,) replicates of the ratio of residual to denominator, each over its own standard error."""
    columns = torch.stack(
        [residual, denominator, residual.square(), residual * denominator, denominator.square()], dim=1
    )
    top, bottom, squared, mixed, bottom_squared = _resampled(columns, resamples, seed).unbind(dim=1)
    ratio = top / bottom
    spread = squared - 2.0 * ratio * mixed + ratio.square() * bottom_squared
    spread = torch.where(spread <= NEGLIGIBLE * columns[:, 2].sum(), 0.0, spread)
    return top / spread.sqrt()


def _resampled(columns: Tensor, resamples: int, seed: int) -> Tensor:
    """Sum the columns (g, m) over g units drawn with replacement, resamples times: (resamples, m)."""
    generator = torch.Generator().manual_seed(seed)
    units = len(columns)
    at_once = max(1, BLOCK // units)
    sums = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = torch.randint(units, (count, units), generator=generator)
        drawn += torch.arange(0, count * units, units)[:, None]
        times = torch.bincount(drawn.reshape(-1), minlength=count * units).reshape(count, units)
        sums.append(times.to(torch.float64) @ columns)
    return torch.cat(sums)
