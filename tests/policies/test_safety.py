"""Limits on exploration: laws of every single step, and what the conservative condition keeps over a whole run."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import policies
from policies import Candidate, Conservative, Context, InvalidInput, Limits, Scores
from policies.safety import limit, stakes

TOLERANCE = 1e-12
shares = st.one_of(st.just(0.0), st.just(1.0), st.floats(0.0, 1.0))
few = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def problems(draw):
    """Probabilities over the eligible of some candidates, and their scores; ties and zeros among them."""
    k = draw(st.integers(1, 8))
    numbers = st.lists(st.floats(0.0, 1.0), min_size=k, max_size=k)
    coarse = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=k, max_size=k)
    eligible = draw(st.lists(st.booleans(), min_size=k, max_size=k).filter(any))
    weight = torch.tensor(draw(st.one_of(numbers, coarse)), dtype=torch.float64) * torch.tensor(eligible)
    assume(float(weight.sum()) > 1e-3)
    scores = Scores(
        {name: torch.tensor(draw(st.one_of(numbers, coarse)), dtype=torch.float64) for name in ("prior", "own")},
        torch.tensor(draw(numbers), dtype=torch.float64),
    )
    return weight / weight.sum(), scores, eligible


conditions = st.builds(
    Conservative,
    alpha=shares,
    slack=st.floats(-1.0, 3.0),
    baseline=st.none(),
    width=st.floats(0.0, 2.0),
    lowest=st.just(0.0),
    highest=st.just(1.0),
)
limits = st.builds(Limits, floor=shares, budget=shares, widen=shares, conservative=st.one_of(st.none(), conditions))


def best_of(scores, eligible):
    """Which eligible candidates have the highest expected reward."""
    mean = scores.mean.tolist()
    top = max(m for m, able in zip(mean, eligible, strict=True) if able)
    return [able and m == top for m, able in zip(mean, eligible, strict=True)]


@given(problems(), limits)
@few
def test_any_limits_leave_a_distribution_over_the_eligible(problem, within):
    p, scores, eligible = problem
    result = limit(p, scores, eligible, within)
    assert result.dtype == torch.float64
    assert float(result.sum()) == pytest.approx(1.0, abs=TOLERANCE)
    assert float(result.min()) >= 0.0
    assert all(able or r == 0.0 for able, r in zip(eligible, result.tolist(), strict=True))
    assert torch.equal(result, limit(p, scores, eligible, within))


@given(problems())
@few
def test_without_limits_nothing_changes(problem):
    p, scores, eligible = problem
    assert torch.equal(limit(p, scores, eligible, Limits()), p)


@given(problems(), shares, shares, shares)
@few
def test_floor_and_budget_hold_together_and_the_floor_gives_way(problem, floor, budget, widen):
    p, scores, eligible = problem
    result = limit(p, scores, eligible, Limits(floor=floor, budget=budget, widen=widen)).tolist()
    best = best_of(scores, eligible)
    others = [r for r, able, top in zip(result, eligible, best, strict=True) if able and not top]
    assert sum(others) <= budget + TOLERANCE
    least = min(floor, 1 / sum(eligible), budget / len(others) if others else 1.0)
    assert min(r for r, able in zip(result, eligible, strict=True) if able) >= least - TOLERANCE


@given(problems(), shares, shares, shares)
@few
def test_who_was_likelier_stays_so_within_the_best_and_within_the_rest(problem, floor, budget, widen):
    p, scores, eligible = problem
    result = limit(p, scores, eligible, Limits(floor=floor, budget=budget, widen=widen))
    best = best_of(scores, eligible)
    for i, j in itertools.permutations([i for i, able in enumerate(eligible) if able], 2):
        if best[i] == best[j] and p[i] >= p[j]:
            assert float(result[i]) >= float(result[j]) - TOLERANCE


@given(problems(), shares, shares, shares)
@few
def test_a_larger_budget_explores_no_less_and_a_higher_floor_leaves_nobody_lower(problem, floor, one, other):
    p, scores, eligible = problem
    best = torch.tensor(best_of(scores, eligible))
    low, high = sorted((one, other))
    explored = [float(limit(p, scores, eligible, Limits(floor=floor, budget=b))[~best].sum()) for b in (low, high)]
    assert explored[0] <= explored[1] + TOLERANCE
    able = torch.tensor(eligible)
    least = [float(limit(p, scores, eligible, Limits(floor=f))[able].min()) for f in (low, high)]
    assert least[0] <= least[1] + TOLERANCE


@given(problems(), limits)
@few
def test_limits_once_kept_change_nothing_more(problem, within):
    p, scores, eligible = problem
    once = limit(p, scores, eligible, replace(within, widen=0.0, conservative=None))
    again = limit(once, scores, eligible, replace(within, widen=0.0, conservative=None))
    torch.testing.assert_close(again, once, rtol=0, atol=TOLERANCE)


@given(problems(), limits, conditions, st.floats(0.0, 1.0))
@few
def test_whatever_can_be_drawn_is_covered_by_the_slack_or_is_the_baselines(problem, within, condition, more):
    p, scores, eligible = problem
    within = replace(within, conservative=condition)
    found = stakes(scores, eligible, condition)
    result = limit(p, scores, eligible, within)
    for index in (i for i, r in enumerate(result.tolist()) if r > 0.0):
        assert index == found.baseline or condition.slack + float(found.change[index]) >= 0.0
    free = limit(p, scores, eligible, replace(within, conservative=None))
    others = [i for i in range(len(eligible)) if i != found.baseline]
    assert all(float(result[i]) in (0.0, float(free[i])) for i in others)
    richer = replace(within, conservative=replace(condition, slack=condition.slack + more))
    assert float(limit(p, scores, eligible, richer)[found.baseline]) <= float(result[found.baseline]) + TOLERANCE


def scores_of(prior, own, deviation):
    parts = {"prior": torch.tensor(prior, dtype=torch.float64), "own": torch.tensor(own, dtype=torch.float64)}
    return Scores(parts, torch.tensor(deviation, dtype=torch.float64))


def test_tied_best_share_what_they_had_or_evenly_what_they_did_not():
    scores = scores_of([0.5, 0.5, 0.1], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1])
    p = torch.tensor([0.3, 0.1, 0.6], dtype=torch.float64)
    assert limit(p, scores, [True] * 3, Limits(budget=0.2)).tolist() == pytest.approx([0.6, 0.2, 0.2])
    p = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert limit(p, scores, [True] * 3, Limits(budget=0.2)).tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_the_steps_come_in_their_order():
    scores = scores_of([0.2, 0.9, 0.1], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1])
    p = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    within = Limits(widen=0.3, floor=0.2, budget=0.5)
    # widen: .8 .1 .1; floor: .6 .2 .2; budget: what the first and third have above .2 shrinks to .1 together
    assert limit(p, scores, [True] * 3, within).tolist() == pytest.approx([0.3, 0.5, 0.2])
    broke = replace(within, conservative=Conservative(alpha=0.1, width=0.0))
    assert limit(p, scores, [True] * 3, broke).tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_epsilon_is_within_the_limits_and_a_floor_below_its_share_adds_nothing():
    learner = policies.create("epsilon_greedy", epsilon=0.3)
    candidates = [Candidate("a", [1.0, 0.0]), Candidate("b", [0.0, 1.0]), Candidate("c", [0.1, 1.0])]
    context = Context([1.0, 0.0])
    free = learner.probabilities(context, candidates)
    floored = learner.probabilities(context, candidates, limits=Limits(floor=0.1))
    torch.testing.assert_close(floored, free, rtol=0, atol=1e-12)
    held = learner.probabilities(context, candidates, limits=Limits(budget=0.1))
    assert held.tolist() == pytest.approx([0.9, 0.05, 0.05])
    choice = learner.choose(context, candidates, seed=4, limits=Limits(budget=0.1))
    assert torch.equal(choice.probabilities, held)
    assert choice.probability == float(held[choice.index])


def test_the_baseline_is_the_one_named_else_the_best_untrained():
    scores = scores_of([0.2, 0.9, 0.8], [0.0, -0.5, 0.0], [0.1, 0.1, 0.1])
    condition = Conservative(alpha=0.2, width=1.0, lowest=0.0, highest=1.0)
    found = stakes(scores, [True, True, True], condition)
    assert found.baseline == 1
    assert (found.expected, found.upper) == pytest.approx((0.4, 0.5))
    assert found.change.tolist() == pytest.approx([0.1 - 0.8 * 0.5, 0.2 * 0.4, 0.7 - 0.8 * 0.5])
    assert stakes(scores, [True, False, True], condition).baseline == 2
    assert stakes(scores, [True, True, True], replace(condition, baseline=0)).baseline == 0
    assert stakes(scores, [False, True, True], replace(condition, baseline=0)).baseline == 1


def test_a_slate_spends_the_slack_position_by_position():
    learner = policies.create("epsilon_greedy", epsilon=1.0)
    candidates = [Candidate(str(i)) for i in range(6)]
    within = Limits(conservative=Conservative(alpha=0.5, slack=1.0, baseline=0, width=0.0, lowest=0.0, highest=1.0))
    for number in range(6):
        learner.learn(Context([1.0]), candidates[number], 1.0 if number == 0 else 0.2, weight=1e6)
    explored = []
    for seed in range(40):
        slate = learner.choose_slate(Context([1.0]), candidates, k=5, seed=seed, limits=within)
        first = next((n for n, choice in enumerate(slate) if choice.index == 0), 5)
        explored.append(first)
        assert slate[0].index == learner.choose(Context([1.0]), candidates, seed=seed, limits=within).index
    # each exploration costs 0.2 - 0.5 * 1.0: three of them are covered, the fourth is not
    assert max(explored) == 3


@pytest.mark.parametrize("wrong", [{"floor": -0.1}, {"budget": 1.5}, {"widen": float("nan")}, {"floor": True}])
def test_shares_outside_their_range_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Limits(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"alpha": 2.0}, {"alpha": 0.1, "width": -1.0}, {"alpha": 0.1, "slack": float("nan")}]
)
def test_conditions_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InvalidInput, match="limits"):
        Conservative(**wrong)
    with pytest.raises(InvalidInput, match="none of the 1 is eligible"):
        limit(torch.zeros(1, dtype=torch.float64), scores_of([0.0], [0.0], [1.0]), [False], Limits())


class Shop:
    """Rewards 0 or 1 that are linear in the context; the baseline always chooses the third best of five on average."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self._generator = generator
        weights = torch.rand(5, 4, generator=generator, dtype=torch.float64)
        self.weights = weights[weights.sum(dim=1).argsort(descending=True)]
        self.baseline = 2
        self.candidates = [Candidate(str(i)) for i in range(5)]

    def context(self):
        """A mixture of four topics: (4,) floats that sum to 1, so that rewards lie in [0, 1]."""
        return Context(torch.rand(4, generator=self._generator, dtype=torch.float64).softmax(0))

    def expected(self, context):
        return torch.mv(self.weights, context.vector)

    def reward(self, context, index):
        chance = float(self.expected(context)[index])
        return float(torch.rand(1, generator=self._generator)) < chance


