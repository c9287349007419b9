"""Logistic Thompson sampling against what it approximates."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import Candidate, Context, InvalidInput, exploration
from policies.logistic import LEAST, laplace_mode
from policies.simulate import LinearWorld, play

create = functools.partial(policies.create, "logistic")
CONTEXT = Context([0.6, 0.8])
TWO = (Candidate("a", [1.0, 0.0]), Candidate("b", [0.0, 1.0]))


def sigmoid(t):
    return 1.0 / (1.0 + math.exp(-t))


@given(start=st.floats(-50.0, 50.0), exponent=st.floats(-12.0, 12.0), reward=st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_mode_is_where_prior_and_reward_balance(start, exponent, reward):
    pull = 10.0**exponent
    mode = laplace_mode(start, pull, reward)
    # The left side less the right one grows with t: it has one sign on each side of the mode.
    width = 1e-9 * max(abs(mode), 1.0)
    assert mode - width - start <= pull * (reward - sigmoid(mode - width)) + 1e-12 * pull
    assert mode + width - start >= pull * (reward - sigmoid(mode + width)) - 1e-12 * pull


@pytest.mark.parametrize("start", [-700.0, 0.0, 700.0])
@pytest.mark.parametrize("pull", [0.0, 1e-300, 1.0, 1e300])
def test_the_mode_is_found_at_the_edges(start, pull):
    up, down = laplace_mode(start, pull, 1.0), laplace_mode(start, pull, 0.0)
    assert down <= start <= up
    assert up == pytest.approx(-laplace_mode(-start, pull, 0.0))


def newton(kernel, offsets, rewards, weights):
    """The mode of the whole posterior and its covariance, by Newton's method on all points at once."""
    f = torch.zeros(len(rewards), dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(offsets + f)
        hessian = torch.linalg.inv(kernel) + torch.diag(weights * p * (1 - p))
        f = f + torch.linalg.solve(hessian, weights * (rewards - p) - torch.linalg.solve(kernel, f))
    p = torch.sigmoid(offsets + f)
    return f, torch.linalg.inv(torch.linalg.inv(kernel) + torch.diag(weights * p * (1 - p)))


@pytest.mark.parametrize(("reward", "weight"), [(1.0, 1.0), (0.0, 2.5), (0.3, 0.5)])
def test_one_reward_gives_the_mode_and_curvature_of_the_exact_posterior(reward, weight):
    learner = create(degree=1, ridge=0.5)
    offset = learner.scores(CONTEXT, TWO).latent.mean[:1]
    learner.learn(CONTEXT, TWO[0], reward, weight=weight)
    latent = learner.scores(CONTEXT, TWO).latent
    mode, covariance = newton(
        torch.tensor([[1.0 / 0.5]], dtype=torch.float64),
        offset,
        torch.tensor([reward], dtype=torch.float64),
        torch.tensor([weight], dtype=torch.float64),
    )
    assert float(latent.mean[0]) == pytest.approx(float(offset + mode), abs=1e-10)
    assert float(latent.deviation[0]) == pytest.approx(float(covariance.sqrt()), abs=1e-10)


def test_many_rewards_come_near_the_mode_of_all_at_once():
    world = LinearWorld(candidates=1, dimension=3, binary=True, seed=2)
    learner, (candidate,) = create(degree=1), world.candidates
    contexts = [world.context() for _ in range(200)]
    rewards = [world.reward(context, 0) for context in contexts]
    for context, reward in zip(contexts, rewards, strict=True):
        learner.learn(context, candidate, reward)
    x = torch.stack([context.vector for context in contexts])
    theta = torch.zeros(3, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(x @ theta)
        hessian = torch.eye(3, dtype=torch.float64) + x.T @ (x * (p * (1 - p))[:, None])
        theta = theta + torch.linalg.solve(hessian, x.T @ (torch.tensor(rewards, dtype=torch.float64) - p) - theta)
    probes = [world.context() for _ in range(20)]
    found = [learner.scores(probe, [candidate]).latent for probe in probes]
    exact = torch.stack([probe.vector for probe in probes])
    errors = torch.tensor([float(scores.mean) for scores in found]) - (exact @ theta).float()
    assert float(errors.abs().max()) < 0.1
    variance = (exact @ torch.linalg.inv(hessian) * exact).sum(dim=1)
    ratio = torch.tensor([float(scores.deviation) for scores in found]) / variance.sqrt().float()
    assert 0.9 < float(ratio.min()) <= float(ratio.max()) < 1.1


def test_parts_sum_to_a_probability_and_split_it_as_the_integral_does():
    learner = create(prior_match=0.05)
    context = Context([0.6, 0.8], {"turn": 2.0}, {"reply": [0.3, 0.1]})
    candidates = (Candidate("a", [1.0, 0.0], {"turn": 1.0}), TWO[1])
    for number in range(12):
        learner.learn(context, candidates[0], 1.0, weight=5.0)
        learner.learn(Context([0.8, -0.6], {"turn": float(number)}), candidates[1], 0.0)
    scores = learner.scores(context, candidates)
    assert set(scores.parts) == {"prior", "match", "own", "own:features", "own:reply", "own:together"}
    torch.testing.assert_close(scores.mean, torch.sigmoid(scores.latent.mean), rtol=0, atol=1e-12)
    # The second prior is 1 and is cut; both candidates' matches are of features of the same name.
    assert scores.parts["prior"].tolist() == pytest.approx([1.5 * 0.6 - 0.2, 1.0 - LEAST], abs=1e-9)
    assert scores.parts["match"].tolist() == pytest.approx([0.05 * 2.0, 0.0], abs=1e-9)
    # Each part is the integral of the slope, on the straight way from the prior, times what the part adds in log-odds.
    start = torch.logit(scores.parts["prior"] + scores.parts["match"])
    added = scores.latent.mean - start
    steps = (torch.arange(20_000, dtype=torch.float64) + 0.5)[:, None] / 20_000
    p = torch.sigmoid(start + steps * added)
    slope = (p * (1 - p)).mean(dim=0)
    for name in ("own", "own:features", "own:reply", "own:together"):
        torch.testing.assert_close(scores.parts[name], slope * scores.latent.parts[name], rtol=0, atol=1e-8)


def test_a_prior_is_cut_where_no_reward_would_change_it():
    learner = create(prior_slope=4.0, prior_intercept=-1.0)
    far, near = Candidate("far", [0.0, -1.0]), Candidate("near", [0.6, 0.8])
    assert learner.scores(CONTEXT, [far, near, Candidate("bare")]).mean.tolist() == [LEAST, 1.0 - LEAST, 0.5]


def test_the_deviation_is_that_of_the_probability():
    learner = create()
    learner.learn(CONTEXT, TWO[0], 1.0)
    scores = learner.scores(CONTEXT, TWO)
    step = 1e-6
    moved = torch.sigmoid(scores.latent.mean + step * scores.latent.deviation)
    torch.testing.assert_close((moved - scores.mean) / step, scores.deviation, rtol=1e-5, atol=0)


@pytest.mark.parametrize("parts", ["disjoint", "hybrid"])
def test_it_samples_log_odds_and_alpha_says_how_widely(parts):
    learner = create(parts=parts, alpha=0.7)
    learner.learn(CONTEXT, TWO[0], 1.0)
    scores = learner.scores(CONTEXT, TWO)
    latent, probabilities = scores.latent, learner.probabilities(CONTEXT, TWO)
    if parts == "disjoint":
        expected = exploration.thompson(latent.mean, latent.deviation * 0.7)
    else:
        expected = exploration.thompson_joint(latent.mean, latent.covariance, 0.7)
        slope = scores.mean * (1 - scores.mean)
        torch.testing.assert_close(scores.covariance, latent.covariance * torch.outer(slope, slope))
    assert torch.equal(probabilities, expected)
    certain = create(parts=parts, alpha=0.0)
    certain.load_state_dict(learner.state_dict())
    assert max(certain.probabilities(CONTEXT, TWO).tolist()) > 0.99


@pytest.mark.parametrize("reward", [-0.1, 1.1])
def test_other_rewards_are_refused(reward):
    with pytest.raises(InvalidInput, match=r"logistic learns from values in \[0, 1\]"):
        create().learn(CONTEXT, TWO[0], reward)


def test_a_reward_of_no_weight_or_of_all_weight():
    learner = create()
    learner.learn(CONTEXT, TWO[0], 1.0, weight=0.0)
    assert learner.scores(CONTEXT, TWO).mean.tolist() == create().scores(CONTEXT, TWO).mean.tolist()
    learner.learn(CONTEXT, TWO[0], 1.0, weight=1e300)
    assert 0.999 < float(learner.scores(CONTEXT, TWO).mean[0]) <= 1.0
    with pytest.raises(InvalidInput, match="weight"):
        learner.learn(CONTEXT, TWO[1], 1.0, weight=1e308)


def test_a_late_reward_has_faded_as_it_would_have():
    """Of two candidates that know nothing of each other, the order of rewards hardly matters, whatever their age."""
    learner, other = create(half_life=1600.0), create(half_life=1600.0)
    lessons = [(TWO[0], 1.0, 0.0), (TWO[1], 0.0, 800.0)]
    for candidate, reward, at in lessons:
        learner.learn(CONTEXT, candidate, reward, at=at)
    for candidate, reward, at in reversed(lessons):
        other.learn(CONTEXT, candidate, reward, at=at)
    now = [one.scores(CONTEXT, TWO, at=800.0) for one in (learner, other)]
    assert float(now[0].mean[1]) == pytest.approx(float(now[1].mean[1]), abs=1e-12)
    # Faded first, the reward counts a little otherwise than faded after: Laplace's method is no sum.
    assert float(now[0].mean[0]) == pytest.approx(float(now[1].mean[0]), abs=0.05)
    fresh = create()
    fresh.learn(CONTEXT, TWO[0], 1.0, weight=2.0**-0.5)
    assert float(now[1].mean[0]) == pytest.approx(float(fresh.scores(CONTEXT, TWO).mean[0]), abs=1e-12)


def test_it_learns_yes_and_no():
    regret = [play(create(), LinearWorld(binary=True, seed=seed), 250) for seed in (1, 2)]
    uniform = [
        play(policies.create("epsilon_greedy", epsilon=1.0), LinearWorld(binary=True, seed=seed), 250)
        for seed in (1, 2)
    ]
    assert all(mine < 0.7 * theirs for mine, theirs in itertools.zip_longest(regret, uniform))
