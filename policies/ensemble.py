"""An ensemble: several ways to explore, each with a share of the choices that follows what it has earned.

All members learn from every reward, and differ in how they explore only; so they share one posterior. A choice is drawn
from the mixture of their distributions, and a reward is credited to each member by how likely it made that choice
(Auer et al. 2002, EXP4). Shares move by online mirror descent: with the entropy as regulariser they are the
exponential weights of EXP4, with the log barrier those of CORRAL (Agarwal et al. 2017), whose increasing rates are not
needed where no member starves for data. What exploring earns later, for all, is credited to none: so none
falls below a least share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from policies import exploration
from policies.linear import LinearLearner
from policies.residual import ResidualLearner
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores

#: how a share moves by a gain: convex, increasing, and the share itself at a gain of 0.
Step = Callable[[float, float], float]


class Ensemble(LinearLearner):
    """One linear posterior under several ways to explore. `shares` (M,) is what part of the choices each makes."""

    additive: ClassVar[bool] = False
    kind: ClassVar[str] = "ensemble"
    meaning: ClassVar[tuple[str, ...]] = (*ResidualLearner.meaning, "members")

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        super().__init__(name, settings)
        count = len(self.settings["members"])
        self.shares: tuple[float, ...] = (1.0 / count,) * count

    @property
    def least(self) -> float:
        """The least share of a member."""
        least: float = self.settings["mix"]
        return least

    @property
    def needs_offer(self) -> bool:
        """Whether rewards teach more with what the choice was made among: without it, shares stay as they are."""
        return True

    def _explore(self, scores: Scores) -> Tensor:
        return torch.mv(self._opinions(scores).T, self._tensor(self.shares))

    def _opinions(self, scores: Scores) -> Tensor:
        """The members' distributions (M, k) over eligible candidates."""
        found = []
        for member in self.settings["members"]:
            probabilities = exploration.explore(member["policy"], member, scores, count=self.count)
            epsilon = exploration.epsilon_at(member, self.count) if "epsilon" in member else 0.0
            found.append(exploration.mix(probabilities, epsilon))
        return torch.stack(found)

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
        """Take in a new reward: move the shares by what the members would have done then, then learn.

        Rewards may be any finite numbers; for the shares they are cut to [0, 1], and their weights to at most 1.
        Raises InvalidInput for an `old` reward, or where the candidate was not among the eligible ones of the offer.
        """
        shares = self.shares
        if offer is not None and new is not None and old is None:
            shares = self._moved(self._earned(context, candidate, new, at, offer), min(new.weight, 1.0))
        super().revise(context, candidate, old=old, new=new, at=at, offer=offer)
        self.shares = shares

    def _earned(self, context: Context, candidate: Candidate, reward: Reward, at: float, offer: Offer) -> list[float]:
        eligible = [c for c in offer.candidates if c.eligible]
        places = [index for index, c in enumerate(eligible) if c.id == candidate.id]
        if not places:
            raise InvalidInput(f"offer: the candidate {candidate.id!r} is not among the eligible ones")
        scores = self.scores(context, eligible, at=at)
        value = min(max(reward.value, 0.0), 1.0)
        opinions = exploration.mix(self._opinions(scores), self.epsilon)
        expected = scores.mean.clamp(0.0, 1.0)
        # A choice of our own at these shares is never more than 1 / least times as likely to one member as to all.
        propensity = max(offer.propensity, self.least * float(opinions[:, places[0]].max()))
        found: list[float] = earned(opinions, expected, places[0], propensity, value).tolist()
        return found

    def _moved(self, gains: Sequence[float], weight: float) -> tuple[float, ...]:
        rate = self.settings["rate"] * weight
        return descend(self.shares, [rate * gain for gain in gains], STEPS[self.settings["weighing"]], self.least)

    def state_dict(self) -> dict[str, Tensor]:
        """Give all numbers of the shared models, ready for safetensors, what they mean, and the shares."""
        return {**super().state_dict(), "shares": torch.tensor(self.shares, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replace all that was learned; InvalidInput, with nothing changed, for a state of other settings."""
        if "header" in state and "shares" not in state:
            raise InvalidInput("state: shares is missing")
        super().load_state_dict(state)
        self.shares = tuple(state["shares"].tolist())

    def sums(self, *, at: float | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """None: shares are no sums, and hang on the order of rewards."""
        return {}

    def _tensor(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self.device)


def earned(opinions: Tensor, expected: Tensor, index: int, propensity: float, reward: float) -> Tensor:
    """What each of M members would have earned on average (M,), from one reward: an unbiased estimate.

    opinions: (M, k) the members' probabilities. expected: (k,) what each candidate was expected to earn before this
    reward was known. The candidate at `index` was chosen with the propensity and earned the reward. Doubly robust
    (Dudik et al. 2011): importance weights on how much the reward surprised, which vary far less than on all of it.
    """
    surprise = (reward - expected[index]) / propensity
    return torch.mv(opinions, expected) + opinions[:, index] * surprise


def descend(shares: Sequence[float], gains: Sequence[float], step: Step, least: float) -> tuple[float, ...]:
    """One step of online mirror descent over shares (M,) >= `least` that sum to 1, by gains (M,) times the rate.

    By the conditions of Karush, Kuhn and Tucker each share is max(least, step(share, gain - level)) for the one level
    at which they sum to 1; it is found by bisection.
    """

    def moved(level: float) -> list[float]:
        return [max(least, step(share, gain - level)) for share, gain in zip(shares, gains, strict=True)]

    low, high = min(gains), max(gains)
    while low < (middle := (low + high) / 2.0) < high:
        low, high = (middle, high) if math.fsum(moved(middle)) > 1.0 else (low, middle)
    found = moved(high)
    total = math.fsum(found)
    return tuple(share / total for share in found)


def exponential(share: float, gain: float) -> float:
    """Exponential weights: the regulariser is the negative entropy."""
    return share * math.exp(min(gain, 700.0))


def log_barrier(share: float, gain: float) -> float:
    """Weights of the log barrier, - sum log share: small shares move slowly, and recover fast."""
    left = 1.0 / share - gain
    return 1.0 / left if left > 0.0 else math.inf


STEPS: Mapping[str, Step] = {"exponential": exponential, "log_barrier": log_barrier}
