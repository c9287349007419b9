"""Empirical Bayes: the prior's strength, the noise, and the semantic prior under which a log is most likely."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from policies.features import FeatureMap, Seen
from policies.kernel import KernelPosterior
from policies.prior import SemanticPrior
from policies.residual import device_of
from policies.settings import settings_of
from policies.types import Candidate, Context, InvalidInput, Reward

#: ridges tried, in steps of a factor of about 1.33; rows per candidate beyond the latest of which none is read.
_RIDGES = torch.logspace(-2.0, 2.0, 33, dtype=torch.float64)
LATEST_ROWS = 1000


class Lesson(NamedTuple):
    """What a candidate earned in a context."""

    context: Context
    candidate: Candidate
    reward: Reward


@dataclass(frozen=True)
class Fit:
    """Settings under which rewards are most likely.

    ridge: precision of the prior over weights, in units of the noise: what a learner takes as its setting.
    noise: standard deviation of a reward of weight 1 around its expectation. prior_slope, prior_intercept: of the
    cosine, by generalised least squares. log_evidence: log marginal likelihood (nats); `before`: that of the settings
    as they are, with the noise that suits them best. count: rewards read.
    """

    ridge: float
    noise: float
    prior_slope: float
    prior_intercept: float
    log_evidence: float
    before: float
    count: int


def fit(lessons: Sequence[Lesson], settings: Mapping[str, Any]) -> Fit:
    """Maximise the marginal likelihood of rewards (Rasmussen and Williams 2006, equations 2.30 and 2.41).

    settings: of a learner with disjoint models (`create(...).settings`). Per candidate with m rewards it takes m^3
    steps, of which the latest 1,000 are read. Raises InvalidInput for fewer than 10 rewards, or where all are alike.
    """
    full = settings_of("greedy", {k: v for k, v in settings.items() if k in settings_of("greedy", {})})
    if len(lessons) < 10:
        raise InvalidInput(f"too few rewards to fit a prior to: {len(lessons)}, at least 10 are needed")
    groups = _groups(lessons, full)
    if all(float(group.rewards.std(correction=0)) == 0.0 for group in groups):
        raise InvalidInput("all rewards of each candidate are alike: they tell nothing of prior and noise")
    spectra = [_spectrum(group) for group in groups]
    fixed = torch.tensor([full["prior_intercept"], full["prior_slope"]], dtype=torch.float64)
    before = _evidence(spectra, full["ridge"], fixed).log_evidence
    found = max((_evidence(spectra, ridge) for ridge in _RIDGES.tolist()), key=lambda e: e.log_evidence)
    intercept, slope = found.coefficients.tolist()
    count = sum(group.rewards.numel() for group in groups)
    return Fit(found.ridge, found.noise, slope, intercept, found.log_evidence, before, count)


class _Group(NamedTuple):
    """One candidate's rewards (m,) less what features match, their weights (m,), basis (m, 2) and kernel (m, m)."""

    rewards: Tensor
    weights: Tensor
    basis: Tensor
    kernel: Tensor


class _Spectrum(NamedTuple):
    """A group turned so that its covariance is diagonal: eigenvalues, rewards and basis, whitened by the weights."""

    values: Tensor
    rewards: Tensor
    basis: Tensor
    log_weights: float


class _Evidence(NamedTuple):
    ridge: float
    noise: float
    coefficients: Tensor
    log_evidence: float


def _groups(lessons: Sequence[Lesson], settings: Mapping[str, Any]) -> list[_Group]:
    device = device_of(settings["device"])
    features = FeatureMap(settings["scales"], settings["feature_scale"], device)
    prior = SemanticPrior({**settings, "prior_slope": 1.0, "prior_intercept": 0.0}, device)
    seen: defaultdict[str, list[tuple[Seen, Lesson]]] = defaultdict(list)
    for lesson in lessons:
        view = features.see(lesson.context)
        features.admit(view)
        if lesson.reward.weight > 0.0:
            seen[lesson.candidate.id].append((view, lesson))
    kernel = KernelPosterior(settings["degree"], 1.0, device)
    return [_group(rows[-LATEST_ROWS:], prior, kernel, features.dimension) for rows in seen.values()]


def _group(
    rows: Sequence[tuple[Seen, Lesson]], prior: SemanticPrior, kernel: KernelPosterior, dimension: int
) -> _Group:
    x = torch.stack([torch.cat([v.point.x, v.point.x.new_zeros(dimension - v.point.x.numel())]) for v, _ in rows])
    norms = torch.linalg.vector_norm(x, dim=1)
    basis, pairs = [], []
    for view, lesson in rows:
        field = prior.prepare((lesson.candidate,))
        parts = prior.parts(view, field)
        basis.append([float(field.known[0]), float(parts["prior"][0])])
        matched = float(parts["match"][0]) if "match" in parts else 0.0
        pairs.append([lesson.reward.value - matched, lesson.reward.weight])
    numbers = torch.tensor(pairs, dtype=torch.float64)
    return _Group(
        numbers[:, 0],
        numbers[:, 1],
        torch.tensor(basis, dtype=torch.float64),
        kernel.kernel(x @ x.T, torch.outer(norms, norms)).cpu(),
    )


def _spectrum(group: _Group) -> _Spectrum:
    root = group.weights.sqrt()
    values, vectors = torch.linalg.eigh(group.kernel * torch.outer(root, root))
    return _Spectrum(
        values.clamp_min(0.0),
        vectors.T @ (root * group.rewards),
        vectors.T @ (root[:, None] * group.basis),
        float(group.weights.log().sum()),
    )


def _evidence(spectra: Sequence[_Spectrum], ridge: float, coefficients: Tensor | None = None) -> _Evidence:
    """The log evidence at a ridge, with the noise (and, unless given, the prior's coefficients) that maximise it."""
    values = torch.cat([s.values for s in spectra]) / ridge + 1.0
    rewards, basis = torch.cat([s.rewards for s in spectra]), torch.cat([s.basis for s in spectra])
    if coefficients is None:
        gram = basis.T @ (basis / values[:, None])
        coefficients = torch.linalg.pinv(gram) @ (basis.T @ (rewards / values))
    residual = rewards - basis @ coefficients
    count = rewards.numel()
    variance = max(float((residual.square() / values).sum()) / count, 1e-12)
    log_determinant = float(values.log().sum()) - sum(s.log_weights for s in spectra)
    log_evidence = -0.5 * (count * (math.log(2.0 * math.pi * variance) + 1.0) + log_determinant)
    return _Evidence(ridge, math.sqrt(variance), coefficients, log_evidence)
