"""The one idea: the model is a fold over the log. Whatever happens in whatever order, folding again gives the same."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from agent.log import LearningLog
from agent.model import Model
from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from policies.base import Learner
from policies.types import Candidate, Context
from tests.agent.conftest import DIMENSIONS, REPLIES, Clock, HashEncoder, asked

steps = st.lists(
    st.tuples(
        st.sampled_from(["decide", "activate", "thumb", "csat", "again", "revoke", "correct", "restart", "settings"]),
        st.integers(0, 7),
        st.integers(0, 1),
    ),
    max_size=25,
)


def scores(learner: Learner) -> torch.Tensor:
    """What a learner says about some fixed contexts: means and deviations."""
    candidates = [Candidate(reply.id, vector=torch.ones(DIMENSIONS)) for reply in REPLIES]
    found = [learner.scores(Context(vector), candidates) for vector in torch.eye(DIMENSIONS, dtype=torch.float64)]
    return torch.stack([torch.stack([s.mean, s.deviation]) for s in found])


class Player:
    """Does what hypothesis says, on a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, Clock()
        self.decisions: list[str] = []
        self.outcomes: list[Mapping[str, object]] = []
        self.service = self._open()
        self.service.configure("replies", LoopSettings(), who="test")
        self.service.reconcile("replies", REPLIES, who="test")

    def _open(self) -> Service:
        return Service(self.home, encoder=HashEncoder, clock=self.clock)

    def do(self, what: str, which: int, value: int) -> None:
        if what == "decide":
            self.decisions.append(self.service.decide("replies", asked(f"text {which}", message=f"m{which}")).id)
        elif what == "restart":
            self.service.close()
            self.service = self._open()
        elif what == "settings":
            alpha = {"alpha": 0.1 + value / 10}
            self.service.configure("replies", LoopSettings(learner=alpha), who="test")
        elif self.decisions and what in ("activate", "thumb", "csat"):
            self._feedback(what, self.decisions[which % len(self.decisions)], value)
        elif self.outcomes and what in ("again", "revoke", "correct"):
            self._second_thoughts(what, self.outcomes[which % len(self.outcomes)], value)

    def _feedback(self, what: str, decision: str, value: int) -> None:
        turn = self.service.decision(decision).turn
        if what == "activate":
            self.service.activate(decision)
            return
        given: dict[str, object] = {"event_id": f"o{len(self.outcomes)}", "signal": what}
        if what == "thumb":
            given |= {"value": value, "turn": turn} if value else {"value": value, "decision": decision}
        else:
            given |= {"value": 1 + 4 * value, "conversation": "c1"}
        self.outcomes.append(given)
        self.service.record(**given)

    def _second_thoughts(self, what: str, outcome: Mapping[str, object], value: int) -> None:
        id = str(outcome["event_id"])
        if what == "again":
            assert self.service.record(**outcome).duplicate
        elif what == "revoke":
            self.service.revoke(id, who="test")
        else:
            worst_or_best = (1, 5) if outcome["signal"] == "csat" else (0, 1)
            self.service.correct(id, value=worst_or_best[value], who="test")


@given(steps)
@settings(max_examples=40, deadline=None)
def test_any_history_folds_to_the_same_model(history):
    with tempfile.TemporaryDirectory() as folder:
        player = Player(Path(folder))
        for step in history:
            player.do(*step)
        report = verify(player.service)
        assert report["ok"], report["problems"]
        live = scores(player.service.model("replies").learner)
        refolded = Model(player.service.log, "replies")
        refolded.catch_up()
        torch.testing.assert_close(live, scores(refolded.learner), rtol=0, atol=1e-9)
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
