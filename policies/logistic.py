"""Logistic Thompson sampling for rewards in [0, 1], such as yes or no.

The log-odds of candidate a in context c are `logit prior(c, a)` plus what the linear learner's models add (`f_a(x)`,
`z.beta` or both), under the same Gaussian priors; a reward r of weight w has the likelihood (p^r (1 - p)^(1 - r))^w.
The posterior is kept normal by Laplace's method, reward by reward (Chapelle and Li 2011; MacKay 1992): given the mean m
and the variance v of f at x so far, the mode of f after the reward solves m* = m + v w (r - p(m*)), and the reward
counts as an observation of f with the precision h = w p(m*) (1 - p(m*)) whose value makes m* the new mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from policies import exploration
from policies.base import check_candidates
from policies.features import Seen
from policies.posterior import Forgetting
from policies.prior import Field
from policies.residual import ResidualLearner
from policies.types import Candidate, Context, InvalidInput, Reward, Scores

#: prior probabilities are kept this far from 0 and 1, where no reward would change them.
LEAST = 0.01
#: least precision of an observation, as a share of its weight: what is certain still counts for something.
FLAT = 1e-6
#: log-odds below which a difference quotient of the logistic function is its derivative.
NEAR = 1e-4
#: a step of Newton's method below this, as a share of the log-odds, is the last.
RESOLUTION = 1e-14


class LogisticLearner(ResidualLearner):
    """A Gaussian model of log-odds, explored by Thompson sampling on their scale, where the best is the same one."""

    additive: ClassVar[bool] = False
    kind: ClassVar[str] = "logistic"
    unknown: ClassVar[float] = 0.5

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Score by the parts of the linear learner, on the scale of probabilities; `latent` holds the log-odds.

        "prior" is the prior score cut to [0.01, 0.99] (even odds for a candidate without a vector). The mean is the
        probability at the posterior's mode. What learning adds to the log-odds, part by part, adds to the probability
        in proportion: each part times the quotient of both sums. That is its integral along the straight way from
        the prior to the mode (integrated gradients, Sundararajan et al. 2017), so the split is exact. The deviation
        is by the delta method.
        """
        check_candidates(candidates)
        seen, field = self._features.see(context), self._prior.prepare(candidates)
        given = self._given(seen, field)
        start = _total(given)
        learned = self._models[0].score(seen, field, {}, step=self._forgetting.step(at))
        latent = Scores({"prior": torch.logit(start), **learned.parts}, learned.deviation, learned.covariance)
        quotient = _quotient(start, learned.mean)
        parts = {**given, **{name: part * quotient for name, part in learned.parts.items()}}
        slope = _slope(latent.mean)
        covariance = None if latent.covariance is None else latent.covariance * torch.outer(slope, slope)
        return Scores(parts, latent.deviation * slope, covariance, latent)

    def _explore(self, scores: Scores) -> Tensor:
        assert scores.latent is not None
        return exploration.explore("lints", self.settings, scores.latent, count=self.count)

    def _given(self, seen: Seen, field: Field) -> dict[str, Tensor]:
        """The parts of the prior, each (k,), cut so that every sum of the first ones is a probability."""
        given = {}
        total = below = torch.zeros_like(field.known)
        for name, part in self._prior.parts(seen, field).items():
            total = total + part
            cut = total.clamp(LEAST, 1.0 - LEAST)
            given[name], below = cut - below, cut
        return given

    def _replace(
        self,
        seen: Seen,
        candidate: Candidate,
        old: Reward | None,  # noqa: ARG002
        new: Reward | None,
        step: int,
    ) -> None:
        if new is None or new.weight == 0.0:
            return
        if not 0.0 <= new.value <= 1.0:
            raise InvalidInput(f"reward: {self.name} learns from values in [0, 1], not {new.value!r}")
        now = step if self._latest is None else max(step, self._latest)
        weight = new.weight * Forgetting.factor(now - step)
        field = self._prior.prepare((candidate,))
        offset = float(torch.logit(_total(self._given(seen, field))))
        learned = self._models[0].score(seen, field, {}, step=now)
        mean, variance = float(learned.mean), float(learned.deviation) ** 2
        mode = laplace_mode(offset + mean, variance * weight, new.value)
        precision = weight * max(_sigmoid(mode) * _sigmoid(-mode), FLAT)
        response = precision * (mode - offset) + weight * _surprise(new.value, mode)
        self._models[0].update(seen, field, weight=precision, response=response, step=now)


def laplace_mode(start: float, pull: float, reward: float) -> float:
    """Solve t = start + pull (reward - sigmoid(t)) by Newton's method, kept within a bracket that always shrinks.

    start: log-odds; pull: >= 0, the weight of the reward times the variance of the log-odds; reward: in [0, 1]. Raises
    InvalidInput where the pull is not finite.
    """
    if not math.isfinite(pull):
        raise InvalidInput("reward: its weight is too large to learn from")
    # Above the start, t - start <= pull sigmoid(-t), and so t <= max(start, 0) + log(1 + pull); below it likewise.
    low, high = min(start, 0.0) - math.log1p(pull), max(start, 0.0) + math.log1p(pull)
    t = start
    while True:
        excess = t - start - pull * _surprise(reward, t)
        if excess == 0.0:
            return t
        low, high = (low, t) if excess > 0.0 else (t, high)
        following = t - excess / (1.0 + pull * _sigmoid(t) * _sigmoid(-t))
        if not low < following < high:
            following = (low + high) / 2.0
        if not low < following < high or abs(following - t) <= RESOLUTION * max(abs(t), 1.0):
            return following
        t = following


def _surprise(reward: float, t: float) -> float:
    """The reward less sigmoid(t), without cancellation where both are near 1."""
    return reward * _sigmoid(-t) - (1.0 - reward) * _sigmoid(t)


def _sigmoid(t: float) -> float:
    return 1.0 / (1.0 + math.exp(-t)) if t >= 0.0 else math.exp(t) / (1.0 + math.exp(t))


def _slope(odds: Tensor) -> Tensor:
    return torch.sigmoid(odds) * torch.sigmoid(-odds)


def _quotient(start: Tensor, added: Tensor) -> Tensor:
    """How much each unit of log-odds adds to a probability (k,) on the way from `start` by `added` log-odds."""
    odds = torch.logit(start)
    near = added.abs() < NEAR
    quotient = (torch.sigmoid(odds + added) - start) / torch.where(near, torch.ones_like(added), added)
    return torch.where(near, _slope(odds + added / 2.0), quotient)


def _total(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum(dim=0)
