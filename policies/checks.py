"""Laws that every learner obeys, as plain functions: each takes a maker of untrained learners and raises on a breach.

A maker is called without arguments and gives a new, untrained learner; the same each time. `seed` varies the
problem. Laws speak of the public interface only, so that they hold for learners of any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from policies.base import Learner
from policies.simulate import LinearWorld, play
from policies.types import Candidate, Context, InvalidInput, Reward

Maker = Callable[[], Learner]

#: what floating point may differ by where arithmetic is exact on paper.
TOLERANCE = 1e-8


class Observation(NamedTuple):
    """One reward for one candidate in one context."""

    context: Context
    candidate: Candidate
    reward: Reward


def untrained_equals_prior(make: Maker, *, seed: int = 0) -> None:
    """Nothing learned: scores are the prior, so the learned parts are 0, and equal candidates are equal."""
    world = _world(seed)
    scores = make().scores(world.context(), world.candidates)
    learned = [part for name, part in scores.parts.items() if name not in ("prior", "match")]
    _require(all(bool((part == 0.0).all()) for part in learned), "an untrained learner has learned something")
    _require(bool((scores.deviation > 0.0).all()), "an untrained learner is certain")


def given_prior_is_where_learning_starts(make: Maker, *, seed: int = 0) -> None:
    """A candidate with a prior of its own is expected to earn that, until rewards say otherwise."""
    world, learner = _world(seed), make()
    context, first = world.context(), world.candidates[0]
    own = Candidate(first.id, first.vector, prior=0.37)
    _require(
        float(learner.scores(context, [own]).mean[0]) == 0.37, "an untrained learner does not start from the prior"
    )
    learner.learn(context, own, 0.37)
    error = abs(float(learner.scores(context, [own]).mean[0]) - 0.37)
    _require(error < TOLERANCE, "a reward as expected changed the expectation")
    learner.learn(context, own, 1.0)
    _require(float(learner.scores(context, [own]).mean[0]) > 0.37, "a better reward than expected taught nothing")


def online_equals_batch(make: Maker, *, seed: int = 0) -> None:
    """Learning one by one gives the regression of residuals to the prior, solved at once (disjoint models)."""
    world, learner = _world(seed), make()
    observations = _observations(world, 40, seed)
    untrained = make()
    for observation in observations:
        _learn(learner, observation)
    context = world.context()
    scores, prior = learner.scores(context, world.candidates), untrained.scores(context, world.candidates)
    for index, candidate in enumerate(world.candidates):
        own = [o for o in observations if o.candidate is candidate]
        mean, variance = _regression(own, untrained, context)
        _require(abs(float(scores.mean[index] - prior.mean[index]) - mean) < TOLERANCE, "the mean is not the batch's")
        error = abs(float(scores.deviation[index].square()) - variance)
        _require(error < TOLERANCE, "the variance is not the batch solution's")


def saving_changes_nothing(make: Maker, *, seed: int = 0) -> None:
    """A learner saved and loaded gives the very same probabilities, now and after both learn on."""
    world, learner = _world(seed), make()
    first, second = _observations(world, 30, seed), _observations(world, 30, seed + 1)
    for observation in first:
        _learn(learner, observation)
    loaded = make()
    loaded.load_state_dict(learner.state_dict())
    _same_bits(learner, loaded, world)
    for observation in second:
        _learn(learner, observation)
        _learn(loaded, observation)
    _same_bits(learner, loaded, world)


def ineligible_has_no_probability(make: Maker, *, seed: int = 0) -> None:
    """A candidate that is not eligible has probability exactly 0; the others' still sum to 1."""
    world, learner = _world(seed), _trained(make, seed)
    for out in range(len(world.candidates)):
        candidates = [Candidate(c.id, c.vector, eligible=i not in (out, 0)) for i, c in enumerate(world.candidates)]
        probabilities = learner.probabilities(world.context(), candidates)
        _require(float(probabilities[out]) == 0.0, "an ineligible candidate has a probability")
        _require(abs(float(probabilities.sum()) - 1.0) < 1e-12, "probabilities do not sum to 1")


