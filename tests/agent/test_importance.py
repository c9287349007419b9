"""Importance: the Shapley value by brute force, and what follows from being one."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.candidates import Reply
from agent.errors import Unknown
from agent.importance import FEATURE_PARTS, importance
from agent.log import Event, LearningLog
from agent.settings import LoopSettings
from tests.agent.conftest import asked

NAMES = ("prior", "match", "own", "own:history")


def shapley(decisions):
    """Each part's average contribution, over all orders of joining, to the variance of the sum of the parts so far."""

    def worth(names):
        return sum(
            statistics.pvariance([sum(parts[name][i] for name in names) for i in range(len(parts["prior"]))])
            for parts in decisions
        )

    orders = list(itertools.permutations(NAMES))
    found = dict.fromkeys(NAMES, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            found[name] += (worth(order[: place + 1]) - worth(order[:place])) / len(orders)
    return found, worth(NAMES)


def logged(log, decisions, *, eligible=None):
    """A log of decisions with these parts."""
    log.append([Event("settings", "settings", 1.0, "L", body={"settings": LoopSettings().as_body()})])
    for n, parts in enumerate(decisions):
        k = len(next(iter(parts.values())))
        body = {"parts": parts, "eligible": eligible or [True] * k, "model_seq": n, "context": {"blocks": {"": []}}}
        log.append([Event(f"d{n}", "decision", float(n), "L", decision=f"d{n}", body=body)])
    return log


numbers = st.floats(-2, 2, allow_nan=False, width=32)
some_decisions = st.lists(
    st.integers(2, 4).flatmap(
        lambda k: st.fixed_dictionaries({name: st.lists(numbers, min_size=k, max_size=k) for name in NAMES})
    ),
    min_size=1,
    max_size=4,
)


@given(some_decisions)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_shares_are_shapley_values_of_the_variance(tmp_path_factory, decisions):
    log = LearningLog(tmp_path_factory.mktemp("log") / "learning.db", scratch=True)
    found = importance(logged(log, decisions), "L")
    log.close()
    shares = {row["name"]: row["share"] for row in found["parts"]}
    values, variance = shapley(decisions)
    if variance < 1e-9:
        return
    assert shares == pytest.approx({name: value / variance for name, value in values.items()}, abs=1e-6)
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-9)


def test_what_is_the_same_for_all_candidates_decides_nothing(tmp_path):
    rng = random.Random(3)
    decisions = [
        {"prior": [rng.random()] * 5, "own": [rng.random() for _ in range(5)], "shared": [0.1, 0.3, 0.3, 0.1, 0.2]}
        for _ in range(20)
    ]
    found = importance(logged(LearningLog(tmp_path / "l.db"), decisions), "L")
    (same,) = [row for row in found["parts"] if row["name"] == "prior"]
    assert same == {"name": "prior", "share": pytest.approx(0, abs=1e-12), "spread": pytest.approx(0, abs=1e-12),
                    "changes_best": 0.0, "present": 20}  # fmt: skip
    assert found["parts"][0]["name"] == "own"


def test_the_best_without_a_part(tmp_path):
    decisions = [
        {"prior": [0.9, 0.1, 0.0], "own": [0.0, 0.1, 0.0]},  # without the prior another is the best
        {"prior": [0.2, 0.1, 0.0], "own": [0.3, 0.0, 0.0]},  # not here
        {"prior": [0.9, 0.1, 0.0], "own": [0.0, 0.0, 0.0]},  # here all three tie
        {"prior": [0.2, 0.1, 9.0], "own": [0.3, 0.0, 9.0]},  # the third may not be chosen
    ]
    eligible = [True, True, False]
    found = importance(logged(LearningLog(tmp_path / "l.db"), decisions, eligible=eligible), "L")
    rows = {row["name"]: row for row in found["parts"]}
    assert rows["prior"]["changes_best"] == pytest.approx((1 + 0 + 1 / 2 + 0) / 4)
    assert rows["own"]["changes_best"] == 0.0
    assert rows["prior"]["spread"] == pytest.approx((0.4 + 0.05 + 0.4 + 0.05) / 4)


def test_where_all_score_alike_there_are_no_shares(tmp_path):
    found = importance(logged(LearningLog(tmp_path / "l.db"), [{"prior": [0.5, 0.5], "own": [0.0, 0.0]}]), "L")
    assert [row["share"] for row in found["parts"]] == [None, None]


def test_only_the_last_decisions_count(tmp_path):
    log = logged(LearningLog(tmp_path / "l.db"), [{"prior": [0.0, 1.0]}, {"own": [0.0, 1.0]}])
    assert [row["name"] for row in importance(log, "L", last=1)["parts"]] == ["own"]
    assert importance(log, "L", last=1)["since"] == importance(log, "L", last=1)["until"] == 1.0


REPLIES = (
    Reply("refund", ("Money goes back.",), {"intent:refund": 1.0}),
    Reply("delivery", ("It is on its way.",), {"intent:delivery": 1.0, "vip": 0.5}),
    Reply("human", ("A colleague will help.",), {"vip": 1.0}),
)


@pytest.mark.parametrize("learner", [{}, {"degree": 2}, {"feature_scale": 0.0}, {"parts": "hybrid"}])
def test_what_features_add_sums_to_the_parts_made_of_them(open_service, learner):
    service, rng = open_service(), random.Random(1)
    service.configure("replies", LoopSettings(learner={"prior_match": 0.5, **learner}), who="test")
    service.reconcile("replies", REPLIES, who="test")
    for n in range(25):
        cues = {
            name: rng.random() for name in ("intent:refund", "intent:delivery", "vip", "night") if rng.random() < 0.7
        }
        made = service.decide("replies", replace(asked(f"text {n % 6}", message=f"m{n}"), features=cues))
        service.record(signal="thumb", value=n % 2, decision=made.id)
    found = importance(service.log, "replies", last=15, features=True, snapshots=service.snapshots("replies"))
    assert found["decisions"] == 15
    total = sum(row["share"] for row in found["parts"] if row["name"] in FEATURE_PARTS)
    assert sum(row["share"] for row in found["features"]) == pytest.approx(total, abs=1e-9)
    shares = {row["name"]: row["share"] for row in found["features"]}
    assert set(shares) == {"intent:refund", "intent:delivery", "vip", "night"}
    if learner == {"feature_scale": 0.0}:  # then a feature counts where a candidate has it too
        assert shares["night"] == 0.0
        assert shares["intent:refund"] != 0.0


def test_a_loop_that_cannot_be_measured_says_why(service):
    with pytest.raises(Unknown, match="unknown loop 'nothing'"):
        importance(service.log, "nothing")
    with pytest.raises(Unknown, match="loop 'replies': no decision between two or more candidates yet"):
        importance(service.log, "replies")
    service.decide("replies", asked(), candidates=["refund"])
    with pytest.raises(Unknown, match="no decision between two or more"):
        importance(service.log, "replies")
