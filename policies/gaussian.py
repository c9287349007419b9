"""The posterior of a linear model with Gaussian noise and a Gaussian prior, kept exactly in float64.

Precision A = ridge I + sum w x x^T and response b = sum w r x are the truth; the estimate is theta = A^-1 b
and the variance of x.theta is x^T A^-1 x. A^-1 is kept beside them by symmetric rank-one steps (Sherman and
Morrison 1950) and made afresh from A every so often, which removes rounding. Its cost hangs on the dimension alone:
this is where a posterior of many observations lives (see `policies.kernel` for few).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from policies.types import InvalidInput

#: rank-one steps after which A^-1 is made afresh from A by Cholesky.
STEPS_BETWEEN_REFACTORS = 1024
#: a downdate with 1 + w x^T A^-1 x below this loses digits by cancellation: A is refactored instead.
ILL_CONDITIONED = 1e-3


class Gaussian:
    """One posterior over theta (d,), independent of the order of its observations.

    theta (d,) is the estimate A^-1 b; response (d,) is b; precision (d, d) is A. d grows when a wider x is learned
    from: what was not there before was 0.
    """

    def __init__(self, dimension: int, ridge: float, device: torch.device) -> None:
        self.ridge, self.device = ridge, device
        self.response = torch.zeros(dimension, dtype=torch.float64, device=device)
        self.theta = self.response.clone()
        self.precision = torch.eye(dimension, dtype=torch.float64, device=device) * ridge
        self._inverse = torch.eye(dimension, dtype=torch.float64, device=device) / ridge
        self._steps = 0

    @property
    def dimension(self) -> int:
        """The number of weights d."""
        return self.theta.numel()

    def predict(self, x: Tensor, *, beyond: float = 0.0) -> tuple[float, float]:
        """Mean and variance of x.theta for x (d,). `beyond` is the squared length of what x has beyond d."""
        mean = float(torch.dot(self.theta, x))
        variance = float(torch.dot(torch.mv(self._inverse, x), x))
        return mean, max(variance, 0.0) + beyond / self.ridge

    def beyond(self, theta: Tensor) -> Gaussian:
        """The same observations, of whose rewards x.theta (d,) explains a part; to be asked only, and not kept."""
        twin = copy.copy(self)
        twin.response = self.response - (torch.mv(self.precision, theta) - self.ridge * theta)
        twin.theta = torch.mv(self._inverse, twin.response)
        return twin

    def covariance(self, z: Tensor) -> Tensor:
        """Z A^-1 Z^T (k, k) for Z (k, d)."""
        return _symmetric(z @ self._inverse @ z.T)

    def update(self, x: Tensor, weight: float, response: float) -> None:
        """A += weight x x^T; b += response x. A negative weight takes an observation back.

        Raises InvalidInput, with nothing changed, if it takes back more than was ever learned.
        """
        if x.numel() > self.dimension:
            self._grow(x.numel())
        solved = torch.mv(self._inverse, x)
        denominator = 1.0 + weight * float(torch.dot(solved, x))
        if denominator < ILL_CONDITIONED:
            self._refactor(_symmetric(self.precision.clone().addr_(x, x, alpha=weight)))
            self.response.add_(x, alpha=response)
            self.theta = torch.mv(self._inverse, self.response)
            return
        gain = (response - weight * float(torch.dot(self.theta, x))) / denominator
        self.response.add_(x, alpha=response)
        self.theta.add_(solved, alpha=gain)
        if weight != 0.0:
            self.precision.addr_(x, x, alpha=weight)
            self._inverse.addr_(solved, solved, alpha=-weight / denominator)
            self._step()

    def learn_batch(self, x: Tensor, weights: Tensor, responses: Tensor) -> None:
        """Take in m observations at once: X (m, d), their weights (m,) and weight times reward (m,)."""
        self.replace(self.precision + x.T @ (x * weights[:, None]), self.response + x.T @ responses)

    def replace(self, precision: Tensor, response: Tensor) -> None:
        """Put other sums, A (d, d) and b (d,), in place of these."""
        self._refactor(_symmetric(precision))
        self.response = response
        self.theta = torch.mv(self._inverse, response)

    def discount(self, factor: float) -> None:
        """Multiply what was learned by a factor in (0, 1]; the prior stays (stabilised forgetting)."""
        prior = torch.eye(self.dimension, dtype=torch.float64, device=self.device) * self.ridge
        self.replace((self.precision - prior) * factor + prior, self.response * factor)

    def state(self) -> dict[str, Tensor]:
        """Copy all numbers."""
        return {
            "theta": self.theta.clone(),
            "response": self.response.clone(),
            "precision": self.precision.clone(),
            "inverse": self._inverse.clone(),
            "steps": torch.tensor([self._steps]),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], ridge: float, device: torch.device) -> Gaussian:
        """Make a posterior of what `state` gave, bit for bit."""
        self = cls(state["theta"].numel(), ridge, device)
        self.theta.copy_(state["theta"])
        self.response.copy_(state["response"])
        self.precision.copy_(state["precision"])
        self._inverse.copy_(state["inverse"])
        self._steps = int(state["steps"])
        return self

    def _step(self) -> None:
        self._steps += 1
        if self._steps >= STEPS_BETWEEN_REFACTORS:
            self._refactor(_symmetric(self.precision))
            self.theta = torch.mv(self._inverse, self.response)

    def _refactor(self, precision: Tensor) -> None:
        factor, failed = torch.linalg.cholesky_ex(precision)
        if int(failed):
            raise InvalidInput("revise: takes back more than was learned (the precision is no longer positive)")
        self.precision = precision
        self._inverse = _symmetric(torch.cholesky_inverse(factor))
        self._steps = 0

    def _grow(self, dimension: int) -> None:
        old = self.dimension
        precision = torch.eye(dimension, dtype=torch.float64, device=self.device) * self.ridge
        inverse = torch.eye(dimension, dtype=torch.float64, device=self.device) / self.ridge
        precision[:old, :old], inverse[:old, :old] = self.precision, self._inverse
        self.precision, self._inverse = precision, inverse
        self.theta = torch.cat([self.theta, self.theta.new_zeros(dimension - old)])
        self.response = torch.cat([self.response, self.response.new_zeros(dimension - old)])


def _symmetric(matrix: Tensor) -> Tensor:
    """Exactly symmetric: x + y == y + x in floating point, so both halves get the same bits.

    Row by row in memory whatever the matrix was, because the order of storage decides the order of later sums.
    """
    return (matrix + matrix.T).mul_(0.5).contiguous()
