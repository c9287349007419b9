"""ADWIN on streams whose changes are known, and the world in which the best candidate changes."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.drift import BUCKETS, Adwin, Change
from policies.simulate import DriftingWorld
from policies.types import InvalidInput


def residuals(seed: int, *stretches: tuple[int, float]) -> list[float]:
    """Rewards of 0 or 1 less what was expected of them, in stretches of (how many, by how much they fall short)."""
    rng, found = random.Random(seed), []
    for count, short in stretches:
        for _ in range(count):
            expected = rng.uniform(0.35, 0.65)
            found.append(float(rng.random() < expected - short) - expected)
    return found


def changes(detector: Adwin, values: list[float]) -> list[tuple[int, Change]]:
    """Where the detector finds changes: the index of the value that told, and the change."""
    return [(i, change) for i, value in enumerate(values) if (change := detector.update(value)) is not None]


def same(one: Adwin, other: Adwin) -> bool:
    """Whether two detectors hold the same state to the bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("delta", [0.01, 0.2])
def test_false_cuts_are_rarer_than_delta_where_nothing_changes(delta):
    values = [value for seed in range(3) for value in residuals(seed, (5_000, 0.0))]
    # Delta is what is promised of every value; the union bound and Bernstein's leave a wide margin.
    assert len(changes(Adwin(delta=delta), values)) <= 0.01 * delta * len(values)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("short", "within"), [(0.35, 160), (0.2, 420)])
def test_a_change_is_found_soon_once_and_in_its_place(short, within, sign):
    delays = []
    for seed in range(6):
        found = changes(Adwin(delta=0.01), [sign * v for v in residuals(seed, (1_000, 0.0), (1_500, short))])
        # What moved towards the change before it is found cannot be told from it, nor can the change from later values.
        at, change = found[0]
        assert at >= 1_000
        assert len(found) == 1
        assert abs(change.before) < 0.06
        assert change.after == pytest.approx(-sign * short, abs=0.2)
        assert change.values_before + change.values_after == at + 1
        assert abs(change.values_before - 1_000) < 130
        delays.append(at + 1 - 1_000)
    assert max(delays) <= within


def test_a_change_that_comes_about_slowly_is_found():
    for seed in range(5):
        slope = [(50, short / 20 * 0.4) for short in range(20)]
        found = changes(Adwin(delta=0.01), residuals(seed, (1_000, 0.0), *slope, (500, 0.4)))
        assert found
        assert 1_000 <= found[0][0] < 2_000
        assert all(change.after < change.before for _, change in found)


def test_the_same_change_takes_longer_where_less_is_risked():
    values = residuals(0, (1_000, 0.0), (1_000, 0.3))
    delays = [changes(Adwin(delta=delta), values)[0][0] for delta in (0.5, 0.05, 0.001)]
    assert delays == sorted(set(delays))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300))
@settings(deadline=None)
def test_the_window_is_a_histogram_of_the_values_since_the_last_cut(values):
    detector, since = Adwin(delta=1e-12), 0
    for i, value in enumerate(values):
        change = detector.update(value)
        if change is not None:
            assert change.before == pytest.approx(statistics.fmean(values[since : since + change.values_before]))
            since += change.values_before
        assert detector.width == i + 1 - since
        assert detector.mean == pytest.approx(statistics.fmean(values[since : i + 1]), abs=1e-12)
    sizes = detector.state_dict()["buckets"][0].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert all(math.log2(size).is_integer() and sizes.count(size) <= BUCKETS for size in sizes)


@given(st.integers(0, 400), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_a_detector_saved_and_loaded_goes_on_bit_for_bit(where, seed):
    values = residuals(seed, (250, 0.0), (150, 0.6))
    detector, loaded = Adwin(delta=0.05), Adwin(delta=0.05)
    changes(detector, values[:where])
    loaded.load_state_dict(detector.state_dict())
    assert same(detector, loaded)
    assert changes(detector, values[where:]) == changes(loaded, values[where:])
    assert same(detector, loaded)


def test_memory_grows_with_the_logarithm():
    detector = Adwin(delta=1e-9)
    for value in residuals(0, (10_000, 0.0)):
        detector.update(value)
    assert detector.width == 10_000
    assert detector.state_dict()["buckets"].shape[1] <= BUCKETS * math.log2(10_000)


def test_nonsense_is_refused_and_changes_nothing():
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(InvalidInput, match=r"^delta: "):
            Adwin(delta=delta)
    detector, before = Adwin(delta=0.1), Adwin(delta=0.1)
    for value in (math.nan, math.inf):
        with pytest.raises(InvalidInput, match=rf"^value: {value} is not finite"):
            detector.update(value)
    with pytest.raises(InvalidInput, match=r"of delta 0\.2, not 0\.1"):
        detector.load_state_dict(Adwin(delta=0.2).state_dict())
    with pytest.raises(InvalidInput, match="not one that"):
        detector.load_state_dict({"delta": torch.tensor(0.1, dtype=torch.float64)})
    assert same(detector, before)


def best(world: DriftingWorld, rounds: int) -> list[int]:
    return [int(world.expected(world.context()).argmax()) for _ in range(rounds)]


def test_the_best_candidate_changes_at_the_known_round():
    world = DriftingWorld(changes_at=201, seed=3)
    before, after = best(world, 200), best(world, 200)
    assert statistics.mode(before) == 0
    assert statistics.mode(after) == len(world.candidates) - 1
    assert before.count(0) > 150
    assert after.count(0) < 30
    assert best(DriftingWorld(changes_at=201, seed=3), 400) == before + after


def test_a_drifting_world_pays_zero_or_one_with_its_probabilities():
    world = DriftingWorld(changes_at=50, over=100, seed=1)
    steps = []
    for _ in range(400):
        context = world.context()
        chances = world.expected(context)
        assert 0.0 < float(chances.min()) < float(chances.max()) < 1.0
        steps.append((world.reward(context, 0), float(chances[0])))
    assert {reward for reward, _ in steps} == {0.0, 1.0}
    spread = math.sqrt(sum(p * (1 - p) for _, p in steps))
    assert abs(sum(reward - p for reward, p in steps)) < 4 * spread
    early, late = (statistics.fmean(p for _, p in part) for part in (steps[:50], steps[-50:]))
    middle = statistics.fmean(p for _, p in steps[90:110])
    assert early - 0.05 > middle > late + 0.05
