"""Every law, applied to every learner under every way to model."""

from __future__ import annotations

import functools

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import policies
from policies import checks
from policies.simulate import LinearWorld, play

PARTS = ("disjoint", "shared", "hybrid", "calibrated")
# The prior of a world whose expected rewards are (1 + cosine) / 2.
WORLD = {"prior_slope": 0.5, "prior_intercept": 0.5, "device": "auto"}
ADDITIVE = [name for name in policies.NAMES if policies.create(name).additive]
REFOLDED = [name for name in policies.NAMES if name not in ADDITIVE]
every_name = pytest.mark.parametrize("name", policies.NAMES)
every_parts = pytest.mark.parametrize("parts", PARTS)


def maker(name, **given):
    return functools.partial(policies.create, name, **{**WORLD, **given})


@pytest.mark.parametrize("law", checks.ALL, ids=lambda law: law.__name__)
@every_parts
@every_name
def test_law(name, parts, law):
    law(maker(name, parts=parts))


@pytest.mark.parametrize("law", checks.ADDITIVE, ids=lambda law: law.__name__)
@every_parts
@pytest.mark.parametrize("name", ADDITIVE)
def test_additive_law(name, parts, law):
    law(maker(name, parts=parts))


@every_parts
@pytest.mark.parametrize("name", REFOLDED)
def test_the_past_is_refused(name, parts):
    checks.the_past_is_refused(maker(name, parts=parts))


@every_parts
@every_name
def test_epsilon_and_slates_of_many_outcomes(name, parts):
    make = maker(name, parts=parts, epsilon=0.4)
    checks.epsilon_is_spread_over_the_eligible(make)
    checks.slates_are_choices_in_turn(make, seed=3)


@every_parts
@every_name
def test_forgetting_ends_at_the_prior(name, parts):
    checks.forgetting_ends_at_the_prior(maker(name, parts=parts, half_life=3600.0))


@pytest.mark.parametrize("degree", [1, 3])
@every_parts
def test_forgetting_is_fading(parts, degree):
    make = maker("linucb", parts=parts, degree=degree, half_life=3600.0)
    checks.forgetting_is_fading(make, lasting=maker("linucb", parts=parts, degree=degree))


@pytest.mark.parametrize("name", ["lints", *REFOLDED])
@given(
    parts=st.sampled_from(PARTS),
    seed=st.integers(0, 10**6),
    ridge=st.floats(0.1, 100.0),
    slope=st.floats(-3.0, 3.0),
    degree=st.integers(1, 3),
    epsilon=st.floats(0.01, 1.0),
)
@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])  # to shrink would take minutes
def test_laws_at_any_settings(name, parts, seed, ridge, slope, degree, epsilon):
    make = maker(name, parts=parts, ridge=ridge, prior_slope=slope, degree=degree, epsilon=epsilon)
    checks.untrained_equals_prior(make, seed=seed)
    checks.saving_changes_nothing(make, seed=seed)
    checks.epsilon_is_spread_over_the_eligible(make, seed=seed)
    checks.candidates_may_come_and_go(make, seed=seed)


@pytest.mark.parametrize("law", [checks.order_does_not_matter, checks.revising_equals_learning])
@every_parts
@given(seed=st.integers(0, 10**6), ridge=st.floats(0.01, 100.0), slope=st.floats(-3.0, 3.0))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_additive_laws_at_any_settings(parts, law, seed, ridge, slope):
    law(maker("linucb", parts=parts, ridge=ridge, prior_slope=slope), seed=seed)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in ADDITIVE if name != "linucb_hybrid"])
def test_online_equals_batch(name, degree):
    checks.online_equals_batch(maker(name, degree=degree))


@pytest.mark.parametrize("degree", [1, 3])
def test_hybrid_equals_the_joint_process(degree):
    checks.hybrid_equals_the_joint_process(maker("linucb_hybrid", degree=degree, ridge=0.6))


@pytest.mark.parametrize("parts", ["disjoint", "hybrid", "calibrated"])
def test_what_others_earn_says_nothing_of_a_candidate_with_a_prior_of_its_own(parts):
    world, learner = LinearWorld(meaning="telling", seed=2), policies.create("linucb", parts=parts)
    own = policies.Candidate("own", prior=0.3)
    for _ in range(20):
        context = world.context()
        learner.learn(context, world.candidates[0], world.reward(context, 0) - 0.5)
    scores = learner.scores(context, [*world.candidates, own])
    assert float(scores.mean[-1]) == 0.3
    assert float((scores.mean - scores.parts["prior"]).abs()[0]) > 0.01
    learner.learn(context, own, 1.0)
    assert float(learner.scores(context, [own]).mean[0]) > 0.5


def test_a_law_catches_a_breach():
    with pytest.raises(AssertionError, match="regret"):
        checks.learning_helps(maker("epsilon_greedy", epsilon=1.0))


@every_name
def test_tabular_problem_starts_from_no_preference_and_is_learned(name):
    world = LinearWorld(meaning="none", seed=3)
    learner = policies.create(name, device="cpu")
    scores = learner.scores(world.context(), world.candidates)
    assert scores.mean.tolist() == [0.5 if name == "logistic" else 0.0] * 4
    before = play(learner, world, 100, learning=False)
    play(learner, world, 300)
    assert play(learner, world, 100, learning=False) < before / 2


@pytest.mark.parametrize("binary", [False, True])
def test_worlds_of_one_seed_are_the_same(binary):
    one, other = LinearWorld(seed=5, binary=binary), LinearWorld(seed=5, binary=binary)
    assert one.context().vector.tolist() == other.context().vector.tolist()
    context = one.context()
    other.context()
    rewards = [one.reward(context, 1) for _ in range(50)]
    assert rewards == [other.reward(context, 1) for _ in range(50)]
    assert all(0.0 <= reward <= 1.0 for reward in rewards)
    assert (set(rewards) <= {0.0, 1.0}) == binary
