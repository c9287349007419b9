"""A shared model: one posterior for all candidates, over what context and candidate have in common (Li et al. 2010)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from policies.features import Point, Seen, key_of
from policies.posterior import Posterior, Shape
from policies.prior import Field
from policies.types import InvalidInput, Scores

_NAME, _BLOCK = "shared", ""


class Shared:
    """One linear posterior, asked at z: what `common` gives of a context and k candidates, (k, q)."""

    def __init__(self, shape: Shape, common: Callable[[Seen, Field], Tensor]) -> None:
        self._shape, self._common = Shape(1, shape.ridge, shape.device), common
        self._model: Posterior | None = None

    def score(self, seen: Seen, field: Field, parts: dict[str, Tensor], *, step: int) -> Scores:
        """Add what was learned of all candidates to the parts of the prior.

        Raises InvalidInput where a candidate has no vector: nothing would tell it from the others.
        """
        bare = [c.id for c in field.candidates if c.vector is None]
        if bare:
            raise InvalidInput(f'parts="shared": the candidates {bare[:3]} carry no vector, which it needs')
        z = self._common(seen, field)
        model = Posterior(self._shape, step) if self._model is None else self._model.at(step)
        parts["shared"] = model.means(z)
        covariance = model.covariance(z)
        return Scores(parts, covariance.diagonal().clamp_min(0.0).sqrt(), covariance)

    def update(self, seen: Seen, field: Field, *, weight: float, response: float, step: int) -> None:
        """Add to what was learned, at the field's one candidate; an observation of an earlier step has faded."""
        if self._model is None and weight == response == 0.0:
            return
        model = self._model or Posterior(self._shape, step)
        model.learn(_point(self._common(seen, field)[0]), weight=weight, response=response, step=step, layout={})
        self._model = model

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copy all numbers of the one model."""
        return {} if self._model is None else {_NAME: self._model.state()}

    def load(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave, bit for bit. Raises KeyError where a part is missing."""
        self._model = Posterior.from_state(states[_NAME], self._shape) if states else None

    def discount(self, factor: float) -> None:
        """Multiply every weight by a factor in (0, 1]."""
        if self._model is not None:
            self._model.discount(factor)

    def sums(self, step: int) -> dict[str, Tensor]:
        """The sums of w z z^T and of w r z as they stand at a step."""
        return {} if self._model is None else self._model.sums(step)


def _point(z: Tensor) -> Point:
    """What is common, z (q,), as a point of one block."""
    norm = float(torch.linalg.vector_norm(z))
    return Point(z, norm, {_BLOCK: (0, z.numel())}, key_of({_BLOCK: z}))
