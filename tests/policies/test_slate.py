"""Laws of slates: what a layout may change, and that propensities stay exact whatever it says."""

from __future__ import annotations

import collections
import functools
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import Candidate, Conservative, Context, InvalidInput, Layout, Limits, Scores
from policies.slate import LEAST_RESIDUAL
from tests.policies.test_unbiased import chance_of

KINDS = ("mmr", "dpp")
DIMENSION = 5
every_kind = pytest.mark.parametrize("kind", KINDS)
every_name = pytest.mark.parametrize("name", policies.NAMES)
laws = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


def vectors(k, seed, dimension=DIMENSION):
    return torch.randn(k, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def candidates_of(rows):
    return [Candidate(str(i), row) for i, row in enumerate(rows)]


@functools.cache
def trained(name, **given):
    """A learner that knows a little of six candidates, so that it explores; and the candidates."""
    candidates, learner = candidates_of(vectors(6, 7)), policies.create(name, epsilon=0.2, **given)
    for number in range(12):
        context = Context(vectors(1, 100 + number)[0])
        learner.learn(context, candidates[number % 5], float(number % 3 == 0))
    return learner, candidates


def flat(k):
    """Scores of k candidates of which nothing is known."""
    zero = torch.zeros(k, dtype=torch.float64)
    return Scores({"prior": zero}, zero + 1.0)


def part(kind, rows, above, strength=1.0):
    """The part that a layout adds to the scores of candidates with these vectors."""
    candidates = candidates_of(rows)
    return Layout(kind, strength).scores(flat(len(candidates)), candidates, above).parts["diversity"]


CONTEXT = Context(vectors(1, 3)[0])
GROUPS = ("a", "a", "b", None, "b", "a")
PINNED = (False, False, False, True, False, True)


# what changes nothing


@every_name
@every_kind
def test_strength_0_changes_nothing(name, kind):
    learner, candidates = trained(name)
    for seed in range(5):
        plain = learner.choose_slate(CONTEXT, candidates, k=4, seed=seed)
        for layout in (Layout(kind), Layout(kind, groups=GROUPS), Layout(kind, most=1), Layout(pinned=(False,) * 6)):
            slate = learner.choose_slate(CONTEXT, candidates, k=4, seed=seed, layout=layout)
            assert [c.index for c in slate] == [c.index for c in plain]
            assert all(torch.equal(a.probabilities, b.probabilities) for a, b in zip(slate, plain, strict=True))
            assert all(list(c.scores.parts) == list(slate[0].scores.parts) for c in slate)
    scores = learner.scores(CONTEXT, candidates)
    assert Layout(kind).scores(scores, candidates, [1, 2]) is scores
    assert Layout(kind, 1.0).scores(scores, candidates, []) is scores


@every_name
@every_kind
def test_the_first_position_is_a_choice_alone(name, kind):
    learner, candidates = trained(name)
    for seed in range(10):
        layout = Layout(kind, 1.0, groups=GROUPS, most=1)
        first, *_ = learner.choose_slate(CONTEXT, candidates, k=3, seed=seed, layout=layout)
        alone = learner.choose(CONTEXT, candidates, seed=seed)
        assert (first.index, first.probability) == (alone.index, alone.probability)
        assert torch.equal(first.probabilities, alone.probabilities)


# propensities


@every_name
@every_kind
def test_each_position_is_drawn_from_what_the_layout_says(name, kind):
    learner, candidates = trained(name)
    layout = Layout(kind, 0.4, groups=GROUPS, most=2, pinned=PINNED)
    alone, every = learner.scores(CONTEXT, candidates), [True] * 6
    for seed in range(5):
        above: list[int] = []
        for choice in learner.choose_slate(CONTEXT, candidates, k=6, seed=seed, layout=layout):
            left, scores = layout.eligible(every, above), layout.scores(alone, candidates, above)
            assert torch.equal(choice.probabilities, learner.distribution(scores, left))
            assert choice.probability == float(choice.probabilities[choice.index]) > 0.0
            assert float(choice.probabilities.sum()) == pytest.approx(1.0, abs=1e-12)
            assert all(p == 0.0 for p, able in zip(choice.probabilities.tolist(), left, strict=True) if not able)
            assert torch.equal(choice.scores.mean, scores.mean)
            above.append(choice.index)


@pytest.mark.parametrize(("name", "kind"), [(n, KINDS[i % 2]) for i, n in enumerate(policies.NAMES)])
def test_slates_come_as_often_as_their_propensities_say(name, kind, monkeypatch):
    learner, candidates = trained(name)
    candidates = candidates[:4]
    layout = Layout(kind, 0.5, groups=("a", "a", None, "b"), most=1)
    # One state, one context: what is computed once for those above need not be computed 20,000 times.
    alone, distribution, arrange = learner.scores(CONTEXT, candidates), learner.distribution, layout.scores
    arranged: dict[tuple[int, ...], Scores] = {}
    known: dict[tuple[int, tuple[bool, ...]], torch.Tensor] = {}

    def scores_for(_, scores, candidates, above):
        above = tuple(above)
        return arranged[above] if above in arranged else arranged.setdefault(above, arrange(scores, candidates, above))

    def distribution_of(scores, left):
        key = (id(scores), tuple(left))
        return known[key] if key in known else known.setdefault(key, distribution(scores, left))

    def expected(above, chance):
        left = layout.eligible([True] * 4, above)
        if len(above) == 3 or not any(left):
            return {above: chance}
        found = {}
        for index, p in enumerate(distribution(arrange(alone, candidates, above), left).tolist()):
            if p:
                found |= expected((*above, index), chance * p)
        return found

    chances = expected((), 1.0)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert {len(slate) for slate in chances} == {3}  # one of a, the one without a group, and b
    monkeypatch.setattr(learner, "scores", lambda *_, **__: alone)
    monkeypatch.setattr(learner, "distribution", distribution_of)
    monkeypatch.setattr(Layout, "scores", scores_for)
    drawn = collections.Counter(
        tuple(c.index for c in learner.choose_slate(CONTEXT, candidates, k=3, seed=seed, layout=layout))
        for seed in range(20_000)
    )
    assert sum(drawn[slate] for slate in chances) == 20_000
    assert chance_of([drawn[slate] for slate in chances], chances.values()) > 1e-3


@every_kind
def test_the_slack_is_about_rewards_and_not_about_diversity(kind):
    learner, candidates = trained("lints")
    alone, every = learner.scores(CONTEXT, candidates), [True] * 6
    seen = Layout(kind, 1.0).scores(alone, candidates, [0])
    within = Limits(conservative=Conservative(alpha=0.2, slack=0.5, baseline=2, width=1.0))
    assert not torch.equal(seen.mean, alone.mean)
    assert torch.equal(seen.expected, alone.mean)
    assert within.after(seen, every, 1) == within.after(alone, every, 1)
    assert within.after(seen, every, 2) == within.after(alone, every, 2)


def test_rivals_are_ordered_by_the_reward_expected_of_them():
    rows = torch.tensor([[1.0, 0.0], [1.0, -0.1], [0.5, 1.0], [0.0, 1.0]])
    learner, candidates = policies.create("greedy", prior_slope=1.0), candidates_of(rows)
    context, layout = Context([1.0, 0.3]), Layout("mmr", 1.0)
    first, second = learner.choose_slate(context, candidates, k=2, seed=0, layout=layout)
    assert (first.index, second.index) == (0, 3)
    assert int(second.scores.mean[:3].argmax()) == 2  # the best rival, were diversity a reward
    assert [rival.id for rival in first.offer(candidates).rivals] == ["1", "2", "3"]
    assert [rival.id for rival in second.offer(candidates).rivals] == ["0", "1", "2"]


# rules


@given(seed=seeds, most=st.integers(1, 3), k=st.integers(1, 9), data=st.data())
@laws
def test_never_more_of_a_group_and_pinned_come_first(seed, most, k, data):
    groups = data.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=9, max_size=9))
    pinned = data.draw(st.lists(st.booleans(), min_size=9, max_size=9))
    able = data.draw(st.lists(st.booleans(), min_size=9, max_size=9).filter(lambda a: sum(a) >= k))
    candidates = [Candidate(str(i), row, eligible=able[i]) for i, row in enumerate(vectors(9, seed))]
    layout = Layout("mmr", 0.3, groups=groups, most=most, pinned=pinned)
    learner = policies.create("epsilon_greedy", epsilon=0.7)
    slate = [c.index for c in learner.choose_slate(CONTEXT, candidates, k=k, seed=seed, layout=layout)]
    counts = collections.Counter(groups[i] for i in slate)
    assert all(counts[group] <= most for group in ("a", "b"))
    assert len(set(slate)) == len(slate)
    assert all(able[i] for i in slate)
    there = collections.Counter(groups[i] for i in range(9) if able[i])
    assert len(slate) == min(k, there[None] + min(there["a"], most) + min(there["b"], most))
    assert [pinned[i] for i in slate] == sorted((pinned[i] for i in slate), reverse=True)
    passed = [i for i in range(9) if pinned[i] and able[i] and i not in slate]  # why is a pinned one not there?
    if not all(pinned[i] for i in slate):
        assert all(groups[i] is not None and counts[groups[i]] == most for i in passed)


