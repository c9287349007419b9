"""The posterior of a linear model with Gaussian noise and a Gaussian prior, kept exactly in float64.

Precision A = ridge I + sum w x x^T and response b = sum w r x are the truth; the estimate is theta = A^-1 b
and the variance of x.theta is x^T A^-1 x. A^-1 is served as `base - sum_j s_j f_j f_j^T`, where each
observation adds one factor f = A^-1 x sqrt(|w| / |1 + w x^T A^-1 x|) (Sherman and Morrison 1950) with sign s
of its weight. The base is I / ridge, which needs no storage, until factors fill half a matrix; then it is a
dense matrix, into which factors are absorbed in blocks. So a model with m observations costs m x d numbers,
not d x d, and nothing is approximated.
"""

from __future__ import annotations

import math
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
        self._base_precision: Tensor | None = None
        self._base: Tensor | None = None
        self._absorbed = 0
        self._factors: Tensor
        self._clear_rows()

    @property
    def precision(self) -> Tensor:
        """A (d, d), exact up to rounding, in memory of its own."""
        if self._base_precision is None:
            base = torch.eye(self.dimension, dtype=torch.float64, device=self.device) * self.ridge
        else:
            base = self._base_precision.clone()
        if self._rows:
            rows = torch.stack(self._rows)
            base.addmm_(rows.T, rows * self._weights_tensor()[:, None])
        return _symmetric(base)

    def mean(self, x: Tensor) -> float:
        """x.theta for x (d,)."""
        return float(torch.dot(self.theta, x))

    def variance(self, x: Tensor, squared: float) -> float:
        """x^T A^-1 x >= 0 for x (d,), whose squared length is given: the caller asks many models about one x."""
        base = squared / self.ridge if self._base is None else float(torch.dot(torch.mv(self._base, x), x))
        if self._rows:
            projected = torch.mv(self._factors[: len(self._rows)], x)
            base -= float(torch.dot(self._signed(projected), projected))
        return max(base, 0.0)

    def covariance(self, z: Tensor) -> Tensor:
        """Z A^-1 Z^T (k, k) for Z (k, d)."""
        base = z @ z.T / self.ridge if self._base is None else z @ self._base @ z.T
        if self._rows:
            projected = z @ self._factors[: len(self._rows)].T
            base = base - self._signed(projected) @ projected.T
        return _symmetric(base)

    def solve(self, x: Tensor) -> Tensor:
        """A^-1 x (d,) for x (d,)."""
        base = x / self.ridge if self._base is None else torch.mv(self._base, x)
        if self._rows:
            factors = self._factors[: len(self._rows)]
            base.addmv_(factors.T, self._signed(torch.mv(factors, x)), alpha=-1.0)
        return base

    def update(self, x: Tensor, weight: float, response: float) -> None:
        """A += weight x x^T; b += response x. A negative weight takes an observation back. Keeps x (d,).

        Raises InvalidInput, with nothing changed, if it takes back more than was ever learned.
        """
        solved = self.solve(x)
        denominator = 1.0 + weight * float(torch.dot(solved, x))
        if denominator < ILL_CONDITIONED:
            self._refactor(_symmetric(self.precision.addr_(x, x, alpha=weight)))
            self.response.add_(x, alpha=response)
            self.theta = self.solve(self.response)
            return
        gain = (response - weight * self.mean(x)) / denominator
        self.response.add_(x, alpha=response)
        self.theta.add_(solved, alpha=gain)
        if weight != 0.0:
            self._append(x, solved.mul_(math.sqrt(abs(weight) / denominator)), weight)
            if len(self._rows) >= (max(BLOCK, self.dimension // 2) if self._base is None else BLOCK):
                self._absorb()

    def state(self) -> dict[str, Tensor]:
        """Copy all numbers; the two dense matrices as packed upper triangles, empty while there are none."""
        i, j = torch.triu_indices(self.dimension, self.dimension, device=self.device)
        empty = self._zeros(0)
        return {
            "theta": self.theta.clone(),
            "response": self.response.clone(),
            "rows": torch.stack(self._rows) if self._rows else self._zeros(0, self.dimension),
            "weights": self._weights_tensor(),
            "factors": self._factors[: len(self._rows)].clone(),
            "precision": empty if self._base_precision is None else self._base_precision[i, j],
            "base": empty if self._base is None else self._base[i, j],
            "absorbed": torch.tensor([self._absorbed]),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], ridge: float, device: torch.device) -> Gaussian:
        """Make a posterior of what `state` gave, bit for bit."""
        self = cls(state["theta"].numel(), ridge, device)
        self.theta.copy_(state["theta"])
        self.response.copy_(state["response"])
        rows = state["rows"].to(device, copy=True)
        for row, factor, weight in zip(rows, state["factors"], state["weights"].tolist(), strict=True):
            self._append(row, factor, weight)
        if state["base"].numel():
            self._base_precision = self._unpack(state["precision"])
            self._base = self._unpack(state["base"])
        self._absorbed = int(state["absorbed"])
        return self

    def _append(self, x: Tensor, factor: Tensor, weight: float) -> None:
        count = len(self._rows)
        if count == len(self._factors):  # doubling: n rows cost n copies on average
            more = self._zeros(max(4, count), self.dimension)
            self._factors = torch.cat([self._factors, more])
        self._factors[count] = factor
        self._rows.append(x)
        self._weights.append(weight)
        self._mixed |= weight < 0.0

    def _absorb(self) -> None:
        """Move the rows into A and the factors into the base, by blocks."""
        precision = self.precision
        if self._base is None or self._absorbed >= BLOCKS_BETWEEN_REFACTORS:
            self._refactor(precision)
            self.theta = self.solve(self.response)
            return
        factors = self._factors[: len(self._rows)]
        self._base = _symmetric(self._base.addmm_(factors.T, self._signed(factors.T).T, alpha=-1.0))
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

    def _clear_rows(self) -> None:
        self._rows: list[Tensor] = []
        self._weights: list[float] = []
        self._mixed = False
        self._factors = self._zeros(0, self.dimension)

    def _signed(self, projected: Tensor) -> Tensor:
        """(..., m) times the signs of the m weights: nothing to do while none is negative."""
        return projected * self._weights_tensor().sign() if self._mixed else projected

    def _weights_tensor(self) -> Tensor:
        return torch.tensor(self._weights, dtype=torch.float64, device=self.device)

    def _unpack(self, triangle: Tensor) -> Tensor:
        i, j = torch.triu_indices(self.dimension, self.dimension, device=self.device)
        matrix = self._zeros(self.dimension, self.dimension)
        matrix[i, j] = matrix[j, i] = triangle.to(self.device)
        return matrix

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)


def _symmetric(matrix: Tensor) -> Tensor:
    """Exactly symmetric: x + y == y + x in floating point, so both halves get the same bits.

    Row by row in memory whatever the matrix was, because the order of storage decides the order of later sums.
    """
    return (matrix + matrix.T).mul_(0.5).contiguous()
