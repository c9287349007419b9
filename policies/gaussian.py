"""The posterior of a linear model with Gaussian noise and a Gaussian prior, kept exactly in float64.

Precision A = ridge I + sum w x x^T and response b = sum w r x are the truth; the estimate is theta = A^-1 b
and the variance of x.theta is x^T A^-1 x. A^-1 is served as `base - sum_j s_j f_j f_j^T`, where each
observation adds one factor f = A^-1 x sqrt(|w| / |1 + w x^T A^-1 x|) (Sherman and Morrison 1950) with sign s
of its weight. The base is I / ridge, which needs no storage, until factors fill half a matrix; then it is a
dense matrix, into which factors are absorbed in blocks. So a model with m observations costs m x d numbers,
not d x d, and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from policies.types import InvalidInput

#: factors kept beside a dense base before they are absorbed: one product of (64, d) costs less than 64
#: rank-ones.
BLOCK = 64
#: blocks absorbed by subtraction before the base is made afresh from A by Cholesky, which removes rounding.
BLOCKS_BETWEEN_REFACTORS = 16
#: a downdate with 1 + w x^T A^-1 x below this loses digits by cancellation: A is refactored instead.
ILL_CONDITIONED = 1e-3


class Gaussian:
    """One posterior over theta (d,), independent of the order of its observations.

    theta (d,) is the estimate A^-1 b; response (d,) is b.
    """

    def __init__(self, dimension: int, ridge: float, device: torch.device) -> None:
        self.dimension, self.ridge, self.device = dimension, ridge, device
        self.theta = self._zeros(dimension)
        self.response = self._zeros(dimension)
        self._clear_rows()
        self._base_precision: Tensor | None = None
        self._base: Tensor | None = None
        self._absorbed = 0

    @property
    def precision(self) -> Tensor:
        """A (d, d), exact up to rounding."""
        if self._base_precision is None:
            base = torch.eye(self.dimension, dtype=torch.float64, device=self.device) * self.ridge
        else:
            base = self._base_precision
        rows = self.rows
        return torch.addmm(base, rows.T, rows * self.weights[:, None])

    @property
    def rows(self) -> Tensor:
        """The observations (m, d) since the base was made."""
        return self._rows[: self._count]

    @property
    def weights(self) -> Tensor:
        """Their weights (m,); a negative one takes an observation back."""
        return self._weights[: self._count]

    def variance(self, x: Tensor) -> Tensor:
        """x^T A^-1 x, a scalar >= 0, for x (d,)."""
        base = torch.dot(x, x) / self.ridge if self._base is None else torch.dot(torch.mv(self._base, x), x)
        if self._count:
            projected = torch.mv(self._factors[: self._count], x)
            base = base - torch.dot(projected * self._signs[: self._count], projected)
        return base

    def covariance(self, z: Tensor) -> Tensor:
        """Z A^-1 Z^T (k, k) for Z (k, d)."""
        base = z @ z.T / self.ridge if self._base is None else z @ self._base @ z.T
        if self._count:
            projected = z @ self._factors[: self._count].T
            base = base - (projected * self._signs[: self._count]) @ projected.T
        return (base + base.T) / 2

    def solve(self, x: Tensor) -> Tensor:
        """A^-1 x (d,) for x (d,)."""
        base = x / self.ridge if self._base is None else torch.mv(self._base, x)
        if self._count:
            factors = self._factors[: self._count]
            base = torch.addmv(base, factors.T, torch.mv(factors, x) * self._signs[: self._count], alpha=-1.0)
        return base

    def update(self, x: Tensor, weight: float, response: float) -> None:
        """A += weight x x^T; b += response x. A negative weight takes an observation back.

        Raises InvalidInput, with nothing changed, if it takes back more than was ever learned.
        """
        solved = self.solve(x)
        denominator = 1.0 + weight * float(torch.dot(solved, x))
        if denominator < ILL_CONDITIONED:
            self._refactor(self.precision.addr_(x, x, alpha=weight))
            self.response.add_(x, alpha=response)
            self.theta = torch.mv(self._base_or_fail(), self.response)
            return
        gain = (response - weight * float(torch.dot(self.theta, x))) / denominator
        self.response.add_(x, alpha=response)
        self.theta.add_(solved, alpha=gain)
        if weight != 0.0:
            self._append(x, solved.mul_((abs(weight) / denominator) ** 0.5), weight)

    def state(self) -> dict[str, Tensor]:
        """Copy all numbers; the two dense matrices as packed upper triangles, empty while there are none."""
        i, j = torch.triu_indices(self.dimension, self.dimension, device=self.device)
        empty = self._zeros(0)
        return {
            "theta": self.theta.clone(),
            "response": self.response.clone(),
            "rows": self.rows.clone(),
            "weights": self.weights.clone(),
            "factors": self._factors[: self._count].clone(),
            "precision": empty if self._base_precision is None else self._base_precision[i, j],
            "base": empty if self._base is None else self._base[i, j],
            "absorbed": torch.tensor([self._absorbed]),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], ridge: float, device: torch.device) -> Gaussian:
        """The inverse of `state`, bit for bit."""
        self = cls(state["theta"].numel(), ridge, device)
        self.theta.copy_(state["theta"])
        self.response.copy_(state["response"])
        for row, factor, weight in zip(state["rows"], state["factors"], state["weights"].tolist(), strict=True):
            self._reserve()
            self._write(row, factor, weight)
        if state["base"].numel():
            self._base_precision = self._unpack(state["precision"])
            self._base = self._unpack(state["base"])
        self._absorbed = int(state["absorbed"])
        return self

    def _append(self, x: Tensor, factor: Tensor, weight: float) -> None:
        self._reserve()
        self._write(x, factor, weight)
        limit = max(BLOCK, self.dimension // 2) if self._base is None else BLOCK
        if self._count >= limit:
            self._absorb()

    def _absorb(self) -> None:
        """Move the rows into A and the factors into the base, by blocks."""
        precision = _symmetric(self.precision)
        if self._base is None or self._absorbed >= BLOCKS_BETWEEN_REFACTORS:
            self._refactor(precision)
            self.theta = torch.mv(self._base_or_fail(), self.response)
            return
        factors = self._factors[: self._count]
        self._base.addmm_(factors.T, factors * self._signs[: self._count, None], alpha=-1.0)
        self._base = _symmetric(self._base)
        self._base_precision = precision
        self._absorbed += 1
        self._clear_rows()

    def _refactor(self, precision: Tensor) -> None:
        factor, failed = torch.linalg.cholesky_ex(precision)
        if int(failed):
            raise InvalidInput("revise: takes back more than was learned (the precision is no longer positive)")
        self._base_precision = precision
        self._base = _symmetric(torch.cholesky_inverse(factor))
        self._absorbed = 0
        self._clear_rows()

    def _base_or_fail(self) -> Tensor:
        assert self._base is not None
        return self._base

    def _clear_rows(self) -> None:
        self._count = 0
        self._rows = self._zeros(0, self.dimension)
        self._factors = self._zeros(0, self.dimension)
        self._weights = self._zeros(0)
        self._signs = self._zeros(0)

    def _reserve(self) -> None:
        """Room for one more row, doubling, so that n rows cost n copies on average."""
        if self._count < len(self._weights):
            return
        more = max(4, self._count)
        self._rows = torch.cat([self._rows, self._zeros(more, self.dimension)])
        self._factors = torch.cat([self._factors, self._zeros(more, self.dimension)])
        self._weights = torch.cat([self._weights, self._zeros(more)])
        self._signs = torch.cat([self._signs, self._zeros(more)])

    def _write(self, row: Tensor, factor: Tensor, weight: float) -> None:
        at = self._count
        self._rows[at] = row
        self._factors[at] = factor
        self._weights[at] = weight
        self._signs[at] = 1.0 if weight > 0.0 else -1.0
        self._count += 1

    def _unpack(self, triangle: Tensor) -> Tensor:
        i, j = torch.triu_indices(self.dimension, self.dimension, device=self.device)
        matrix = self._zeros(self.dimension, self.dimension)
        matrix[i, j] = triangle.to(self.device)
        matrix[j, i] = triangle.to(self.device)
        return matrix

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)


def _symmetric(matrix: Tensor) -> Tensor:
    """Exactly symmetric: x + y == y + x in floating point, so both halves get the same bits."""
    return (matrix + matrix.T).mul_(0.5)
