"""Off-policy evaluation: what a target policy would have earned, told from a log that another policy wrote.

A log has n rows: the action taken, the reward it earned, and the propensity, the probability with which that action
was drawn. The target policy is given by the probabilities with which it would have taken each of the k actions in each
row. The value is its expected reward in one step, averaged over the logged contexts. The policy that wrote the log may
have been learning all the while, provided that each propensity is the probability in force at that draw.

Intervals are for a log whose length was fixed beforehand, not for watching until a bound is crossed (for that see
Waudby-Smith et al. 2022). They resample persons where `clusters` says who they are: rows of one person resemble each
other, and resampling rows would then claim too much.

A log that cannot support a number gives none: the estimate says why in `refused`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from policies import bootstrap
from policies.types import InvalidInput, Vector

#: replicates of the bootstrap: 999 put both ends of a 95 % interval on replicates, the 25th from either end.
RESAMPLES = 999
#: an effective number of rows (of persons, where they are known) below this is refused: there SNIPS intervals of 95 %
#: covered 64 to 75 %, simulated with lognormal weights.
LEAST_EFFECTIVE = 2.0
#: weights average 1 in expectation. An average off by more than this many standard errors, and by more than this, is
#: refused: the weights that matter were not drawn, which the effective sample size cannot see. (There, IPS
#: intervals of such logs covered 25 to 40 %, those of the others 93 %.) Fewer units than this are not asked.
MOST_ERRORS, MATERIAL, ENOUGH_UNITS = 4.0, 0.01, 30
#: what target probabilities may miss 1 by, and propensities exceed it by.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Estimate:
    """What a target policy is worth, by one estimator.

    value: expected reward per row, in units of the reward. low, high: the interval that covers the true value with
    probability `level`; infinite where the rows are too few or too alike to bound it.
    effective_sample_size: (sum w)^2 / sum w^2 over the rows' weights (Kish 1965): how many rows drawn by the target
    policy itself the log is worth; of n rows.
    refused: None, or why the log supports no number (no overlap; nearly all weight on one row or person; weights that
    do not average 1); then value, low and high are nan.
    """

    estimator: str
    value: float
    low: float
    high: float
    effective_sample_size: float
    n: int
    level: float
    refused: str | None = None


def ips(
    *,
    actions: Vector,
    rewards: Vector,
    propensities: Vector,
    target_probabilities: Vector,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Inverse propensity scoring: the mean of w r, w = target probability / propensity (Horvitz and Thompson 1952).

    Unbiased. actions (n,) integers in [0, k); rewards (n,); propensities (n,) in (0, 1]; target_probabilities (n x k),
    rows >= 0 that sum to 1. clusters (n,): who each row is of, else rows are taken as independent. resamples, seed: of
    the bootstrap, which takes time in proportion to resamples x persons (or rows). Lists, arrays or tensors; computed
    in float64. Raises InvalidInput, naming the argument and the row.
    """
    log = _Log.read(actions, rewards, propensities, target_probabilities, clusters)
    return log.estimate("ips", log.weights * log.rewards, _Bootstrap(level, resamples, seed))


