"""What every learner is, and the one place where anything is drawn at random."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from policies.safety import Limits, limit
from policies.slate import Layout
from policies.types import Candidate, Choice, Context, InvalidInput, Offer, Reward, Scores

Seed = int | str


def draw(probabilities: Tensor | Sequence[float], seed: Seed) -> int:
    """Draw an index from probabilities (k,): invert their cumulative sum at random.Random(seed).random().

    The same probabilities and seed give the same index for ever. An entry of 0 is never drawn.
    Raises InvalidInput if no entry is positive, or one is negative or not a number.
    """
    values = probabilities.tolist() if isinstance(probabilities, Tensor) else [float(p) for p in probabilities]
    if not all(p >= 0.0 for p in values) or not sum(values) > 0.0:
        raise InvalidInput("probabilities: need numbers >= 0 of which at least one is positive")
    target = random.Random(seed).random() * sum(values)
    cumulative, last = 0.0, 0
    for index, p in enumerate(values):
        if p > 0.0:
            cumulative, last = cumulative + p, index
            if cumulative > target:
                return index
    return last


class Learner(ABC):
    """Learns from rewards which candidate is best in which context.

    Probabilities come first: they are computed over the eligible candidates, deterministic given the state,
    and every choice is drawn from exactly those. `at` is the time of a call in seconds since the epoch; a
    learner that does not forget ignores it.
    """

    #: whether what is learned is a sum over observations: order does not matter, and `revise` is exact.
    additive: ClassVar[bool] = False

    #: every setting in force, as JSON values: create(learner.name, **learner.settings) makes an untrained
    #: twin.
    settings: dict[str, Any]
    name: str

    @property
    def needs_offer(self) -> bool:
        """Whether `learn` and `revise` make use of what the choice was made among (`Offer`)."""
        return False

    @property
    def epsilon(self) -> float:
        """The share of choices spread evenly over the eligible now."""
        return 0.0

    @abstractmethod
    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Estimate what each candidate would earn in the context: parts and deviation, each (k,)."""

    @abstractmethod
    def distribution(self, scores: Scores, eligible: Sequence[bool]) -> Tensor:
        """Turn scores of k candidates into probabilities (k,) float64: 0 where not eligible, sum 1."""

    @abstractmethod
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
        """Replace the reward `old` of a past choice by `new`; None stands for "no reward" on either side.

        `at` is when the choice was made: a learner that forgets discounts it by its age. A learner that is not
        additive takes new rewards only: it raises InvalidInput where `old` is one, and is refolded instead.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Give all that was learned, flat and named: loading it changes no later probability by one bit."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of a learner of the same settings; else InvalidInput, and nothing changes."""

    def sums(self, *, at: float | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """What an additive learner has added up, by name, as it stands `at` a time; what is not named is 0.

        Two of the same settings know the same if these agree at one time (unless given: that of the latest choice
        learned from), whatever order each was taught in. Learners that are not additive have none.
        """
        return {}

    @abstractmethod
    def adopt(self, state: Mapping[str, Tensor], *, strength: float) -> None:
        """Begin from what another learner of the same settings knows, as a prior of `strength` (0, 1] of its evidence.

        Raises InvalidInput for a state of other settings, or if this learner has learned something already.
        """

    @abstractmethod
    def clone(self) -> Learner:
        """Copy the learner: what either learns later, the other does not know."""

    def probabilities(
        self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0, limits: Limits | None = None
    ) -> Tensor:
        """Give the probability (k,) float64 with which each candidate would be chosen in the context."""
        scores = self.scores(context, candidates, at=at)
        return self._limited(scores, [candidate.eligible for candidate in candidates], limits)

    def choose(
        self,
        context: Context,
        candidates: Sequence[Candidate],
        *,
        seed: Seed,
        at: float = 0.0,
        limits: Limits | None = None,
    ) -> Choice:
        """Choose one candidate: compute the probabilities, within the limits, then draw from exactly those."""
        scores = self.scores(context, candidates, at=at)
        return _choice(scores, self._limited(scores, [candidate.eligible for candidate in candidates], limits), seed)

    def choose_slate(
        self,
        context: Context,
        candidates: Sequence[Candidate],
        *,
        k: int,
        seed: Seed,
        at: float = 0.0,
        limits: Limits | None = None,
        layout: Layout | None = None,
    ) -> tuple[Choice, ...]:
        """Choose k different candidates, position after position; fewer where the layout leaves nobody.

        Each position is a choice among those still left, so its probability is conditional on the positions
        before it, and the probability of the whole ordered slate is the product. Limits hold in each, and what one
        position takes of the slack is gone for the next. The layout says who may follow those above, and what each is
        worth there: a choice holds the scores it was drawn from. The first equals `choose` of that seed (among the
        pinned, if any). Raises InvalidInput if fewer than k are eligible, or the layout does not fit the candidates.
        """
        eligible = [candidate.eligible for candidate in candidates]
        if not 1 <= k <= sum(eligible):
            raise InvalidInput(f"k: cannot choose {k} of {sum(eligible)} eligible candidates")
        layout, alone = layout or Layout(), self.scores(context, candidates, at=at)
        slate: list[Choice] = []
        above: list[int] = []
        while len(slate) < k and any(left := layout.eligible(eligible, above)):
            scores = layout.scores(alone, candidates, above)
            choice = _choice(scores, self._limited(scores, left, limits), position_seed(seed, len(slate)))
            limits = limits and limits.after(scores, left, choice.index)
            above.append(choice.index)
            slate.append(choice)
        return tuple(slate)

    def learn(
        self,
        context: Context,
        candidate: Candidate,
        reward: float,
        *,
        weight: float = 1.0,
        at: float = 0.0,
        offer: Offer | None = None,
    ) -> None:
        """Take in the reward that the candidate earned in the context; any finite number."""
        self.revise(context, candidate, old=None, new=Reward(reward, weight), at=at, offer=offer)

    def _limited(self, scores: Scores, eligible: Sequence[bool], limits: Limits | None) -> Tensor:
        probabilities = self.distribution(scores, eligible)
        return probabilities if limits is None else limit(probabilities, scores, eligible, limits)


def check_candidates(candidates: Sequence[Candidate]) -> None:
    """Raise InvalidInput unless there are candidates, at least one is eligible, and no id occurs twice."""
    if not candidates:
        raise InvalidInput("candidates: there are none")
    if not any(candidate.eligible for candidate in candidates):
        raise InvalidInput(f"candidates: none of the {len(candidates)} is eligible")
    if len({candidate.id for candidate in candidates}) < len(candidates):
        seen: set[str] = set()
        for candidate in candidates:
            if candidate.id in seen:
                raise InvalidInput(f"candidates: the id {candidate.id!r} occurs twice")
            seen.add(candidate.id)


def _choice(scores: Scores, probabilities: Tensor, seed: Seed) -> Choice:
    index = draw(probabilities, seed)
    return Choice(index, float(probabilities[index]), probabilities, scores)


def position_seed(seed: Seed, position: int) -> Seed:
    """A seed of its own for each position: seed + position would repeat the draws of the next decision."""
    if position == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{position}".encode()).digest()[:8], "big") >> 11  # as JSON has it
