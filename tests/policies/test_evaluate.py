"""The estimators against closed forms, against worlds whose answer is known, and against what no log can tell."""

from __future__ import annotations

import csv
import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import evaluate
from policies.evaluate import dm, dr, effective_sample_size, ips, snips
from policies.types import InvalidInput

MODEL_BASED = (dm, dr)
ESTIMATORS = (ips, snips, *MODEL_BASED)

HAND_MADE = {
    "actions": [0, 1, 1, 0],
    "rewards": [1, 0, 2, 4],
    "propensities": [0.5, 0.25, 0.8, 1.0],
    "target_probabilities": [[0.5, 0.5], [0.0, 1.0], [0.2, 0.8], [1.0, 0.0]],  # weights 1, 4, 1, 1
}
PREDICTIONS = [[1, 0], [2, 1], [0, 1], [3, 5]]


def estimate(estimator, log, predictions=PREDICTIONS, **options):
    return estimator(**log, **({"predictions": predictions} if estimator in MODEL_BASED else {}), **options)


class World:
    """Five contexts, three actions, rewards 0 or 1; every probability and the target policy's value are known."""

    def __init__(self, seed=0):
        self.generator = torch.Generator().manual_seed(seed)
        self.expected = self._uniform(5, 3)
        self.logging = torch.nn.functional.normalize(self._uniform(5, 3) + 0.15, p=1, dim=1)
        self.target = torch.nn.functional.normalize(self._uniform(5, 3), p=1, dim=1)
        self.value = float((self.target * self.expected).sum(dim=1).mean())

    def log(self, n):
        context = torch.randint(5, (n,), generator=self.generator)
        return self.rewarded(context, self.expected[context])

    def clustered(self, persons, rows):
        """Each person asks the same again and again, and is pleased, or not, whatever is done."""
        context = torch.randint(5, (persons,), generator=self.generator).repeat_interleave(rows)
        mood = (self._uniform(persons) < 0.5).to(torch.float64).repeat_interleave(rows)
        expected = 0.1 * self.expected[context] + 0.9 * mood[:, None]
        self.clustered_value = 0.1 * self.value + 0.9 * 0.5
        return {**self.rewarded(context, expected), "clusters": torch.arange(persons).repeat_interleave(rows)}

    def rewarded(self, context, expected):
        logging = self.logging[context]
        actions = torch.multinomial(logging, 1, generator=self.generator)
        chance = expected.gather(1, actions).squeeze(1)
        return {
            "actions": actions.squeeze(1),
            "rewards": (self._uniform(len(context)) < chance).to(torch.float64),
            "propensities": logging.gather(1, actions).squeeze(1),
            "target_probabilities": self.target[context],
        }

    def predictions(self, log):
        """The expected rewards of the contexts in a log, which its rows of target probabilities tell apart."""
        same = (log["target_probabilities"][:, None] == self.target).all(dim=2).to(torch.float64)
        return same @ self.expected

    def _uniform(self, *shape):
        return torch.rand(shape, dtype=torch.float64, generator=self.generator)


# closed forms


@pytest.mark.parametrize(("estimator", "value"), [(ips, 1.75), (snips, 1.0), (dm, 1.325), (dr, 0.825)])
def test_closed_forms(estimator, value):
    got = estimate(estimator, HAND_MADE)
    assert got.value == pytest.approx(value, abs=1e-15)
    assert got.effective_sample_size == pytest.approx(49 / 19)
    assert (got.estimator, got.n, got.level, got.refused) == (estimator.__name__, 4, 0.95, None)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_lists_arrays_and_tensors_are_the_same(estimator):
    numpy = pytest.importorskip("numpy")
    expected = estimate(estimator, HAND_MADE, clusters=[1, 1, 2, 3])

    def read_only(values):
        array = numpy.array(values, dtype=float)
        array.flags.writeable = False
        return array

    for whole in (read_only, lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True)):
        for convert in (whole, lambda values, whole=whole: [whole(value) for value in values]):
            other = {name: convert(values) for name, values in HAND_MADE.items()}
            assert estimate(estimator, other, convert(PREDICTIONS), clusters=whole([1, 1, 2, 3])) == expected
    assert estimate(estimator, HAND_MADE, clusters=["a", "a", (2,), None]) == expected


