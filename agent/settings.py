"""Settings: where state lives, and how each loop learns."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import policies
from agent.encoder import DEFAULT_ENCODER
from agent.errors import InvalidInput

HOME_VARIABLE = "REJOINDER_HOME"
BLOCKS = ("last_reply", "history")
# What a value means depends on the policy: alpha is an amount of optimism to one, of noise to another.
_EXPLORATION = ("alpha", "epsilon")


def home() -> Path:
    """The folder of all state: `$REJOINDER_HOME`, else `.rejoinder` where the command runs."""
    return Path(os.environ.get(HOME_VARIABLE) or ".rejoinder").absolute()


@dataclass(frozen=True)
class LoopSettings:
    """How one loop chooses and learns. Recorded as an event: the fold reads no settings file.

    `policy` and `learner` are what `policies.create` takes; every setting of the learner is filled in, so that what a
    log says does not hang on the defaults of a later version. `history` (0 to 1) is how much of each earlier user
    message still weighs in the context against the one after it; 0 looks at the last message alone. `threshold`
    is the least expected reward at which the loop decides at all; below it, it abstains.
    """

    policy: str = "lints"
    learner: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = DEFAULT_ENCODER
    history: float = 0.0
    blocks: Sequence[str] = BLOCKS
    threshold: float | None = None

    def __post_init__(self) -> None:
        _check_number("history", self.history, 0.0, 1.0)
        if isinstance(self.blocks, str) or not set(self.blocks) <= set(BLOCKS):
            raise InvalidInput(f"blocks must be a list out of {', '.join(BLOCKS)}; got {self.blocks!r}")
        object.__setattr__(self, "blocks", [name for name in BLOCKS if name in self.blocks])
        if self.threshold is not None:
            _check_number("threshold", self.threshold, -math.inf, math.inf)
        try:
            learner = policies.create(self.policy, **self.learner).settings
        except (TypeError, policies.InvalidInput) as error:
            raise InvalidInput(str(error)) from error
        # The device is where to compute, not what: it stays with the machine that asked for it.
        full = {name: value for name, value in learner.items() if name != "device" or name in self.learner}
        object.__setattr__(self, "learner", full)

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
    def version(self) -> str:
        """The model version: the hash of all that decides what the fold computes (12 hex digits)."""
        learner = {name: value for name, value in self.learner.items() if name != "device"}
        decisive = {"policy": self.policy, "learner": learner, "encoder": self.encoder}
        canonical = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")