def test_eligible_by_hand():
    layout = Layout(groups=["a", "a", "b", None], most=1, pinned=[False, True, False, True])
    assert layout.eligible([True] * 4, []) == [False, True, False, True]
    assert layout.eligible([True] * 4, [1]) == [False, False, False, True]
    assert layout.eligible([True] * 4, [1, 3]) == [False, False, True, False]
    assert layout.eligible([True, True, False, False], [1]) == [False] * 4
    assert layout.eligible([True, False, True, False], []) == [True, False, True, False]
    assert Layout(groups=["a", "a", "b", None]).eligible([True] * 4, [0]) == [False, True, True, True]
    given = [True] * 4
    layout.eligible(given, [0])
    assert given == [True] * 4


# diversity


@every_kind
@given(seed=seeds, strength=st.floats(0.01, 1.0), count=st.integers(1, 6))
@laws
def test_a_copy_loses_all_and_what_is_orthogonal_nothing(kind, seed, strength, count):
    rows = torch.zeros(count + 3, DIMENSION + 4, dtype=torch.float64)
    rows[: count + 1, :DIMENSION] = vectors(count + 1, seed)
    rows[count] = rows[0] * 3.0
    rows[count + 1, -1] = 0.01
    found = part(kind, rows, range(count), strength)
    assert float(found[count]) == pytest.approx(-strength, abs=1e-9)
    assert float(found[count]) <= float(found.min()) + 1e-12
    assert found[count + 1] == 0.0
    assert found[count + 2] == 0.0  # a vector of length 0
    assert bool((found <= 0.0).all())
    assert bool((found >= -strength - 1e-12).all())