def probabilities_sum_to_one(make: Maker, *, seed: int = 0) -> None:
    """Probabilities are float64, never negative, and sum to 1, before and after learning; and deterministic."""
    world = _world(seed)
    for learner in (make(), _trained(make, seed)):
        context = world.context()
        probabilities = learner.probabilities(context, world.candidates)
        _require(probabilities.dtype == torch.float64, "probabilities are not float64")
        _require(bool((probabilities >= 0.0).all()), "a probability is negative or not a number")
        _require(abs(float(probabilities.sum()) - 1.0) < 1e-12, "probabilities do not sum to 1")
        again = learner.probabilities(context, world.candidates)
        _require(torch.equal(probabilities, again), "asking twice gives two answers")


def clone_is_independent(make: Maker, *, seed: int = 0) -> None:
    """A clone starts equal, and what it learns later does not reach the original."""
    world, learner = _world(seed), _trained(make, seed)
    twin = learner.clone()
    _same_bits(learner, twin, world)
    context = world.context()
    before = learner.scores(context, world.candidates).mean
    for observation in _observations(world, 20, seed + 1):
        _learn(twin, observation)
    _require(torch.equal(before, learner.scores(context, world.candidates).mean), "a clone changed its original")
    _require(not torch.equal(before, twin.scores(context, world.candidates).mean), "a clone does not learn")


def learning_helps(make: Maker, *, seed: int = 0, rounds: int = 400) -> None:
    """Where the best choice is known, regret after learning is less than half of what it was before."""
    world, learner = _world(seed, "misleading"), make()
    before = play(learner, world, 200, learning=False)
    play(learner, world, rounds)
    after = play(learner, world, 200, learning=False)
    _require(after < before / 2, f"regret {before:.3f} before learning, {after:.3f} after")


def order_does_not_matter(make: Maker, *, seed: int = 0) -> None:
    """An additive learner ends in the same state whatever the order of what it learned."""
    world, forward, backward = _world(seed), make(), make()
    _require(forward.additive, "the learner is not additive")
    observations = _observations(world, 60, seed)
    for observation in observations:
        _learn(forward, observation)
    for observation in reversed(observations):
        _learn(backward, observation)
    _close(forward, backward, world)


def revising_back_undoes(make: Maker, *, seed: int = 0) -> None:
    """A reward revised and revised back, and one learned and revoked, leave what was there before."""
    world, learner, untouched = _world(seed), _trained(make, seed), _trained(make, seed)
    context, candidate = world.context(), world.candidates[0]
    first, second = Reward(0.7, 0.5), Reward(-0.2, 2.0)
    learner.revise(context, candidate, old=None, new=first)
    learner.revise(context, candidate, old=first, new=second)
    learner.revise(context, candidate, old=second, new=Reward(0.1, 2.0))
    learner.revise(context, candidate, old=Reward(0.1, 2.0), new=first)
    learner.revise(context, candidate, old=first, new=None)
    _close(learner, untouched, world)


def revising_equals_learning(make: Maker, *, seed: int = 0) -> None:
    """A reward that was revised is as if it had been learned so in the first place."""
    world, revised, direct = _world(seed), make(), make()
    for number, observation in enumerate(_observations(world, 40, seed)):
        new = Reward(observation.reward.value - 1.0, 0.5 + number % 3)
        _learn(revised, observation)
        revised.revise(observation.context, observation.candidate, old=observation.reward, new=new)
        direct.revise(observation.context, observation.candidate, old=None, new=new)
    _close(revised, direct, world)


def refused_input_changes_nothing(make: Maker, *, seed: int = 0) -> None:
    """Bad input raises InvalidInput and leaves every bit of the state as it was."""
    world, learner = _world(seed), _trained(make, seed)
    good, candidate = world.context(), world.candidates[0]
    before = learner.state_dict()
    nan = float("nan")
    bad = Context([nan] * world.dimension)
    attempts: list[Callable[[], object]] = [
        lambda: learner.learn(bad, candidate, 1.0),
        lambda: learner.learn(Context([1.0] * (world.dimension + 1)), candidate, 1.0),
        lambda: learner.learn(Context([]), candidate, 1.0),
        lambda: learner.learn(good, candidate, nan),
        lambda: learner.learn(good, candidate, 1.0, weight=-1.0),
        lambda: learner.learn(good, candidate, 1e308, weight=1e308),
        lambda: learner.learn(good, Candidate(candidate.id, [nan]), 1.0),
        lambda: learner.revise(good, candidate, old=Reward(1.0, 1e6), new=None),
        lambda: learner.probabilities(good, []),
        lambda: learner.probabilities(good, [Candidate("a", candidate.vector, eligible=False)]),
        lambda: learner.probabilities(good, [candidate, candidate]),
        lambda: learner.load_state_dict({}),
    ]
    for number, attempt in enumerate(attempts):
        _require(_refused(attempt), f"bad input number {number} was accepted")
    after = learner.state_dict()
    _require(before.keys() == after.keys(), "refused input changed the state")
    _require(all(torch.equal(before[k], after[k]) for k in before), "refused input changed the state")