def test_a_log_of_the_target_policy_itself_is_averaged():
    log = World().log(50)
    log["target_probabilities"] = torch.nn.functional.one_hot(log["actions"], 3).to(torch.float64)
    log["propensities"] = torch.ones(50)
    assert ips(**log).value == snips(**log).value == pytest.approx(float(log["rewards"].mean()))
    assert ips(**log).effective_sample_size == pytest.approx(50)


# laws


logs = st.builds(lambda seed, n: (World(seed), n), st.integers(0, 10**6), st.integers(8, 60))


@given(case=logs, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_laws_of_shift_and_scale(case, shift, scale):
    world, n = case
    log = world.log(n)
    predictions = world.predictions(log)
    for estimator in ESTIMATORS:
        before = estimate(estimator, log, predictions, resamples=199)
        moved = {**log, "rewards": log["rewards"] * scale + (0 if estimator in (ips, dm) else shift)}
        after = estimate(estimator, moved, predictions * scale + (shift if estimator is dr else 0), resamples=199)
        by = 0 if estimator in (ips, dm) else shift
        assert before.refused == after.refused
        if before.refused is None:
            assert before.low <= before.value <= before.high
            for end in ("low", "value", "high"):
                assert getattr(after, end) == pytest.approx(getattr(before, end) * scale + by, abs=1e-9)


def test_without_predictions_dr_is_ips():
    log = World().log(200)
    got = dr(**log, predictions=torch.zeros(200, 3))
    assert dataclasses.replace(got, estimator="ips") == ips(**log)


def test_dm_does_not_ask_for_propensities():
    world = World()
    log = world.log(200)
    other = {**log, "propensities": log["propensities"] ** 2, "rewards": 1 - log["rewards"]}
    one, two = (dm(**given_log, predictions=world.predictions(log)) for given_log in (log, other))
    assert (one.low, one.value, one.high) == (two.low, two.value, two.high)


def test_each_row_its_own_cluster_is_no_cluster():
    log = World().log(100)
    assert ips(**log, clusters=[f"person {i}" for i in range(100)]) == ips(**log)


def test_rows_told_twice_tell_no_more():
    log = World().log(60)
    twice = {name: values.repeat_interleave(2, dim=0) for name, values in log.items()}
    for estimator in (ips, snips):
        once, got = estimator(**log), estimator(**twice, clusters=torch.arange(120) // 2)
        assert (got.value, got.low, got.high) == pytest.approx((once.value, once.low, once.high), abs=1e-12)
        unaware = estimator(**twice)
        assert unaware.high - unaware.low < 0.8 * (got.high - got.low)


def test_the_same_seed_gives_the_same_interval_and_no_other_generator_is_touched():
    log, state = World().log(100), torch.get_rng_state()
    first = ips(**log, seed=3)
    assert ips(**log, seed=3) == first
    other = ips(**log, seed=4)
    assert other.low != first.low
    assert other.low == pytest.approx(first.low, abs=0.05)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_higher_level_is_wider():
    log = World().log(100)
    narrow, wide = ips(**log, level=0.5), ips(**log, level=0.95)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


# unbiased


@pytest.fixture
def replicates(monkeypatch):
    """How many standard errors the mean of many estimates is off; none is refused, for that would select."""
    monkeypatch.setattr(evaluate, "MOST_ERRORS", math.inf)

    def run(estimator, predictions, *, change=lambda log: {}):
        world, values = World(seed=11), []
        for _ in range(200):
            log = world.log(60)
            values.append(estimate(estimator, {**log, **change(log)}, predictions(world, log), resamples=39).value)
        values = torch.tensor(values, dtype=torch.float64)
        return float((values.mean() - world.value) / values.std() * len(values) ** 0.5)

    return run


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unbiased(replicates, estimator):
    assert abs(replicates(estimator, World.predictions)) < 3.3


def wrong(world, log):
    return 3.0 - 2.0 * world.predictions(log)


def test_dr_with_wrong_predictions_is_unbiased_and_dm_is_not(replicates):
    assert abs(replicates(dr, wrong)) < 3.3
    assert abs(replicates(dm, wrong)) > 20


def test_dr_with_wrong_propensities_and_right_predictions_is_unbiased_and_ips_is_not(replicates):
    def skewed(log):
        return {"propensities": torch.where(log["actions"] == 0, 0.6, 1.0) * log["propensities"]}

    assert abs(replicates(dr, World.predictions, change=skewed)) < 3.3
    assert abs(replicates(ips, World.predictions, change=skewed)) > 8


def test_good_predictions_make_dr_narrower():
    world = World()
    log = world.log(500)
    with_them, without = dr(**log, predictions=world.predictions(log)), ips(**log)
    assert with_them.high - with_them.low < 0.8 * (without.high - without.low)


# intervals


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_intervals_cover(estimator):
    world, covered = World(seed=5), 0
    for _ in range(200):
        log = world.log(60)
        got = estimate(estimator, log, wrong(world, log), resamples=199)
        covered += got.low <= world.value <= got.high
    assert 0.91 <= covered / 200 <= 0.985


@pytest.mark.parametrize("estimator", [ips, snips])
def test_clusters_are_covered_where_rows_are_not(estimator):
    world, covered, unaware = World(seed=8), 0, 0
    for _ in range(150):
        log = world.clustered(persons=30, rows=16)
        got = estimator(**log, resamples=199)
        rows = estimator(**{**log, "clusters": None}, resamples=199)
        covered += got.low <= world.clustered_value <= got.high
        unaware += rows.low <= world.clustered_value <= rows.high
    assert covered / 150 >= 0.9
    assert unaware / 150 < 0.75


def test_rewards_all_alike_leave_the_interval_unbounded():
    alike = {**HAND_MADE, "rewards": [1, 1, 1, 1]}
    assert (snips(**alike).low, snips(**alike).high) == (-math.inf, math.inf)
    assert snips(**alike).value == 1.0


# refusals


def refused(estimator, log, **options):
    got = estimate(estimator, log, torch.zeros(len(log["actions"]), 3), **options)
    assert got.refused
    assert all(math.isnan(number) for number in (got.value, got.low, got.high))
    return got.refused


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_overlap_is_refused(estimator):
    log = World().log(50)
    log["target_probabilities"] = torch.nn.functional.one_hot((log["actions"] + 1) % 3, 3).to(torch.float64)
    assert "no overlap" in refused(estimator, log)
    assert estimate(estimator, log, torch.zeros(50, 3)).effective_sample_size == 0.0


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_one_row_that_outweighs_all_is_refused(estimator):
    log = World().log(50)
    log["propensities"][7] = 1e-5
    assert "effective sample size 1.0" in refused(estimator, log)
    assert dm(**log, predictions=torch.rand(50, 3)).refused is None


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_one_person_is_refused(estimator):
    assert "effective sample size 1.00" in refused(estimator, World().log(50), clusters=["she"] * 50)


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_a_log_that_never_explored_is_refused(estimator):
    log = World().log(100)
    log["actions"], log["propensities"] = torch.arange(100) % 2, torch.ones(100)
    log["target_probabilities"] = torch.tensor([0.5, 0.1, 0.4], dtype=torch.float64).expand(100, 3)
    assert "the weights average 0.300, not 1" in refused(estimator, log)


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_propensities_not_those_drawn_with_are_refused(estimator):
    log = World().log(400)
    log["propensities"] = torch.full((400,), 0.9)
    assert "not those drawn with" in refused(estimator, log)
    assert "not those drawn with" in refused(estimator, log, clusters=torch.arange(400) // 4)


def test_effective_sample_size():
    assert effective_sample_size(torch.tensor([1.0, 1.0, 1.0, 0.0])) == 3.0
    assert effective_sample_size(torch.tensor([1e200, 1e200], dtype=torch.float64)) == 2.0
    assert effective_sample_size(torch.zeros(3)) == 0.0


# bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": []}, "actions: there are none"),
        ({"actions": 3}, "actions: 3 is not a sequence"),
        ({"actions": [0, 1, 2, 0]}, r"actions: row 2 is 2\.0, no whole number in \[0, 2\)"),
        ({"actions": [0, -1, 1, 0]}, "actions: row 1"),
        ({"actions": [0, 1, 0.5, 0]}, "actions: row 2"),
        ({"actions": [[0], [1], [1], [0]]}, r"actions: shape \(4, 1\), expected \(n,\)"),
        ({"rewards": [1, 2, 3]}, "rewards: 3 rows, actions has 4"),
        ({"rewards": [1, 2, math.nan, 3]}, "rewards: row 2 is nan, not finite"),
        ({"rewards": [1, None, 2, 3]}, "rewards: row 1 is None, not numbers"),
        ({"rewards": [1, 2, 3, "x"]}, "rewards: row 3 is 'x'"),
        ({"rewards": [1e308] * 4}, "not finite"),
        ({"propensities": [0.5, 0.0, 0.5, 0.5]}, r"propensities: row 1 is 0\.0, outside \(0, 1\]"),
        ({"propensities": [0.5, 0.5, 0.5, 1.1]}, "propensities: row 3"),
        ({"propensities": [math.inf, 0.5, 0.5, 0.5]}, "propensities: row 0"),
        ({"target_probabilities": [0.5, 0.5, 0.5, 0.5]}, r"target_probabilities: shape \(4,\), expected n x k"),
        ({"target_probabilities": [[0.5, 0.5]]}, "target_probabilities: 1 rows"),
        ({"target_probabilities": [[], [], [], []]}, "actions: row 0"),
        ({"target_probabilities": [[0.5, 0.5], [1], [1, 0], [1, 0]]}, "target_probabilities: row 1 has shape"),
        ({"target_probabilities": [[1, 0], [1, 0], [0.5, 0.4], [1, 0]]}, "target_probabilities: row 2 .* not 1 in sum"),
        (
            {"target_probabilities": [[1, 0], [1.5, -0.5], [1, 0], [1, 0]]},
            "target_probabilities: row 1 .* not all >= 0",
        ),
        ({"predictions": [[1, 2, 3]] * 4}, "predictions: 3 columns, target_probabilities has 2"),
        ({"predictions": [[1, 2]] * 3}, "predictions: 3 rows"),
        ({"predictions": [[1, 2], [1, math.inf], [1, 2], [1, 2]]}, "predictions: row 1"),
        ({"clusters": ["a", "b"]}, "clusters: 2 rows, actions has 4"),
        ({"clusters": [[], [], [], []]}, "clusters: not n hashable names"),
        ({"level": 1.0}, "level: 1.0"),
        ({"level": math.nan}, "level: nan"),
        ({"resamples": 38}, r"resamples: 38, but level 0\.95 needs at least 39"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(InvalidInput, match=message):
        dr(**{**HAND_MADE, "predictions": PREDICTIONS, **change})


# real data


def read(folder, policy):
    with (folder / "open_bandit" / policy / "men" / "men.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def random_log(data):
    """10,000 recommendations drawn evenly, and what Thompson sampling (bts) would have recommended instead.

    The bts policy changed over the week, so its logged propensities of an item vary; their harmonic mean over the
    times it was drawn estimates its share of all times.
    """
    inverse, times = torch.zeros(3, 34, dtype=torch.float64), torch.zeros(3, 34, dtype=torch.float64)
    for row in read(data, "bts"):
        at = int(row["position"]) - 1, int(row["item_id"])
        inverse[at] += 1 / float(row["propensity_score"])
        times[at] += 1
    policy = torch.nn.functional.normalize(times / inverse, p=1, dim=1)
    rows = read(data, "random")
    log = {
        "actions": [int(row["item_id"]) for row in rows],
        "rewards": [int(row["click"]) for row in rows],
        "propensities": [float(row["propensity_score"]) for row in rows],
        "target_probabilities": policy[[int(row["position"]) - 1 for row in rows]],
    }
    users = [tuple(row[f"user_feature_{i}"] for i in range(4)) for row in rows]
    return log, users


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_open_bandit_random_tells_what_thompson_sampling_earned(random_log, estimator):
    log, users = random_log
    got = estimate(estimator, log, torch.full((10_000, 34), 0.0046), clusters=users)
    assert got.refused is None
    assert got.low <= 0.0069 <= got.high  # the click rate that was seen when bts ran
    assert 0.0045 < got.value < 0.0069
    assert 2000 < got.effective_sample_size < 4000