@every_kind
@given(seed=seeds, data=st.data())
@laws
def test_diversity_is_about_directions_alone(kind, seed, data):
    rows = vectors(7, seed)
    above = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True))
    found = part(kind, rows, above)
    lengths = torch.tensor(data.draw(st.lists(st.floats(1e-3, 1e3), min_size=7, max_size=7)), dtype=torch.float64)
    turn = torch.linalg.qr(vectors(DIMENSION, seed + 1)).Q
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    place = {int(old): new for new, old in enumerate(order)}
    same = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-9)
    same(part(kind, rows * lengths[:, None], above), found)
    same(part(kind, rows @ turn, above), found)
    same(part(kind, rows, above[::-1]), found)
    same(part(kind, rows[order], [place[i] for i in above]), found[order])
    same(part(kind, rows, above, 0.25), found * 0.25)


@every_kind
@given(seed=seeds, count=st.integers(1, 5))
@laws
def test_one_more_above_makes_nobody_more_different(kind, seed, count):
    rows = vectors(8, seed)
    fewer, more = part(kind, rows, range(count)), part(kind, rows, range(count + 1))
    assert bool((more <= fewer + 1e-9).all())


@given(seed=seeds, count=st.integers(1, 3))
@laws
def test_mmr_is_the_greatest_cosine(seed, count):
    rows = vectors(6, seed)
    found = part("mmr", rows, range(count))
    for i in range(6):
        cosines = [torch.cosine_similarity(rows[i], rows[j], dim=0) for j in range(count)]
        assert float(found[i]) == pytest.approx(-max(0.0, *map(float, cosines)), abs=1e-9)