#: the laws of every learner.
ALL: tuple[Callable[[Maker], None], ...] = (
    untrained_equals_prior,
    given_prior_is_where_learning_starts,
    saving_changes_nothing,
    ineligible_has_no_probability,
    probabilities_sum_to_one,
    clone_is_independent,
    learning_helps,
    refused_input_changes_nothing,
)
#: the laws of those that declare themselves additive.
ADDITIVE: tuple[Callable[[Maker], None], ...] = (
    order_does_not_matter,
    revising_back_undoes,
    revising_equals_learning,
)


def _world(seed: int, meaning: str = "telling") -> LinearWorld:
    return LinearWorld(candidates=4, dimension=6, meaning=meaning, seed=seed)


def _observations(world: LinearWorld, count: int, seed: int) -> list[Observation]:
    contexts = [world.context() for _ in range(count)]
    return [
        Observation(
            context,
            world.candidates[(number * 7 + seed) % len(world.candidates)],
            Reward(float(number % 5) / 4, 0.5 + number % 2),
        )
        for number, context in enumerate(contexts)
    ]


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except InvalidInput as error:
        return bool(str(error))
    return False


def _learn(learner: Learner, observation: Observation) -> None:
    reward = observation.reward
    learner.learn(observation.context, observation.candidate, reward.value, weight=reward.weight)


def _trained(make: Maker, seed: int) -> Learner:
    learner = make()
    for observation in _observations(_world(seed), 30, seed):
        _learn(learner, observation)
    return learner


def _regression(observations: Sequence[Observation], untrained: Learner, context: Context) -> tuple[float, float]:
    """Regress residuals to the prior at once: what they add to the mean in a context, and its variance."""
    points = torch.stack([torch.as_tensor(o.context.vector, dtype=torch.float64) for o in observations])
    x = torch.as_tensor(context.vector, dtype=torch.float64)
    residuals = [o.reward.value - float(untrained.scores(o.context, [o.candidate]).mean) for o in observations]
    noise = torch.tensor([1.0 / o.reward.weight for o in observations], dtype=torch.float64)
    kernel = _kernel(points, points, untrained.settings) + torch.diag(noise)
    across = _kernel(x[None], points, untrained.settings)[0]
    solved = torch.linalg.solve(kernel, across)
    mean = torch.dot(solved, torch.tensor(residuals, dtype=torch.float64))
    return float(mean), float(_kernel(x[None], x[None], untrained.settings)[0, 0] - torch.dot(solved, across))


def _kernel(one: Tensor, other: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Compute the prior covariance (n, m) of what rewards add to the prior at X (n, d) and Y (m, d)."""
    lengths = torch.outer(one.norm(dim=1), other.norm(dim=1))
    cosine = one @ other.T / lengths
    powers = torch.stack([cosine**p for p in range(1, settings["degree"] + 1)]).sum(dim=0)
    return lengths * powers / float(settings["ridge"])


def _same_bits(one: Learner, other: Learner, world: LinearWorld) -> None:
    for _ in range(5):
        context = world.context()
        same = torch.equal(one.probabilities(context, world.candidates), other.probabilities(context, world.candidates))
        _require(same, "two learners that should be the same differ")


def _close(one: Learner, other: Learner, world: LinearWorld) -> None:
    for _ in range(5):
        context = world.context()
        a, b = one.scores(context, world.candidates), other.scores(context, world.candidates)
        error = max(float((a.mean - b.mean).abs().max()), float((a.deviation - b.deviation).abs().max()))
        _require(error < TOLERANCE, f"scores differ by {error:.1e}")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
