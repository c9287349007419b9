"""Every law, applied to every learner under every way to model."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import checks
from policies.simulate import LinearWorld, play

PARTS = ("disjoint", "shared", "hybrid", "calibrated")
LAWS = (*checks.ALL, *checks.ADDITIVE)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", policies.NAMES)
def test_law(name, parts, law):
    law(functools.partial(policies.create, name, parts=parts, device="cpu"))


@pytest.mark.parametrize("law", [checks.order_does_not_matter, checks.revising_equals_learning])
@pytest.mark.parametrize("parts", PARTS)
@given(seed=st.integers(0, 10**6), ridge=st.floats(0.01, 100.0), slope=st.floats(-3.0, 3.0))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_law_at_any_settings(parts, law, seed, ridge, slope):
    make = functools.partial(policies.create, "linucb", parts=parts, ridge=ridge, prior_slope=slope, device="cpu")
    law(make, seed=seed)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("name", policies.NAMES)
def test_online_equals_batch(name, degree):
    checks.online_equals_batch(functools.partial(policies.create, name, parts="disjoint", degree=degree))


def test_a_law_catches_a_breach():
    with pytest.raises(AssertionError, match="regret"):
        checks.learning_helps(lambda: policies.create("epsilon_greedy", epsilon=1.0))


@pytest.mark.parametrize("name", policies.NAMES)
def test_tabular_problem_starts_from_zero_and_is_learned(name):
    world = LinearWorld(meaning="none", seed=3)
    learner = policies.create(name, device="cpu")
    scores = learner.scores(world.context(), world.candidates)
    assert scores.mean.tolist() == [0.0] * 4
    play(learner, world, 400)
    assert play(learner, world, 200, learning=False) < 0.1


def test_worlds_of_one_seed_are_the_same():
    one, other = LinearWorld(seed=5), LinearWorld(seed=5)
    assert one.context().vector.tolist() == other.context().vector.tolist()
    context = one.context()
    other.context()
    assert one.reward(context, 1) == other.reward(context, 1)
