"""Settings: where state lives, and how each loop learns."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import policies
from agent.encoder import DEFAULT_ENCODER
from agent.errors import InvalidInput

HOME_VARIABLE = "REJOINDER_HOME"
# What a value means depends on the policy: alpha is an amount of optimism to one, of noise to another.
_EXPLORATION = ("alpha", "epsilon")
_RANGES = {
    "history": (0.0, 1.0),
    "threshold": (-math.inf, math.inf),
    "floor": (0.0, 1.0),
    "budget": (0.0, 1.0),
    "conservative": (0.0, 1.0),
    "width": (0.0, math.inf),
}
_OPTIONAL = ("threshold", "budget", "conservative")


def home() -> Path:
    """The folder of all state: `$REJOINDER_HOME`, else `.rejoinder` where the command runs."""
    return Path(os.environ.get(HOME_VARIABLE) or ".rejoinder").absolute()


@dataclass(frozen=True)
class LoopSettings:
    """How one loop chooses and learns. Recorded as an event: the fold reads no settings file.

    `policy` and `learner` are what `policies.create` takes; every setting of the learner is filled in, so that what a
    log says does not hang on the defaults of a later version. `history` (0 to 1) is how much of each earlier user
    message still weighs in the context against the one after it; 0 looks at the last message alone. `threshold`
    is the least expected reward at which the loop decides at all; below it, it abstains. With `abstain`, abstaining is
    a candidate like any other instead, expected to earn the threshold until it is known better.

    What exploration must keep to (`policies.safety` says how): `floor`, the least probability of an eligible candidate;
    `budget`, the most probability on others than the best-expected; `conservative`, the share of the baseline's reward
    that may be lost, with bounds `width` deviations off the mean; `baseline`, the candidate chosen if nobody learned,
    "prior" for that of the highest untrained score.

    `strict`: only approved candidates are eligible. `apprentice`: it proposes and logs, and never acts.
    """

    policy: str = "lints"
    learner: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = DEFAULT_ENCODER
    history: float = 0.0
    threshold: float | None = None
    floor: float = 0.0
    budget: float | None = None
    conservative: float | None = None
    width: float = 1.0
    baseline: str = "prior"
    strict: bool = False
    abstain: bool = False
    apprentice: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if (value := getattr(self, name)) is not None or name not in _OPTIONAL:
                _check_number(name, value, low, high)
        for name in ("strict", "abstain", "apprentice"):
            if not isinstance(value := getattr(self, name), bool):
                raise InvalidInput(f"{name} must be true or false; got {value!r}")
        baseline: object = self.baseline
        if not isinstance(baseline, str) or not baseline:
            raise InvalidInput(f'baseline must be "prior" or the id of a candidate; got {baseline!r}')
        if self.abstain and self.threshold is None:
            raise InvalidInput("abstain needs a threshold: what abstaining is expected to earn")
        try:
            learner = policies.create(self.policy, **self.learner).settings
        except (TypeError, policies.InvalidInput) as error:
            raise InvalidInput(str(error)) from error
        # The device is where to compute, not what: it stays with the machine that asked for it.
        full = {name: value for name, value in learner.items() if name != "device" or name in self.learner}
        object.__setattr__(self, "learner", full)
        if self.abstain and full.get("parts") == "shared":
            raise InvalidInput('abstain needs parts "disjoint": a shared model tells candidates apart by their words')

    @classmethod
    def of(cls, given: Mapping[str, Any], *, where: str, base: LoopSettings | None = None) -> LoopSettings:
        """Settings from a mapping as people write it: a loop's own keys, and the learner's beside them.

        What is not given is as in `base`, but for how much to explore where another policy is named.

        Raises:
            InvalidInput: a value of the wrong kind; `where` names the place it was written in.
        """
        base = base or cls()
        own = {f.name for f in fields(cls)} - {"learner"}
        same = given.get("policy", base.policy) == base.policy
        learner = {key: value for key, value in base.learner.items() if same or key not in _EXPLORATION}
        learner |= {key: value for key, value in given.items() if key not in own}
        try:
            return replace(base, **{k: v for k, v in given.items() if k in own}, learner=learner)
        except (TypeError, InvalidInput) as error:
            raise InvalidInput(f"{where}: {error}") from error

    def as_body(self) -> dict[str, Any]:
        """What a settings event keeps of them."""
        return asdict(self)

    @property
    def least(self) -> float | None:
        """The expected reward below which the loop does not decide; None where there is no such."""
        return None if self.abstain else self.threshold

    @property
    def version(self) -> str:
        """The model version: the hash of all that decides what the fold computes (12 hex digits)."""
        learner = {name: value for name, value in self.learner.items() if name != "device"}
        decisive = {"policy": self.policy, "learner": learner, "encoder": self.encoder}
        canonical = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")
