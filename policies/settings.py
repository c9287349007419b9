"""The settings of every learner: their defaults, and what values they may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from policies.types import InvalidInput

_COMMON: dict[str, Any] = {
    "parts": "disjoint",
    "degree": 3,
    "ridge": 1.0,
    "scales": {"history": 0.5},
    "cues": {},
    "feature_scale": 0.5,
    "half_life": 0.0,
    "epsilon": 0.0,
    "epsilon_decay": 0.0,
    "prior_slope": 1.5,
    "prior_intercept": -0.2,
    "prior_match": 0.0,
    "rivals": 0,
    "rival_weight": 0.5,
    "device": "cpu",  # one decision is too small a task to send to a GPU and back
}
#: what sets each way to explore a linear model; the members of an ensemble have these settings alone.
_EXPLORATION: Mapping[str, Mapping[str, Any]] = {
    "greedy": {},
    "epsilon_greedy": {"epsilon": 0.05, "epsilon_decay": 0.0},
    "linucb": {"alpha": 0.2},
    "lints": {"alpha": 0.03},
    "squarecb": {"gamma": 1000.0, "gamma_exponent": 0.5, "elimination": 0.0},
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "greedy": _COMMON,
    "epsilon_greedy": {**_COMMON, **_EXPLORATION["epsilon_greedy"]},
    "linucb": {**_EXPLORATION["linucb"], **_COMMON},
    "linucb_hybrid": {**_EXPLORATION["linucb"], **_COMMON, "parts": "hybrid"},
    "lints": {**_EXPLORATION["lints"], **_COMMON},
    "squarecb": {**_EXPLORATION["squarecb"], **_COMMON},
    "logistic": {"alpha": 0.2, **_COMMON},
    "bootstrapped": {"replicas": 10, "alpha": 0.1, **_COMMON},
    "ensemble": {
        "members": [{"policy": name, **_EXPLORATION[name]} for name in ("linucb", "lints", "squarecb", "greedy")],
        "weighing": "exponential",
        "rate": 0.1,
        "mix": 0.05,
        **_COMMON,
    },
}
_WORDS = {
    "parts": ("disjoint", "shared", "hybrid", "calibrated"),
    "device": ("auto", "cpu", "cuda"),
    "weighing": ("exponential", "log_barrier"),
}
_WHOLE = {"degree": (1, 4), "rivals": (0, 1000), "replicas": (2, 256)}
_RANGES = {
    "alpha": (0.0, math.inf),
    "ridge": (1e-12, math.inf),
    "epsilon": (0.0, 1.0),
    "epsilon_decay": (0.0, math.inf),
    "feature_scale": (0.0, math.inf),
    "half_life": (0.0, math.inf),
    "gamma": (1e-12, math.inf),
    "gamma_exponent": (0.0, 1.0),
    "elimination": (0.0, math.inf),
    "rival_weight": (0.0, 1.0),
    "rate": (0.0, math.inf),
    "mix": (0.0, 1.0),
}


def settings_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a learner: those given, checked, and the defaults of the others.

    Raises InvalidInput for an unknown name or setting, or a value out of range.
    """
    if name not in DEFAULTS:
        raise InvalidInput(f"no learner is called {name!r}; there are {', '.join(DEFAULTS)}")
    merged = dict(DEFAULTS[name])
    for key, value in given.items():
        if key not in merged:
            raise InvalidInput(f"{name} has no setting {key!r}; it has {', '.join(merged)}")
        merged[key] = _checked(key, value)
    if merged["cues"] and merged["parts"] == "disjoint":
        raise InvalidInput(
            'cues: named numbers of candidates are learned of by what these share, not with parts "disjoint"'
        )
    if "members" in merged and merged["mix"] * len(merged["members"]) > 1.0:
        raise InvalidInput(f"mix: {len(merged['members'])} members of at least {merged['mix']:g} are more than 1")
    return merged


def _checked(key: str, value: Any) -> Any:
    if key in _WORDS:
        if value not in _WORDS[key]:
            raise InvalidInput(f"{key}: {value!r} is none of {', '.join(_WORDS[key])}")
        return value
    if key in ("scales", "cues"):
        return _scales(key, value)
    if key == "members":
        return _members(value)
    number = _number(key, value, *_WHOLE.get(key, _RANGES.get(key, (-math.inf, math.inf))))
    if key in _WHOLE:
        if number != int(number):
            raise InvalidInput(f"{key}: {value!r} is not a whole number")
        return int(number)
    return number


def _number(key: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidInput(f"{key}: {value!r} is not a finite number")
    if not low <= value <= high:
        raise InvalidInput(f"{key}: {value!r} is outside [{low:g}, {high:g}]")
    return float(value)


def _scales(key: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidInput(f"{key}: {value!r} is not a mapping of names to numbers")
    return {name: _number(f"{key}[{name!r}]", scale, 0.0, math.inf) for name, scale in sorted(value.items())}


def _members(value: Any) -> list[dict[str, Any]]:
    """Members by their names, or as mappings of "policy" and settings; every setting of each is filled in."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidInput(f"members: {value!r} is not a list of one or more learners")
    return [_member(f"members[{place}]", member) for place, member in enumerate(value)]


def _member(where: str, value: Any) -> dict[str, Any]:
    given = {"policy": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("policy"), str):
        raise InvalidInput(f"{where}: {value!r} is neither the name of a learner nor a mapping with a policy")
    name = given["policy"]
    if name not in _EXPLORATION:
        raise InvalidInput(f"{where}: {name!r} is none of {', '.join(_EXPLORATION)}")
    merged = {"policy": name, **_EXPLORATION[name]}
    for key, setting in given.items():
        if key not in merged:
            raise InvalidInput(f"{where}: {name} has no setting {key!r} in an ensemble")
        if key != "policy":
            merged[key] = _checked(key, setting)
    return merged