def snips(
    *,
    actions: Vector,
    rewards: Vector,
    propensities: Vector,
    target_probabilities: Vector,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Self-normalised IPS: sum w r / sum w (Swaminathan and Joachims 2015). Arguments as for `ips`.

    Stays within the range of the rewards and shifts exactly with them; biased by the order of 1 / n.
    """
    log = _Log.read(actions, rewards, propensities, target_probabilities, clusters)
    return log.estimate("snips", log.weights * log.rewards, _Bootstrap(level, resamples, seed), over=log.weights)


def dm(
    *,
    actions: Vector,
    rewards: Vector,
    propensities: Vector,
    target_probabilities: Vector,
    predictions: Vector,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Direct method: the mean of the rewards predicted for the target policy. Arguments as for `ips`.

    predictions (n x k): the reward predicted for each action in each row. As good as they are: the interval is for the
    choice of contexts alone and knows nothing of their errors. Propensities enter the effective sample size only.
    """
    log = _Log.read(actions, rewards, propensities, target_probabilities, clusters)
    expected = (log.target * log.table("predictions", predictions)).sum(dim=1)
    return log.estimate("dm", expected, _Bootstrap(level, resamples, seed), weighted=False)


def dr(
    *,
    actions: Vector,
    rewards: Vector,
    propensities: Vector,
    target_probabilities: Vector,
    predictions: Vector,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Doubly robust: the direct method plus w times the residual of the action taken (Dudik, Langford and Li 2011).

    Arguments as for `dm`. Unbiased whatever the predictions, provided that a row's own reward had no part in them
    (learned before it, or on other folds); the better they are, the narrower the interval.
    """
    log = _Log.read(actions, rewards, propensities, target_probabilities, clusters)
    predicted = log.table("predictions", predictions)
    residual = log.rewards - predicted.gather(1, log.actions[:, None]).squeeze(1)
    terms = (log.target * predicted).sum(dim=1) + log.weights * residual
    return log.estimate("dr", terms, _Bootstrap(level, resamples, seed))


@dataclass(frozen=True)
class _Bootstrap:
    level: float
    resamples: int
    seed: int

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise InvalidInput(f"level: {self.level!r} is not between 0 and 1")
        least = math.ceil(2.0 / (1.0 - self.level) - 1.0 - 1e-6)
        if self.resamples < least:
            raise InvalidInput(f"resamples: {self.resamples!r}, but level {self.level:g} needs at least {least}")
        if not 0 <= self.seed < 2**63:
            raise InvalidInput(f"seed: {self.seed!r} is outside [0, 2**63)")


@dataclass(frozen=True, eq=False)
class _Log:
    """Checked rows: actions (n,) int64, rewards (n,), target (n, k), weights (n,), units (n,) numbered from 0."""

    actions: Tensor
    rewards: Tensor
    target: Tensor
    weights: Tensor
    units: Tensor

    @classmethod
    def read(
        cls,
        actions: Vector,
        rewards: Vector,
        propensities: Vector,
        target_probabilities: Vector,
        clusters: Iterable[Hashable] | None,
    ) -> _Log:
        taken = _numbers("actions", actions, 1)
        n = len(taken)
        if n == 0:
            raise InvalidInput("actions: there are none")
        earned = _numbers("rewards", rewards, 1, n)
        propensity = _numbers("propensities", propensities, 1, n)
        target = _numbers("target_probabilities", target_probabilities, 2, n)
        k = target.shape[1]
        _refuse("actions", taken, (taken < 0) | (taken >= k) | (taken != taken.floor()), f"no whole number in [0, {k})")
        _refuse("propensities", propensity, (propensity <= 0) | (propensity > 1 + TOLERANCE), "outside (0, 1]")
        _refuse("target_probabilities", target, (target < 0).any(dim=1), "not all >= 0")
        _refuse("target_probabilities", target, (target.sum(dim=1) - 1).abs() > TOLERANCE, "not 1 in sum")
        index = taken.to(torch.int64)
        weights = target.gather(1, index[:, None]).squeeze(1) / propensity
        return cls(index, earned, target, weights, _units(clusters, n))

    def table(self, name: str, values: Vector) -> Tensor:
        """Read a further (n, k) table of numbers."""
        found = _numbers(name, values, 2, len(self.rewards))
        if found.shape != self.target.shape:
            raise InvalidInput(f"{name}: {found.shape[1]} columns, target_probabilities has {self.target.shape[1]}")
        return found

    def estimate(
        self, name: str, terms: Tensor, settings: _Bootstrap, *, over: Tensor | None = None, weighted: bool = True
    ) -> Estimate:
        """Estimate by sum(terms) / sum(over), (n,) each; over n if there is no `over`."""
        n, ess = len(terms), effective_sample_size(self.weights)
        refused = self._refusal(weighted)
        if refused:
            return Estimate(name, math.nan, math.nan, math.nan, ess, n, settings.level, refused)
        over = torch.ones_like(terms) if over is None else over
        value = float(terms.sum() / over.sum())
        if not math.isfinite(value):
            raise InvalidInput("rewards, propensities or predictions: so extreme that their sum is not finite")
        low, high = bootstrap.interval(self._per_unit(terms), self._per_unit(over), **asdict(settings))
        return Estimate(name, value, low, high, ess, n, settings.level)

    def _refusal(self, weighted: bool) -> str | None:
        """Say why the log supports no number, or None. Without weights it only matters which actions were taken."""
        if not bool((self.weights > 0).any()):
            return "no overlap: the target policy would have taken none of the actions logged"
        if not weighted:
            return None
        weights, rows = self._per_unit(self.weights), self._per_unit(torch.ones_like(self.weights))
        ess = effective_sample_size(weights)
        if ess < LEAST_EFFECTIVE:
            return (
                f"effective sample size {ess:.2f}, below {LEAST_EFFECTIVE:g}: nearly all weight is on one row or person"
            )
        mean, error = float(weights.sum() / rows.sum()), bootstrap.standard_error(weights, rows)
        if len(weights) >= ENOUGH_UNITS and abs(mean - 1.0) > max(MATERIAL, MOST_ERRORS * error):
            return (
                f"the weights average {mean:.3f}, not 1 (standard error {error:.3f}): the log lacks actions that the "
                "target policy would take, or its propensities are not those drawn with"
            )
        return None

    def _per_unit(self, values: Tensor) -> Tensor:
        sums = torch.zeros(int(self.units.max()) + 1, dtype=torch.float64)
        return sums.index_add_(0, self.units, values)


def effective_sample_size(weights: Tensor) -> float:
    """(sum w)^2 / sum w^2 for weights (n,) >= 0; 0 where all are 0."""
    largest = float(weights.max())
    if largest == 0.0:
        return 0.0
    share = weights / largest
    return float(share.sum().square() / share.square().sum())


def _numbers(name: str, values: Vector, dimensions: int, n: int | None = None) -> Tensor:
    """Convert to float64 of so many dimensions and n rows, all finite."""
    found = values.detach().to("cpu", torch.float64) if isinstance(values, Tensor) else _converted(name, values)
    if found.dim() != dimensions:
        raise InvalidInput(f"{name}: shape {tuple(found.shape)}, expected {('(n,)', 'n x k')[dimensions - 1]}")
    if n is not None and len(found) != n:
        raise InvalidInput(f"{name}: {len(found)} rows, actions has {n}")
    finite = torch.isfinite(found)
    _refuse(name, found, ~(finite if dimensions == 1 else finite.all(dim=1)), "not finite")
    return found


def _converted(name: str, values: Any) -> Tensor:
    try:
        if not hasattr(values, "__array_interface__"):  # rows may be tensors or arrays themselves
            values = [row.tolist() if hasattr(row, "tolist") else row for row in values]
        return torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{name}: {_culprit(values)}") from error


def _culprit(values: Any) -> str:
    """Find the row that keeps the others from becoming a tensor."""
    try:
        rows = list(values)
    except TypeError:
        return f"{values!r} is not a sequence of numbers"
    shape = None
    for number, row in enumerate(rows):
        try:
            found = torch.tensor(row, dtype=torch.float64).shape
        except (TypeError, ValueError, RuntimeError):
            return f"row {number} is {row!r}, not numbers"
        if shape is not None and found != shape:
            return f"row {number} has shape {tuple(found)}, those before it {tuple(shape)}"
        shape = found
    return "not a sequence of numbers"


def _refuse(name: str, values: Tensor, wrong: Tensor, why: str) -> None:
    """Raise InvalidInput for the first row of values (n, ...) that is wrong (n,)."""
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0, 0])
        raise InvalidInput(f"{name}: row {row} is {values[row].tolist()}, {why}")


def _units(clusters: Iterable[Hashable] | None, n: int) -> Tensor:
    """Number the clusters (n,) from 0 in order of appearance; without clusters each row is its own."""
    if clusters is None:
        return torch.arange(n)
    numbers: dict[Hashable, int] = {}
    try:
        names = clusters.tolist() if hasattr(clusters, "tolist") else clusters
        units = [numbers.setdefault(name, len(numbers)) for name in names]
    except TypeError as error:
        raise InvalidInput(f"clusters: not n hashable names ({error})") from error
    if len(units) != n:
        raise InvalidInput(f"clusters: {len(units)} rows, actions has {n}")
    return torch.tensor(units)