@given(seed=seeds, count=st.integers(1, 3))
@laws
def test_dpp_is_the_gain_in_log_determinant(seed, count):
    rows = torch.nn.functional.normalize(vectors(6, seed), dim=1)
    gram, above = rows @ rows.T, list(range(count))
    found = part("dpp", rows, above)
    for i in range(count, 6):
        both = [*above, i]
        gain = torch.logdet(gram[both][:, both]) - torch.logdet(gram[above][:, above])
        expected = max(float(gain) / math.log(1 / LEAST_RESIDUAL), -1.0)
        assert float(found[i]) == pytest.approx(expected, abs=1e-6)


def test_dpp_sees_a_blend_of_several_and_a_copy_above_says_nothing_new():
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    assert part("dpp", rows, [0, 1])[2] == -1.0
    assert part("mmr", rows, [0, 1])[2] == pytest.approx(-math.sqrt(0.5))
    torch.testing.assert_close(part("dpp", rows, [0, 4]), part("dpp", rows, [0]))
    rows = vectors(8, 1)
    rows[1] = rows[0] * 3.7  # a copy but for rounding, which points anywhere
    torch.testing.assert_close(part("dpp", rows, [0, 1]), part("dpp", rows, [0]))


def test_candidates_without_a_vector_are_like_no_other():
    candidates = [Candidate("a"), Candidate("b", [1.0, 0.0]), Candidate("c"), Candidate("d", [1.0, 0.0])]
    for kind in KINDS:
        found = Layout(kind, 0.5).scores(flat(4), candidates, [0, 1]).parts["diversity"]
        assert found.tolist() == pytest.approx([0.0, -0.5, 0.0, -0.5])
        assert not Layout(kind, 0.5).scores(flat(2), [Candidate("a"), Candidate("b")], [0]).mean.any()


@every_kind
@given(seed=seeds, weak=st.floats(0.0, 1.0), strong=st.floats(0.0, 1.0))
@laws
def test_more_strength_never_makes_a_greedy_second_more_like_the_first(kind, seed, weak, strong):
    weak, strong = sorted((weak, strong))
    rows, learner = vectors(8, seed), policies.create("greedy", prior_slope=0.5)
    candidates, context = candidates_of(rows), Context(vectors(1, seed + 1)[0])

    def second(strength):
        layout = Layout(kind, strength)
        first, then = learner.choose_slate(context, candidates, k=2, seed=0, layout=layout)
        return float(part(kind, rows, [first.index])[then.index]), float(then.scores.expected[then.index])

    (unlike_weak, reward_weak), (unlike_strong, reward_strong) = second(weak), second(strong)
    assert unlike_strong >= unlike_weak - 1e-9
    assert reward_strong <= reward_weak + 1e-9


# the split of the score


@every_name
@every_kind
def test_the_split_stays_exact_and_the_rest_as_it_was(name, kind):
    learner, candidates = trained(name, parts="hybrid")
    alone = learner.scores(CONTEXT, candidates)
    seen = Layout(kind, 0.3).scores(alone, candidates, [0, 3])
    shift = seen.parts["diversity"]
    assert list(seen.parts) == [*alone.parts, "diversity"]
    assert torch.equal(seen.mean, alone.mean + shift)
    assert all(torch.equal(seen.parts[part], alone.parts[part]) for part in alone.parts)
    assert torch.equal(seen.deviation, alone.deviation)
    assert seen.covariance is alone.covariance
    assert float(shift[0]) == pytest.approx(-0.3)
    if alone.replicas is not None:
        torch.testing.assert_close(seen.replicas - seen.mean, alone.replicas - alone.mean, rtol=0, atol=1e-12)
    if alone.latent is not None:
        assert torch.equal(seen.latent.deviation, alone.latent.deviation)
        assert seen.latent.covariance is alone.latent.covariance


