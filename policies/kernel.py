"""A Gaussian process over contexts: the posterior of one candidate's reward from few observations, exactly.

The prior is f ~ GP(0, k / ridge) with k(x, y) = |x| |y| sum_p cos(x, y)^p for p = 1 to `degree`; an observation of
weight w has noise 1 / w. Degree 1 is Bayesian linear regression with the prior precision `ridge`; higher degrees
see what goes together in a context (Rasmussen and Williams 2006, chapter 2). Observations of one and the same x are
one row with their weights added, which is exact and keeps rows few. Served from P = (K + W^-1)^-1, kept by rank-one
steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from policies.features import Point
from policies.types import InvalidInput

#: rank-one steps after which P is made afresh from the rows, which removes what rounding has left.
STEPS_BETWEEN_REFACTORS = 512
#: a row of less weight than this knows nothing any more.
NOTHING = 1e-12


class Projection(NamedTuple):
    """A point x against m rows: k(x, rows) (m,), P k (m,), mean and variance of f(x)."""

    kernel: Tensor
    solved: Tensor
    mean: float
    variance: float


class KernelPosterior:
    """One posterior, independent of the order of its observations, of up to some thousand distinct contexts.

    Beside each row a companion z (q,) may be kept, from which a shared model learns (`policies.shared`).
    """

    def __init__(self, degree: int, ridge: float, device: torch.device) -> None:
        self.degree, self.ridge, self.device = degree, ridge, device
        self.keys: list[bytes] = []
        self._place: dict[bytes, int] = {}
        self._steps = 0
        self._rows = self._zeros(0, 0)
        self._companions = self._zeros(0, 0)
        self._norms, self._weights, self._responses = self._zeros(0), self._zeros(0), self._zeros(0)
        self._inverse = self._zeros(0, 0)
        self.coefficients = self._zeros(0)
        self._theta: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def rows(self) -> Tensor:
        """X (m, D): the distinct contexts."""
        return self._rows[: len(self)]

    @property
    def companions(self) -> Tensor:
        """Z (m, q)."""
        return self._companions[: len(self)]

    @property
    def weights(self) -> Tensor:
        """W (m,): how much was observed at each row."""
        return self._weights[: len(self)]

    @property
    def responses(self) -> Tensor:
        """(m,): the sum of weight times reward at each row."""
        return self._responses[: len(self)]

    @property
    def inverse(self) -> Tensor:
        """P (m, m)."""
        return self._inverse[: len(self), : len(self)]

    def project(self, point: Point) -> Projection:
        """Predict f at a point."""
        prior = self.degree * point.norm * point.norm / self.ridge
        if not self.keys:
            return Projection(self._zeros(0), self._zeros(0), 0.0, prior)
        kernel = self.kernel(self._products(point.x), self._norms[: len(self)] * point.norm)
        solved = torch.mv(self.inverse, kernel)
        mean = float(torch.dot(self.coefficients, kernel))
        return Projection(kernel, solved, mean, max(prior - float(torch.dot(solved, kernel)), 0.0))

    def linear(self, coefficients: Tensor) -> Tensor:
        """The weights (D,) of the linear term of the function that has these coefficients (m,) at the rows."""
        return torch.mv(self.rows.T, coefficients) / self.ridge

    def means(self, x: Tensor) -> Tensor:
        """The means (n,) of f at X (n, D); what either has beyond the width of the other is 0."""
        width = min(x.shape[1], self._rows.shape[1])
        norms = torch.outer(torch.linalg.vector_norm(x, dim=1), self._norms[: len(self)])
        return self.kernel(x[:, :width] @ self.rows[:, :width].T, norms) @ self.coefficients

    def beyond(self, means: Tensor) -> KernelPosterior:
        """The same rows, of whose rewards others explain `means` (m,); to be asked only, and not kept."""
        twin = copy.copy(self)
        twin._responses = self._responses.clone()
        twin._responses[: len(self)] -= self.weights * means
        twin._solve()
        return twin

    @property
    def theta(self) -> Tensor:
        """The weights (D,) of the linear term of f: made when first asked for after something was learned."""
        if self._theta is None:
            self._theta = self.linear(self.coefficients)
        return self._theta

    def covariance(self, x: Tensor) -> Tensor:
        """The posterior covariance (n, n) of f at X (n, D)."""
        norms = torch.linalg.vector_norm(x, dim=1)
        prior = self.kernel(x @ x.T, norms[:, None] * norms)
        if not self.keys:
            return prior
        width = self._rows.shape[1]
        kernel = self.kernel(x[:, :width] @ self.rows.T, norms[:, None] * self._norms[: len(self)])
        covariance = prior - kernel @ self.inverse @ kernel.T
        return (covariance + covariance.T) * 0.5

    def kernel(self, products: Tensor, norms: Tensor) -> Tensor:
        """Compute k / ridge of inner products and products of lengths, of any one shape."""
        if self.degree == 1:
            return products / self.ridge
        cosine = products / norms.clamp_min(torch.finfo(torch.float64).tiny)
        total = cosine.clone()
        for _ in range(self.degree - 1):
            total.add_(1.0).mul_(cosine)
        return total.mul_(norms / self.ridge)

    def update(self, point: Point, *, weight: float, response: float, companion: Tensor | None = None) -> None:
        """Add to the weight and the response (weight times reward) at a point.

        Raises InvalidInput, with nothing changed, if it takes back more than was ever learned.
        """
        place = self._place.get(point.key)
        if place is None:
            if weight < 0.0:
                raise InvalidInput("revise: takes back more than was learned (nothing was learned in this context)")
            if weight == 0.0:
                return
            self._append(point, weight, response, companion)
        else:
            self._reweigh(place, weight, response)
        self._steps += 1
        if self._steps >= STEPS_BETWEEN_REFACTORS:
            self.refactor()
        self._solve()

    def discount(self, factor: float) -> None:
        """Multiply every weight and response by a factor in (0, 1]; rows that know nothing any more go."""
        self._weights.mul_(factor)
        self._responses.mul_(factor)
        kept = (self.weights >= NOTHING).nonzero().squeeze(1)
        if len(kept) < len(self):
            self._keep(kept)
        self.refactor()
        self._solve()

    def refactor(self) -> None:
        """Make P afresh from the rows. Raises InvalidInput, with nothing changed, where that is not possible."""
        m = len(self)
        norms = self._norms[:m]
        matrix = self.kernel(self.rows @ self.rows.T, norms[:, None] * norms)
        matrix.diagonal().add_(1.0 / self.weights)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed):
            raise InvalidInput("learn: the weights differ too much to be told apart in float64")
        inverse = torch.cholesky_inverse(factor)
        self._inverse[:m, :m] = (inverse + inverse.T) * 0.5
        self._steps = 0

    def state(self) -> dict[str, Tensor]:
        """Copy all numbers."""
        keys = torch.tensor(list(b"".join(self.keys)), dtype=torch.uint8)
        return {
            "keys": keys,
            "rows": self.rows.clone(),
            "companions": self.companions.clone(),
            "weights": self.weights.clone(),
            "responses": self.responses.clone(),
            "inverse": self.inverse.clone(),
            "norms": self._norms[: len(self)].clone(),
            # How storage is laid out decides the order of sums, and so the last bits.
            "counters": torch.tensor([self._steps, len(self._weights)]),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], degree: int, ridge: float, device: torch.device
    ) -> KernelPosterior:
        """Make a posterior of what `state` gave, bit for bit."""
        self = cls(degree, ridge, device)
        keys = bytes(state["keys"].tolist())
        self.keys = [keys[start : start + 16] for start in range(0, len(keys), 16)]
        self._place = {key: place for place, key in enumerate(self.keys)}
        own = {name: state[name].to(device, torch.float64, copy=True) for name in _NUMBERS}
        self._steps, capacity = state["counters"].tolist()
        self._rows = self._grown(own["rows"], capacity, own["rows"].shape[1])
        self._companions = self._grown(own["companions"], capacity, own["companions"].shape[1])
        self._inverse = self._grown(own["inverse"], capacity, capacity)
        self._norms, self._weights = self._grown(own["norms"], capacity), self._grown(own["weights"], capacity)
        self._responses = self._grown(own["responses"], capacity)
        self._solve()
        return self

    def _products(self, x: Tensor) -> Tensor:
        width = self._rows.shape[1]
        return torch.mv(self.rows, x[:width])

    def _append(self, point: Point, weight: float, response: float, companion: Tensor | None) -> None:
        """Add a row: the inverse of a bordered matrix (Schur complement)."""
        m, x = len(self), point.x
        projection = self.project(point)
        schur = 1.0 / weight + projection.variance
        if not (math.isfinite(schur) and schur > 0.0):
            raise InvalidInput(f"learn: a weight of {weight:g} is too small or too large to learn from")
        self._make_room(x.numel(), 0 if companion is None else companion.numel())
        self._inverse[:m, :m].addr_(projection.solved, projection.solved, alpha=1.0 / schur)
        self._inverse[:m, m] = self._inverse[m, :m] = -projection.solved / schur
        self._inverse[m, m] = 1.0 / schur
        self._rows[m, : x.numel()] = x
        if companion is not None:
            self._companions[m] = companion
        self._norms[m], self._weights[m], self._responses[m] = point.norm, weight, response
        self._place[point.key] = m
        self.keys.append(point.key)

    def _reweigh(self, place: int, weight: float, response: float) -> None:
        before = float(self._weights[place])
        after = before + weight
        if after < -1e-9 * max(before, 1.0):
            raise InvalidInput("revise: takes back more than was learned in this context")
        if after < NOTHING * max(before, 1.0):
            self._remove(place)
            return
        if weight != 0.0:
            # The diagonal of K + W^-1 moves by 1 / after - 1 / before.
            step = 1.0 / after - 1.0 / before
            column = self.inverse[:, place].clone()
            self.inverse.addr_(column, column, alpha=-step / (1.0 + step * float(column[place])))
        self._weights[place] = after
        self._responses[place] += response

    def _remove(self, place: int) -> None:
        column = self.inverse[:, place].clone()
        self.inverse.addr_(column, column, alpha=-1.0 / float(column[place]))
        self._keep(torch.tensor([i for i in range(len(self)) if i != place], dtype=torch.long, device=self.device))

    def _keep(self, kept: Tensor) -> None:
        m = len(kept)
        self._inverse[:m, :m] = self._inverse[kept][:, kept]
        for values in (self._rows, self._companions, self._norms, self._weights, self._responses):
            values[:m] = values[kept]
        self.keys = [self.keys[i] for i in kept.tolist()]
        self._place = {key: i for i, key in enumerate(self.keys)}

    def _solve(self) -> None:
        self.coefficients = torch.mv(self.inverse, self.responses / self.weights)
        self._theta = None

    def _make_room(self, width: int, companions: int) -> None:
        m, capacity = len(self), len(self._weights)
        if m < capacity and width <= self._rows.shape[1] and companions <= self._companions.shape[1]:
            return
        capacity = max(8, 2 * m) if m >= capacity else capacity  # doubling: n rows cost n copies on average
        self._rows = self._grown(self._rows, capacity, max(width, self._rows.shape[1]))
        self._companions = self._grown(self._companions, capacity, max(companions, self._companions.shape[1]))
        self._inverse = self._grown(self._inverse, capacity, capacity)
        self._norms = self._grown(self._norms, capacity)
        self._weights = self._grown(self._weights, capacity)
        self._responses = self._grown(self._responses, capacity)

    def _grown(self, values: Tensor, *shape: int) -> Tensor:
        grown = self._zeros(*shape)
        grown[tuple(slice(size) for size in values.shape)] = values
        return grown

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)


_NUMBERS = ("rows", "companions", "norms", "weights", "responses", "inverse")
