"""The studentised interval against loops that share no code, and where others fail."""

from __future__ import annotations

import math

import pytest
import torch

from policies import bootstrap


def test_interval_is_that_of_brute_force():
    generator = torch.Generator().manual_seed(2)
    top = torch.rand(30, dtype=torch.float64, generator=generator).pow(3)
    bottom = torch.rand(30, dtype=torch.float64, generator=generator) + 0.5
    low, high = bootstrap.interval(top, bottom, level=0.9, resamples=9999, seed=0)

    def ratio_and_error(rows):
        ratio = sum(t for t, _ in rows) / sum(b for _, b in rows)
        return ratio, math.sqrt(sum((t - ratio * b) ** 2 for t, b in rows)) / sum(b for _, b in rows)

    rows = list(zip(top.tolist(), bottom.tolist(), strict=True))
    ratio, error = ratio_and_error(rows)
    statistics = []
    for drawn in torch.randint(30, (9999, 30), generator=generator).tolist():
        again, its_error = ratio_and_error([rows[i] for i in drawn])
        statistics.append((again - ratio) / its_error)
    statistics.sort()
    assert low == pytest.approx(ratio - statistics[9499] * error, abs=0.03 * error)
    assert high == pytest.approx(ratio - statistics[499] * error, abs=0.06 * error)


def test_skewed_weights_are_covered_where_the_normal_interval_fails():
    generator, covered, normal = torch.Generator().manual_seed(0), 0, 0
    for _ in range(400):
        weights = torch.exp(torch.randn(50, dtype=torch.float64, generator=generator) - 0.5)  # expectation 1
        one = torch.ones_like(weights)
        low, high = bootstrap.interval(weights, one, level=0.95, resamples=199, seed=0)
        error = bootstrap.standard_error(weights, one)
        covered += low <= 1.0 <= high
        normal += abs(float(weights.mean()) - 1.0) <= 1.96 * error
    assert normal / 400 <= 0.9
    assert covered / 400 > 0.93


def test_too_few_different_units_leave_an_end_unbounded():
    two_of_many = torch.cat([torch.ones(2, dtype=torch.float64), torch.zeros(98, dtype=torch.float64)])
    low, high = bootstrap.interval(two_of_many, torch.ones(100), level=0.95, resamples=999, seed=0)
    assert 0.0 < low < 0.02
    assert high == math.inf
    three = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
    ends = bootstrap.interval(three, torch.ones(3), level=0.95, resamples=999, seed=0)
    assert ends == (-math.inf, math.inf)
