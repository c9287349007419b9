"""Seeded environments whose best choice is known, to see whether a learner learns."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from policies.base import Learner
from policies.types import Candidate, Context


class LinearWorld:
    """Candidates whose expected reward is linear in the context: (1 + w_a . x) / 2, between 0 and 1.

    Context vectors are random unit vectors (d,), and so are the w_a. Rewards have noise of a given deviation and are
    cut to [0, 1], or are 1 with the expected probability and else 0 (binary). Candidates carry no vector
    (meaning="none"), w_a itself ("telling": the reward grows with the cosine), or w_a with some signs turned, the same
    for all ("misleading": the cosine deceives, but a shared model can learn which signs to turn back). Everything is
    drawn from the seed: two worlds of one seed are the same world, step by step.
    """

    def __init__(
        self,
        *,
        candidates: int = 4,
        dimension: int = 6,
        noise: float = 0.1,
        binary: bool = False,
        meaning: str = "none",
        seed: int = 0,
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._random = random.Random(seed)
        self.noise, self.binary = noise, binary
        self.dimension = dimension
        self.weights = self._units(candidates)
        signs = torch.where(torch.arange(dimension) % 2 == 0, 1.0, -1.0).to(torch.float64)
        vectors = {"none": None, "telling": self.weights, "misleading": self.weights * signs}[meaning]
        self.candidates = tuple(
            Candidate(f"candidate {i}", None if vectors is None else vectors[i]) for i in range(candidates)
        )

    def context(self) -> Context:
        """Draw the next context."""
        return Context(self._units(1)[0])

    def expected(self, context: Context) -> Tensor:
        """Compute the expected reward (k,) of each candidate in the context, cutting aside."""
        return (torch.mv(self.weights, torch.as_tensor(context.vector, dtype=torch.float64)) + 1.0) / 2.0

    def reward(self, context: Context, index: int) -> float:
        """Draw the reward, in [0, 1], that the candidate at the index earns in the context."""
        expected = float(self.expected(context)[index])
        if self.binary:
            return float(self._random.random() < expected)
        return min(max(expected + self._random.gauss(0.0, self.noise), 0.0), 1.0)

    def _units(self, count: int) -> Tensor:
        vectors = torch.randn(count, self.dimension, dtype=torch.float64, generator=self._generator)
        return torch.nn.functional.normalize(vectors, dim=1)


class DriftingWorld(LinearWorld):
    """A linear world in which the best candidate changes: from round `changes_at` on, each earns what the next one did.

    A candidate earns 1 with the probability `expected`, else 0. Averaged over contexts that is 0.7 for the best and 0.4
    for the others, and a context moves it by up to 0.2 either way. The change comes about evenly in `over` rounds; 0 is
    at once. Rounds count from 1: each context drawn is one. Context vectors (d + 1,) are random unit vectors with a 1
    appended. Candidates carry no vector.
    """

    def __init__(
        self, *, changes_at: int, over: int = 0, candidates: int = 4, dimension: int = 6, seed: int = 0
    ) -> None:
        super().__init__(candidates=candidates, dimension=dimension, seed=seed)
        levels = torch.full((candidates, 1), 0.4, dtype=torch.float64)
        levels[0] = 0.7
        self.weights = torch.cat([0.2 * self.weights, levels], dim=1)
        self.changes_at, self.over, self.round = changes_at, over, 0

    def context(self) -> Context:
        """Draw the next context: the next round begins."""
        self.round += 1
        return Context(torch.cat([self._units(1)[0], torch.ones(1, dtype=torch.float64)]))

    def expected(self, context: Context) -> Tensor:
        """Compute the probability (k,) with which each candidate earns 1 in the context, as things stand this round."""
        since = self.round - self.changes_at
        changed = 0.0 if since < 0 else 1.0 if since >= self.over else since / self.over
        weights = torch.lerp(self.weights, self.weights.roll(-1, dims=0), changed)
        return torch.mv(weights, torch.as_tensor(context.vector, dtype=torch.float64))

    def reward(self, context: Context, index: int) -> float:
        """Draw the reward, 0 or 1, that the candidate at the index earns in the context."""
        return float(self._random.random() < float(self.expected(context)[index]))


def play(learner: Learner, world: LinearWorld, rounds: int, *, learning: bool = True) -> float:
    """Let the learner choose for some rounds, learning from each reward; give the average regret per round.

    Regret is the expected reward of the best candidate less that of a choice, on average over the choices that the
    learner might have drawn: 0 is perfect.
    """
    regret = 0.0
    for number in range(rounds):
        context = world.context()
        choice = learner.choose(context, world.candidates, seed=number)
        expected = world.expected(context)
        regret += float(expected.max() - torch.dot(choice.probabilities, expected))
        if learning:
            reward, offer = world.reward(context, choice.index), choice.offer(world.candidates)
            learner.learn(context, world.candidates[choice.index], reward, offer=offer)
    return regret / rounds
