"""Hybrid models: a shared model and one of each candidate's own, learned together (Li et al. 2010, algorithm 2).

The score is `prior + z.beta + f_a(x)`, with independent priors on beta and on each f_a. With every f_a integrated out,
an observation of weight w at (z, x) is one of beta at u = z - Z^T P k(x) with the weight w / (1 + w var_a(x)), where
Z, P and k are those of the candidate's rows before it (a Schur complement of the joint precision). So both posteriors
are exact, and each reward costs one rank-one step in each. Own models stay Gaussian processes, whose cost grows with
the square of the distinct contexts that a candidate was chosen in. They are kept by id: of a candidate's lineage they
know nothing, so that new words inherit all that was learned of the old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from policies.features import Point, Seen, key_of
from policies.gaussian import Gaussian
from policies.kernel import KernelPosterior, Projection
from policies.posterior import Forgetting, Shape, parts_of
from policies.prior import Field
from policies.types import Scores

_SHARED, _OWN = "shared", "own:"


class _View(NamedTuple):
    """A candidate at a point: its own projection, and u (d,), what of z its own rows do not explain."""

    own: Projection
    u: Tensor
    explained: Tensor


class Hybrid:
    """One posterior over beta for all candidates, and a Gaussian process for each.

    z is what `common` gives of a context and k candidates, (k, q).
    """

    def __init__(self, shape: Shape, common: Callable[[Seen, Field], Tensor]) -> None:
        self._shape, self._common = shape, common
        self._own: dict[str, KernelPosterior] = {}
        self._shared: Gaussian | None = None
        self._step: int | None = None
        self._aged: Hybrid | None = None

    def score(self, seen: Seen, field: Field, parts: dict[str, Tensor], *, step: int) -> Scores:
        """Add what was learned of all candidates, and of each, to the parts of the prior."""
        z, point = self._common(seen, field), seen.point
        models = self._at(step)
        shared = models._shared or Gaussian(z.shape[1], self._shape.ridge, self._shape.device)
        views = [models._view(candidate.id, point, row) for candidate, row in zip(field.candidates, z, strict=True)]
        parts["shared"] = torch.mv(z, shared.theta)
        own = [
            models._own_parts(c.id, view, point, shared.theta) for c, view in zip(field.candidates, views, strict=True)
        ]
        for name in own[0]:
            parts[name] = self._tensor([part[name] for part in own])
        covariance = shared.covariance(torch.stack([view.u for view in views]))
        covariance.diagonal().add_(self._tensor([view.own.variance for view in views]))
        return Scores(parts, covariance.diagonal().clamp_min(0.0).sqrt(), covariance)

    def update(self, seen: Seen, field: Field, *, weight: float, response: float, step: int) -> None:
        """Add to what was learned, at the field's one candidate; an observation of an earlier step has faded."""
        z = self._common(seen, field)[0]
        if self._step is not None and step > self._step:
            self._advance(step)
        now = step if self._step is None else self._step
        faded = Forgetting.factor(now - step)
        weight, response = weight * faded, response * faded
        id = field.candidates[0].id
        own = self._own.get(id) or KernelPosterior(self._shape.degree, self._shape.ridge, self._shape.device)
        # Another version of a candidate has another z at the same x: a row of its own.
        point = Point(seen.point.x, seen.point.norm, seen.point.spans, key_of({"x": _bytes(seen.point.key), "z": z}))
        view = self._view(id, point, z)
        own.update(point, weight=weight, response=response, companion=z)
        if not len(own) and id not in self._own:
            return
        self._own[id], self._step, self._aged = own, now, None
        inflated = 1.0 + weight * view.own.variance
        if self._shared is None:
            self._shared = Gaussian(z.numel(), self._shape.ridge, self._shape.device)
        self._shared.update(view.u, weight / inflated, (response - weight * view.own.mean) / inflated)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copy all numbers, model by model."""
        if self._shared is None or self._step is None:
            return {}
        own = {_OWN + id: model.state() for id, model in self._own.items()}
        return {_SHARED: {**self._shared.state(), "step": torch.tensor([self._step])}, **own}

    def load(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave, bit for bit. Raises KeyError where a part is missing."""
        shape, shared = self._shape, states.get(_SHARED)
        own = {
            name.removeprefix(_OWN): KernelPosterior.from_state(state, shape.degree, shape.ridge, shape.device)
            for name, state in states.items()
            if name != _SHARED
        }
        gaussian = None if shared is None else Gaussian.from_state(shared, shape.ridge, shape.device)
        self._step = None if shared is None else int(shared["step"])
        self._own, self._shared, self._aged = own, gaussian, None

    def discount(self, factor: float) -> None:
        """Multiply every weight by a factor in (0, 1]."""
        for model in self._own.values():
            model.discount(factor)
        if self._shared is not None:
            self._shared = self._marginal(self._shared.dimension)
        self._aged = None

    def sums(self, step: int) -> dict[str, Tensor]:
        """Per candidate, the sums of w x x^T, w x z^T and w r x as they stand at a step."""
        faded = 1.0 if self._step is None else Forgetting.factor(max(step - self._step, 0))
        found = {}
        for id, model in self._own.items():
            weighted = model.rows * model.weights[:, None]
            found[f"{id}/evidence"] = model.rows.T @ weighted * faded
            found[f"{id}/cross"] = weighted.T @ model.companions * faded
            found[f"{id}/response"] = model.rows.T @ model.responses * faded
        return found

    def _view(self, id: str, point: Point, z: Tensor) -> _View:
        own = self._own.get(id)
        if own is None or not len(own):
            variance = self._shape.prior_variance(point)
            return _View(Projection(z[:0], z[:0], 0.0, variance), z, torch.zeros_like(z))
        projection = own.project(point)
        explained = torch.mv(own.companions.T, projection.solved)
        return _View(projection, z - explained, explained)

    def _own_parts(self, id: str, view: _View, point: Point, beta: Tensor) -> dict[str, float]:
        """What f_a adds: its mean given beta, which its own rows were partly explained by."""
        mean = view.own.mean - float(torch.dot(view.explained, beta))
        own = self._own.get(id)
        theta = None
        if len(point.spans) > 1:
            theta = point.x[:0]
            if own is not None and len(own):
                given = own.coefficients - torch.mv(own.inverse, torch.mv(own.companions, beta))
                theta = own.linear(given)
        return parts_of(mean, theta, point, self._shape.degree)

    def _at(self, step: int) -> Hybrid:
        if self._step is None or step <= self._step:
            return self
        if self._aged is None or self._aged._step != step:
            aged = Hybrid(self._shape, self._common)
            aged.load(self.state())
            aged._advance(step)
            self._aged = aged
        return self._aged

    def _advance(self, step: int) -> None:
        assert self._step is not None
        self.discount(Forgetting.factor(step - self._step))
        self._step = step

    def _marginal(self, dimension: int) -> Gaussian:
        """The posterior over beta from the own models' rows: ridge I + sum_a Z^T P Z, and sum_a Z^T coefficients."""
        gaussian = Gaussian(dimension, self._shape.ridge, self._shape.device)
        precision, response = gaussian.precision, gaussian.response
        for model in self._own.values():
            if len(model):
                precision = precision + model.companions.T @ model.inverse @ model.companions
                response = response + model.companions.T @ model.coefficients
        gaussian.replace(precision, response)
        return gaussian

    def _tensor(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self._shape.device)


def _bytes(key: bytes) -> Tensor:
    return torch.tensor(list(key), dtype=torch.uint8)
