"""How fast learners decide and learn. Run with: pytest tests/benchmarks/test_learners.py --benchmark-only

Floors, in bytes that must be read: a candidate with m < d / 2 observations in d dimensions has m x d float64 factors;
one with more has a dense d x d matrix. Decide, d = 385, k = 3, 100 observations each: 3 x 100 x 385 x 8 = 0.9 MB;
dense: 3 x 385^2 x 8 = 3.6 MB. Decide, d = 384, k = 77, 100 observations each: 23.7 MB (dense: 90.8 MB). Update,
d = 384, dense: the matrix is read once, 1.2 MB. At 10 GB/s, 1 MB takes 100 us; in the second-level cache a quarter.
"""

from __future__ import annotations

import itertools

import pytest
import torch

import policies
from policies import Candidate, Context

FEW, MANY = 100, 400


def trained(name, d, k, observations):
    """A learner whose k candidates have that many observations each, and contexts it has not seen."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(k + 64, d, generator=generator, dtype=torch.float64), dim=1)
    candidates = [Candidate(str(i), vectors[i]) for i in range(k)]
    learner = policies.create(name, device="cpu")
    for number in range(observations):
        context = Context(torch.nn.functional.normalize(torch.randn(d, generator=generator), dim=0))
        for candidate in candidates:
            learner.learn(context, candidate, float(number % 2))
    return learner, candidates, itertools.cycle([Context(v) for v in vectors[k:]])


@pytest.mark.parametrize("observations", [FEW, MANY])
@pytest.mark.parametrize("name", ["linucb", "lints"])
def test_decide_among_3(benchmark, name, observations):
    learner, candidates, contexts = trained(name, 385, 3, observations)
    choice = benchmark(lambda: learner.choose(next(contexts), candidates, seed=1))
    assert choice.probability > 0


@pytest.mark.parametrize("name", ["linucb", "lints"])
def test_decide_among_77(benchmark, name):
    learner, candidates, contexts = trained(name, 384, 77, FEW)
    choice = benchmark(lambda: learner.choose(next(contexts), candidates, seed=1))
    assert choice.probability > 0


@pytest.mark.parametrize("observations", [0, MANY])
def test_update(benchmark, observations):
    learner, candidates, contexts = trained("linucb", 384, 1, observations)
    benchmark.pedantic(
        lambda: learner.learn(next(contexts), candidates[0], 1.0), rounds=170, iterations=1, warmup_rounds=10
    )
    assert float(learner.scores(next(contexts), candidates).deviation[0]) < learner.settings["degree"] ** 0.5
