"""Clusters: the same in any order, and together what is near."""

from __future__ import annotations

import random
from array import array

from hypothesis import given
from hypothesis import strategies as st

from agent.review.clusters import clusters
from agent.review.later import Later


def near(middle: int, rng: random.Random) -> array[float]:
    """A unit vector of 6 floats near an axis."""
    row = [rng.gauss(0, 0.1) + 2.0 * (axis == middle) for axis in range(6)]
    length = sum(x * x for x in row) ** 0.5
    return array("f", [x / length for x in row])


@given(st.lists(st.integers(0, 5), max_size=30), st.randoms(use_true_random=False))
def test_they_are_the_axes_in_whatever_order_the_texts_come(axes: list[int], shuffled: random.Random) -> None:
    rng = random.Random(1)
    vectors = {f"text {n}": near(axis, rng) for n, axis in enumerate(axes)}
    found = clusters(vectors)
    items = list(vectors.items())
    shuffled.shuffle(items)
    assert clusters(dict(items)) == found
    assert {frozenset(cluster.texts) for cluster in found} == {
        frozenset(f"text {n}" for n, axis in enumerate(axes) if axis == of) for of in set(axes)
    }
    sizes = [len(cluster.texts) for cluster in found]
    assert sizes == sorted(sizes, reverse=True)


@given(st.integers(0, 2**32), st.integers(2, 25))
def test_the_first_text_is_the_nearest_to_all(seed: int, count: int) -> None:
    rng = random.Random(seed)
    vectors = {f"{n}": array("f", [rng.gauss(0, 1) for _ in range(6)]) for n in range(count)}
    for text, row in vectors.items():
        length = sum(x * x for x in row) ** 0.5
        vectors[text] = array("f", [x / length for x in row])
    for cluster in clusters(vectors, distance=0.9):
        sums = {
            text: sum(sum(x * y for x, y in zip(vectors[text], vectors[other], strict=True)) for other in cluster.texts)
            for text in cluster.texts
        }
        assert sums[cluster.medoid] >= max(sums.values()) - 1e-5


def test_a_distance_of_nothing_leaves_each_alone() -> None:
    rng = random.Random(2)
    vectors = {f"text {n}": near(0, rng) for n in range(5)}
    assert [cluster.texts for cluster in clusters(vectors, distance=1e-9)] == [[text] for text in sorted(vectors)]


def test_an_older_result_serves_until_the_next_is_there() -> None:
    import threading

    later: Later[str] = Later()
    gate = threading.Event()
    first = later.get("key", 1, lambda: "old", patience=10.0)
    assert first is not None
    assert (first.value, first.fresh) == ("old", True)

    def slow() -> str:
        gate.wait(10.0)
        return "new"

    second = later.get("key", 2, slow, patience=0.0)
    assert second is not None
    assert (second.value, second.fresh) == ("old", False)
    assert later.get("other", 2, slow, patience=0.0) is None
    gate.set()
    third = later.get("key", 2, slow, patience=10.0)
    assert third is not None
    assert (third.value, third.fresh) == ("new", True)


def test_what_fails_is_told_once_and_tried_again() -> None:
    later: Later[int] = Later()
    for _ in range(2):
        try:
            later.get("key", 1, lambda: 1 // 0, patience=10.0)
        except ZeroDivisionError:
            continue
        raise AssertionError("it says nothing")
    assert later.get("key", 1, lambda: 3, patience=10.0).value == 3
