"""The posterior of one model, in the form that suits how much it has seen, and how it forgets.

Few distinct contexts are kept as rows of a Gaussian process (`policies.kernel`), whose cost grows with their square.
Past a limit they are condensed into a linear model (`policies.gaussian`), whose cost stands still: exactly for degree
1; for higher degrees products of features are random features from then on, an estimate of the same kernel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from policies.features import FEATURE, VECTOR, Point, RandomFeatures
from policies.gaussian import Gaussian
from policies.kernel import KernelPosterior

#: distinct contexts up to which a model of higher degree is exact, and the random features per degree past that.
EXACT_ROWS, RANDOM_FEATURES = 1000, 512
#: a model of degree 1 is condensed when its rows outgrow half its dimension by this many: a matrix is cheaper then.
FEW_ROWS = 8
#: forgetting goes by steps of this share of the half-life: between them nothing has to be made afresh.
STEPS_PER_HALF_LIFE = 16


@dataclass(frozen=True)
class Forgetting:
    """Stabilised exponential forgetting by wall clock: what was learned fades, the prior does not.

    Time is cut into steps of half_life / 16 seconds; an observation of n steps ago weighs 2^(-n / 16).
    half_life 0: nothing is forgotten.
    """

    half_life: float

    def step(self, at: float) -> int:
        """The step that a time (unix seconds) lies in."""
        return math.floor(at * STEPS_PER_HALF_LIFE / self.half_life) if self.half_life else 0

    @staticmethod
    def factor(steps: int) -> float:
        """What a weight is multiplied by when so many steps (>= 0) pass."""
        return math.pow(2.0, -steps / STEPS_PER_HALF_LIFE)


@dataclass(frozen=True)
class Shape:
    """What posteriors of one learner have in common."""

    degree: int
    ridge: float
    device: torch.device

    def prior_variance(self, point: Point) -> float:
        """The variance of an untrained model at a point: k(x, x) / ridge."""
        return self.degree * point.norm * point.norm / self.ridge

    def random_features(self) -> RandomFeatures:
        """The products of features that a condensed model sees."""
        return RandomFeatures(self.degree, RANDOM_FEATURES, self.device)


@dataclass(frozen=True)
class Prediction:
    """What a posterior says of a point: the mean in named parts, and the variance."""

    parts: Mapping[str, float]
    variance: float


class Posterior:
    """One model's posterior at a `step` of forgetting."""

    def __init__(self, shape: Shape, step: int) -> None:
        self.shape, self.step = shape, step
        self.model: KernelPosterior | Gaussian = KernelPosterior(shape.degree, shape.ridge, shape.device)
        self._features = shape.random_features()
        self._aged: Posterior | None = None

    def predict(self, point: Point) -> Prediction:
        """Mean, part by part, and variance at a point."""
        if isinstance(self.model, KernelPosterior):
            projection = self.model.project(point)
            theta = self.model.theta if len(point.spans) > 1 else None
            return Prediction(parts_of(projection.mean, theta, point, self.shape.degree), projection.variance)
        x, beyond = self._explicit(point)
        mean, variance = self.model.predict(x, beyond=beyond)
        theta = self.model.theta[self._features.dimension :]
        return Prediction(parts_of(mean, theta, point, self.shape.degree), variance)

    def means(self, x: Tensor) -> Tensor:
        """The means (n,) at X (n, D); of degree 1 only."""
        if isinstance(self.model, Gaussian):
            return torch.mv(x, self.model.theta)
        return torch.mv(x, self.model.theta) if len(self.model) else x.new_zeros(len(x))

    def covariance(self, x: Tensor) -> Tensor:
        """The posterior covariance (n, n) at X (n, D); of degree 1 only."""
        return self.model.covariance(x)

    def beyond(self, earlier: Sequence[Posterior], layout: Mapping[str, tuple[int, int]]) -> Posterior:
        """What this one adds to the sum of earlier ones' means: its rewards less what those say at its contexts.

        So this one begins at their mean, with the prior's width. To be asked only, and not kept: it is made of sums, so
        it hangs on no order, and when an earlier reward changes it is to be made again. layout: as for `learn`.
        """
        twin = copy.copy(self)
        twin._aged = None
        if isinstance(self.model, KernelPosterior):
            rows = self.model.rows
            means = sum((other._means_at(rows, layout) for other in earlier), rows.new_zeros(len(rows)))
            twin.model = self.model.beyond(means)
        else:
            weights = self.model.theta.new_zeros(self.model.dimension)
            for other in earlier:
                weights = weights + self._fitted(other._weights(layout), len(weights))
            twin.model = self.model.beyond(weights)
        return twin

    def _means_at(self, rows: Tensor, layout: Mapping[str, tuple[int, int]]) -> Tensor:
        """The means (n,) at contexts X (n, D)."""
        if isinstance(self.model, KernelPosterior):
            return self.model.means(rows)
        return self._explicit_rows(rows, layout) @ self._fitted(
            self.model.theta, self._features.dimension + rows.shape[1]
        )

    def _weights(self, layout: Mapping[str, tuple[int, int]]) -> Tensor:
        """The weights of features and x; of a kernel of higher degree, an estimate."""
        if isinstance(self.model, Gaussian):
            return self.model.theta
        return self._explicit_rows(self.model.rows, layout).T @ self.model.coefficients / self.shape.ridge

    def _explicit_rows(self, rows: Tensor, layout: Mapping[str, tuple[int, int]]) -> Tensor:
        spans = {name: span for name, span in layout.items() if span[1] <= rows.shape[1]}
        return torch.cat([self._features.of(rows, spans), rows], dim=1)

    @staticmethod
    def _fitted(weights: Tensor, size: int) -> Tensor:
        """Weights cut or filled up with 0 to a size: x lies at their end, and grows there."""
        return torch.cat([weights[:size], weights.new_zeros(max(size - weights.numel(), 0))])

    def learn(
        self, point: Point, *, weight: float, response: float, step: int, layout: Mapping[str, tuple[int, int]]
    ) -> None:
        """Add to the weight and the response (weight times reward) at a point; of an earlier step, they have faded.

        layout: where every block known so far lies. Raises InvalidInput, with nothing learned or lost, if it takes
        back more than was ever learned.
        """
        self.advance(step)
        faded = Forgetting.factor(self.step - step)
        weight, response = weight * faded, response * faded
        if isinstance(self.model, Gaussian):
            x = torch.cat([self._features.of(point.x[None], point.spans)[0], point.x])
            self.model.update(x, weight, response)
        else:
            self.model.update(point, weight=weight, response=response)
            limit = FEW_ROWS + self.model.rows.shape[1] // 2 if self.shape.degree == 1 else EXACT_ROWS
            if len(self.model) >= limit:
                self._condense(self.model, layout)
        self._aged = None

    def advance(self, step: int) -> None:
        """Forget up to a later step."""
        if step > self.step:
            self.model.discount(Forgetting.factor(step - self.step))
            self.step, self._aged = step, None

    def at(self, step: int) -> Posterior:
        """The posterior as it will be at a later step if nothing is learned until then; itself at an earlier one."""
        if step <= self.step:
            return self
        if self._aged is None or self._aged.step != step:
            self._aged = Posterior.from_state(self.state(), self.shape)
            self._aged.advance(step)
        return self._aged

    def discount(self, factor: float) -> None:
        """Multiply what was learned by a factor in (0, 1]; the prior stays."""
        self.model.discount(factor)
        self._aged = None

    def sums(self, step: int) -> dict[str, Tensor]:
        """The sum of w x x^T ("evidence") and of w r x ("response") over all that was learned, as of a step."""
        faded = Forgetting.factor(max(step - self.step, 0))
        return {name: total * faded for name, total in self._sums().items()}

    def _sums(self) -> dict[str, Tensor]:
        if isinstance(self.model, KernelPosterior):
            rows = self.model.rows
            evidence = rows.T @ (rows * self.model.weights[:, None])
            return {"evidence": evidence, "response": rows.T @ self.model.responses}
        start = self._features.dimension
        prior = torch.eye(self.model.dimension - start, dtype=torch.float64, device=self.shape.device)
        evidence = self.model.precision[start:, start:] - prior * self.shape.ridge
        return {"evidence": evidence, "response": self.model.response[start:].clone()}

    def state(self) -> dict[str, Tensor]:
        """Copy all numbers."""
        kind = "kernel" if isinstance(self.model, KernelPosterior) else "gaussian"
        state = {f"{kind}.{name}": value for name, value in self.model.state().items()}
        return {**state, "step": torch.tensor([self.step])}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], shape: Shape) -> Posterior:
        """Make a posterior of what `state` gave, bit for bit. Raises KeyError where a part is missing."""
        self = cls(shape, int(state["step"]))
        own: dict[str, Any] = {}
        for name, value in state.items():
            kind, dot, rest = name.partition(".")
            if dot:
                own.setdefault(kind, {})[rest] = value
        if "gaussian" in own:
            self.model = Gaussian.from_state(own["gaussian"], shape.ridge, shape.device)
        else:
            self.model = KernelPosterior.from_state(own["kernel"], shape.degree, shape.ridge, shape.device)
        return self

    def _explicit(self, point: Point) -> tuple[Tensor, float]:
        """Features and x as far as the linear model knows them, and the squared length of what it does not."""
        assert isinstance(self.model, Gaussian)
        known = self.model.dimension - self._features.dimension
        random = self._features.of(point.x[None], point.spans)[0]
        x = point.x[:known]
        if x.numel() < known:
            x = torch.cat([x, x.new_zeros(known - x.numel())])
        beyond = point.x[known:]
        return torch.cat([random, x]), float(torch.dot(beyond, beyond))

    def _condense(self, kernel: KernelPosterior, layout: Mapping[str, tuple[int, int]]) -> None:
        x = self._explicit_rows(kernel.rows, layout)
        self.model = Gaussian(x.shape[1], self.shape.ridge, self.shape.device)
        self.model.learn_batch(x, kernel.weights, kernel.responses)


def parts_of(mean: float, theta: Tensor | None, point: Point, degree: int) -> dict[str, float]:
    """Split a mean exactly: "own" is what the context's vector adds, "own:NAME" what a block adds by itself.

    "own:features" is the sum of all named features, "own:together" what only blocks (or numbers) together tell.
    theta: (D,) the linear term, None where the context is a single block: then all is "own".
    """
    if theta is None or len(point.spans) == 1:
        return {"own": mean}
    parts: dict[str, float] = {}
    # One product for all: a dot product for each of many small blocks costs several times as much.
    known = min(theta.numel(), point.x.numel())
    products = torch.mul(theta[:known], point.x[:known]).tolist()
    for name, (start, stop) in point.spans.items():
        part = "own" if name == VECTOR else "own:features" if name.startswith(FEATURE) else f"own:{name}"
        parts[part] = parts.get(part, 0.0) + math.fsum(products[start:stop])
    if degree > 1:
        parts["own:together"] = mean - math.fsum(parts.values())
    return parts
