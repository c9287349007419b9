"""Contextual bandits: torch and the standard library; no input or output, no clock, no web framework."""

from __future__ import annotations

from typing import Any

from policies.base import Learner, draw
from policies.bootstrapped import BootstrappedLearner
from policies.ensemble import Ensemble
from policies.linear import LinearLearner
from policies.logistic import LogisticLearner
from policies.residual import ResidualLearner
from policies.safety import Conservative, Limits
from policies.settings import DEFAULTS, settings_of
from policies.slate import Layout
from policies.types import Candidate, Choice, Context, InvalidInput, Offer, Reward, Scores

__all__ = [
    "Candidate",
    "Choice",
    "Conservative",
    "Context",
    "InvalidInput",
    "Layout",
    "Learner",
    "Limits",
    "NAMES",
    "Offer",
    "Reward",
    "Scores",
    "create",
    "draw",
]

#: the learners there are.
NAMES: tuple[str, ...] = tuple(DEFAULTS)
_KINDS: dict[str, type[ResidualLearner]] = {
    "logistic": LogisticLearner,
    "bootstrapped": BootstrappedLearner,
    "ensemble": Ensemble,
}


def create(name: str, **settings: Any) -> Learner:
    """Make an untrained learner.

    name: one of NAMES. Settings of all of them:
    parts: "disjoint" (a model per candidate), "shared" (one for all), "hybrid" (both) or "calibrated" (own models,
    and the semantic prior learned for all). degree: 1 (linear) to 4: up to
    how many features of a context are seen together. ridge: precision of the prior over each weight.
    scales, feature_scale: how much each block of a context counts (1 unless named), and each named feature.
    half_life: seconds after which what was learned counts half; 0 never forgets.
    epsilon: share of choices spread evenly over the eligible; epsilon_decay: rewards after which it has fallen to
    1 / sqrt(2), 0 for never.
    prior_slope, prior_intercept: the score of an untrained candidate is intercept + slope * cosine of its
    vector and the context's; 0 where it has no vector. prior_match: added per product of features of the same
    name. rivals, rival_weight: for loops where one candidate is right: of how many of the best-scored others a reward
    is taken to say that they would have earned nothing, and how much that counts. device: "auto", "cpu" or "cuda".
    Of some: alpha (linucb, linucb_hybrid, lints, logistic, bootstrapped): how much uncertainty counts as promise: an
    amount of exploration, not of noise.
    gamma, gamma_exponent (squarecb): a gap counts gamma * rewards^exponent; elimination: deviations by which a
    candidate must be worse to be left out, 0 leaves none out. replicas (bootstrapped): 2 to 256.
    members (ensemble): names of linear learners, or mappings of "policy" and what sets how it explores; weighing:
    "exponential" or "log_barrier"; rate: how fast shares follow what members earn; mix: the least share of a member.
    logistic learns from rewards in [0, 1] only. logistic, bootstrapped and ensemble are not additive.
    Raises InvalidInput for an unknown name or setting, or a value out of range.
    """
    return _KINDS.get(name, LinearLearner)(name, settings_of(name, settings))
