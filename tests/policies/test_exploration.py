"""Probabilities against brute force."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import Candidate, Context, exploration


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def brute_force(mean, deviation, nodes=1_000_001):
    """The win integrals by the trapezoid rule on a dense even grid: dumb, but it shares no code."""
    low, high = float((mean - 9 * deviation).min()), float((mean + 9 * deviation).max())
    t = torch.linspace(low, high, nodes, dtype=torch.float64)[:, None]
    standard = (t - mean) / deviation
    density = torch.exp(-standard.square() / 2) / math.sqrt(2 * math.pi) / deviation
    cdf = 0.5 * torch.erfc(-standard / math.sqrt(2))
    return torch.stack(
        [
            torch.trapezoid(density[:, i] * cdf[:, [j for j in range(len(mean)) if j != i]].prod(dim=1), t[:, 0])
            for i in range(len(mean))
        ]
    )


@pytest.mark.parametrize(
    ("mean", "deviation"),
    [
        ([0.50, 0.52, 0.51], [0.1, 0.003, 0.05]),
        ([0.5, 0.5, 0.5], [0.1, 0.003, 0.05]),
        ([0.0, 0.0], [1.0, 1.0]),
        ([0.3, 0.1, 0.2, 0.25, -0.4], [0.05, 0.2, 0.01, 0.05, 0.3]),
        ([1000.0, 1000.1], [0.1, 0.2]),
    ],
)
def test_thompson_is_right_to_1e_6(mean, deviation):
    mean, deviation = tensor(*mean), tensor(*deviation)
    probabilities = exploration.thompson(mean, deviation)
    torch.testing.assert_close(probabilities, brute_force(mean, deviation), rtol=0, atol=1e-6)


def test_thompson_of_two_is_the_closed_form():
    for gap, first, second in [(0.1, 0.2, 0.3), (0.02, 0.1, 1e-4), (1.0, 0.2, 0.2), (0.0, 1e-6, 1.0)]:
        expected = torch.special.ndtr(tensor(gap / math.hypot(first, second)))
        got = exploration.thompson(tensor(gap, 0.0), tensor(first, second))[0]
        assert float(got) == pytest.approx(float(expected), abs=1e-9)


def test_thompson_of_77_against_draws():
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(77, generator=generator, dtype=torch.float64) * 0.3
    deviation = torch.rand(77, generator=generator, dtype=torch.float64) * 0.05 + 0.01
    draws = torch.randn(400_000, 77, generator=generator, dtype=torch.float64) * deviation + mean
    frequency = torch.bincount(draws.argmax(dim=1), minlength=77) / 400_000
    error = (exploration.thompson(mean, deviation) - frequency).abs()
    assert bool((error < 5 * (frequency * (1 - frequency) / 400_000).sqrt() + 2e-5).all())


def test_thompson_with_known_values():
    assert exploration.thompson(tensor(0.3, 0.3, 0.1), tensor(0.0, 0.0, 0.0)).tolist() == [0.5, 0.5, 0.0]
    half = exploration.thompson(tensor(0.0, 0.0), tensor(0.0, 1.0))
    torch.testing.assert_close(half, tensor(0.5, 0.5), rtol=0, atol=1e-9)
    limit = exploration.thompson(tensor(0.1, 0.2, 0.0), tensor(0.0, 0.0, 0.3))
    near = exploration.thompson(tensor(0.1, 0.2, 0.0), tensor(1e-7, 1e-7, 0.3))
    torch.testing.assert_close(limit, near, rtol=0, atol=1e-6)


@given(
    arms=st.lists(st.tuples(st.floats(-2, 2), st.one_of(st.just(0.0), st.floats(1e-12, 3))), min_size=1, max_size=20)
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_thompson_is_always_a_distribution(arms):
    mean, deviation = tensor(*[m for m, _ in arms]), tensor(*[s for _, s in arms])
    probabilities = exploration.thompson(mean, deviation)
    assert bool(torch.isfinite(probabilities).all())
    assert bool((probabilities >= 0).all())
    assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-12)


def test_joint_thompson_agrees_where_there_is_no_correlation():
    mean, deviation = tensor(0.1, 0.2, 0.15), tensor(0.1, 0.05, 0.2)
    joint = exploration.thompson_joint(mean, torch.diag(deviation.square()), 1.0, draws=1 << 15)
    torch.testing.assert_close(joint, exploration.thompson(mean, deviation), rtol=0, atol=2e-3)


def test_joint_thompson_sees_correlation_and_leaves_no_zero():
    together = torch.ones(2, 2, dtype=torch.float64)
    probabilities = exploration.thompson_joint(tensor(0.1, 0.0), together, 1.0)
    assert float(probabilities[0]) > 0.999
    assert float(probabilities[1]) > 0.0
    assert torch.equal(probabilities, exploration.thompson_joint(tensor(0.1, 0.0), together, 1.0))


def test_greedy_shares_ties_and_epsilon_mixes():
    assert exploration.greedy(tensor(0.2, 0.5, 0.5)).tolist() == [0.0, 0.5, 0.5]
    assert exploration.upper_confidence(tensor(0.2, 0.1), tensor(0.1, 0.5), 1.0).tolist() == [0.0, 1.0]
    torch.testing.assert_close(exploration.mix(tensor(1.0, 0.0), 0.1), tensor(0.95, 0.05))


def test_nothing_here_touches_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    exploration._normal_draws.cache_clear()
    exploration.thompson_joint(tensor(0.1, 0.0), torch.eye(2, dtype=torch.float64), 1.0)
    assert torch.equal(before, torch.get_rng_state())


def test_epsilon_falls_with_the_square_root_of_the_rewards():
    settings = {"epsilon": 0.3, "epsilon_decay": 50.0}
    assert exploration.epsilon_at(settings, 0) == 0.3
    assert exploration.epsilon_at(settings, 50) == pytest.approx(0.3 / math.sqrt(2))
    assert exploration.epsilon_at({**settings, "epsilon_decay": 0.0}, 10**6) == 0.3
    learner = policies.create("epsilon_greedy", **settings)
    for _ in range(150):
        learner.learn(Context([1.0, 0.0]), Candidate("a"), 1.0)
    assert min(learner.probabilities(Context([1.0, 0.0]), [Candidate("a"), Candidate("b")]).tolist()) == pytest.approx(
        0.3 / 2 / 2
    )


def test_candidates_known_to_be_equal_share_what_one_of_them_would_win():
    alone = exploration.thompson(tensor(0.5, 0.6), tensor(0.0, 1.0))
    shared = exploration.thompson(tensor(0.5, 0.5, 0.6), tensor(0.0, 0.0, 1.0))
    torch.testing.assert_close(shared, tensor(alone[0] / 2, alone[0] / 2, alone[1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
def test_joint_thompson_of_independent_candidates_is_thompson_and_alpha_says_how_widely(alpha):
    mean, deviation = tensor(0.5, 0.4, 0.1), tensor(0.3, 0.2, 0.6)
    joint = exploration.thompson_joint(mean, torch.diag(deviation.square()), alpha)
    torch.testing.assert_close(joint, exploration.thompson(mean, alpha * deviation), rtol=0, atol=0.01)


@given(
    mean=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6, unique=True),
    gamma=st.floats(0.1, 1000.0),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_inverse_gap_weighting_gives_the_rest_to_the_best(mean, gamma):
    found = exploration.inverse_gap(tensor(*mean), torch.zeros(len(mean), dtype=torch.float64), gamma)
    best = max(range(len(mean)), key=mean.__getitem__)
    others = {i: 1.0 / (len(mean) + gamma * (mean[best] - mean[i])) for i in range(len(mean)) if i != best}
    expected = [others.get(i, 1.0 - math.fsum(others.values())) for i in range(len(mean))]
    torch.testing.assert_close(found, tensor(*expected), rtol=0, atol=1e-12)


def test_elimination_leaves_out_whose_upper_bound_lies_below_anothers_lower():
    mean, deviation = tensor(0.9, 0.6, 0.5), tensor(0.1, 0.3, 0.1)
    found = exploration.inverse_gap(mean, deviation, 10.0, elimination=1.0)
    assert found[2] == 0.0  # at most 0.6, and the first at least 0.8
    assert found[1] == pytest.approx(1.0 / (2.0 + 10.0 * 0.3))  # up to 0.9: it may be the best of two
    assert found[0] == pytest.approx(1.0 - float(found[1]))
