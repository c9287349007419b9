"""Empirical Bayes: what the log was made with is found again."""

from __future__ import annotations

import math

import pytest
import torch

from policies import Candidate, Context, InvalidInput, Reward, create
from policies.evidence import Lesson, fit


def lessons(*, noise=0.1, scale=0.5, slope=0.0, count=400, d=5, seed=0, weight=1.0):
    """Rewards of a linear world whose weights have a known standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    candidates = [Candidate(str(i), normal(d)) for i in range(8)]
    thetas = normal(8, d) * scale
    found = []
    for number in range(count):
        x = torch.nn.functional.normalize(normal(d), dim=0)
        candidate, theta = candidates[number % 8], thetas[number % 8]
        cosine = float(x @ candidate.vector / candidate.vector.norm())
        reward = 0.3 + slope * cosine + float(x @ theta) + noise / math.sqrt(weight) * float(normal(1))
        found.append(Lesson(Context(x), candidate, Reward(reward, weight)))
    return found


@pytest.mark.parametrize(("noise", "scale"), [(0.1, 0.5), (0.3, 0.3), (0.5, 0.2)])
def test_noise_and_prior_strength_are_found_again(noise, scale):
    found = fit(lessons(noise=noise, scale=scale), create("linucb", degree=1).settings)
    assert found.noise == pytest.approx(noise, rel=0.2)
    # The ridge is the noise's variance over that of a weight.
    assert math.log(found.ridge) == pytest.approx(math.log((noise / scale) ** 2), abs=1.0)
    assert found.count == 400


def test_the_semantic_prior_is_found_again():
    found = fit(lessons(slope=0.8, scale=0.1), create("linucb", degree=1).settings)
    assert found.prior_slope == pytest.approx(0.8, abs=0.15)
    assert found.prior_intercept == pytest.approx(0.3, abs=0.1)
    assert found.log_evidence > found.before


def test_the_evidence_is_the_normal_density_of_the_rewards():
    some = lessons(count=40)
    settings = create("linucb", degree=2, ridge=2.0, prior_slope=0.0, prior_intercept=0.0).settings
    found = fit(some, settings)
    total, variance = 0.0, found_noise(some, settings) ** 2
    for covariance, rewards in matrices(some, settings):
        normal = torch.distributions.MultivariateNormal(torch.zeros_like(rewards), covariance * variance)
        total += float(normal.log_prob(rewards))
    assert found.before == pytest.approx(total, abs=1e-6)


def matrices(some, settings):
    """Per candidate, the covariance of its rewards in units of the noise, and the rewards."""
    for candidate in {lesson.candidate for lesson in some}:
        own = [lesson for lesson in some if lesson.candidate is candidate]
        x = torch.stack([lesson.context.vector for lesson in own])
        cosine = x @ x.T
        kernel = sum(cosine**p for p in range(1, settings["degree"] + 1)) / settings["ridge"]
        rewards = torch.tensor([lesson.reward.value for lesson in own], dtype=torch.float64)
        yield kernel + torch.eye(len(own), dtype=torch.float64), rewards


def found_noise(some, settings):
    total = sum(float(rewards @ torch.linalg.solve(cov, rewards)) for cov, rewards in matrices(some, settings))
    return math.sqrt(total / len(some))


def test_a_heavier_reward_is_less_noisy():
    light, heavy = lessons(weight=1.0), lessons(weight=4.0)
    settings = create("linucb", degree=1).settings
    assert fit(heavy, settings).noise == pytest.approx(fit(light, settings).noise, rel=0.02)


def test_what_says_nothing_is_refused():
    settings = create("linucb").settings
    with pytest.raises(InvalidInput, match="too few"):
        fit(lessons(count=9), settings)
    alike = [lesson._replace(reward=Reward(1.0)) for lesson in lessons(count=40)]
    with pytest.raises(InvalidInput, match="alike"):
        fit(alike, settings)