@every_kind
@given(seed=seeds, strength=st.floats(0.0, 1.0))
@laws
def test_log_odds_keep_the_order_of_the_shifted_probabilities(kind, seed, strength):
    learner, _ = trained("logistic")
    candidates = candidates_of(vectors(6, seed))
    alone = learner.scores(CONTEXT, candidates)
    seen = Layout(kind, strength).scores(alone, candidates, [0])
    usual = [i for i in range(6) if 0.01 <= float(alone.mean[i]) <= 0.99]
    for i, j in itertools.permutations(usual, 2):
        if float(seen.mean[i]) < float(seen.mean[j]) - 1e-9:
            assert float(seen.latent.mean[i]) < float(seen.latent.mean[j])
    assert bool((seen.latent.mean <= alone.latent.mean).all())
    assert bool(seen.latent.mean.isfinite().all())
    inner = (seen.mean > 0.01) & (alone.mean < 0.99)
    torch.testing.assert_close(torch.sigmoid(seen.latent.mean)[inner], seen.mean[inner], rtol=0, atol=1e-9)


@every_name
def test_a_copy_is_shown_less_often_the_more_diversity_counts(name):
    rows = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.8, 0.8, 0.0], [0.8, 0.0, 0.9]])
    learner, candidates = policies.create(name, epsilon=0.2), candidates_of(rows)
    context, left = Context([1.0, 0.2, 0.2]), [False, True, True, True]
    alone = learner.scores(context, candidates)
    chances = [
        float(learner.distribution(Layout("mmr", strength).scores(alone, candidates, [0]), left)[1])
        for strength in (0.0, 0.3, 1.0)
    ]
    assert chances[0] > chances[2]
    assert chances == sorted(chances, reverse=True)


# what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"diversity": "mrr"}, "none of mmr, dpp"),
        ({"strength": -0.1}, "strength"),
        ({"strength": 1.5}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": True}, "strength"),
        ({"strength": "1"}, "strength"),
        ({"most": 0}, "most"),
        ({"most": 1.5}, "most"),
        ({"most": True}, "most"),
        ({"groups": "ab"}, "groups"),
        ({"groups": ["a", 1]}, r"groups\[1\]"),
        ({"pinned": [True, None]}, r"pinned\[1\]"),
    ],
)
def test_layouts_that_mean_nothing_are_refused(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        Layout(**wrong)


@pytest.mark.parametrize("wrong", [{"groups": ["a"]}, {"pinned": [True] * 3}])
def test_lengths_that_do_not_fit_are_refused(wrong):
    learner, candidates = policies.create("greedy"), candidates_of(vectors(2, 0))
    layout = Layout(**wrong)
    with pytest.raises(InvalidInput, match="entries, but there are 2"):
        learner.choose_slate(CONTEXT, candidates, k=1, seed=0, layout=layout)
    with pytest.raises(InvalidInput, match="entries, but there are 2"):
        layout.scores(flat(2), candidates, [])
    for above in ([2], [-1]):
        with pytest.raises(InvalidInput, match="above"):
            Layout().eligible([True] * 2, above)
    with pytest.raises(InvalidInput, match="different lengths"):
        Layout("mmr", 1.0).scores(flat(2), [Candidate("a", [1.0]), Candidate("b", [1.0, 0.0])], [0])
    with pytest.raises(InvalidInput, match="cannot choose 3 of 2"):
        learner.choose_slate(CONTEXT, candidates, k=3, seed=0, layout=Layout())
