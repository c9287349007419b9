"""Posteriors against the closed form, in both the forms in which they are kept."""

from __future__ import annotations

import pytest
import torch

from policies.features import Point, RandomFeatures, key_of
from policies.gaussian import STEPS_BETWEEN_REFACTORS, Gaussian
from policies.kernel import STEPS_BETWEEN_REFACTORS as KERNEL_STEPS
from policies.kernel import KernelPosterior
from policies.posterior import EXACT_ROWS, FEW_ROWS, Posterior, Shape
from policies.types import InvalidInput

CPU = torch.device("cpu")
RIDGE = 0.7


def observations(count, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, d, dtype=torch.float64, generator=generator) / d**0.5
    weight = torch.rand(count, dtype=torch.float64, generator=generator) + 0.1
    response = torch.randn(count, dtype=torch.float64, generator=generator)
    return x, weight, response


def point(x):
    return Point(x, float(x.norm()), {"": (0, x.numel())}, key_of({"": x}))


def closed_form(x, weight, response, probe):
    precision = torch.eye(x.shape[1], dtype=torch.float64) * RIDGE + x.T @ (x * weight[:, None])
    solved = torch.linalg.solve(precision, probe)
    return float(solved @ (x.T @ response)), float(solved @ probe)


def gaussian_process(x, weight, response, probe, degree):
    def kernel(a, b):
        lengths = torch.outer(a.norm(dim=1), b.norm(dim=1))
        return lengths * sum((a @ b.T / lengths) ** p for p in range(1, degree + 1)) / RIDGE

    solved = torch.linalg.solve(kernel(x, x) + torch.diag(1 / weight), kernel(x, probe[None])[:, 0])
    variance = kernel(probe[None], probe[None])[0, 0] - solved @ kernel(x, probe[None])[:, 0]
    return float(solved @ (response / weight)), float(variance)


# Few; as many as a refactor takes; more.
@pytest.mark.parametrize("count", [2, 40, STEPS_BETWEEN_REFACTORS + 5])
@pytest.mark.parametrize("d", [1, 7, 40])
def test_gaussian_is_the_closed_form(count, d):
    x, weight, response = observations(count, d)
    model = Gaussian(d, RIDGE, CPU)
    for row, w, r in zip(x, weight.tolist(), response.tolist(), strict=True):
        model.update(row, w, r)
    probe = x[0] + 1.0
    assert model.predict(probe) == pytest.approx(closed_form(x, weight, response, probe), abs=1e-9)
    z = torch.stack([probe, x[1], x[0]])
    torch.testing.assert_close(model.covariance(z), z @ torch.linalg.solve(model.precision, z.T), rtol=0, atol=1e-9)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 9, KERNEL_STEPS + 5])
def test_kernel_is_the_gaussian_process(count, degree):
    x, weight, response = observations(count, 12)
    model = KernelPosterior(degree, RIDGE, CPU)
    for row, w, r in zip(x, weight.tolist(), response.tolist(), strict=True):
        model.update(point(row), weight=w, response=r)
    probe = x[0] + 0.3
    found = model.project(point(probe))
    expected = gaussian_process(x, weight, response, probe, degree)
    assert (found.mean, found.variance) == pytest.approx(expected, abs=1e-8)
    covariance = model.covariance(torch.stack([probe, x[0]]))
    assert float(covariance[0, 0]) == pytest.approx(found.variance, abs=1e-8)


def test_kernel_of_degree_one_is_the_linear_model():
    x, weight, response = observations(30, 5)
    model = KernelPosterior(1, RIDGE, CPU)
    for row, w, r in zip(x, weight.tolist(), response.tolist(), strict=True):
        model.update(point(row), weight=w, response=r)
    probe = torch.ones(5, dtype=torch.float64)
    found = model.project(point(probe))
    assert (found.mean, found.variance) == pytest.approx(closed_form(x, weight, response, probe), abs=1e-9)
    assert float(model.linear(model.coefficients) @ probe) == pytest.approx(found.mean, abs=1e-9)


def test_the_same_context_again_is_one_row():
    x, weight, response = observations(6, 4)
    model, other = KernelPosterior(3, RIDGE, CPU), KernelPosterior(3, RIDGE, CPU)
    for w, r in zip(weight.tolist(), response.tolist(), strict=True):
        model.update(point(x[0]), weight=w, response=r)
    other.update(point(x[0]), weight=float(weight.sum()), response=float(response.sum()))
    assert len(model) == 1
    probe = point(x[1])
    assert model.project(probe).mean == pytest.approx(other.project(probe).mean, abs=1e-12)


def test_what_is_taken_back_is_gone():
    x, weight, response = observations(20, 4)
    model, untouched = KernelPosterior(2, RIDGE, CPU), KernelPosterior(2, RIDGE, CPU)
    for number, (row, w, r) in enumerate(zip(x, weight.tolist(), response.tolist(), strict=True)):
        model.update(point(row), weight=w, response=r)
        if number % 3:
            untouched.update(point(row), weight=w, response=r)
    for number in range(0, 20, 3):
        model.update(point(x[number]), weight=-float(weight[number]), response=-float(response[number]))
    assert len(model) == len(untouched)
    probe = point(torch.ones(4, dtype=torch.float64))
    assert model.project(probe)[2:] == pytest.approx(untouched.project(probe)[2:], abs=1e-9)


