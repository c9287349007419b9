"""From scores to probabilities: exact, deterministic, over the eligible candidates only.

Every function takes mean (k,) and, where it matters, deviation (k,) or covariance (k, k) of eligible
candidates, all float64, and gives probabilities (k,) that sum to 1. Nothing here is drawn at random: a choice
is drawn elsewhere, from exactly these numbers, which are therefore its propensities.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from policies.types import Scores

#: a normal variable lies outside +-8 deviations with probability 1.2e-15: beyond float64's resolution of a
#: sum of 1.
REACH = 8.0
#: width of an integration panel, in the smallest deviation at work there, and the nodes on it (Gauss and
#: Legendre).
PANEL, NODES = 2.0, 12
#: a deviation below this share of the scale of the problem is a known value.
NEGLIGIBLE = 1e-10
#: fixed quasi-random draws for correlated candidates.
DRAWS = 2048


def explore(name: str, settings: Mapping[str, Any], scores: Scores, *, count: int) -> Tensor:
    """Explore as the learner of that name does, epsilon aside, after `count` rewards."""
    mean, deviation = scores.mean, scores.deviation
    if name in ("linucb", "linucb_hybrid"):
        return upper_confidence(mean, deviation, settings["alpha"])
    if name == "lints" and scores.covariance is not None:
        return thompson_joint(mean, scores.covariance, settings["alpha"])
    if name == "lints":
        return thompson(mean, deviation * settings["alpha"])
    if name == "squarecb":
        gamma = settings["gamma"] * (1.0 + count) ** settings["gamma_exponent"]
        return inverse_gap(mean, deviation, gamma, elimination=settings["elimination"])
    return greedy(mean)


def epsilon_at(settings: Mapping[str, Any], count: int) -> float:
    """The share of choices spread evenly: it falls with the square root of the rewards learned from."""
    epsilon: float = settings["epsilon"]
    decay: float = settings["epsilon_decay"]
    return epsilon / math.sqrt(1.0 + count / decay) if decay else epsilon


def greedy(mean: Tensor) -> Tensor:
    """All on the best; exact ties share equally."""
    best = (mean == mean.max()).to(mean.dtype)
    return best / best.sum()


def upper_confidence(mean: Tensor, deviation: Tensor, alpha: float) -> Tensor:
    """Greedy on mean + alpha deviation (LinUCB: Li et al. 2010)."""
    return greedy(torch.add(mean, deviation, alpha=alpha))


def inverse_gap(mean: Tensor, deviation: Tensor, gamma: float, *, elimination: float = 0.0) -> Tensor:
    """Inverse gap weighting (SquareCB: Foster and Rakhlin 2020): 1 / (k + gamma gap) each, the rest to the best.

    gamma: (0, inf), how strongly a gap in the mean counts. elimination: where positive, candidates whose mean
    + elimination deviations lies below another's mean - elimination deviations get 0 (Foster et al. 2021, RegCB).
    """
    plausible = torch.ones_like(mean, dtype=torch.bool)
    if elimination:
        plausible = mean + elimination * deviation >= (mean - elimination * deviation).max()
    gap = mean[plausible].max() - mean
    share = plausible / (plausible.sum() + gamma * gap.clamp_min(0.0))
    best = greedy(torch.where(plausible, mean, -math.inf))
    return share + best * (1.0 - share.sum())


def mix(probabilities: Tensor, epsilon: float) -> Tensor:
    """(1 - epsilon) of the probabilities and epsilon spread evenly."""
    return probabilities * (1.0 - epsilon) + epsilon / probabilities.numel()


def thompson(mean: Tensor, deviation: Tensor) -> Tensor:
    """The probability that each of k independent normal variables is the largest.

    P_i = integral of density_i(t) prod_{j != i} cdf_j(t) dt, by Gauss-Legendre on panels as narrow as the
    smallest deviation at work there. Candidates that cannot win get 0; those whose deviation is 0 win where
    all others stay below, and share ties.
    """
    device = mean.device
    mean, deviation = mean.cpu(), deviation.cpu()
    result = torch.zeros_like(mean)
    floor = float((mean - REACH * deviation).max())
    kept = (mean + REACH * deviation >= floor).nonzero().squeeze(1)
    mean, deviation = mean[kept], deviation[kept]
    scale = max(float(mean.abs().max()), float(deviation.max()))
    fixed = deviation <= NEGLIGIBLE * scale
    loose_mean, loose_deviation = mean[~fixed], deviation[~fixed]
    won = torch.zeros_like(mean)
    if bool(fixed.any()):
        best = float(mean[fixed].max())
        ties = fixed & (mean == best)
        below = torch.special.log_ndtr((best - loose_mean) / loose_deviation).sum().exp()
        won[ties] = below / ties.sum()
        floor = best
    won[~fixed] = _win_integrals(loose_mean, loose_deviation, floor)
    result[kept] = won / won.sum()
    return result.to(device)


def thompson_joint(mean: Tensor, covariance: Tensor, alpha: float, draws: int = DRAWS) -> Tensor:
    """How often each of k jointly normal candidates is the largest among fixed quasi-random draws.

    mean (k,), covariance (k, k). One draw's worth of probability is spread evenly, so that no candidate has
    0. The draws depend on k and nothing else: the same scores give the same probabilities.
    """
    k = mean.numel()
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0.0).sqrt()
    samples = torch.addmm(mean, _normal_draws(k, draws).to(mean.device), root.T, alpha=alpha)
    return votes(samples)


def votes(samples: Tensor, spread: float = 1.0) -> Tensor:
    """How often each of k candidates is the largest in samples (n, k); ties share.

    spread: how many samples' worth of probability is spread evenly beside them, so that no candidate has 0.
    """
    n, k = samples.shape
    best = (samples == samples.max(dim=1, keepdim=True).values).to(samples.dtype)
    share = (best / best.sum(dim=1, keepdim=True)).sum(dim=0)
    return (share + spread / k) / (n + spread)


@functools.lru_cache(maxsize=32)
def _normal_draws(k: int, draws: int) -> Tensor:
    """(draws, k) standard normal values of low discrepancy: scrambled Sobol points with a fixed seed."""
    engine = torch.quasirandom.SobolEngine(k, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    points = engine.draw(draws, dtype=torch.float64)
    tiny = 2.0**-40
    normal: Tensor = torch.special.ndtri(points.clamp(tiny, 1.0 - tiny))
    return normal


def _win_integrals(mean: Tensor, deviation: Tensor, floor: float) -> Tensor:
    """(k,) integrals over t > floor of density_i(t) times the other cdfs; deviations all positive."""
    if mean.numel() == 0:
        return torch.zeros_like(mean)
    edges = _panels(mean.tolist(), deviation.tolist(), floor)
    if len(edges) < 2:
        return torch.zeros_like(mean)
    nodes, weights = _gauss_legendre()
    grid = torch.tensor(edges, dtype=torch.float64)
    half = (grid[1:] - grid[:-1]) / 2
    at = (((grid[1:] + grid[:-1]) / 2)[:, None] + half[:, None] * nodes).reshape(-1)
    weight = (half[:, None] * weights).reshape(-1)
    standard = (at[:, None] - mean) / deviation
    log_cdf = torch.special.log_ndtr(standard)
    others = log_cdf.sum(dim=1, keepdim=True) - log_cdf
    log_density = standard.square() * -0.5 - deviation.log()
    return torch.mv((log_density + others).exp().T, weight) / math.sqrt(2.0 * math.pi)


def _panels(mean: list[float], deviation: list[float], floor: float) -> list[float]:
    """Edges of panels from floor upwards: each at most PANEL deviations of any candidate at work on it."""
    low = [m - REACH * s for m, s in zip(mean, deviation, strict=True)]
    high = [m + REACH * s for m, s in zip(mean, deviation, strict=True)]
    edges, end = [floor], max(high)
    while edges[-1] < end:
        t = edges[-1]
        step = min((PANEL * s for a, b, s in zip(low, high, deviation, strict=True) if a <= t < b), default=math.inf)
        starts = (a for a, s in zip(low, deviation, strict=True) if a > t and PANEL * s < step)
        following = min(t + step, min(starts, default=math.inf), end)
        if following <= t:
            following = math.nextafter(t, math.inf)
        edges.append(following)
    return edges


@functools.cache
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    """Nodes and weights (NODES,) on [-1, 1]: eigenvalues of the Jacobi matrix (Golub and Welsch 1969)."""
    n = torch.arange(1, NODES, dtype=torch.float64)
    off = n / (4.0 * n * n - 1.0).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return values, 2.0 * vectors[0].square()
