"""What learners that start from the semantic prior have in common: features, prior, forgetting, models and state.

They learn what rewards add to the prior by one model or, where replicas disagree to explore, by several. How a model is
shared among candidates is the setting `parts`; what a reward teaches and how scores become choices, each learner says.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from policies import exploration
from policies.base import Learner
from policies.disjoint import Disjoint
from policies.features import FeatureMap, Seen
from policies.hybrid import Hybrid
from policies.posterior import Forgetting, Shape
from policies.prior import Field, SemanticPrior
from policies.shared import Shared
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores

#: what settings that came later were, to a state from before them.
_SINCE: Mapping[str, Any] = {"cues": {}}


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


class ResidualLearner(Learner):
    """A semantic prior and one or more models of what rewards add to it. Made by `policies.create`."""

    #: what a state is of: learners of one kind may take over each other's.
    kind: ClassVar[str]
    #: settings that decide what a state means; the others only decide what is done with it.
    meaning: ClassVar[tuple[str, ...]] = (
        "parts",
        "degree",
        "ridge",
        "scales",
        "cues",
        "feature_scale",
        "half_life",
        "prior_slope",
        "prior_intercept",
        "prior_match",
        "rivals",
        "rival_weight",
    )
    #: the prior score of a candidate without a vector.
    unknown: ClassVar[float] = 0.0

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self.settings = name, settings
        self.device = device_of(settings["device"])
        self.count = 0
        self._latest: int | None = None
        self._prior = SemanticPrior(settings, self.device, unknown=self.unknown)
        self._features = FeatureMap(settings["scales"], settings["feature_scale"], self.device)
        self._forgetting = Forgetting(settings["half_life"])
        self._models = self._untrained()

    @property
    def needs_offer(self) -> bool:
        """Whether rewards teach more with what the choice was made among."""
        return bool(self.settings["rivals"])

    @property
    def epsilon(self) -> float:
        """The share of choices spread evenly now."""
        return exploration.epsilon_at(self.settings, self.count)

    @property
    def model_count(self) -> int:
        """How many models learn."""
        return 1

    # choosing

    def distribution(self, scores: Scores, eligible: Sequence[bool]) -> Tensor:
        """Explore among the eligible, then mix in epsilon."""
        epsilon = self.epsilon
        if all(eligible):
            result = self._explore(scores)
            return exploration.mix(result, epsilon) if epsilon else result
        where = torch.tensor(eligible, device=self.device).nonzero().squeeze(1)
        if where.numel() == 0:
            raise InvalidInput(f"candidates: none of the {len(eligible)} is eligible")
        some = self._explore(scores.select(where))
        result = torch.zeros(len(eligible), dtype=torch.float64, device=self.device)
        result[where] = exploration.mix(some, epsilon) if epsilon else some
        return result

    @abstractmethod
    def _explore(self, scores: Scores) -> Tensor:
        """Turn scores of eligible candidates into probabilities, epsilon aside."""

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
        """Replace the reward `old` of a past choice by `new`; None stands for "no reward" on either side.

        With the setting `rivals`, as many of the offer's rivals learn that they would have earned 0, with
        `rival_weight` times the reward, cut to [0, 1]. Raises InvalidInput for an `old` reward unless additive.
        """
        if old is not None and not self.additive:
            raise InvalidInput(f"revise: {self.name} takes new rewards only; to change one, learn all of them again")
        seen, step = self._features.see(context), self._forgetting.step(at)
        self._replace(seen, candidate, old, new, step)
        self._features.admit(seen)
        if offer is not None:
            share = self.settings["rival_weight"]
            for rival in offer.rivals[: self.settings["rivals"]]:
                self._replace(seen, rival, _implied(old, share), _implied(new, share), step)
        self._latest = step if self._latest is None else max(self._latest, step)
        self.count += (new is not None) - (old is not None)

    @abstractmethod
    def _replace(self, seen: Seen, candidate: Candidate, old: Reward | None, new: Reward | None, step: int) -> None:
        """Replace one reward of one candidate by another, in the models alone."""

    def adopt(self, state: Mapping[str, Tensor], *, strength: float) -> None:
        """Begin from what another learner of the same settings knows, as a prior of `strength` (0, 1] of its evidence.

        Raises InvalidInput for a state of other settings, or if this learner has learned something already.
        """
        if self.count or self._latest is not None:
            raise InvalidInput("adopt: this learner has learned something already")
        if not 0.0 < strength <= 1.0:
            raise InvalidInput(f"adopt: the strength {strength!r} is outside (0, 1]")
        self.load_state_dict(state)
        for model in self._models:
            model.discount(strength)
        self.count = 0

    # state

    def state_dict(self) -> dict[str, Tensor]:
        """Give all numbers of each model, ready for safetensors, and what they mean."""
        states = [
            (place, name, numbers)
            for place, model in enumerate(self._models)
            for name, numbers in model.state().items()
        ]
        header = {
            "kind": self.kind,
            "models": [[place, name] for place, name, _ in states],
            "spans": self._features.spans,
            "count": self.count,
            "latest": self._latest,
            "settings": {name: self.settings[name] for name in self.meaning},
        }
        state = {"header": torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)}
        for index, (_, _, numbers) in enumerate(states):
            for part, value in numbers.items():
                state[f"{index}.{part}"] = value.cpu()
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replace all that was learned; InvalidInput, with nothing changed, for a state of other settings."""
        header = self._header(state)
        states: list[dict[str, dict[str, Tensor]]] = [{} for _ in self._models]
        parts: list[dict[str, Tensor]] = []
        for place, name in header["models"]:
            parts.append(states[place].setdefault(name, {}))
        for key, value in state.items():
            index, dot, part = key.partition(".")
            if dot:
                parts[int(index)][part] = value
        models = self._untrained()
        try:
            for model, own in zip(models, states, strict=True):
                model.load(own)
        except KeyError as error:
            raise InvalidInput(f"state: {error.args[0]} is missing") from error
        self._models, self.count, self._latest = models, header["count"], header["latest"]
        self._features.spans = {name: (start, stop) for name, (start, stop) in header["spans"].items()}

    def _header(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        try:
            header: dict[str, Any] = json.loads(bytes(state["header"].tolist()))
            kind, meaning = header["kind"], header["settings"]
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput("state: not one that state_dict() gave") from error
        if kind != self.kind:
            raise InvalidInput(f"state: that of kind {kind!r}, not {self.kind!r}")
        wrong = [name for name in self.meaning if meaning.get(name, _SINCE.get(name)) != self.settings[name]]
        if wrong:
            detail = ", ".join(f"{n}={meaning.get(n)!r} not {self.settings[n]!r}" for n in wrong)
            raise InvalidInput(f"state: learned under other settings ({detail})")
        return header

    def clone(self) -> Learner:
        """Copy the learner: what either learns later, the other does not know."""
        twin = type(self)(self.name, dict(self.settings))
        twin.load_state_dict(self.state_dict())
        return twin

    def _common(self, seen: Seen, field: Field) -> Tensor:
        """What a context and k candidates have in common (k, q).

        The prior's terms; unless calibrated, products; and, by their scale, the named numbers of candidates in `cues`.
        Beside own models, nothing (0) of a candidate that has a prior of its own.
        """
        z = self._prior.terms(seen, field)
        if self.settings["parts"] != "calibrated":
            z = torch.cat([z, self._prior.products(seen, field)], dim=1)
        if self.settings["cues"]:
            z = torch.cat([z, self._prior.cues(field, self.settings["cues"])], dim=1)
        given = [candidate.prior is not None for candidate in field.candidates]
        if self.settings["parts"] == "shared" or not any(given):
            return z
        return z.masked_fill(torch.tensor(given, device=self.device)[:, None], 0.0)

    def _untrained(self) -> tuple[Models, ...]:
        parts: str = self.settings["parts"]
        shape = Shape(self.settings["degree"], self.settings["ridge"], self.device)

        def make() -> Models:
            if parts in ("hybrid", "calibrated"):
                return Hybrid(shape, self._common)
            return Shared(shape, self._common) if parts == "shared" else Disjoint(shape, self._features)

        return tuple(make() for _ in range(self.model_count))


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
