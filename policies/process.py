"""What learners of degree-p kernels should say, solved at once: the Gaussian process of all that was observed.

Slow and plain on purpose: it shares no code with the learners, whose laws (`policies.checks`) compare them with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from policies.base import Learner
from policies.problems import Observation
from policies.types import Candidate, Context


def regression(observations: Sequence[Observation], untrained: Learner, context: Context) -> tuple[float, float]:
    """Regress one candidate's residuals to the prior: what they add to its mean in a context, and its variance."""
    points, x = _stacked([o.context for o in observations]), _stacked([context])
    kernel = _kernel(points, points, untrained.settings)
    across = _kernel(x, points, untrained.settings)
    mean, explained = _solved(kernel, across, observations, untrained)
    return float(mean), float(_kernel(x, x, untrained.settings) - explained)


def joint(
    observations: Sequence[Observation], untrained: Learner, context: Context, candidates: Sequence[Candidate]
) -> tuple[Tensor, Tensor]:
    """Regress all candidates' residuals together: what they add to the means (k,), and the covariance (k, k).

    The prior covariance of candidate a at x and a' at x' is [a = a'] k(x, x') / ridge + z . z' / ridge, where z is 0.3,
    the cosine of context and candidate, and half the products of their unit vectors' coordinates times sqrt(d).
    """
    settings = untrained.settings
    seen = [(o.context, o.candidate) for o in observations]
    asked = [(context, candidate) for candidate in candidates]
    kernel = _joint_kernel(seen, seen, settings)
    across = _joint_kernel(asked, seen, settings)
    mean, explained = _solved(kernel, across, observations, untrained)
    return mean, _joint_kernel(asked, asked, settings) - explained


def _solved(
    kernel: Tensor, across: Tensor, observations: Sequence[Observation], untrained: Learner
) -> tuple[Tensor, Tensor]:
    residuals = [o.reward.value - float(untrained.scores(o.context, [o.candidate]).mean) for o in observations]
    noise = torch.tensor([1.0 / o.reward.weight for o in observations], dtype=torch.float64)
    solved = torch.linalg.solve(kernel + torch.diag(noise), across.T)
    return torch.mv(solved.T, torch.tensor(residuals, dtype=torch.float64)), across @ solved


def _joint_kernel(
    one: Sequence[tuple[Context, Candidate]], other: Sequence[tuple[Context, Candidate]], settings: Mapping[str, Any]
) -> Tensor:
    own = _kernel(_stacked([c for c, _ in one]), _stacked([c for c, _ in other]), settings)
    same = torch.tensor([[a.id == b.id for _, b in other] for _, a in one], dtype=torch.float64)
    return own * same + _common(one) @ _common(other).T / float(settings["ridge"])


def _kernel(one: Tensor, other: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Compute the prior covariance (n, m) of what rewards add to the prior at X (n, d) and Y (m, d)."""
    lengths = torch.outer(one.norm(dim=1), other.norm(dim=1))
    cosine = one @ other.T / lengths
    powers = torch.stack([cosine**p for p in range(1, settings["degree"] + 1)]).sum(dim=0)
    return lengths * powers / float(settings["ridge"])


def _common(pairs: Sequence[tuple[Context, Candidate]]) -> Tensor:
    vectors = torch.stack([torch.as_tensor(candidate.vector, dtype=torch.float64) for _, candidate in pairs])
    unit = torch.nn.functional.normalize
    products = unit(_stacked([context for context, _ in pairs]), dim=1) * unit(vectors, dim=1)
    one = torch.ones(len(pairs), 1, dtype=torch.float64)
    spread = products.shape[1] ** 0.5
    return torch.cat([0.3 * one, products.sum(dim=1, keepdim=True), 0.5 * spread * products], dim=1)


def _stacked(contexts: Sequence[Context]) -> Tensor:
    return torch.stack([torch.as_tensor(context.vector, dtype=torch.float64) for context in contexts])
