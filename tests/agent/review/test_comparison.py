"""Comparisons: intervals that cover, tests that seldom cry wolf however many there are."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.review.comparison import difference, fall, standing_out
from agent.review.sums import Sums


def drawn(rng: random.Random, share: float, clusters: int) -> Sums:
    """Feedback of customers, each with one to four thumbs that mostly agree with one another."""
    found = Sums()
    for _ in range(clusters):
        mood = min(1.0, max(0.0, rng.betavariate(2.0 * share, 2.0 * (1.0 - share))))
        thumbs = [float(rng.random() < mood) for _ in range(rng.randint(1, 4))]
        n, s = float(len(thumbs)), sum(thumbs)
        found += Sums(1, len(thumbs), n, s, s * s, s * n, n * n)
    return found


counted = st.tuples(st.integers(1, 200), st.floats(0.0, 1.0)).map(
    lambda given: Sums(given[0], given[0], given[0], *(round(given[1] * given[0]),) * 3, given[0])
)


@given(counted, counted)
def test_a_difference_lies_in_its_interval_and_turns_round(now, before):
    there, back = difference(now, before), difference(before, now)
    assert there.low <= there.value <= there.high
    assert (abs(there.value + back.value), abs(there.low + back.high)) <= (1e-9, 1e-9)
    assert -1.0 <= there.value <= 1.0
    assert 0.0 < fall(now, before) <= 1.0
    if now.mean >= before.mean:
        assert fall(now, before) == 1.0


def test_nothing_known_is_no_difference_and_no_fall():
    some = Sums(3, 3, 3.0, 2.0, 2.0, 2.0, 3.0)
    assert difference(Sums(), some) is None
    assert difference(some, Sums()) is None
    assert fall(Sums(), some) == fall(some, Sums()) == 1.0


def test_intervals_cover_the_mean_of_clustered_feedback():
    rng = random.Random(5)
    for share in (0.15, 0.5, 0.85):
        for clusters in (8, 40, 200):
            ends = [drawn(rng, share, clusters).interval for _ in range(400)]
            covered = sum(low <= share <= high for low, high in ends) / len(ends)
            assert covered >= 0.9, (share, clusters, covered)


def test_intervals_of_a_difference_cover_it():
    rng = random.Random(6)
    for shares in ((0.5, 0.5), (0.3, 0.6), (0.9, 0.8)):
        found = [difference(drawn(rng, shares[0], 40), drawn(rng, shares[1], 60)) for _ in range(400)]
        covered = sum(each.low <= shares[0] - shares[1] <= each.high for each in found) / len(found)
        assert covered >= 0.9, (shares, covered)


def test_where_nothing_changes_few_sets_of_topics_say_that_anything_has():
    rng = random.Random(7)
    cried = 0
    for _ in range(300):
        chances = {
            topic: fall(drawn(rng, 0.3 + 0.04 * topic, 25), drawn(rng, 0.3 + 0.04 * topic, 25)) for topic in range(12)
        }
        cried += bool(standing_out(chances))
    assert cried / 300 <= 0.08


def test_a_real_fall_is_found_among_many():
    rng = random.Random(8)
    found = 0
    for _ in range(100):
        chances = {topic: fall(drawn(rng, 0.6, 60), drawn(rng, 0.6, 60)) for topic in range(11)}
        found += 11 in standing_out({**chances, 11: fall(drawn(rng, 0.25, 60), drawn(rng, 0.75, 60))})
    assert found >= 90


@given(st.dictionaries(st.integers(), st.floats(1e-12, 1.0), max_size=20))
def test_holm_finds_no_less_than_bonferroni_and_no_more_than_each_alone(chances):
    found = standing_out(chances)
    assert {key for key, p in chances.items() if p <= 0.05 / len(chances)} <= found
    assert found <= {key for key, p in chances.items() if p <= 0.05}
    worst = max((chances[key] for key in found), default=0.0)
    assert {key for key, p in chances.items() if p < worst} <= found
