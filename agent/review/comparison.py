"""Comparison: whether a mean has moved from one period to the next, or whether it only looks so. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from agent.review.sums import Sums

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """By how much a mean is greater than the one before (in [-1, 1]), with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves no doubt of the direction."""
        return self.low > 0.0 or self.high < 0.0


def difference(now: Sums, before: Sums) -> Difference | None:
    """The difference of two means; None where either has nothing behind it.

    The interval is made of the two means' own (Newcombe 1998, method 10).
    """
    ours, theirs = now.interval, before.interval
    if now.mean is None or before.mean is None or ours is None or theirs is None:
        return None
    moved = now.mean - before.mean
    down = math.hypot(now.mean - ours[0], theirs[1] - before.mean)
    up = math.hypot(ours[1] - now.mean, before.mean - theirs[0])
    return Difference(moved, moved - down, moved + up)


def fall(now: Sums, before: Sums) -> float:
    """How likely it is to see a mean fall as far as this, or further, where in truth it has not: in (0, 1].

    A score test of two shares, one-sided, with as many trials as the clusters are worth and a correction for
    continuity (Fleiss, Levin and Paik 2003, 3.2): with little feedback it errs on the side of saying nothing.
    """
    many, few = now.size, before.size
    if now.mean is None or before.mean is None or many <= 0.0 or few <= 0.0:
        return 1.0
    pooled = (now.mean * many + before.mean * few) / (many + few)
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / many + 1.0 / few))
    fallen = before.mean - now.mean - 0.5 * (1.0 / many + 1.0 / few)
    if fallen <= 0.0 or spread <= 0.0:
        return 1.0
    return 0.5 * math.erfc(fallen / spread / math.sqrt(2.0))


def standing_out(chances: Mapping[K, float], *, level: float = 0.05) -> set[K]:
    """Those of many comparisons that hold though there were many (Holm 1979).

    Where nothing has moved, at most a share `level` of such sets says that anything has.
    """
    found: set[K] = set()
    for place, (key, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        if chance > level / (len(chances) - place):
            break
        found.add(key)
    return found
