"""Champion and challenger: who answers whom, who learns what, and that every step can be taken back to the bit."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import checkpoints
from agent.errors import Conflict, InvalidInput, RejoinderError, Unknown
from agent.log import Event, LearningLog, Vector
from agent.model import Model
from agent.moment import Moments
from agent.service import Service
from agent.settings import LoopSettings
from agent.standing import CHALLENGER, CHAMPION, standing_of
from agent.verification import verify
from tests.agent.conftest import REPLIES, SETTINGS, HashEncoder, asked
from tests.agent.gradient import known
from tests.agent.test_fold import WHATS as BEFORE
from tests.agent.test_fold import Player, loops, tampered

OTHER = LoopSettings(policy="linucb", learner={"prior_slope": 0.0, "prior_intercept": 0.5, "alpha": 2.0})
THIRD = LoopSettings(policy="greedy")
STEPS = ("stage", "promote", "back", "withdraw")
# Settings change less often than anything else does.
steps = st.lists(
    st.tuples(st.sampled_from((*BEFORE, *STEPS)), st.integers(0, 7), st.integers(0, 1)), min_size=5, max_size=60
)


@pytest.fixture(scope="module", autouse=True)
def gradient() -> Iterator[None]:
    with known():
        yield


class Governor(Player):
    """Plays as well what a support lead does on the page of policies; what is refused there is none of its steps."""

    def do(self, what: str, which: int, value: int) -> None:
        try:
            if what == "stage":
                self.service.stage("replies", self.loops[value], share=which / 7, who="test")
            elif what == "promote":
                self.service.promote("replies", self.loops[value].version, who="test")
            elif what == "back":
                self.service.roll_back("replies", who="test")
            elif what == "withdraw":
                self.service.withdraw("replies", who="test")
            else:
                super().do(what, which, value)
        except InvalidInput:
            assert what in STEPS


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def state(model: Model) -> dict[str, torch.Tensor]:
    return {**model.learner.state_dict(), **model.drift.state_dict(), "ledger": model.ledger.state()}


@given(loops, steps)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_of_champions_and_challengers_verifies_and_every_decision_comes_out_again(loops, history):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "EVERY", 2)
        player = Governor(Path(folder), loops)
        for step in history:
            player.do(*step)
        report = verify(player.service)
        assert report["ok"], report["problems"]
        live, refolded = player.service.model("replies"), Model(player.service.log, "replies")
        refolded.catch_up()
        assert live.settings == refolded.settings
        assert live.seq == refolded.seq
        assert live.ledger.told == refolded.ledger.told
        moments = Moments(player.service.log, "replies", kept=1)
        made = [player.service.decision(id) for id in player.decisions]
        for decision in sorted(made, key=lambda decision: decision.body["model_seq"]):
            again = moments.of(decision)
            assert again.recompute().repeats
            assert again.model.settings.version == decision.body["model_version"]
        player.service.close()


@pytest.mark.parametrize("policy", ["lints", "linucb_hybrid", "logistic", "ensemble"])
def test_staged_promoted_and_rolled_back_is_as_if_it_never_was(open_service, home, tmp_path, policy):
    service = open_service()
    service.configure("replies", LoopSettings(policy=policy), who="test")
    service.reconcile("replies", REPLIES, who="test")
    converse(service, 12)
    service.stage("replies", OTHER, share=0.5, who="ann", why="try")
    converse(service, 24, start=12)
    service.promote("replies", OTHER.version, who="ann", why="better")
    converse(service, 36, start=24)
    service.roll_back("replies", who="bob", why="not better")
    converse(service, 40, start=36)
    assert {d.body["arm"] for d in service.log.read(kinds=("decision",))} == {CHAMPION, CHALLENGER}
    # The same log, but that where its steps stood other people said something.
    never = LearningLog(tmp_path / "never.db")
    for event in service.log.read():
        silent = replace(event, kind="message", body={}) if event.kind == "model" else event
        never.append([silent])
    never.append([], vectors=[Vector(*row) for row in service.log.rows("select ref, encoder, vector from vectors")])
    assert never.last_seq() == service.log.last_seq()
    without = Model(never, "replies")
    without.catch_up()
    refolded = Model(service.log, "replies")
    refolded.catch_up()
    assert same(state(refolded), state(without))
    live = service.model("replies")
    assert live.settings == without.settings
    assert live.ledger.told == without.ledger.told
    if not live.learner.additive:
        assert same(live.learner.state_dict(), without.learner.state_dict())
    assert verify(service)["ok"]


def converse(service: Service, upto: int, *, start: int = 0) -> None:
    """Conversations of two turns each, every second turn with a thumb."""
    for n in range(start, upto):
        situation = asked(f"text {n % 7}", message=f"m{n}", conversation=f"c{n // 2}")
        decision = service.decide("replies", situation, seed=n)
        assert decision is not None
        if n % 2:
            service.record(signal="thumb", value=int(n % 3 == 0), decision=decision.id)


def test_another_process_takes_every_step_up_with_its_next_decision(open_service, service):
    rasa, n = open_service(), iter(range(1000))

    def versions() -> set[str]:
        return {rasa.decide("replies", asked(conversation=f"c{next(n)}")).model_version for _ in range(30)}

    assert versions() == {SETTINGS.version}
    service.stage("replies", OTHER, share=0.5, who="ann")
    assert versions() == {SETTINGS.version, OTHER.version}
    service.stage("replies", OTHER, share=0.0, who="ann")
    assert versions() == {SETTINGS.version}
    service.promote("replies", OTHER.version, who="ann")
    assert versions() == {OTHER.version}
    service.roll_back("replies", who="ann")
    assert versions() == {SETTINGS.version}
    service.stage("replies", OTHER, share=1.0, who="ann")
    assert versions() == {OTHER.version}
    service.withdraw("replies", who="ann")
    assert versions() == {SETTINGS.version}
    assert verify(rasa)["ok"]


def test_a_restart_does_not_undo_a_promotion_but_a_new_wish_of_config_yml_holds(open_service, service):
    service.stage("replies", OTHER, share=0.2, who="ann")
    service.promote("replies", OTHER.version, who="ann")
    again = open_service()
    again.configure("replies", SETTINGS, who="test")
    assert again.model("replies").settings == OTHER
    again.configure("replies", THIRD, who="test")
    assert again.model("replies").settings == THIRD
    assert [known.version for known in again.standing("replies").past] == [SETTINGS.version, OTHER.version]
    again.roll_back("replies", who="ann")
    again.configure("replies", THIRD, who="test")
    assert again.model("replies").settings == OTHER


def test_a_challenger_outlasts_new_settings_of_the_champion_unless_they_are_its_own(service):
    service.stage("replies", OTHER, share=0.2, who="ann")
    service.configure("replies", THIRD, who="test")
    standing = service.standing("replies")
    assert (standing.champion, standing.challenger, standing.share) == (THIRD, OTHER, 0.2)
    service.configure("replies", OTHER, who="test")
    standing = service.standing("replies")
    assert (standing.champion, standing.challenger, standing.share) == (OTHER, None, 0.0)
    assert verify(service)["ok"]


def test_what_cannot_be_done_says_why(service):
    with pytest.raises(Unknown, match="unknown loop 'none'"):
        service.stage("none", OTHER, share=0.1, who="ann")
    for share in (-0.1, 1.1, math.nan, True, "half"):
        with pytest.raises(InvalidInput, match="share must be a number from 0 to 1"):
            service.stage("replies", OTHER, share=share, who="ann")
    with pytest.raises(InvalidInput, match="in force already"):
        service.stage("replies", SETTINGS, share=0.1, who="ann")
    with pytest.raises(InvalidInput, match="neither could learn"):
        service.stage("replies", replace(OTHER, encoder="another"), share=0.1, who="ann")
    with pytest.raises(InvalidInput, match="who does it must be said"):
        service.stage("replies", OTHER, share=0.1, who="")
    with pytest.raises(InvalidInput, match="nothing to roll back to"):
        service.roll_back("replies", who="ann")
    with pytest.raises(InvalidInput, match="no challenger to withdraw"):
        service.withdraw("replies", who="ann")
    with pytest.raises(Unknown, match="has had no version 'feed'"):
        service.promote("replies", "feed", who="ann")
    with pytest.raises(InvalidInput, match="in force already"):
        service.promote("replies", SETTINGS.version, who="ann")
    service.stage("replies", OTHER, share=0.1, who="ann")
    with pytest.raises(InvalidInput, match="is staged already"):
        service.stage("replies", THIRD, share=0.1, who="ann")
    assert len(list(service.log.read(kinds=("model",)))) == 1


def test_a_step_decided_on_what_has_changed_since_is_a_conflict(open_service, service):
    seen = service.stage("replies", OTHER, share=0.1, who="ann").seq
    assert service.stage("replies", OTHER, share=0.1, who="ann", seen=seen).seq == seen  # asked again: nothing new
    open_service().stage("replies", OTHER, share=0.9, who="bob")
    with pytest.raises(Conflict, match="changed by somebody else"):
        service.promote("replies", OTHER.version, who="ann", seen=seen)
    assert service.model("replies").settings == SETTINGS


def test_of_two_steps_at_the_same_moment_one_is_refused(open_service, service, monkeypatch):
    """Both have looked before either acts: the ids of the log decide, not the looking."""
    service.stage("replies", OTHER, share=0.1, who="ann")
    services, barrier = [open_service(), open_service()], threading.Barrier(2)
    for one in services:
        one.model("replies")
    append, ends = LearningLog.append, []

    def together(self, events, **more):
        if any(event.kind == "model" for event in events):
            barrier.wait(timeout=20)
        return append(self, events, **more)

    monkeypatch.setattr(LearningLog, "append", together)

    def run(act) -> None:
        try:
            act()
            ends.append("done")
        except Conflict:
            ends.append("conflict")

    acts = [
        lambda: services[0].promote("replies", OTHER.version, who="ann"),
        lambda: services[1].withdraw("replies", who="bob"),
    ]
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["conflict", "done"]
    assert len(list(service.log.read(kinds=("model",)))) == 2
    assert services[0].standing("replies") == services[1].standing("replies") == standing_of(service.log, "replies")


def test_two_processes_that_start_at_once_log_their_settings_once(open_service, monkeypatch):
    services, barrier, append = [open_service(), open_service()], threading.Barrier(2), LearningLog.append

    def together(self, events, **more):
        if threading.current_thread() is not threading.main_thread():
            barrier.wait(timeout=20)
        return append(self, events, **more)

    monkeypatch.setattr(LearningLog, "append", together)
    threads = [threading.Thread(target=s.configure, args=("fresh", SETTINGS), kwargs={"who": "x"}) for s in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(services[0].log.read(kinds=("settings",), loop="fresh"))) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("act", ["stage", "promote", "roll_back"])
def test_killed_in_between_a_step_is_taken_or_not_and_never_half(open_service, service, when, act):
    converse(service, 10)
    if act != "stage":
        service.stage("replies", OTHER, share=0.5, who="ann")
    if act == "roll_back":
        service.promote("replies", OTHER.version, who="ann")
    before = service.standing("replies")
    service.close()
    code = f"""
        import os, pathlib
        from agent.log import LearningLog
        from agent.service import Service
        from tests.agent.test_versions import OTHER, HashEncoder
        service, append = Service(pathlib.Path({str(service.home)!r}), encoder=HashEncoder), LearningLog.append
        def killed(self, events, **more):
            if {when!r} == "after":
                append(self, events, **more)
            os._exit(9)
        LearningLog.append = killed
        given = {{"stage": (OTHER,), "promote": (OTHER.version,), "roll_back": ()}}[{act!r}]
        more = {{"share": 0.5}} if {act!r} == "stage" else {{}}
        getattr(service, {act!r})("replies", *given, who="ann", **more)
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    again = open_service()
    after = again.standing("replies")
    assert (after == before) is (when == "before")
    converse(again, 20, start=10)
    assert verify(again)["ok"]
    step = {"stage": ("stage", OTHER), "promote": ("promote", OTHER.version), "roll_back": ("roll_back",)}[act]
    if when == "before":
        getattr(again, step[0])("replies", *step[1:], who="ann", **({"share": 0.5} if act == "stage" else {}))
    assert again.standing("replies").number == before.number + 1


