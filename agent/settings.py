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
from agent.drift import DriftSettings
from agent.encoder import DEFAULT_ENCODER
from agent.errors import InvalidInput
from agent.influence import Guard
from agent.rewards import SIGNALS, Rules
from agent.slates import SlateSettings
from policies.settings import DEFAULTS
from policies.types import Reward

HOME_VARIABLE, PROJECT_VARIABLE = "REJOINDER_HOME", "REJOINDER_PROJECT"
BLOCKS = ("last_reply", "history")
# What a value means depends on the policy: alpha is an amount of optimism to one, of noise to another.
_EXPLORATION = {"alpha", "epsilon", "epsilon_decay", "gamma", "gamma_exponent", "elimination", "parts"}
# What a settings event from before a setting existed meant by leaving it out.
_BEFORE: dict[str, Any] = {"csat_decay": 1.0, "share": None, "burst": None}
_LEARNERS_BEFORE = {
    name: {"degree": 1, "feature_scale": 0.0} for name in ("greedy", "epsilon_greedy", "linucb", "lints")
}
_LIMITS = {
    "history": (0.0, 1.0),
    "threshold": (-math.inf, math.inf),
    "floor": (0.0, 1.0),
    "budget": (0.0, 1.0),
    "conservative": (0.0, 1.0),
    "width": (0.0, math.inf),
    "adopted_strength": (0.001, 1.0),
}
_RANGES = {
    "wait": (1.0, 1e9),
    "default_reward": (0.0, 1.0),
    "default_weight": (0.001, 1.0),
    "csat_decay": (0.0, 1.0),
    "share": (0.001, 0.999),
    "share_floor": (1.0, 1e9),
    "burst": (1.0, 1e9),
    "burst_seconds": (1.0, 1e9),
}
# What came later leaves the versions of loops without it as they were.
_RANGES_SINCE = {"money": (1e-9, 1e12), "window": (1.0, 1e9)}
_OPTIONAL = ("threshold", "budget", "conservative", "wait", "default_reward", "share", "burst", *_RANGES_SINCE)


def home() -> Path:
    """The folder of all state: `$REJOINDER_HOME`, else `.rejoinder` where the command runs."""
    return Path(os.environ.get(HOME_VARIABLE) or ".rejoinder").absolute()


def project() -> Path:
    """The folder that relative paths in endpoints.yml begin at: `$REJOINDER_PROJECT`, else where the command runs."""
    return Path(os.environ.get(PROJECT_VARIABLE) or ".").absolute()


