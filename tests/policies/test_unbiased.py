"""What a learner logs is what it did: draws follow its probabilities, and its propensities make estimates unbiased."""

from __future__ import annotations

import collections
import functools
import random

import pytest
import torch

import policies
from policies import Candidate
from policies.evaluate import dr, ips
from policies.simulate import LinearWorld, play

EPSILON = 0.2
WORLD = LinearWorld(candidates=3, dimension=3, binary=True, meaning="telling", seed=4)
CONTEXTS = [WORLD.context() for _ in range(4)]
#: rewards (4, 3) expected in each context, and a target policy that heeds neither them nor any learner.
EXPECTED = torch.stack([WORLD.expected(context) for context in CONTEXTS])
TARGET = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.7, 0.2], [0.4, 0.5, 0.1]], dtype=torch.float64)
VALUE = float((TARGET * EXPECTED).sum(dim=1).mean())
LOGS, ROUNDS = 100, 15


@functools.cache
def written_logs(name):
    """Many logs, each of a learner that starts anew: within one, rows depend on those before; the logs do not.

    Rows (log, context, action, reward, propensity, and what the propensity would be once the reward is learned).
    """
    rows = []
    for log in range(LOGS):
        learner, chance = policies.create(name, epsilon=EPSILON), random.Random(log)
        for _ in range(ROUNDS):
            at = chance.randrange(len(CONTEXTS))
            choice = learner.choose(CONTEXTS[at], WORLD.candidates, seed=chance.getrandbits(60))
            reward = float(chance.random() < float(EXPECTED[at, choice.index]))
            offer = choice.offer(WORLD.candidates)
            learner.learn(CONTEXTS[at], WORLD.candidates[choice.index], reward, offer=offer)
            later = learner.probabilities(CONTEXTS[at], WORLD.candidates)
            rows.append((log, at, choice.index, reward, choice.probability, float(later[choice.index])))
    return rows


def evaluated(name, *, too_late=False):
    """IPS, and DR with the true expectations as predictions, which is left with the noise alone."""
    clusters, contexts, actions, rewards, *propensities = zip(*written_logs(name), strict=True)
    log = {
        "actions": actions,
        "rewards": rewards,
        "propensities": propensities[too_late],
        "target_probabilities": TARGET[list(contexts)],
    }
    options = {"clusters": clusters, "level": 0.999, "resamples": 3999}
    return ips(**log, **options), dr(**log, predictions=EXPECTED[list(contexts)], **options)


@pytest.mark.parametrize("name", policies.NAMES)
def test_the_log_of_a_learning_policy_tells_what_another_is_worth(name):
    for got in evaluated(name):
        assert got.refused is None
        assert got.low <= VALUE <= got.high


def test_propensities_from_after_the_reward_are_found_out():
    for got in evaluated("linucb", too_late=True):
        assert not got.low <= VALUE <= got.high


def trained(name):
    learner = policies.create(name, epsilon=EPSILON)
    play(learner, WORLD, 60)
    return learner


def chance_of(observed, probabilities):
    """The probability that counts drawn from the probabilities are as far off as those observed (chi-square)."""
    total, kept = sum(observed), [(o, p) for o, p in zip(observed, probabilities, strict=True) if p > 0.0]
    assert sum(o for o, _ in kept) == total
    distance = sum((o - total * p) ** 2 / (total * p) for o, p in kept)
    return float(torch.special.gammaincc(torch.tensor((len(kept) - 1) / 2), torch.tensor(distance / 2)))


@pytest.mark.parametrize("name", policies.NAMES)
def test_draws_follow_the_probabilities(name):
    probabilities = trained(name).probabilities(CONTEXTS[0], WORLD.candidates).tolist()
    drawn = collections.Counter(policies.draw(probabilities, seed) for seed in range(100_000))
    assert chance_of([drawn[i] for i in range(3)], probabilities) > 1e-3


@pytest.mark.parametrize("name", policies.NAMES)
def test_slates_follow_the_probabilities(name, monkeypatch):
    learner = trained(name)
    candidates = [*WORLD.candidates, Candidate("out", WORLD.candidates[0].vector, eligible=False)]
    scores = learner.scores(CONTEXTS[0], candidates)
    by_eligible = {}  # one state, one context: what is computed once need not be computed 10,000 times
    compute = learner.distribution

    def recall(scores, eligible):
        key = tuple(eligible)
        return by_eligible[key] if key in by_eligible else by_eligible.setdefault(key, compute(scores, eligible))

    monkeypatch.setattr(learner, "scores", lambda *_, **__: scores)
    monkeypatch.setattr(learner, "distribution", recall)
    drawn = collections.Counter(
        tuple(choice.index for choice in learner.choose_slate(CONTEXTS[0], candidates, k=2, seed=seed))
        for seed in range(10_000)
    )
    expected = {}
    for first, p in enumerate(recall(scores, [True, True, True, False]).tolist()):
        left = [i not in (first, 3) for i in range(4)]
        expected |= {(first, second): p * q for second, q in enumerate(recall(scores, left).tolist())}
    assert sum(expected.values()) == pytest.approx(1.0)
    assert chance_of([drawn[pair] for pair in expected], expected.values()) > 1e-3
