"""Learners with a Gaussian posterior: the semantic prior plus a model of what rewards add to it.

The score of candidate a in context c is `prior(c, a)` plus `f_a(x)` (parts="disjoint", a model of its own for each
candidate), `z.beta` (parts="shared", one model for all) or both (parts="hybrid"), where x is the context's blocks and
z the elementwise product of the context's and the candidate's unit vectors. With parts="calibrated" z is 1 and the
cosine, so that the prior itself is learned: how much meaning tells differs from one assistant to another. Rewards are
learned as residuals to the prior, so an untrained learner ranks by meaning, and a new candidate starts from its words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from policies import exploration
from policies.base import Learner, check_candidates
from policies.disjoint import Disjoint
from policies.features import FeatureMap, Seen
from policies.hybrid import Hybrid
from policies.posterior import Forgetting, Shape
from policies.prior import Field, SemanticPrior
from policies.shared import Shared
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores

#: settings that decide what a state means; the others only decide what is done with it.
_MEANING = (
    "parts",
    "degree",
    "ridge",
    "scales",
    "feature_scale",
    "half_life",
    "prior_slope",
    "prior_intercept",
    "prior_match",
    "rivals",
    "rival_weight",
)


class Models(Protocol):
    """What was learned, in one of the ways to share it among candidates."""

    def score(self, seen: Seen, field: Field, parts: dict[str, Tensor], *, step: int) -> Scores:
        """Add what was learned to the parts of the prior, as it stands at a step of forgetting."""

    def update(self, seen: Seen, field: Field, *, weight: float, response: float, step: int) -> None:
        """Add to what was learned, at the field's one candidate; an observation of an earlier step has faded."""

    def discount(self, factor: float) -> None:
        """Multiply every weight by a factor in (0, 1]."""

    def sums(self, step: int) -> dict[str, Tensor]:
        """What was added up, by name, as it stands at a step."""

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copy all numbers, model by model."""

    def load(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave. Raises KeyError where a part is missing."""