def test_versions_tell_the_story(service, clock):
    converse(service, 4)
    service.stage("replies", OTHER, share=0.25, who="ann", why="bolder")
    staged = service.versions("replies")
    assert [(v.version, v.share, v.is_champion, v.is_challenger, v.who, v.why) for v in staged] == [
        (OTHER.version, 0.25, False, True, "ann", "bolder"),
        (SETTINGS.version, 0.75, True, False, "test", ""),
    ]
    service.promote("replies", OTHER.version, who="bob", why="it earns more")
    converse(service, 10, start=4)
    new, old = service.versions("replies")
    assert (new.version, new.is_champion, new.share, new.decisions, new.until) == (OTHER.version, True, 1.0, 6, None)
    assert (new.who, new.why, new.since) == ("bob", "it earns more", staged[0].since)
    assert (old.decisions, old.share, old.returns) == (4, 0.0, True)
    assert staged[0].since < old.until < clock.now
    service.roll_back("replies", who="bob", why="it does not")
    first, second = service.versions("replies")
    assert (first.version, first.why, first.until, first.returns) == (SETTINGS.version, "it does not", None, False)
    assert second.until is not None
    service.promote("replies", OTHER.version, who="eve")  # a version that is not staged, but was in force once
    assert service.model("replies").settings == OTHER
    with pytest.raises(Unknown, match="unknown loop"):
        service.versions("none")


