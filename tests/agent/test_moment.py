"""A decision made again from the log: the same vector, whatever was learned, restarted or changed since."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from agent.candidates import Reply
from agent.model import Model
from agent.moment import Moment
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import REPLIES, asked
from tests.agent.test_fold import Player, steps


def moment(service, decision_id, *, snapshots=None) -> Moment:
    decision = service.decision(decision_id)
    return Moment.of(decision, service.log, Model(service.log, decision.loop, snapshots=snapshots))


@given(steps)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_decision_of_any_history_comes_out_again(history):
    with tempfile.TemporaryDirectory() as folder:
        player = Player(Path(folder), (LoopSettings(), LoopSettings(learner={"half_life": 100.0})))
        for step in history:
            player.do(*step)
        player.service.close()
        for id in player.decisions:
            for snapshots in (None, player.service.snapshots("replies")):
                again = moment(player.service, id, snapshots=snapshots)
                found = again.recompute()
                assert found.repeats
                assert found.expected_difference <= 1e-9
                body = again.decision.body
                assert again.scores().mean.tolist() == pytest.approx(
                    [sum(parts) for parts in zip(*body["parts"].values(), strict=True)], abs=1e-9
                )
        assert verify(player.service)["ok"]
        player.service.close()


@pytest.mark.parametrize(
    "chosen",
    [
        LoopSettings(policy="linucb", learner={"parts": "shared"}),
        LoopSettings(policy="linucb_hybrid"),
        LoopSettings(policy="linucb", learner={"parts": "calibrated", "rivals": 1}),
        LoopSettings(policy="logistic"),
        LoopSettings(policy="bootstrapped", learner={"replicas": 4}),
        LoopSettings(policy="ensemble"),
        LoopSettings(policy="squarecb", learner={"epsilon": 0.1, "epsilon_decay": 5}),
        LoopSettings(policy="lints", learner={"half_life": 20.0, "degree": 2}, history=0.5),
    ],
)
def test_every_kind_of_learner_comes_out_again(open_service, chosen):
    service, ids = open_service(), []
    service.configure("replies", chosen, who="test")
    service.reconcile("replies", REPLIES, who="test")
    for n in range(12):
        situation = replace(
            asked(message=f"m{n}"),
            messages=[f"text {n % 5}", f"text {n}"],
            replies=[f"answer {n % 3}"],
            features={"intent:refund": n / 12},
        )
        ids.append(service.decide("replies", situation).id)
        service.record(signal="thumb", value=n % 2, decision=ids[-1])
    service.configure("replies", LoopSettings(policy="greedy"), who="test")
    service.reconcile("replies", [Reply("refund", ("Quite other words.",), state="disabled")], who="test")
    assert [moment(service, id).recompute().repeats for id in ids] == [True] * len(ids)


def test_the_time_of_the_decision_is_the_time_it_was_scored_at(service):
    forgetful = LoopSettings(policy="linucb", learner={"half_life": 100.0, "prior_slope": 0.0})
    service.configure("replies", forgetful, who="test")
    first = service.decide("replies", asked(), candidates=["refund"])
    service.record(signal="thumb", value=1, decision=first.id)
    second = moment(service, service.decide("replies", asked(message="m2")).id)
    assert second.recompute().expected_difference <= 1e-9
    later = replace(second, decision=replace(second.decision, at=second.decision.at + 100.0))
    assert later.recompute().expected_difference > 0.01


def test_another_vector_than_the_logged_one_is_noticed(service):
    made = moment(service, service.decide("replies", asked()).id)
    first, second = made.decision.body["probabilities"]
    body = {**made.decision.body, "probabilities": [first - 0.25, second + 0.25]}
    found = replace(made, decision=replace(made.decision, body=body)).recompute()
    assert not found.repeats
    assert found.difference == pytest.approx(0.25)
    assert found.as_body()["repeats_vector"] is False


def test_verify_makes_vectors_again(service):
    uneven = set()
    for n in range(4):
        decision = service.decide("replies", asked(message=f"m{n}"), seed=n)
        service.record(signal="thumb", value=1, decision=decision.id)
        uneven |= {decision.id} if abs(decision.propensity - 0.5) > 1e-9 else set()
    assert uneven
    report = verify(service)
    assert report["ok"]
    assert report["loops"]["replies"]["difference_of_vectors"] <= 1e-9
    db = service.log._db()
    db.execute("drop trigger events_no_update")
    # The same odds for both: the propensity and the draw can be in order, and yet no model gave these.
    db.execute(
        "update events set body = json_set(body, '$.probabilities', json('[0.5, 0.5]'), '$.propensity', 0.5) "
        "where kind = 'decision'"
    )
    problems = verify(service)["problems"]
    found = {line.split()[1] for line in problems if "its probabilities made again differ by" in line}
    assert found == uneven


def test_what_was_said_and_is_no_longer_in_the_log_is_a_clear_problem(service):
    decision = service.decide("replies", asked())
    service.log._db().execute("delete from vectors")
    assert any("it cannot be made again: no embedding of text" in line for line in verify(service)["problems"])
    assert decision.id in "".join(verify(service)["problems"])