class LinearLearner(Learner):
    """A Gaussian model under one of several ways to explore. Made by `policies.create`."""

    additive: ClassVar[bool] = True

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self.settings = name, settings
        self.device = device_of(settings["device"])
        self.count = 0
        self._latest: int | None = None
        self._prior = SemanticPrior(settings, self.device)
        self._features = FeatureMap(settings["scales"], settings["feature_scale"], self.device)
        self._forgetting = Forgetting(settings["half_life"])
        self._models = self._untrained()

    @property
    def needs_offer(self) -> bool:
        """Whether rewards teach more with what the choice was made among."""
        return bool(self.settings["rivals"])

    @property
    def epsilon(self) -> float:
        """The share of choices spread evenly now: it falls with the square root of the rewards learned from."""
        epsilon: float = self.settings["epsilon"]
        decay: float = self.settings["epsilon_decay"]
        return epsilon / math.sqrt(1.0 + self.count / decay) if decay else epsilon

    # scoring

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Score by the parts "prior", "match" (if that is set), "shared", "own" and what blocks add ("own:NAME")."""
        check_candidates(candidates)
        seen, field = self._features.see(context), self._prior.prepare(candidates)
        parts = self._prior.parts(seen, field)
        return self._models.score(seen, field, parts, step=self._forgetting.step(at))

    def distribution(self, scores: Scores, eligible: Sequence[bool]) -> Tensor:
        """Explore among the eligible, then mix in epsilon."""
        epsilon = self.epsilon
        if all(eligible):
            result = self._explore(scores)
            return exploration.mix(result, epsilon) if epsilon else result
        where = torch.tensor(eligible, device=self.device).nonzero().squeeze(1)
        if where.numel() == 0:
            raise InvalidInput(f"candidates: none of the {len(eligible)} is eligible")
        some = self._explore(_select(scores, where))
        result = torch.zeros(len(eligible), dtype=torch.float64, device=self.device)
        result[where] = exploration.mix(some, epsilon) if epsilon else some
        return result

    def _explore(self, scores: Scores) -> Tensor:
        mean, deviation, settings = scores.mean, scores.deviation, self.settings
        if self.name in ("linucb", "linucb_hybrid"):
            return exploration.upper_confidence(mean, deviation, settings["alpha"])
        if self.name == "lints" and scores.covariance is not None:
            return exploration.thompson_joint(mean, scores.covariance, settings["alpha"])
        if self.name == "lints":
            return exploration.thompson(mean, deviation * settings["alpha"])
        if self.name == "squarecb":
            gamma = settings["gamma"] * (1.0 + self.count) ** settings["gamma_exponent"]
            return exploration.inverse_gap(mean, deviation, gamma, elimination=settings["elimination"])
        return exploration.greedy(mean)

    # learning

    def revise(
        self,
        context: Context,
        candidate: Candidate,
        *,
        old: Reward | None,
        new: Reward | None,
        at: float = 0.0,
        offer: Offer | None = None,
    ) -> None:
        """A += (w' - w) x x^T and b += (w' r' - w r) x, where r is the reward less the prior.

        Exact: the state is as if `new` had been learned in the first place. With the setting `rivals`, as many of the
        offer's rivals learn that they would have earned 0, with `rival_weight` times the reward, cut to [0, 1].
        """
        seen, step = self._features.see(context), self._forgetting.step(at)
        self._replace(seen, candidate, old, new, step)
        self._features.admit(seen)
        if offer is not None:
            share = self.settings["rival_weight"]
            for rival in offer.rivals[: self.settings["rivals"]]:
                self._replace(seen, rival, _implied(old, share), _implied(new, share), step)
        self._latest = step if self._latest is None else max(self._latest, step)
        self.count += (new is not None) - (old is not None)

    def _replace(self, seen: Seen, candidate: Candidate, old: Reward | None, new: Reward | None, step: int) -> None:
        field = self._prior.prepare((candidate,))
        prior = self._prior.of(seen, field)
        before, after = _weight(old), _weight(new)
        response = after * (_value(new) - prior) - before * (_value(old) - prior)
        if not math.isfinite(response):
            raise InvalidInput(f"reward: {new or old} is too large to learn from")
        self._models.update(seen, field, weight=after - before, response=response, step=step)

    def adopt(self, state: Mapping[str, Tensor], *, strength: float) -> None:
        """Begin from what another learner of the same settings knows, as a prior of `strength` (0, 1] of its evidence.

        Raises InvalidInput for a state of other settings, or if this learner has learned something already.
        """
        if self.count or self._latest is not None:
            raise InvalidInput("adopt: this learner has learned something already")
        if not 0.0 < strength <= 1.0:
            raise InvalidInput(f"adopt: the strength {strength!r} is outside (0, 1]")
        self.load_state_dict(state)
        self._models.discount(strength)
        self.count = 0

    # state

    def state_dict(self) -> dict[str, Tensor]:
        """Give all numbers of each model, ready for safetensors, and what they mean."""
        states = self._models.state()
        header = {
            "models": list(states),
            "spans": self._features.spans,
            "count": self.count,
            "latest": self._latest,
            "settings": {name: self.settings[name] for name in _MEANING},
        }
        state = {"header": torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)}
        for index, model in enumerate(states.values()):
            for name, value in model.items():
                state[f"{index}.{name}"] = value.cpu()
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replace all that was learned; InvalidInput, with nothing changed, for a state of other settings."""
        try:
            header = json.loads(bytes(state["header"].tolist()))
            meaning, names = header["settings"], header["models"]
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput("state: not one that state_dict() gave") from error
        wrong = [name for name in _MEANING if meaning.get(name) != self.settings[name]]
        if wrong:
            detail = ", ".join(f"{n}={meaning.get(n)!r} not {self.settings[n]!r}" for n in wrong)
            raise InvalidInput(f"state: learned under other settings ({detail})")
        states: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        for key, value in state.items():
            index, dot, part = key.partition(".")
            if dot:
                states[names[int(index)]][part] = value
        models = self._untrained()
        try:
            models.load(states)
        except KeyError as error:
            raise InvalidInput(f"state: {error.args[0]} is missing") from error
        self._models, self.count, self._latest = models, header["count"], header["latest"]
        self._features.spans = {name: (start, stop) for name, (start, stop) in header["spans"].items()}

    def sums(self, *, at: float | None = None) -> dict[str, Tensor]:
        """What was added up, by name, with x in the order of its blocks' names."""
        step = self._latest if at is None else self._forgetting.step(at)
        order = [i for name in sorted(self._features.spans) for i in range(*self._features.spans[name])]
        found = self._models.sums(step or 0)
        if self.settings["parts"] == "shared":
            return found
        return {name: _ordered(total, order, both=name.endswith("/evidence")) for name, total in found.items()}

    def clone(self) -> LinearLearner:
        """Copy the learner: what either learns later, the other does not know."""
        twin = LinearLearner(self.name, dict(self.settings))
        twin.load_state_dict(self.state_dict())
        return twin

    def _untrained(self) -> Models:
        parts: str = self.settings["parts"]
        shape = Shape(self.settings["degree"], self.settings["ridge"], self.device)
        if parts in ("hybrid", "calibrated"):
            return Hybrid(shape, self._prior.products if parts == "hybrid" else self._prior.terms)
        return Shared(shape, self._prior) if parts == "shared" else Disjoint(shape, self._features)


def device_of(name: str) -> torch.device:
    """The device that a setting names. Raises InvalidInput where "cuda" is asked for and there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device: 'cuda' was asked for, but there is none")
    return torch.device(name)


def _implied(reward: Reward | None, share: float) -> Reward | None:
    """What a reward for the one chosen says of a rival: where one is right, the other is not."""
    return None if reward is None else Reward(0.0, share * reward.weight * min(max(reward.value, 0.0), 1.0))


def _weight(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.weight


def _value(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.value


def _select(scores: Scores, where: Tensor) -> Scores:
    covariance = None if scores.covariance is None else scores.covariance[where][:, where]
    parts = {name: part[where] for name, part in scores.parts.items()}
    return Scores(parts, scores.deviation[where], covariance)


def _ordered(total: Tensor, order: Sequence[int], *, both: bool) -> Tensor:
    """Sums over x (in the columns too, if `both`) with x in a given order; what a model has not seen of x is 0."""
    wide = total.new_zeros(len(order), len(order) if both else total[0].numel())
    wide[: total.shape[0], : total.shape[1] if both else wide.shape[1]] = total.reshape(total.shape[0], -1)
    return wide[list(order)][:, list(order)] if both else wide[list(order)]
