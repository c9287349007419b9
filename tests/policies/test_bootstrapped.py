"""Bootstrapped Thompson sampling: who saw what, from where each began, and how they vote."""

from __future__ import annotations

import functools
import math

import pytest
import torch

import policies
from policies import Candidate, Context, InvalidInput
from policies.bootstrapped import coins
from policies.simulate import LinearWorld

create = functools.partial(policies.create, "bootstrapped")
PARTS = ("disjoint", "shared", "hybrid", "calibrated")


def taught(count=30, **given):
    world, learner = LinearWorld(meaning="telling", seed=3), create(**given)
    lessons = []
    for number in range(count):
        context, index = world.context(), number % 4
        lessons.append((context, index, world.reward(context, index)))
        learner.learn(context, world.candidates[index], lessons[-1][2])
    return world, learner, lessons


def test_coins_are_fair_and_independent():
    tosses = torch.tensor([coins(number, 256) for number in range(400)], dtype=torch.float64) * 2 - 1
    assert abs(float(tosses.mean())) < 4 / math.sqrt(tosses.numel())
    for pairs in (tosses.T @ tosses / 400, tosses @ tosses.T / 256):
        pairs.fill_diagonal_(0.0)
        deviation = float(pairs.square().mean().sqrt())
        assert deviation == pytest.approx(1 / math.sqrt(400 if len(pairs) == 256 else 256), rel=0.05)
    assert coins(7, 10) == coins(7, 256)[:10]


@pytest.mark.parametrize("parts", PARTS)
def test_the_estimate_is_the_linear_learner(parts):
    world, learner, lessons = taught(parts=parts)
    linear = policies.create("lints", parts=parts)
    for context, index, reward in lessons:
        linear.learn(context, world.candidates[index], reward)
    context = world.context()
    one, other = learner.scores(context, world.candidates), linear.scores(context, world.candidates)
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.deviation, other.deviation)


@pytest.mark.parametrize("parts", PARTS)
def test_each_replica_is_the_linear_learner_of_what_it_saw_from_where_it_began(parts):
    world, learner, lessons = taught(parts=parts, replicas=4)
    start, context = create(parts=parts, replicas=4), world.context()

    def begun(context):
        scores = start.scores(context, world.candidates)
        return scores.replicas - scores.mean

    found = learner.scores(context, world.candidates).replicas
    for replica in range(4):
        linear = policies.create("lints", parts=parts)
        for number, (seen, index, reward) in enumerate(lessons):
            if coins(number, 4)[replica]:
                residual = reward - float(begun(seen)[replica, index])
                linear.learn(seen, world.candidates[index], residual, weight=2.0)
        expected = linear.scores(context, world.candidates).mean + begun(context)[replica]
        torch.testing.assert_close(found[replica], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("degree", [1, 3])
def test_untrained_replicas_differ_by_the_deviation_of_the_prior(parts, degree):
    learner = create(parts=parts, degree=degree, ridge=0.5, replicas=60, feature_scale=1.0)
    world = LinearWorld(candidates=10, dimension=6, meaning="telling", seed=1)
    squares = []
    for number in range(10):
        context = Context(world.context().vector, {"turn": 0.5 * number}, {"reply": [0.2, -0.4]})
        scores = learner.scores(context, world.candidates)
        differ = scores.replicas - scores.mean
        assert float(differ.mean(dim=0).abs().max()) < 1e-12
        squares.append((differ.square().sum(dim=0) / 59 / scores.deviation.square()).mean())
    assert float(torch.stack(squares).mean()) == pytest.approx(1.0, abs=0.15)


def test_random_functions_hang_on_candidate_and_block_alone():
    learner, x = create(), [0.6, 0.8]
    alone = learner.scores(Context(x), [Candidate("a")]).replicas
    both = learner.scores(Context(x), [Candidate("b"), Candidate("a")]).replicas
    assert torch.equal(alone[:, 0], both[:, 1])
    assert not torch.equal(both[:, 0], both[:, 1])
    late = create()
    late.learn(Context([0.0, 1.0], blocks={"other": [1.0, 2.0]}), Candidate("b"), 0.0)
    late.learn(Context([0.0, 1.0], blocks={"reply": [1.0]}), Candidate("b"), 0.0)
    context = Context(x, blocks={"reply": [0.3]})
    torch.testing.assert_close(
        late.scores(context, [Candidate("a")]).replicas, learner.scores(context, [Candidate("a")]).replicas
    )


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_probabilities_are_the_votes_and_what_is_spread(alpha):
    world, learner, _ = taught(alpha=alpha, replicas=7)
    context = world.context()
    scores, probabilities = learner.scores(context, world.candidates), learner.probabilities(context, world.candidates)
    votes = [0] * 4
    for replica in scores.replicas.tolist():
        moved = [m + alpha * (r - m) for m, r in zip(scores.mean.tolist(), replica, strict=True)]
        votes[moved.index(max(moved))] += 1
    spread = 1 / math.sqrt(1 + 30)
    assert probabilities.tolist() == pytest.approx([(v + spread / 4) / (7 + spread) for v in votes], abs=1e-12)
    assert min(probabilities.tolist()) > 0.0


def test_replicas_come_to_agree():
    world, learner, _ = taught(count=10)
    context = world.context()
    few = learner.scores(context, world.candidates)
    many = taught(count=300)[1].scores(context, world.candidates)
    spread = [float((s.replicas - s.mean).square().mean()) for s in (few, many)]
    assert spread[1] < spread[0] / 4


def test_a_reward_too_large_or_too_light_teaches_no_replica():
    world, learner, _ = taught(count=5)
    before = learner.state_dict()
    for reward, weight in ((1e308, 1.0), (1.0, 1e308), (1.0, 1e-310)):
        with pytest.raises(InvalidInput, match="too large or too small"):
            learner.learn(world.context(), world.candidates[0], reward, weight=weight)
    after = learner.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