def run(seed, name, rounds, condition):
    """(rounds, 3): what was earned, what the baseline would have, and what the best would have, in expectation."""
    shop, learner = Shop(seed), policies.create(name, alpha=0.5, ridge=0.1, degree=1)
    condition = condition and replace(condition, baseline=shop.baseline)
    rows = []
    for number in range(rounds):
        context = shop.context()
        within = condition and Limits(conservative=condition)
        choice = learner.choose(context, shop.candidates, seed=seed * rounds + number, limits=within)
        if condition:
            condition = within.after(choice.scores, [True] * 5, choice.index).conservative
        learner.learn(context, shop.candidates[choice.index], shop.reward(context, choice.index))
        expected = shop.expected(context)
        rows.append([float(expected[choice.index]), float(expected[shop.baseline]), float(expected.max())])
    return torch.tensor(rows)


ALPHA, SEEDS, ROUNDS = 0.1, 5, 600


@pytest.fixture(scope="module")
def runs():
    """Of each seed a run under the condition and one without it: (SEEDS, ROUNDS, 3) each."""
    condition = Conservative(alpha=ALPHA, lowest=0.0, highest=1.0)
    return [torch.stack([run(seed, "linucb", ROUNDS, c) for seed in range(SEEDS)]) for c in (condition, None)]


def test_at_no_time_is_more_lost_against_the_baseline_than_allowed(runs):
    held, free = (rows.cumsum(1).unbind(2) for rows in runs)
    assert not bool((held[0] < (1 - ALPHA) * held[1]).any())
    broken = (free[0] < (1 - ALPHA) * free[1]).any(dim=1)
    assert int(broken.sum()) >= SEEDS // 2  # a learner left alone does lose more: the condition is not idle


def test_the_condition_does_not_keep_the_learner_from_learning(runs):
    earned, baseline, best = runs[0].mean(0).unbind(1)
    regret, quarter = best - earned, ROUNDS // 4
    assert float(regret[-quarter:].mean()) < 0.5 * float(regret[:quarter].mean())
    assert float(regret.sum()) < 0.75 * float((best - baseline).sum())
