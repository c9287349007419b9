"""Linear learners: the semantic prior plus a Gaussian linear model of what rewards add to it.

The score of candidate a in context c is `prior(c, a) + x(c).theta_a` (parts="disjoint", a model of its own
for each candidate) or `prior(c, a) + z(c, a).theta` (parts="shared", one model for all), where x is the
context's vector and z the elementwise product of the context's and the candidate's unit vectors. Rewards are
learned as residuals to the prior, so an untrained learner ranks by meaning, and a new candidate starts from
its words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, ClassVar

import torch
from torch import Tensor

from policies import exploration
from policies.base import Learner, check_candidates
from policies.gaussian import Gaussian
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores, Vector

_SHARED = ""
_STATE = ("theta", "response", "rows", "weights", "factors", "precision", "base", "absorbed")
#: settings that decide what a state means; the others only decide what is done with it.
_MEANING = ("parts", "ridge", "prior_slope", "prior_intercept", "prior_match")


@dataclass(frozen=True, eq=False)
class _Seen:
    """A context made ready: x (d,), its length, and the unit vector (d,), which is 0 where x is."""

    x: Tensor
    length: float
    features: Mapping[str, float]

    @property
    def unit(self) -> Tensor:
        return self.x / self.length if self.length else self.x


@dataclass(frozen=True, eq=False)
class _Field:
    """Candidates made ready: unit vectors (k, d), None if none has one; known (k,) is 1 where one has."""

    candidates: tuple[Candidate, ...]
    units: Tensor | None
    known: Tensor


class LinearLearner(Learner):
    """A linear model under one of several ways to explore. Made by `policies.create`."""

    additive: ClassVar[bool] = True

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self.settings = name, settings
        self.device = _device(settings["device"])
        self.dimension: int | None = None
        self._models: dict[str, Gaussian] = {}
        self._field: _Field | None = None

    # scoring

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:  # noqa: ARG002
        """Score by the parts "prior" (the meaning), "match" (if that is set), and "own" or "shared"."""
        check_candidates(candidates)
        seen, field = self._see(context), self._prepare(candidates)
        parts = self._prior(seen, field)
        if self.settings["parts"] == "shared":
            return self._shared_scores(seen, field, parts)
        return self._own_scores(seen, field, parts)

    def distribution(self, scores: Scores, eligible: Sequence[bool]) -> Tensor:
        """Explore among the eligible, then mix in epsilon."""
        epsilon = self.settings["epsilon"]
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
        if self.name == "linucb":
            return exploration.upper_confidence(scores.mean, scores.deviation, self.settings["alpha"])
        if self.name == "lints" and scores.covariance is not None:
            return exploration.thompson_joint(scores.mean, scores.covariance, self.settings["alpha"])
        if self.name == "lints":
            return exploration.thompson(scores.mean, scores.deviation * self.settings["alpha"])
        return exploration.greedy(scores.mean)

    def _own_scores(self, seen: _Seen, field: _Field, parts: dict[str, Tensor]) -> Scores:
        squared = seen.length * seen.length
        untrained = squared / self.settings["ridge"]
        models = [self._models.get(candidate.id) for candidate in field.candidates]
        parts["own"] = self._tensor([0.0 if m is None else m.mean(seen.x) for m in models])
        variance = [untrained if m is None else m.variance(seen.x, squared) for m in models]
        return Scores(parts, self._tensor(variance).sqrt_())

    def _shared_scores(self, seen: _Seen, field: _Field, parts: dict[str, Tensor]) -> Scores:
        z = self._products(seen, field)
        model = self._models.get(_SHARED)
        if model is None:
            parts["shared"] = torch.zeros(len(z), dtype=torch.float64, device=self.device)
            covariance = z @ z.T / self.settings["ridge"]
        else:
            parts["shared"] = torch.mv(z, model.theta)
            covariance = model.covariance(z)
        return Scores(parts, covariance.diagonal().clamp_min(0.0).sqrt(), covariance)

    def _products(self, seen: _Seen, field: _Field) -> Tensor:
        """Multiply unit vectors elementwise to z (k, d); its rows sum to the cosines."""
        if field.units is None or not bool(field.known.all()):
            names = [c.id for c in field.candidates if c.vector is None]
            raise InvalidInput(f'parts="shared": the candidates {names[:3]} carry no vector, which it needs')
        self._match_dimensions(seen, field.units)
        return field.units * seen.unit

    def _prior(self, seen: _Seen, field: _Field) -> dict[str, Tensor]:
        slope, intercept = self.settings["prior_slope"], self.settings["prior_intercept"]
        prior = field.known * intercept
        if field.units is not None and slope:
            self._match_dimensions(seen, field.units)
            prior = prior.add_(torch.mv(field.units, seen.unit), alpha=slope)
        for index, candidate in enumerate(field.candidates):
            if candidate.prior is not None:
                prior[index] = _given(candidate)
        parts = {"prior": prior}
        if self.settings["prior_match"]:
            parts["match"] = self._match(seen, field)
        return parts

    def _match(self, seen: _Seen, field: _Field) -> Tensor:
        products = [
            sum(value * candidate.features.get(name, 0.0) for name, value in seen.features.items())
            for candidate in field.candidates
        ]
        scale: float = self.settings["prior_match"]
        match = self._tensor(products).mul_(scale)
        if not bool(torch.isfinite(match).all()):
            raise InvalidInput("features: the match of context and candidates is not finite")
        return match

    # learning

    def revise(
        self,
        context: Context,
        candidate: Candidate,
        *,
        old: Reward | None,
        new: Reward | None,
        at: float = 0.0,  # noqa: ARG002
        offer: Offer | None = None,  # noqa: ARG002
    ) -> None:
        """A += (w' - w) x x^T and b += (w' r' - w r) x, where r is the reward less the prior.

        Exact: the state is as if `new` had been learned in the first place.
        """
        seen, field = self._see(context), self._prepare((candidate,))
        prior = sum(float(part) for part in self._prior(seen, field).values())
        shared = self.settings["parts"] == "shared"
        x = self._products(seen, field)[0] if shared else seen.x
        before, after = _weight(old), _weight(new)
        response = after * (_value(new) - prior) - before * (_value(old) - prior)
        if not math.isfinite(response):
            raise InvalidInput(f"reward: {new or old} is too large to learn from")
        key = _SHARED if shared else candidate.id
        model = self._models.get(key)
        if model is None:
            if after == before == 0.0:
                return
            model = Gaussian(x.numel(), self.settings["ridge"], self.device)
        model.update(x, after - before, response)
        self._models[key] = model
        self.dimension = seen.x.numel()

    # state

    def state_dict(self) -> dict[str, Tensor]:
        """Give rows, factors and dense triangles of each model, ready for safetensors, and what they mean."""
        meaning = {name: self.settings[name] for name in _MEANING}
        header = {"models": list(self._models), "dimension": self.dimension, "settings": meaning}
        state = {"header": torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)}
        for index, model in enumerate(self._models.values()):
            for name, value in model.state().items():
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
        models = {}
        for index, name in enumerate(names):
            missing = [part for part in _STATE if f"{index}.{part}" not in state]
            if missing:
                raise InvalidInput(f"state: {', '.join(missing)} missing for {name!r}")
            own = {part: state[f"{index}.{part}"] for part in _STATE}
            models[name] = Gaussian.from_state(own, self.settings["ridge"], self.device)
        self.dimension, self._models = header["dimension"], models

    def sums(self) -> dict[str, Tensor]:
        """Per model, its weight of evidence sum w x x^T (d, d) and its response sum w r x (d,)."""
        found = {}
        for name, model in self._models.items():
            prior = torch.eye(model.dimension, dtype=torch.float64, device=self.device) * model.ridge
            found[f"{name}/evidence"] = model.precision - prior
            found[f"{name}/response"] = model.response.clone()
        return found

    def clone(self) -> LinearLearner:
        """Copy the learner: what either learns later, the other does not know."""
        twin = LinearLearner(self.name, dict(self.settings))
        twin.load_state_dict(self.state_dict())
        return twin

    # making ready

    def _see(self, context: Context) -> _Seen:
        x, length = self._vector(context.vector, "context vector")
        if self.dimension is not None and x.numel() != self.dimension:
            raise InvalidInput(f"context vector: {x.numel()} numbers, but {self.dimension} were learned from")
        return _Seen(x, length, context.features)

    def _prepare(self, candidates: Sequence[Candidate]) -> _Field:
        """Convert candidates, or recall the conversion of the very same ones, or of one among them."""
        last = self._field
        if last and len(last.candidates) == len(candidates) and all(map(is_, last.candidates, candidates)):
            return last
        if last and len(candidates) == 1:
            for i, candidate in enumerate(last.candidates):
                if candidate is candidates[0]:
                    units = None if last.units is None else last.units[i : i + 1]
                    return _Field((candidate,), units, last.known[i : i + 1])
        self._field = self._convert(candidates)
        return self._field

    def _convert(self, candidates: Sequence[Candidate]) -> _Field:
        units: list[Tensor | None] = []
        for candidate in candidates:
            if candidate.vector is None:
                units.append(None)
            else:
                vector, length = self._vector(candidate.vector, f"vector of candidate {candidate.id!r}")
                units.append(vector / length if length else vector)
        return _Field(tuple(candidates), self._stack(units, candidates), self._known(units))

    def _stack(self, units: list[Tensor | None], candidates: Sequence[Candidate]) -> Tensor | None:
        sizes = {unit.numel(): c.id for unit, c in zip(units, candidates, strict=True) if unit is not None}
        if not sizes:
            return None
        if len(sizes) > 1:
            detail = ", ".join(f"{size} in {name!r}" for size, name in sizes.items())
            raise InvalidInput(f"candidate vectors: of different lengths ({detail})")
        zero = torch.zeros(next(iter(sizes)), dtype=torch.float64, device=self.device)
        return torch.stack([zero if unit is None else unit for unit in units])

    def _known(self, units: list[Tensor | None]) -> Tensor:
        return self._tensor([float(unit is not None) for unit in units])

    def _tensor(self, numbers: list[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self.device)

    def _match_dimensions(self, seen: _Seen, units: Tensor) -> None:
        if units.shape[1] != seen.x.numel():
            detail = f"{units.shape[1]} numbers, the context vector {seen.x.numel()}"
            raise InvalidInput(f"candidate vectors: {detail}; a cosine needs the same")

    def _vector(self, vector: Vector, what: str) -> tuple[Tensor, float]:
        """Convert to (d,) float64 and its length. A copy, so that nothing outside can change it."""
        try:
            if isinstance(vector, Tensor):
                x = vector.detach().to(self.device, torch.float64, copy=True)
            else:
                x = torch.tensor(vector, dtype=torch.float64, device=self.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput(f"{what}: not a sequence of numbers ({error})") from error
        if x.dim() != 1 or x.numel() == 0:
            raise InvalidInput(f"{what}: shape {tuple(x.shape)}, expected (d,)")
        squared = float(torch.dot(x, x))
        if not math.isfinite(squared):
            raise InvalidInput(f"{what}: holds a number that is not finite or too large")
        return x, math.sqrt(squared)


def _given(candidate: Candidate) -> float:
    if candidate.prior is None or not math.isfinite(candidate.prior):
        raise InvalidInput(f"prior of candidate {candidate.id!r}: {candidate.prior!r} is not a finite number")
    return candidate.prior


def _weight(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.weight


def _value(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.value


def _select(scores: Scores, where: Tensor) -> Scores:
    covariance = None if scores.covariance is None else scores.covariance[where][:, where]
    parts = {name: part[where] for name, part in scores.parts.items()}
    return Scores(parts, scores.deviation[where], covariance)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device: 'cuda' was asked for, but there is none")
    return torch.device(name)
