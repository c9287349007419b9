"""Disjoint models: each candidate has a posterior of its own over what rewards add to the prior (Li et al. 2010).

A candidate with a lineage has one for each name in it. The last says what is uncertain; its mean begins at that of the
one before: the mean is m_1(x) + m_2(x) + ..., where m_i is learned from the rewards under the i-th name less what
m_1 to m_{i-1} say of them now. All that is kept are sums by name, so they hang on no order, and where a reward under an
earlier name changes, all that began there follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from policies.features import FeatureMap, Point, Seen
from policies.posterior import Posterior, Prediction, Shape, parts_of
from policies.prior import Field
from policies.types import Candidate, Scores


class Disjoint:
    """A posterior for each candidate, by name. Contexts are the points at which it is asked."""

    def __init__(self, shape: Shape, features: FeatureMap) -> None:
        self._shape, self._features = shape, features
        self._models: dict[str, Posterior] = {}
        self._beyond: dict[tuple[str, ...], tuple[int, list[Posterior]]] = {}  # by lineage, as of a step

    def score(self, seen: Seen, field: Field, parts: dict[str, Tensor], *, step: int) -> Scores:
        """Add what was learned of each candidate to the parts of the prior."""
        point = seen.point
        untrained = Prediction(parts_of(0.0, point.x[:0], point, self._shape.degree), self._shape.prior_variance(point))
        found = [self._predict(candidate, point, untrained, step) for candidate in field.candidates]
        for name in untrained.parts:
            parts[name] = self._tensor([prediction.parts[name] for prediction in found])
        return Scores(parts, self._tensor([prediction.variance for prediction in found]).sqrt_())

    def _predict(self, candidate: Candidate, point: Point, untrained: Prediction, step: int) -> Prediction:
        if len(candidate.lineage) < 2:
            model = self._models.get(name_of(candidate))
            return untrained if model is None else model.at(step).predict(point)
        found = [model.predict(point) for model in self._succession(candidate.lineage, step)]
        summed = {name: math.fsum(prediction.parts[name] for prediction in found) for name in untrained.parts}
        own = candidate.lineage[-1] in self._models
        return Prediction(summed, found[-1].variance if own else untrained.variance)

    def _succession(self, lineage: tuple[str, ...], step: int) -> list[Posterior]:
        """What each name of a lineage that has learned adds to those before it, as of a step."""
        kept = self._beyond.get(lineage)
        if kept is None or kept[0] != step:
            terms: list[Posterior] = []
            for model in (self._models[name].at(step) for name in lineage if name in self._models):
                terms.append(model.beyond(terms, self._features.spans) if terms else model)
            kept = self._beyond[lineage] = (step, terms)
        return kept[1]

    def update(self, seen: Seen, field: Field, *, weight: float, response: float, step: int) -> None:
        """Add to what was learned of the field's one candidate; an observation of an earlier step has faded."""
        name = name_of(field.candidates[0])
        model = self._models.get(name)
        if model is None:
            if weight == response == 0.0:
                return
            model = Posterior(self._shape, step)
        model.learn(seen.point, weight=weight, response=response, step=step, layout=self._features.spans)
        self._models[name] = model
        for lineage in [lineage for lineage in self._beyond if name in lineage]:
            del self._beyond[lineage]

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copy all numbers, model by model."""
        return {id: model.state() for id, model in self._models.items()}

    def load(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave, bit for bit. Raises KeyError where a part is missing."""
        self._models = {id: Posterior.from_state(state, self._shape) for id, state in states.items()}
        self._beyond.clear()

    def discount(self, factor: float) -> None:
        """Multiply every weight by a factor in (0, 1]."""
        for model in self._models.values():
            model.discount(factor)
        self._beyond.clear()

    def sums(self, step: int) -> dict[str, Tensor]:
        """Per candidate, the sums of w x x^T and of w r x as they stand at a step."""
        return {f"{id}/{name}": total for id, m in self._models.items() for name, total in m.sums(step).items()}

    def _tensor(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self._shape.device)


def name_of(candidate: Candidate) -> str:
    """The name under which what a candidate earns is learned."""
    return candidate.lineage[-1] if candidate.lineage else candidate.id
