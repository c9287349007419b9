"""A new version of a candidate begins at the mean of the old one, with the prior's width."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies.types import Candidate, Context, Reward

D = 5
# Learners of which a candidate's own posterior says how wide it is; the bootstrapped one's replicas say it there.
LEARNERS = [name for name in policies.NAMES if policies.create(name).settings["parts"] == "disjoint"]
ADDITIVE = [name for name in LEARNERS if policies.create(name).additive]
TOLERANCE = 1e-9


def vectors(count, seed=0):
    made = torch.randn(count, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=1)


OLD = Candidate("a", vectors(1, 7)[0], lineage=("a",))
NEW = replace(OLD, vector=vectors(1, 8)[0], lineage=("a", "a/2"))
NEWER = replace(OLD, vector=vectors(1, 9)[0], lineage=("a", "a/2", "a/3"))
CONTEXTS = [Context(vector, features={"turn": 0.5}) for vector in vectors(60)]
ASKED = CONTEXTS[-1]


def make(name="lints", **given):
    return policies.create(name, **{"parts": "disjoint", "prior_slope": 0.0, "prior_intercept": 0.5, **given})


def said(learner, candidate, *, at=0.0):
    scores = learner.scores(ASKED, [candidate], at=at)
    return float(scores.mean), float(scores.deviation)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("rows", [5, 40], ids=["few", "many"])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_new_version_begins_at_the_old_mean_with_the_priors_width(name, rows, degree):
    learner = make(name, degree=degree)
    untrained = said(learner, OLD)[1]
    for context in CONTEXTS[:rows]:
        learner.learn(context, OLD, 1.0)
    (old, narrow), (new, wide) = said(learner, OLD), said(learner, NEW)
    assert abs(old - 0.5) > 0.01
    assert new == pytest.approx(old, abs=TOLERANCE)
    assert narrow < untrained
    latent = learner.scores(ASKED, [NEW]).latent
    assert (wide if latent is None else float(latent.deviation)) >= (
        untrained if latent is None else narrow
    ) - TOLERANCE
    if latent is None:
        assert wide == pytest.approx(untrained, abs=TOLERANCE)
    parts = learner.scores(ASKED, [NEW]).parts
    assert sum(float(part) for part in parts.values()) == pytest.approx(new, abs=TOLERANCE)


def test_what_is_learned_of_the_new_says_nothing_of_the_old():
    learner = make()
    for context in CONTEXTS[:20]:
        learner.learn(context, OLD, 1.0)
    before = said(learner, OLD)
    for context in CONTEXTS[20:40]:
        learner.learn(context, NEW, 0.0)
    assert said(learner, OLD) == before
    assert said(learner, NEW)[0] < before[0]


@pytest.mark.parametrize(("old_rows", "new_rows"), [(4, 4), (4, 30), (30, 4), (30, 30)])
def test_it_is_the_regression_with_the_old_estimate_as_prior_mean(old_rows, new_rows):
    """Whether each is kept as rows or as a matrix: theta = (ridge I + A)^-1 (ridge theta_old + b)."""
    learner = make(degree=1, ridge=2.0, feature_scale=0.0)
    first, second = CONTEXTS[:old_rows], CONTEXTS[25 : 25 + new_rows]
    rewards = random.Random(3)
    theta = torch.zeros(D, dtype=torch.float64)
    for candidate, contexts in ((OLD, first), (NEW, second)):
        precision, response = torch.eye(D, dtype=torch.float64) * 2.0, theta * 2.0
        for context in contexts:
            reward = rewards.random()
            learner.learn(context, candidate, reward)
            precision += torch.outer(context.vector, context.vector)
            response += context.vector * (reward - 0.5)
        theta = torch.linalg.solve(precision, response)
        assert said(learner, candidate)[0] == pytest.approx(0.5 + float(theta @ ASKED.vector), abs=TOLERANCE)
    variance = float(ASKED.vector @ torch.linalg.solve(precision, ASKED.vector))
    assert said(learner, NEW)[1] == pytest.approx(variance**0.5, abs=TOLERANCE)


@pytest.mark.parametrize(("old_rows", "new_rows"), [(5, 30), (30, 5), (30, 30)])
def test_condensed_versions_of_higher_degree_say_about_the_same(monkeypatch, old_rows, new_rows):
    """Past a limit products are random features: an estimate, also of what another version says."""
    found = []
    for limit in (1_000, 12):
        monkeypatch.setattr("policies.posterior.EXACT_ROWS", limit)
        learner = make(degree=2)
        for candidate, contexts in ((OLD, CONTEXTS[:old_rows]), (NEW, CONTEXTS[25 : 25 + new_rows])):
            for context in contexts:
                learner.learn(context, candidate, float(context.vector[0] > 0.0))
        found.append(said(learner, NEW))
    exact, estimated = found
    assert abs(exact[0] - 0.5) > 0.05
    assert estimated == pytest.approx(exact, abs=0.1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16), degree=st.sampled_from([1, 2]))
def test_order_does_not_matter_and_an_old_reward_can_still_be_corrected(seed, degree):
    rng = random.Random(seed)
    lessons = [(context, rng.choice([OLD, NEW, NEWER]), rng.random()) for context in CONTEXTS[:30]]
    one, other = make(degree=degree), make(degree=degree)
    for context, candidate, reward in lessons:
        one.learn(context, candidate, reward)
        said(one, NEWER)  # what is remembered between rewards must not go stale
    shuffled = rng.sample(lessons, len(lessons))
    for context, candidate, _ in shuffled:
        other.learn(context, candidate, 0.25)
        said(other, NEWER)
    for context, candidate, reward in rng.sample(lessons, len(lessons)):
        other.revise(context, candidate, old=Reward(0.25), new=Reward(reward))
    for candidate in (OLD, NEW, NEWER):
        assert said(one, candidate) == pytest.approx(said(other, candidate), abs=1e-7)


@pytest.mark.parametrize("name", LEARNERS)
def test_saving_keeps_versions_apart(name):
    learner = make(name)
    for place, context in enumerate(CONTEXTS[:30]):
        learner.learn(context, (OLD, NEW, NEWER)[place % 3], float(place % 2))
    loaded = make(name)
    loaded.load_state_dict(learner.state_dict())
    for candidate in (OLD, NEW, NEWER):
        assert said(loaded, candidate) == said(learner, candidate)


@pytest.mark.parametrize("name", ADDITIVE)
def test_forgetting_takes_the_beginning_with_it(name):
    learner = make(name, half_life=100.0)
    for context in CONTEXTS[:20]:
        learner.learn(context, OLD, 1.0, at=0.0)
    learner.learn(CONTEXTS[30], NEW, 1.0, at=50.0)
    means = [said(learner, NEW, at=at)[0] for at in (50.0, 200.0, 1_000.0, 100_000.0)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.6
    assert means[-1] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("parts", ["shared", "hybrid", "calibrated"])
def test_where_candidates_share_a_model_new_words_inherit_all(parts):
    learner = policies.create("lints", parts=parts, prior_slope=0.5)
    for context in CONTEXTS[:20]:
        learner.learn(context, OLD, 1.0)
    same_words = replace(NEW, vector=OLD.vector)
    assert said(learner, same_words) == pytest.approx(said(learner, OLD), abs=TOLERANCE)
