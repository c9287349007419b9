"""The small problems that laws are about: a world, what was observed in it, and a learner taught that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from policies.base import Learner
from policies.simulate import LinearWorld
from policies.types import Candidate, Context, Offer, Reward

#: makes a new, untrained learner, the same each time.
Maker = Callable[[], Learner]


class Observation(NamedTuple):
    """One reward for one candidate in one context."""

    context: Context
    candidate: Candidate
    reward: Reward


def small_world(seed: int, meaning: str = "telling") -> LinearWorld:
    """Four candidates in six dimensions."""
    return LinearWorld(candidates=4, dimension=6, meaning=meaning, seed=seed)


def observe(world: LinearWorld, count: int, seed: int) -> list[Observation]:
    """Rewards from 0 to 1, with weights of 0.5 and 1.5, for one candidate after another."""
    contexts = [world.context() for _ in range(count)]
    return [
        Observation(
            context,
            world.candidates[(number * 7 + seed) % len(world.candidates)],
            Reward(float(number % 5) / 4, 0.5 + number % 2),
        )
        for number, context in enumerate(contexts)
    ]


def enrich(context: Context, number: int) -> Context:
    """A context of further blocks and a named feature."""
    return Context(context.vector, {"turn": 0.2 + number % 3}, {"reply": [math.cos(number), math.sin(number), 0.5]})


def teach(learner: Learner, observation: Observation) -> None:
    """Let a learner learn from an observation, chosen among two with a propensity of 0.6."""
    context, candidate, reward = observation
    offer = Offer([candidate, Candidate("another", candidate.vector)], 0.6)
    learner.learn(context, candidate, reward.value, weight=reward.weight, offer=offer)


def trained(make: Maker, seed: int) -> Learner:
    """A learner that was taught 30 observations."""
    learner = make()
    for observation in observe(small_world(seed), 30, seed):
        teach(learner, observation)
    return learner
