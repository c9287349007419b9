"""Disjoint models: each candidate has a posterior of its own over what rewards add to the prior (Li et al. 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from policies.features import FeatureMap, Seen
from policies.posterior import Posterior, Prediction, Shape, parts_of
from policies.prior import Field
from policies.types import Scores


class Disjoint:
    """A posterior for each candidate, by its id. Contexts are the points at which it is asked."""

    def __init__(self, shape: Shape, features: FeatureMap) -> None:
        self._shape, self._features = shape, features
        self._models: dict[str, Posterior] = {}

    def score(self, seen: Seen, field: Field, parts: dict[str, Tensor], *, step: int) -> Scores:
        """Add what was learned of each candidate to the parts of the prior."""
        point = seen.point
        untrained = Prediction(parts_of(0.0, point.x[:0], point, self._shape.degree), self._shape.prior_variance(point))
        models = [self._models.get(candidate.id) for candidate in field.candidates]
        found = [untrained if model is None else model.at(step).predict(point) for model in models]
        for name in untrained.parts:
            parts[name] = self._tensor([prediction.parts[name] for prediction in found])
        return Scores(parts, self._tensor([prediction.variance for prediction in found]).sqrt_())

    def update(self, seen: Seen, field: Field, *, weight: float, response: float, step: int) -> None:
        """Add to what was learned of the field's one candidate; an observation of an earlier step has faded."""
        id = field.candidates[0].id
        model = self._models.get(id)
        if model is None:
            if weight == response == 0.0:
                return
            model = Posterior(self._shape, step)
        model.learn(seen.point, weight=weight, response=response, step=step, layout=self._features.spans)
        self._models[id] = model

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copy all numbers, model by model."""
        return {id: model.state() for id, model in self._models.items()}

    def load(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave, bit for bit. Raises KeyError where a part is missing."""
        self._models = {id: Posterior.from_state(state, self._shape) for id, state in states.items()}

    def discount(self, factor: float) -> None:
        """Multiply every weight by a factor in (0, 1]."""
        for model in self._models.values():
            model.discount(factor)

    def sums(self, step: int) -> dict[str, Tensor]:
        """Per candidate, the sums of w x x^T and of w r x as they stand at a step."""
        return {f"{id}/{name}": total for id, m in self._models.items() for name, total in m.sums(step).items()}

    def _tensor(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self._shape.device)
