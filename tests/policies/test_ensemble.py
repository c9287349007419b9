"""Ensembles: what members earn, and how their shares follow it."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import Candidate, Context, InvalidInput, Offer
from policies.ensemble import descend, earned, exponential, log_barrier
from policies.simulate import LinearWorld

create = functools.partial(policies.create, "ensemble")
STEPS = [exponential, log_barrier]
WAYS = ["greedy", "linucb", "lints", "squarecb", {"policy": "epsilon_greedy", "epsilon": 0.3}]


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def taught(learner, count=40, **kinds):
    world = LinearWorld(meaning="telling", seed=2, **kinds)
    for number in range(count):
        context = world.context()
        choice = learner.choose(context, world.candidates, seed=number)
        reward = world.reward(context, choice.index)
        learner.learn(context, world.candidates[choice.index], reward, offer=choice.offer(world.candidates))
    return world


def test_it_chooses_as_its_members_would_by_their_shares():
    learner = create(members=WAYS, epsilon=0.1, rate=1.0)
    world = taught(learner)
    context = world.context()
    scores = learner.scores(context, world.candidates)
    expected = torch.zeros(4, dtype=torch.float64)
    for share, way in zip(learner.shares, WAYS, strict=True):
        alone = create(members=[way])
        taught(alone)  # for as many rewards: some explore less by their number
        expected += share * alone.distribution(scores, [True] * 4)
    assert len(set(learner.shares)) > 1
    found = learner.probabilities(context, world.candidates)
    torch.testing.assert_close(found, 0.9 * expected + 0.1 / 4, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_ensemble_of_one_is_that_one(way):
    name, own = (way, {}) if isinstance(way, str) else (way["policy"], {"epsilon": way["epsilon"]})
    learner, alone = create(members=[way]), policies.create(name, **own)
    world = taught(learner)
    taught(alone)
    for _ in range(5):
        context = world.context()
        found, expected = (one.probabilities(context, world.candidates) for one in (learner, alone))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert learner.shares == (1.0,)


@given(
    opinions=st.lists(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), min_size=1, max_size=4),
    shares=st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4),
    expected=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    rewards=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_credited_is_on_average_what_a_member_would_have_earned(opinions, shares, expected, rewards):
    opinions = tensor(*[[p / math.fsum(row) for p in row] for row in opinions])
    drawn = torch.mv(opinions.T, tensor(*shares[: len(opinions)])) / math.fsum(shares[: len(opinions)])
    credit = sum(drawn[i] * earned(opinions, tensor(*expected), i, float(drawn[i]), rewards[i]) for i in range(3))
    torch.testing.assert_close(credit, torch.mv(opinions, tensor(*rewards)), rtol=0, atol=1e-12)


def test_the_rate_says_how_far_one_reward_moves_the_shares():
    moved = []
    for rate in (0.0, 0.1, 0.2):
        learner = create(members=["greedy", {"policy": "epsilon_greedy", "epsilon": 0.3}], rate=rate, mix=0.0)
        taught(learner, count=1)
        moved.append(math.log(learner.shares[0] / learner.shares[1]))
    assert moved[0] == 0.0
    assert moved[1] != 0.0
    assert moved[2] == pytest.approx(2.0 * moved[1])  # exponential weights: the odds grow by e^(rate * gain)


def divergence(step, new, old):
    if step is exponential:
        return sum(a * math.log(a / b) - a + b for a, b in zip(new, old, strict=True))
    return sum(math.log(b / a) + a / b - 1.0 for a, b in zip(new, old, strict=True))


@given(
    old=st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3),
    gains=st.lists(st.floats(-20.0, 20.0), min_size=3, max_size=3),
    step=st.sampled_from(STEPS),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_step_is_the_best_trade_of_gain_for_distance(old, gains, step):
    """Mirror descent: no other shares >= 0.04 have more gain less divergence."""
    old = [0.04 + 0.88 * share / math.fsum(old) for share in old]
    new = descend(old, gains, step, 0.04)
    assert math.fsum(new) == pytest.approx(1.0, abs=1e-12)
    assert min(new) >= 0.04 - 1e-12

    def worth(shares):
        return sum(map(lambda a, g: a * g, shares, gains)) - divergence(step, shares, old)

    for up, down in itertools.permutations(range(3), 2):
        for size in (1e-4, 1e-2, 0.1):
            moved = list(new)
            moved[up], moved[down] = moved[up] + size, moved[down] - size
            if moved[down] >= 0.04:
                assert worth(moved) <= worth(new) + 1e-9


@pytest.mark.parametrize("step", STEPS)
def test_equal_gains_move_nothing_and_any_gain_can_be_borne(step):
    assert descend((0.3, 0.7), [5.0, 5.0], step, 0.05) == pytest.approx((0.3, 0.7))
    assert descend((0.3, 0.7), [1e6, -1e6], step, 0.05) == pytest.approx((0.95, 0.05))
    assert descend((1.0,), [3.0], step, 0.05) == (1.0,)


@pytest.mark.parametrize("weighing", ["exponential", "log_barrier"])
def test_shares_follow_what_members_earn(weighing):
    """One of the members chooses evenly, whatever is known: it earns less, and falls to the least share."""
    careless = {"policy": "epsilon_greedy", "epsilon": 1.0}
    learner = create(members=["linucb", careless], weighing=weighing, rate=1.0, mix=0.1)
    taught(learner, 300)
    assert learner.shares[1] == pytest.approx(0.1, abs=0.05)
    assert math.fsum(learner.shares) == pytest.approx(1.0)


def lesson(learner):
    world = LinearWorld(meaning="telling", seed=2)
    context = world.context()
    return context, world.candidates, learner.choose(context, world.candidates, seed=0)


def test_without_an_offer_members_learn_and_shares_stay():
    learner = create()
    context, candidates, choice = lesson(learner)
    assert learner.needs_offer
    learner.learn(context, candidates[choice.index], 1.0)
    assert learner.shares == (0.25,) * 4
    assert float(learner.scores(context, candidates).deviation[choice.index]) < float(
        choice.scores.deviation[choice.index]
    )


def test_credit_is_given_before_members_learn():
    """Afterwards the members would have known the reward, and been credited for what they could not know."""
    learner = create(members=["greedy", "squarecb"], rate=1.0)
    context, candidates, choice = lesson(learner)
    opinions = torch.stack(
        [create(members=[name]).probabilities(context, candidates) for name in ("greedy", "squarecb")]
    )
    gains = earned(opinions, choice.scores.mean.clamp(0.0, 1.0), choice.index, choice.probability, 0.9)
    learner.learn(context, candidates[choice.index], 0.9, offer=choice.offer(candidates))
    assert learner.shares == pytest.approx(descend((0.5, 0.5), gains.tolist(), exponential, 0.05), abs=1e-12)


@pytest.mark.parametrize(("reward", "cut"), [(5.0, 1.0), (-3.0, 0.0)])
def test_any_finite_reward_moves_shares_as_its_nearest_from_0_to_1(reward, cut):
    wide, narrow = create(), create()
    context, candidates, choice = lesson(wide)
    for learner, value, weight in ((wide, reward, 7.0), (narrow, cut, 1.0)):
        learner.learn(context, candidates[choice.index], value, weight=weight, offer=choice.offer(candidates))
    assert wide.shares == narrow.shares
    assert wide.shares != (0.25,) * 4


def test_a_propensity_of_others_making_is_not_trusted_beyond_reason():
    learner = create(rate=1.0)
    context, candidates, choice = lesson(learner)
    learner.learn(context, candidates[choice.index], 1.0, offer=Offer(candidates, 1e-12))
    assert all(math.isfinite(share) and share >= 0.05 - 1e-12 for share in learner.shares)
    twin = create(rate=1.0)
    twin.learn(context, candidates[choice.index], 1.0, offer=Offer(candidates, 1e-9))
    assert twin.shares == learner.shares


def test_a_candidate_that_was_not_on_offer_is_refused_and_nothing_changes():
    learner = create()
    context, candidates, choice = lesson(learner)
    others = [c for i, c in enumerate(candidates) if i != choice.index]
    barred = [Candidate(c.id, c.vector, eligible=i != choice.index) for i, c in enumerate(candidates)]
    before = learner.state_dict()
    for offered in (others, barred):
        with pytest.raises(InvalidInput, match="not among the eligible"):
            learner.learn(context, candidates[choice.index], 1.0, offer=Offer(offered, 0.5))
    after = learner.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shares_are_saved_and_copied():
    learner = create(rate=1.0)
    taught(learner)
    loaded, adopter = create(rate=1.0), create(rate=1.0)
    loaded.load_state_dict(learner.state_dict())
    adopter.adopt(learner.state_dict(), strength=0.5)
    assert learner.shares == loaded.shares == learner.clone().shares == adopter.shares != (0.25,) * 4
    broken = learner.state_dict()
    del broken["shares"]
    with pytest.raises(InvalidInput, match="shares is missing"):
        create().load_state_dict(broken)
    with pytest.raises(InvalidInput, match="that of kind 'ensemble', not 'linear'"):
        policies.create("linucb").load_state_dict(learner.state_dict())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"members": []}, "not a list of one or more"),
        ({"members": "linucb"}, "not a list of one or more"),
        ({"members": ["linucb", "logistic"]}, r"members\[1\]: 'logistic' is none of greedy"),
        ({"members": [{"alpha": 1.0}]}, r"members\[0\]: .* neither the name"),
        ({"members": [{"policy": "greedy", "alpha": 1.0}]}, "greedy has no setting 'alpha' in an ensemble"),
        ({"members": [{"policy": "linucb", "alpha": "x"}]}, "alpha: 'x' is not a finite number"),
        ({"mix": 0.3}, "4 members of at least 0.3 are more than 1"),
        ({"weighing": "votes"}, "none of exponential, log_barrier"),
        ({"rate": -1.0}, "rate"),
    ],
)
def test_bad_settings_are_named(given, message):
    with pytest.raises(InvalidInput, match=message):
        create(**given)


def test_every_setting_of_a_member_is_filled_in():
    members = create(members=["lints", {"policy": "linucb", "alpha": 3}]).settings["members"]
    assert members == [{"policy": "lints", "alpha": 0.03}, {"policy": "linucb", "alpha": 3.0}]
    assert create(members=members).settings["members"] == members


def test_context_of_an_offer_is_the_one_learned_from():
    learner = create()
    with pytest.raises(InvalidInput, match="cosine"):
        learner.learn(Context([1.0]), Candidate("a", [1.0]), 1.0, offer=Offer([Candidate("a", [1.0, 2.0])], 0.5))
    assert learner.shares == (0.25,) * 4
