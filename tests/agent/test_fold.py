"""The one idea: the model is a fold over the log. Whatever happens in whatever order, folding again gives the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import policies
from agent import checkpoints
from agent.decision import Situation
from agent.log import Event, LearningLog
from agent.model import Model
from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from policies.base import Learner
from policies.types import Candidate, Context, Reward
from tests.agent.conftest import DIMENSIONS, REPLIES, SETTINGS, Clock, HashEncoder, asked
from tests.agent.gradient import NAME as GRADIENT
from tests.agent.gradient import GradientLearner, known

WHATS = (
    *("decide", "decide", "decide", "watch", "thumb", "thumb", "thumb", "csat", "hint", "activate", "activate"),
    *("again", "revoke", "correct", "undo", "pass", "expire", "look", "restart", "settings"),
)
steps = st.lists(st.tuples(st.sampled_from(WHATS), st.integers(0, 7), st.integers(0, 1)), min_size=5, max_size=60)

REWARDS = (
    {},
    {"wait": 50.0, "default_reward": 0.2, "default_weight": 0.5, "csat_decay": 0.5},
    {"share": 0.2, "share_floor": 1.0, "burst": 1.0, "burst_seconds": 20.0, "signals": {"thanks": 0.0, "csat": 1.0}},
    {"wait": 20.0, "default_reward": 0.9, "share": 0.3, "share_floor": 1.0, "burst": None, "csat_decay": 0.0},
)
LEARNERS = (
    {"policy": "lints"},
    {"policy": "linucb", "learner": {"parts": "shared", "prior_slope": 0.0}},
    {"policy": "linucb_hybrid", "learner": {"half_life": 60.0}},
    {"policy": "squarecb", "learner": {"half_life": 100.0, "rivals": 1}},
    {"policy": GRADIENT},
    {"policy": "logistic"},
    {"policy": "bootstrapped", "learner": {"replicas": 3}},
    {"policy": "ensemble"},
)
loops = st.builds(
    lambda learner, *rewards: tuple(LoopSettings(**learner, **given) for given in rewards),
    st.sampled_from(LEARNERS),
    st.sampled_from(REWARDS),
    st.sampled_from(REWARDS),
)


@pytest.fixture(scope="module", autouse=True)
def gradient() -> Iterator[None]:
    with known():
        yield


def scores(learner: Learner) -> torch.Tensor:
    """What a learner says about some fixed contexts: means and deviations."""
    candidates = [Candidate(reply.id, vector=torch.ones(DIMENSIONS)) for reply in REPLIES]
    found = [learner.scores(Context(vector), candidates) for vector in torch.eye(DIMENSIONS, dtype=torch.float64)]
    return torch.stack([torch.stack([s.mean, s.deviation]) for s in found])


class Player:
    """Does what hypothesis says, on a home of its own: three persons in two conversations of several turns."""

    def __init__(self, home: Path, loops: Sequence[LoopSettings]) -> None:
        self.home, self.clock, self.loops = home, Clock(), loops
        self.decisions: list[str] = []
        self.changes: list[str] = []
        self.outcomes: list[Mapping[str, object]] = []
        self.service = self._open()
        self.service.configure("replies", loops[0], who="test")
        self.service.reconcile("replies", REPLIES, who="test")

    def _open(self) -> Service:
        log = LearningLog(self.home / "learning.db", scratch=True)
        return Service(self.home, encoder=HashEncoder, clock=self.clock, log=log)

    def do(self, what: str, which: int, value: int) -> None:
        if what == "decide":
            self._decide(which, value)
        elif what == "watch":
            self._decide(which, value, live=False)
            self.service.observe(self.decisions[-1], REPLIES[which % 2].id)
        elif what == "pass":
            self.clock.now += 10.0 * which
        elif what == "expire":
            self.clock.now += 20.0 * value
            self.service.expire()
        elif what == "look":
            self.service.model("replies")
        elif what == "restart":
            self.service.close()
            self.service = self._open()
            self.service.model("replies")
        elif what == "settings":
            self.service.configure("replies", self.loops[value], who="test")
        elif self.decisions and what in ("activate", "thumb", "csat", "hint"):
            self._feedback(what, self.decisions[which % len(self.decisions)], value)
        elif self.outcomes and what in ("again", "revoke", "correct", "undo"):
            self._second_thoughts(what, which, value)

    def _decide(self, which: int, value: int, *, live: bool = True) -> None:
        person = (None, "ann", "bob")[which % 3]
        message = f"m{len(self.decisions) // 2}" if which else None
        situation = Situation([f"text {which}"], f"c{value}", person, message)
        decision = self.service.decide("replies", situation, seed=len(self.decisions), live=live)
        self.decisions.append(decision.id)

    def _feedback(self, what: str, decision: str, value: int) -> None:
        event = self.service.decision(decision)
        if what == "activate":
            if event.body["live"]:
                self.service.activate(decision)
            return
        given: dict[str, object] = {"event_id": f"o{len(self.outcomes)}", "signal": what, "value": value}
        if what == "thumb":
            given |= {"turn": event.turn} if value and event.turn else {"decision": decision}
        elif what == "hint":
            given |= {"signal": "thanks", "decision": decision, "at": self.clock.now - 30.0}
        else:
            given |= {"value": 1 + 4 * value, "conversation": f"c{value}"}
            if event.conversation != self.service.identity.conversation(f"c{value}"):
                return
        self.outcomes.append(given)
        self.service.record(**given)

    def _second_thoughts(self, what: str, which: int, value: int) -> None:
        outcome = self.outcomes[which % len(self.outcomes)]
        id = str(outcome["event_id"])
        if what == "undo":
            for change in self.changes[which : which + 1]:
                self.changes.append(self.service.revoke(change, who="test").event_id)
        elif what == "again":
            assert self.service.record(**outcome).duplicate
        elif what == "revoke":
            self.changes.append(self.service.revoke(id, who="test").event_id)
        else:
            worst_or_best = (1, 5) if outcome["signal"] == "csat" else (0, 1)
            self.changes.append(self.service.correct(id, value=worst_or_best[value], who="test").event_id)


@given(loops, steps)
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_folds_to_the_same_model(loops, history):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "EVERY", 2)
        player = Player(Path(folder), loops)
        for step in history:
            player.do(*step)
        report = verify(player.service)
        assert report["ok"], report["problems"]
        live = player.service.model("replies")
        refolded = Model(player.service.log, "replies")
        refolded.catch_up()
        if live.learner.additive:
            torch.testing.assert_close(scores(live.learner), scores(refolded.learner), rtol=0, atol=1e-9)
        else:
            ours, theirs = live.learner.state_dict(), refolded.learner.state_dict()
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        player.service.close()


def test_a_fold_to_an_earlier_seq_is_what_was_known_then(service):
    known = {}
    for n in range(6):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"))
        service.record(signal="thumb", value=n % 2, decision=decision.id)
        known[service.log.last_seq()] = scores(service.model("replies").learner)
    for seq, then in known.items():
        model = Model(service.log, "replies")
        model.catch_up(seq)
        torch.testing.assert_close(scores(model.learner), then, rtol=0, atol=1e-12)


def test_a_snapshot_gives_the_model_back_and_losing_it_loses_nothing(open_service, service):
    for n in range(10):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"))
        service.record(signal="thumb", value=n % 2, decision=decision.id)
    before = scores(service.model("replies").learner)
    service.close()
    (kept,) = (service.home / "snapshots" / "replies").glob("*.safetensors")
    torch.testing.assert_close(scores(open_service().model("replies").learner), before, rtol=0, atol=1e-12)
    kept.write_bytes(b"half a snap")
    torch.testing.assert_close(scores(open_service().model("replies").learner), before, rtol=0, atol=1e-12)
    kept.unlink()
    torch.testing.assert_close(scores(open_service().model("replies").learner), before, rtol=0, atol=1e-12)


def test_a_snapshot_that_was_made_otherwise_is_passed_over(open_service, service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id)
    model = service.model("replies")
    before, version, seq = scores(model.learner), model.settings.version, service.log.last_seq()
    service.snapshots("replies").save(version, seq, policies.create("lints", ridge=9.0).state_dict())
    torch.testing.assert_close(scores(open_service().model("replies").learner), before, rtol=0, atol=1e-12)


def test_a_settings_event_from_before_rewards_could_be_set_folds_as_it_did(open_service, service):
    settings = {name: getattr(SETTINGS, name) for name in ("policy", "learner", "encoder", "history", "threshold")}
    service.log.append([Event("old", "settings", 1.0, "old", body={"settings": settings, "who": "test"})])
    service.reconcile("old", REPLIES, who="test")
    decisions = [service.decide("old", asked(f"text {n}", message=f"m{n}"), candidates=["refund"]) for n in range(30)]
    for decision in decisions:
        service.activate(decision.id)
    service.record(signal="csat", value=5, conversation="c1", at=1.0)
    model = service.model("old")
    assert {model.ledger.reward(decision.id) for decision in decisions} == {Reward(1.0, 0.5)}
    assert verify(service)["ok"]


def test_a_learner_that_is_not_additive_goes_back_no_further_than_it_must(service, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 4)
    service.configure("replies", LoopSettings(policy=GRADIENT), who="test")
    recorded = []
    for n in range(12):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"))
        recorded.append(service.record(signal="thumb", value=n % 2, decision=decision.id).event_id)
        service.model("replies")
    taught, revise = [], GradientLearner.revise
    monkeypatch.setattr(GradientLearner, "revise", lambda *given, **more: taught.append(1) or revise(*given, **more))
    service.correct(recorded[9], value=0, who="test")
    service.model("replies")
    assert len(taught) == 4  # the four beyond the copy after eight
    taught.clear()
    service.revoke(recorded[0], who="test")
    service.model("replies")
    assert len(taught) == 11  # all that are left
    assert verify(service)["ok"]


def test_other_settings_refold_the_whole_log(service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id)
    version = service.model("replies").settings.version
    service.configure("replies", LoopSettings(learner={"ridge": 3.0}), who="test")
    model = service.model("replies")
    assert model.settings.version != version
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_a_loop_with_another_encoder_says_what_it_cannot_learn_from(service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id)
    service.configure("replies", LoopSettings(encoder="another"), who="test")
    service.reconcile("replies", REPLIES, who="test")
    service.decide("replies", asked("something else", message="m2"))
    report = verify(service)
    assert report["ok"], report["problems"]
    assert report["loops"]["replies"]["skipped"] == 1


def tampered(path: Path, sql: str) -> None:
    """Change the past as only somebody with the file and no scruples can."""
    log = LearningLog(path)
    for verb in ("update", "delete"):
        log._db().execute(f"drop trigger events_no_{verb}")
    log._db().execute(sql)
    log.close()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("update events set body = json_set(body, '$.propensity', 0.123) where kind = 'decision'", "propensity"),
        ("update events set body = json_set(body, '$.probabilities[0]', 0.9) where kind = 'decision'", "sum to"),
        ("delete from events where kind = 'outcome'", "differs from a refold"),
    ],
)
def test_verify_finds_what_was_tampered_with(service, sql, says):
    for n in range(4):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"))
        service.record(signal="thumb", value=1, decision=decision.id)
    service.close()
    tampered(service.log.path, sql)
    report = verify(service)
    assert not report["ok"]
    assert any(says in problem for problem in report["problems"])