@pytest.mark.parametrize("make", [lambda: KernelPosterior(1, RIDGE, CPU), lambda: Posterior(Shape(1, RIDGE, CPU), 0)])
def test_taking_back_what_was_never_learned_is_refused(make):
    x = torch.ones(3, dtype=torch.float64)
    model = make()
    learn = model.update if isinstance(model, KernelPosterior) else None
    if learn is None:
        with pytest.raises(InvalidInput, match="takes back more"):
            model.learn(point(x), weight=-1.0, response=0.0, step=0, layout={})
        return
    learn(point(x), weight=1.0, response=0.5)
    with pytest.raises(InvalidInput, match="takes back more"):
        learn(point(x), weight=-2.0, response=0.0)
    with pytest.raises(InvalidInput, match="nothing was learned"):
        learn(point(2 * x), weight=-2.0, response=0.0)


def test_gaussian_refuses_to_become_improper():
    model, x = Gaussian(3, RIDGE, CPU), torch.ones(3, dtype=torch.float64)
    with pytest.raises(InvalidInput, match="takes back more"):
        model.update(x, -1e6, 0.0)


def test_growing_is_as_if_it_had_been_there():
    x, weight, response = observations(12, 6)
    x[:8, 4:] = 0.0
    wide, grown = Gaussian(6, RIDGE, CPU), Gaussian(4, RIDGE, CPU)
    for number, (row, w, r) in enumerate(zip(x, weight.tolist(), response.tolist(), strict=True)):
        wide.update(row, w, r)
        grown.update(row[:4] if number < 8 else row, w, r)
    assert grown.predict(x[-1]) == pytest.approx(wide.predict(x[-1]), abs=1e-12)


def trained(degree, count, d):
    x, weight, response = observations(count, d)
    model = Posterior(Shape(degree, RIDGE, CPU), 0)
    layout = {"": (0, d)}
    for row, w, r in zip(x, weight.tolist(), response.tolist(), strict=True):
        model.learn(point(row), weight=w, response=r, step=0, layout=layout)
    return model, (x, weight, response)


def test_condensing_a_linear_model_is_exact():
    d = 10
    model, (x, weight, response) = trained(1, FEW_ROWS + d, d)
    assert isinstance(model.model, Gaussian)
    probe = x[0] + 1.0
    found = model.predict(point(probe))
    expected = closed_form(x, weight, response, probe)
    assert (found.parts["own"], found.variance) == pytest.approx(expected, abs=1e-9)


def test_condensing_a_model_of_higher_degree_is_near():
    model, (x, weight, response) = trained(2, EXACT_ROWS, 16)
    assert isinstance(model.model, Gaussian)
    errors, size = 0.0, 0.0
    for probe in x[:50]:
        mean, _ = gaussian_process(x, weight, response, probe, 2)
        errors += (model.predict(point(probe)).parts["own"] - mean) ** 2
        size += mean**2
    assert errors < 0.1 * size


def test_random_features_estimate_powers_of_the_cosine():
    x = torch.nn.functional.normalize(observations(40, 64)[0], dim=1)
    near = torch.nn.functional.normalize(x + 0.5 * observations(40, 64, seed=1)[0], dim=1)
    features = RandomFeatures(3, 4096, CPU)
    one, other = features.of(x, {"": (0, 64)}), features.of(near, {"": (0, 64)})
    cosine = (x * near).sum(1)
    for p, start in ((2, 0), (3, 4096)):
        estimate = (one[:, start : start + 4096] * other[:, start : start + 4096]).sum(1)
        assert float((estimate - cosine**p).abs().mean()) < 0.05


@pytest.mark.parametrize(("degree", "count"), [(1, 5), (1, 40), (3, 30)])
def test_state_gives_the_very_same_bits_back(degree, count):
    model, (x, _, _) = trained(degree, count, 10)
    again = Posterior.from_state(model.state(), model.shape)
    assert again.predict(point(x[0])) == model.predict(point(x[0]))
    for one in (model, again):
        one.learn(point(x[1] + 1.0), weight=0.5, response=0.2, step=0, layout={"": (0, 10)})
    assert again.predict(point(x[2])) == model.predict(point(x[2]))


@pytest.mark.parametrize(("degree", "count"), [(1, 5), (1, 40), (3, 30)])
def test_what_is_forgotten_is_as_if_it_had_weighed_less(degree, count):
    model, (x, weight, response) = trained(degree, count, 10)
    factor = 2.0 ** (-8 / 16)
    probe = x[0] + 0.5
    found = model.at(8).predict(point(probe))
    expected = gaussian_process(x, weight * factor, response * factor, probe, degree)
    assert (found.parts["own"], found.variance) == pytest.approx(expected, abs=1e-8)
    assert model.at(0) is model
    assert model.step == 0