@dataclass(frozen=True)
class LoopSettings:
    """How one loop chooses and learns. Recorded as an event: the fold reads no settings file.

    `policy` and `learner` are what `policies.create` takes; every setting of the learner is filled in, so that what a
    log says does not hang on the defaults of a later version. `history` (0 to 1) is how much of each earlier user
    message still weighs in the context against the one after it; 0 looks at the last message alone. `threshold`
    is the least expected reward at which the loop decides at all; below it, it abstains. With `abstain`, abstaining is
    a candidate like any other instead, expected to earn the threshold until it is known better. `drift` is how the loop
    watches for change: see `DriftSettings`, whose values are filled in as well.

    Rewards: a decision without feedback `wait` seconds after it was made earns `default_reward` (0 to 1) with
    `default_weight`, until feedback comes; without either, missing feedback is left out. `signals` has the weight of
    each kind of signal in thumbs (0 to 1; 0 switches it off). `csat_decay` is what an outcome on a conversation keeps
    of its weight with each turn back from its end: at 0.8 about half of it three turns back. What people rate is above
    all how it ended, yet in a conversation of a few turns the answer that decided that may be any of them. `worth` is
    what the best value of a kind of signal earns (0 to 1; 1 unless given); a purchase earns it from the amount `money`
    on, or any purchase. Outcomes later than `window` seconds after the decision are not its own.

    `slate` says how several are shown at once: see `agent.slates.SlateSettings`, whose values are filled in.

    The guard on influence, where 0 or None switches off: one person's feedback on a candidate counts as at most
    `share` of all that counts there, or `share_floor` thumbs if that is more; identical feedback in a stretch of
    `burst_seconds` counts in full up to `burst` thumbs, and beyond that by its logarithm (`agent.influence`).

    What exploration must keep to (`policies.safety` says how): `floor`, the least probability of an eligible candidate;
    `budget`, the most probability on others than the best-expected; `conservative`, the share of the baseline's reward
    that may be lost, with bounds `width` deviations off the mean; `baseline`, the candidate chosen if nobody learned,
    "prior" for that of the highest untrained score.

    `strict`: only approved candidates are eligible. `apprentice`: it proposes and logs, and never acts.

    `adopted`: the hash of what another assistant's learner knew (a blob in the log), which this one begins from, as a
    prior of `adopted_strength` (0, 1] of its evidence.
    """

    policy: str = "lints"
    learner: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = DEFAULT_ENCODER
    history: float = 0.0
    blocks: Sequence[str] = BLOCKS
    threshold: float | None = None
    wait: float | None = None
    default_reward: float | None = None
    default_weight: float = 0.1
    signals: Mapping[str, float] = field(default_factory=dict)
    csat_decay: float = 0.8
    worth: Mapping[str, float] = field(default_factory=dict)
    money: float | None = None
    window: float | None = None
    share: float | None = 0.1
    share_floor: float = 10.0
    burst: float | None = 20.0
    burst_seconds: float = 60.0
    drift: Mapping[str, Any] = field(default_factory=dict)
    slate: Mapping[str, Any] = field(default_factory=dict)
    floor: float = 0.0
    budget: float | None = None
    conservative: float | None = None
    width: float = 1.0
    baseline: str = "prior"
    strict: bool = False
    abstain: bool = False
    apprentice: bool = False
    adopted: str | None = None
    adopted_strength: float = 0.3

    def __post_init__(self) -> None:
        if isinstance(self.blocks, str) or not set(self.blocks) <= set(BLOCKS):
            raise InvalidInput(f"blocks must be a list out of {', '.join(BLOCKS)}; got {self.blocks!r}")
        object.__setattr__(self, "blocks", [name for name in BLOCKS if name in self.blocks])
        self._check_limits()
        self._check_rewards()
        try:
            learner = policies.create(self.policy, **self.learner).settings
        except (TypeError, policies.InvalidInput) as error:
            raise InvalidInput(str(error)) from error
        # The device is where to compute, not what: it stays with the machine that asked for it.
        full = {name: value for name, value in learner.items() if name != "device" or name in self.learner}
        object.__setattr__(self, "learner", full)
        object.__setattr__(self, "drift", asdict(DriftSettings.of(self.drift)))
        object.__setattr__(self, "slate", asdict(SlateSettings.of(self.slate)))
        if self.abstain and full.get("parts") == "shared":
            raise InvalidInput('abstain needs parts "disjoint": a shared model tells candidates apart by their words')

    def _check_limits(self) -> None:
        for name, (low, high) in _LIMITS.items():
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

    def _check_rewards(self) -> None:
        # 0 and None, 60 and 60.0 mean the same: they are one model version.
        for name in ("share", "burst"):
            object.__setattr__(self, name, getattr(self, name) or None)
        for name, (low, high) in (_RANGES | _RANGES_SINCE).items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                _check_number(name, value, low, high)
                object.__setattr__(self, name, float(value))
        if self.default_reward is not None and self.wait is None:
            raise InvalidInput("default_reward needs a wait: the seconds after which it is earned")
        for setting, what in (("signals", "weight"), ("worth", "worth")):
            given = getattr(self, setting)
            if not isinstance(given, Mapping):
                raise InvalidInput(f"{setting} must map names of signals to numbers; got {given!r}")
            for name, value in given.items():
                if name not in SIGNALS:
                    raise InvalidInput(f"{setting}: unknown signal {name!r}; known are {', '.join(SIGNALS)}")
                _check_number(f"{setting}: {what} of {name!r}", value, 0.0, 1.0)
        weights = {name: float(self.signals.get(name, signal.weight)) for name, signal in SIGNALS.items()}
        object.__setattr__(self, "signals", weights)

    @classmethod
    def of(cls, given: Mapping[str, Any], *, where: str, base: LoopSettings | None = None) -> LoopSettings:
        """Settings from a mapping as people write it: a loop's own keys, and the learner's beside them.

        What is not given is as in `base`, but for how much to explore where another policy is named.

        Raises:
            InvalidInput: a value of the wrong kind; `where` names the place it was written in.
        """
        base = base or cls()
        own = {f.name for f in fields(cls)} - {"learner"}
        policy = given.get("policy", base.policy)
        learner = dict(base.learner)
        if policy != base.policy:
            taken = set(DEFAULTS.get(policy, ())) - _EXPLORATION
            learner = {key: value for key, value in learner.items() if key in taken}
        learner |= {key: value for key, value in given.items() if key not in own}
        mine = {key: value for key, value in given.items() if key in own}
        for setting in ("signals", "worth", "slate"):
            if isinstance(mine.get(setting), Mapping):
                mine[setting] = {**getattr(base, setting), **mine[setting]}
        try:
            return replace(base, **mine, learner=learner)
        except (TypeError, InvalidInput) as error:
            raise InvalidInput(f"{where}: {error}") from error

    @classmethod
    def recorded(cls, body: Mapping[str, Any]) -> LoopSettings:
        """The settings that the body of a settings event holds, whichever version of Rejoinder wrote it."""
        settings = {**_BEFORE, **body["settings"]}
        before = _LEARNERS_BEFORE.get(settings["policy"], {})
        return cls(**{**settings, "learner": {**before, **settings["learner"]}})

    @property
    def rules(self) -> Rules:
        """What the loop makes of outcomes."""
        default = None if self.default_reward is None else Reward(self.default_reward, self.default_weight)
        return Rules(self.signals, self.csat_decay, default, self.worth, self.money, self.window)

    @property
    def guard(self) -> Guard:
        """The bounds on what one person or burst of feedback counts."""
        return Guard(self.share, self.share_floor, self.burst, self.burst_seconds)

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
        learner = {
            name: value for name, value in self.learner.items() if name != "device" and (value or name != "cues")
        }
        rewards = {name: getattr(self, name) for name in (*_RANGES, "signals")}
        decisive: dict[str, Any] = {
            "policy": self.policy,
            "learner": learner,
            "encoder": self.encoder,
            "rewards": rewards,
        }
        for name in ("worth", *_RANGES_SINCE):
            if value := getattr(self, name):
                decisive[name] = value
        if self.adopted is not None:
            decisive["adopted"] = [self.adopted, self.adopted_strength]
        canonical = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")
