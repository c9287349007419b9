"""Tuning a loop's prior to its log, and beginning from what another assistant knows."""

from __future__ import annotations

import pytest
import torch

from agent.errors import InvalidInput, Unknown
from agent.service import Service
from agent.settings import LoopSettings
from agent.transfer import adopt
from agent.tuning import apply, tune
from agent.verification import verify
from tests.agent.conftest import REPLIES, SETTINGS, Clock, HashEncoder, asked


def taught(service: Service, rounds: int = 30) -> None:
    """Everybody likes the refund and nobody the delivery."""
    for n in range(rounds):
        name = ("refund", "delivery")[n % 2]
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"), candidates=[name])
        service.record(signal="reward", value=0.9 - 0.8 * (n % 2) + 0.05 * (n % 3), decision=decision.id)


@pytest.fixture
def other(tmp_path) -> Service:
    """Another assistant, which has learned something."""
    service = Service(tmp_path / "other", encoder=HashEncoder, clock=Clock())
    service.configure("replies", SETTINGS, who="test")
    service.reconcile("replies", REPLIES, who="test")
    taught(service)
    yield service
    service.close()


def test_tuning_finds_a_prior_that_fits_better_and_keeps_it_over_a_restart(service):
    taught(service)
    found = tune(service, "replies")
    assert found.rewards == 30
    assert found.gain >= 0.0
    assert found.now["ridge"] == 1.0
    apply(service, found, who="tune")
    learner = service.overview("replies").settings.learner
    assert learner["ridge"] == found.fitted["ridge"]
    service.configure("replies", SETTINGS, who="test")
    assert service.overview("replies").settings.learner["ridge"] == found.fitted["ridge"]
    service.configure("replies", LoopSettings(learner={"ridge": 7.0}), who="test")
    assert service.overview("replies").settings.learner["ridge"] == 7.0
    assert verify(service)["ok"]


def test_a_loop_with_too_few_rewards_is_not_tuned(service):
    with pytest.raises(InvalidInput, match="loop 'replies': too few rewards"):
        tune(service, "replies")
    with pytest.raises(Unknown):
        tune(service, "nothing")


def test_what_another_assistant_knows_is_where_a_loop_begins(service, other):
    other.close()
    before = service.model("replies").learner.state_dict()
    settings = adopt(service, "replies", source=other.home, source_loop="replies", strength=0.5, who="test")
    assert settings.adopted_strength == 0.5
    model = service.model("replies")
    assert model.learner.state_dict().keys() != before.keys()
    probabilities = service.decide("replies", asked("text 0", message="new")).probabilities
    assert probabilities["refund"] > probabilities["delivery"]
    taught(service, rounds=6)
    assert verify(service)["ok"]


def test_an_adopted_prior_survives_a_restart_from_a_snapshot(open_service, service, other):
    other.close()
    adopt(service, "replies", source=other.home, source_loop="replies", strength=0.3, who="test")
    taught(service, rounds=6)
    known = service.model("replies").learner.sums()
    service.close()
    again = open_service().model("replies").learner.sums()
    assert all(torch.equal(known[name], again[name]) for name in known)


def test_what_cannot_be_adopted_is_named(service, other, tmp_path):
    with pytest.raises(InvalidInput, match="no learning log"):
        adopt(service, "replies", source=tmp_path / "nowhere", source_loop="replies", strength=0.5, who="test")
    with pytest.raises(Unknown):
        adopt(service, "replies", source=other.home, source_loop="nothing", strength=0.5, who="test")
    other.configure("replies", LoopSettings(learner={"ridge": 9.0}), who="somebody")
    with pytest.raises(InvalidInput, match=r"cannot be adopted: .*ridge"):
        adopt(service, "replies", source=other.home, source_loop="replies", strength=0.5, who="test")
    assert service.overview("replies").settings.adopted is None
