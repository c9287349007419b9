"""Contextual bandits: torch and the standard library; no input or output, no clock, no web framework."""

from __future__ import annotations

import math
from typing import Any

from policies.base import Learner, draw
from policies.linear import LinearLearner
from policies.safety import Conservative, Limits
from policies.types import Candidate, Choice, Context, InvalidInput, Offer, Reward, Scores

__all__ = [
    "Candidate",
    "Choice",
    "Conservative",
    "Context",
    "InvalidInput",
    "Learner",
    "Limits",
    "NAMES",
    "Offer",
    "Reward",
    "Scores",
    "create",
    "draw",
]

_COMMON: dict[str, Any] = {
    "ridge": 1.0,
    "epsilon": 0.0,
    "prior_slope": 1.5,
    "prior_intercept": -0.2,
    "prior_match": 0.0,
    "parts": "disjoint",
    "device": "cpu",  # one decision is too small a task to send to a GPU and back
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "greedy": _COMMON,
    "epsilon_greedy": {**_COMMON, "epsilon": 0.05},
    "linucb": {"alpha": 0.1, **_COMMON},
    "lints": {"alpha": 0.05, **_COMMON},
}
_WORDS = {"parts": ("disjoint", "shared"), "device": ("auto", "cpu", "cuda")}
_RANGES = {"alpha": (0.0, math.inf), "ridge": (1e-12, math.inf), "epsilon": (0.0, 1.0)}

#: the learners there are.
NAMES: tuple[str, ...] = tuple(_DEFAULTS)


def create(name: str, **settings: Any) -> Learner:
    """Make an untrained learner.

    name: "greedy", "epsilon_greedy", "linucb" or "lints".
    alpha: how much uncertainty counts as promise (linucb, lints): an amount of exploration, not of noise.
    ridge: precision of the prior over each weight. epsilon: share of choices spread evenly over the eligible.
    prior_slope, prior_intercept: the score of an untrained candidate is intercept + slope * cosine of its
    vector and the context's; 0 where it has no vector. prior_match: added per product of features of the same
    name.
    parts: "disjoint" (a model per candidate) or "shared" (one model for all). device: "auto", "cpu" or
    "cuda". Raises InvalidInput for an unknown name or setting, or a value out of range.
    """
    if name not in _DEFAULTS:
        raise InvalidInput(f"no learner is called {name!r}; there are {', '.join(NAMES)}")
    merged = dict(_DEFAULTS[name])
    for key, value in settings.items():
        if key not in merged:
            raise InvalidInput(f"{name} has no setting {key!r}; it has {', '.join(merged)}")
        merged[key] = _checked(key, value)
    return LinearLearner(name, merged)


def _checked(key: str, value: Any) -> Any:
    if key in _WORDS:
        if value not in _WORDS[key]:
            raise InvalidInput(f"{key}: {value!r} is none of {', '.join(_WORDS[key])}")
        return value
    low, high = _RANGES.get(key, (-math.inf, math.inf))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidInput(f"{key}: {value!r} is not a finite number")
    if not low <= value <= high:
        raise InvalidInput(f"{key}: {value!r} is outside [{low:g}, {high:g}]")
    return float(value)
