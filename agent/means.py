"""Means of rewards, with an interval that knows that people come back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from policies import bootstrap
from policies.evaluate import RESAMPLES

LEVEL = 0.95
# From so many persons on the interval is the normal one: the bootstrap would differ in the third digit, and costs more.
MANY = 200
_NORMAL = 1.959964  # of a standard normal variable, 2.5 % lie above


@dataclass(frozen=True)
class Mean:
    """A weighted mean of rewards in [0, 1], None of none, and the interval that covers what it estimates with 95 %.

    `rewards` is how many there are, of `clusters` persons (or conversations, where nobody is known), `weight` what
    they weigh in thumbs. The estimand: the reward of a decision that somebody gives feedback on.
    """

    value: float | None
    low: float
    high: float
    rewards: int
    clusters: int
    weight: float


NONE = Mean(None, 0.0, 1.0, 0, 0, 0.0)


@dataclass(frozen=True)
class Said:
    """One reward in [0, 1], what it weighs, and who gave it; None where that is not known, and it stands alone."""

    value: float
    weight: float
    cluster: str | None


def mean_of(said: Iterable[Said]) -> Mean:
    """The mean of some rewards. One cluster alone, or several that agree in everything, bound nothing: 0 to 1."""
    tops: list[float] = []
    bottoms: list[float] = []
    places: dict[str, int] = {}
    rewards = 0
    for one in said:
        rewards += 1
        place = len(tops) if one.cluster is None else places.setdefault(one.cluster, len(tops))
        if place == len(tops):
            tops.append(0.0)
            bottoms.append(0.0)
        tops[place] += one.weight * one.value
        bottoms[place] += one.weight
    weight = math.fsum(bottoms)
    if weight <= 0.0:
        return NONE
    top, bottom = torch.tensor(tops, dtype=torch.float64), torch.tensor(bottoms, dtype=torch.float64)
    value = math.fsum(tops) / weight
    if len(tops) < MANY:
        low, high = bootstrap.interval(top, bottom, level=LEVEL, resamples=RESAMPLES, seed=0)
    else:
        error = bootstrap.standard_error(top, bottom)
        low, high = value - _NORMAL * error, value + _NORMAL * error
        if error == 0.0:
            low, high = -math.inf, math.inf
    return Mean(value, max(0.0, low), min(1.0, high), rewards, len(tops), weight)
