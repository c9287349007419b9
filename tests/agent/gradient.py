"""A learner that is not additive, for tests: what it knows depends on the order in which it was taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import policies
from policies.base import Learner, check_candidates
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores

NAME = "gradient"


class GradientLearner(Learner):
    """One step of gradient descent on the squared error for each reward, weighed by the inverse propensity."""

    additive: ClassVar[bool] = False

    def __init__(self, rate: float = 0.1, epsilon: float = 0.2) -> None:
        self.name, self.settings = NAME, {"rate": rate, "epsilon": epsilon}
        self._weights: dict[str, Tensor] = {}

    @property
    def needs_offer(self) -> bool:
        return True

    @property
    def epsilon(self) -> float:
        return float(self.settings["epsilon"])

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        check_candidates(candidates)
        x = torch.as_tensor(context.vector, dtype=torch.float64)
        own = torch.stack([torch.dot(self._weights.get(c.id, torch.zeros_like(x)), x) for c in candidates])
        return Scores({"own": own}, torch.ones_like(own))

    def distribution(self, scores: Scores, eligible: Sequence[bool]) -> Tensor:
        open_ = torch.tensor(eligible, dtype=torch.float64)
        best = torch.zeros_like(open_)
        best[torch.where(open_ > 0, scores.mean, -torch.inf).argmax()] = 1.0
        return (1 - self.epsilon) * best + self.epsilon * open_ / open_.sum()

    def revise(
        self,
        context: Context,
        candidate: Candidate,
        *,
        old: Reward | None,
        new: Reward | None,
        at: float = 0.0,
        offer: Offer | None = None,
    ) -> None:
        if old is not None or new is None:
            raise InvalidInput("takes new rewards only")
        propensity = 1.0 if offer is None else offer.propensity  # what was observed was not drawn
        assert offer is None or any(other.id == candidate.id and other.eligible for other in offer.candidates)
        x = torch.as_tensor(context.vector, dtype=torch.float64)
        weights = self._weights.get(candidate.id, torch.zeros_like(x))
        step = self.settings["rate"] * new.weight / propensity * (new.value - torch.dot(weights, x))
        self._weights[candidate.id] = weights + step * x

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._weights = dict(state)

    def adopt(self, state: Mapping[str, Tensor], *, strength: float) -> None:
        self._weights = {id: strength * weights for id, weights in state.items()}

    def clone(self) -> GradientLearner:
        twin = GradientLearner(**self.settings)
        twin.load_state_dict(self.state_dict())
        return twin


@contextmanager
def known() -> Iterator[None]:
    """Let `policies.create` make this learner too."""
    create = policies.create

    def creating(name: str, **settings: Any) -> Learner:
        return GradientLearner(**settings) if name == NAME else create(name, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "create", creating)
        yield
