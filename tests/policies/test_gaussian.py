"""The posterior against the closed form, through every way in which it is stored."""

from __future__ import annotations

import pytest
import torch

from policies.gaussian import BLOCK, Gaussian
from policies.types import InvalidInput

CPU = torch.device("cpu")


def observations(count, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, d, dtype=torch.float64, generator=generator) / d**0.5
    weight = torch.rand(count, dtype=torch.float64, generator=generator) + 0.1
    response = torch.randn(count, dtype=torch.float64, generator=generator)
    return x, weight, response


def trained(count, d, ridge=0.7):
    model = Gaussian(d, ridge, CPU)
    for x, weight, response in zip(*observations(count, d), strict=True):
        model.update(x, float(weight), float(response))
    return model


def assert_closed_form(model, x, weight, response, ridge=0.7):
    precision = torch.eye(x.shape[1], dtype=torch.float64) * ridge + x.T @ (x * weight[:, None])
    torch.testing.assert_close(model.precision, precision, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.response, x.T @ response, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.theta, torch.linalg.solve(precision, x.T @ response), rtol=0, atol=1e-9)
    probe = x[0] + 1.0
    variance = float(probe @ torch.linalg.solve(precision, probe))
    assert model.variance(probe, float(probe @ probe)) == pytest.approx(variance, abs=1e-9)
    z = torch.stack([probe, x[1], x[0]])
    expected = z @ torch.linalg.solve(precision, z.T)
    torch.testing.assert_close(model.covariance(z), expected, rtol=0, atol=1e-9)


# Few: factors alone; more: one dense base; many: blocks absorbed; most: refactored again.
@pytest.mark.parametrize("count", [2, BLOCK - 1, BLOCK, 3 * BLOCK + 5, 20 * BLOCK + 3])
@pytest.mark.parametrize("d", [1, 7, 40])
def test_closed_form(count, d):
    assert_closed_form(trained(count, d), *observations(count, d))


@pytest.mark.parametrize("count", [50, 400])
def test_taking_back_leaves_the_rest(count):
    x, weight, response = observations(count, 9)
    model = trained(count, 9)
    half = count // 2
    for i in range(half):
        model.update(x[i], -float(weight[i]), -float(response[i]))
    assert_closed_form(model, x[half:], weight[half:], response[half:])


def test_taking_back_a_heavy_observation_is_exact():
    x, _, _ = observations(20, 9)
    model = trained(20, 9)
    model.update(x[3], 1e6, 1e6)
    model.update(x[3], -1e6, -1e6)
    probe = x[0]
    expected = trained(20, 9)
    torch.testing.assert_close(model.theta, expected.theta, rtol=0, atol=1e-6)
    assert model.variance(probe, float(probe @ probe)) == pytest.approx(
        expected.variance(probe, float(probe @ probe)), abs=1e-6
    )


def test_taking_back_too_much_is_refused_and_changes_nothing():
    model = trained(10, 5)
    before = model.state()
    with pytest.raises(InvalidInput, match="more than was learned"):
        model.update(torch.ones(5, dtype=torch.float64), -1e3, 0.0)
    assert all(torch.equal(before[name], value) for name, value in model.state().items())


def test_base_is_exactly_symmetric():
    model = trained(5 * BLOCK, 40)
    assert model._base is not None
    assert torch.equal(model._base, model._base.T)
    assert torch.equal(model.precision, model.precision.T)


@pytest.mark.parametrize("count", [3, 3 * BLOCK + 5])
def test_state_is_bit_for_bit(count):
    model = trained(count, 40)
    copy = Gaussian.from_state(model.state(), 0.7, CPU)
    for x, weight, response in zip(*observations(2 * BLOCK, 40, seed=1), strict=True):
        model.update(x, float(weight), float(response))
        copy.update(x, float(weight), float(response))
        assert torch.equal(model.theta, copy.theta)
        assert model.variance(x, float(x @ x)) == copy.variance(x, float(x @ x))


def test_few_observations_need_no_matrix():
    model = trained(10, 384)
    assert sum(value.numel() for value in model.state().values()) < 384 * 25