def test_rejoinder_policies_on_the_command_line(service, home, monkeypatch, capsys):
    import json

    from agent.__main__ import main

    converse(service, 4)
    service.close()
    monkeypatch.setattr("agent.service.Encoder", HashEncoder)

    def run(*arguments: str) -> tuple[int, dict, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", "policies", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, json.loads(said.out) if "--json" in arguments and code == 0 else {"text": said.out}, said.err

    code, said, _ = run("stage", "replies", "--share", "0.1", "--set", "alpha=3", "--why", "bolder", "--json")
    assert (code, said["share"], said["champion"]) == (0, 0.1, SETTINGS.version)
    challenger = said["challenger"]
    code, said, _ = run("stage", "replies", "--share", "0.4", "--json")
    assert (said["challenger"], said["share"]) == (challenger, 0.4)
    code, said, _ = run("list", "replies", "--json")
    assert [(v["version"], v["role"], v["share"]) for v in said["versions"]] == [
        (challenger, "challenger", 0.4),
        (SETTINGS.version, "champion", 0.6),
    ]
    assert said["versions"][0]["settings"]["learner"]["alpha"] == 3
    code, said, _ = run("list", "replies")
    assert challenger in said["text"]
    code, said, _ = run("promote", "replies", "--json")
    assert (said["champion"], said["challenger"]) == (challenger, None)
    code, said, _ = run("rollback", "replies", "--json")
    assert said["champion"] == SETTINGS.version
    for wrong, words in (
        (("rollback", "replies"), "nothing to roll back to"),
        (("withdraw", "replies"), "no challenger to withdraw"),
        (("promote", "replies"), "no challenger to promote"),
        (("stage", "replies", "--share", "0.2"), "has no challenger yet"),
        (("stage", "replies", "--share", "2", "--set", "alpha=3"), "share must be"),
        (("stage", "replies", "--share", "0.2", "--set", "nonsense=3"), "nonsense"),
        (("list", "none"), "unknown loop"),
    ):
        code, _, err = run(*wrong)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err


def test_a_log_from_before_there_were_arms_verifies(service):
    converse(service, 6)
    service.close()
    tampered(service.log.path, "update events set body = json_remove(body, '$.arm', '$.share') where kind = 'decision'")
    assert verify(service)["ok"]


def test_an_outcome_may_not_take_the_id_of_a_step(service):
    decision = service.decide("replies", asked())
    with pytest.raises(RejoinderError, match="the log's own"):
        service.record(signal="thumb", value=1, decision=decision.id, event_id="standing:replies:2")


def test_an_action_that_nobody_knows_changes_nothing(service):
    body = {"action": "swap", "settings": OTHER.as_body(), "share": 1.0, "who": "later"}
    service.log.append([Event("later", "model", 1.0, "replies", body=body)])
    assert service.model("replies").settings == SETTINGS
    service.stage("replies", OTHER, share=0.5, who="ann")
    assert verify(service)["ok"]
