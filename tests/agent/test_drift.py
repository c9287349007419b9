"""Drift, through the real service: what alerts, what does not, and that it is a fold of the log like all the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.drift import Drift, described
from agent.errors import InvalidInput, LogUnavailable
from agent.log import Appended, Event, LearningLog
from agent.model import Model
from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from policies import Reward
from tests.agent.conftest import SETTINGS, asked

WATCHED = replace(SETTINGS, drift={"sensitivity": 0.2, "widen": 0.4, "widen_for": 10})
FALL = [1] * 30 + [0] * 20  # thumbs on replies that worked, and then no longer


@pytest.fixture
def watched(service: Service) -> Service:
    service.configure("replies", WATCHED, who="test")
    return service


def praise(service: Service, values: list[int]) -> None:
    """Decisions on one question, each with a thumb."""
    for value in values:
        decision = service.decide("replies", asked(), seed=1)
        service.record(signal="thumb", value=value, decision=decision.id)


def alerts(service: Service) -> list[Event]:
    service.catch_up()
    return list(service.log.read(kinds=("alert",)))


def refolded(service: Service, upto: int | None = None) -> Drift:
    model = Model(service.log, "replies")
    model.catch_up(upto)
    return model.drift


def same(one: Drift, other: Drift) -> bool:
    """Whether two detectors hold the same state to the bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_replies_that_stop_working_raise_one_alert(watched):
    praise(watched, FALL[:30])
    assert alerts(watched) == []
    praise(watched, FALL[30:])
    (alert,) = alerts(watched)
    credit = next(watched.log.read(after=int(alert.id.rpartition(":")[2]) - 1, limit=1))
    assert alert.id == f"alert:replies:{credit.seq}"
    assert (alert.loop, alert.at, credit.kind) == ("replies", credit.at, "outcome")
    assert alert.body["detector"] == "adwin"
    assert alert.body["direction"] == "down"
    assert alert.body["after"] < -0.5 < alert.body["before"]
    assert alert.body["credits_before"] + alert.body["credits_after"] == sum(
        event.kind == "outcome" for event in watched.log.read(upto=credit.seq)
    )
    assert described(alert).startswith(f"replies earn less than expected: \N{MINUS SIGN}{-alert.body['after']:.2f} on")
    report = verify(watched)
    assert report["ok"], report["problems"]
    assert report["loops"]["replies"]["alerts"] == 1
    assert report["loops"]["replies"]["latest_alert"] == described(alert)


def credited(drift: Drift, rewards: list[float]) -> None:
    """Credits of decisions of which 0.5 was expected, one after another."""
    for number, reward in enumerate(rewards, 1):
        decision = Event("d", "decision", 0.0, body={"index": 1, "parts": {"prior": [9.0, 0.75], "own": [9.0, -0.25]}})
        drift.credit(decision, Reward(reward))
        drift.settle(Event("o", "outcome", 0.0, decision="d", seq=number))


def watching(**changes: float) -> Drift:
    """A detector with the settings of these tests, but for some."""
    drift = Drift("replies")
    given = replace(WATCHED, drift={**WATCHED.drift, **changes})
    drift.configure(Event("s", "settings", 0.0, body={"settings": given.as_body()}))
    return drift


@pytest.mark.parametrize(
    ("before", "after", "direction"), [(0.5, 0.9, "up"), (0.5, 0.1, "down"), (0.7, 0.2, "down"), (0.2, 0.9, "up")]
)
def test_a_mean_that_moves_away_from_what_is_expected_is_an_alert(before, after, direction):
    drift = watching()
    credited(drift, [before] * 60 + [after] * 40)
    (alert,) = drift.alerts
    assert alert.body["direction"] == direction
    assert alert.body["before"] == pytest.approx(before - 0.5)
    assert alert.body["after"] == pytest.approx(after - 0.5)
    assert alert.body["credits_before"] == 60


@pytest.mark.parametrize("before", [0.0, 1.0])
def test_a_mean_that_moves_towards_what_is_expected_is_the_model_learning(before):
    drift = watching()
    credited(drift, [before] * 60 + [0.5] * 40)
    assert drift._detector.width == 40  # the change was seen
    assert drift.alerts == []
    assert drift.widening() == 0.0


def test_two_processes_write_an_alert_once(open_service, watched):
    praise(watched, FALL)
    other = open_service()
    found = other.model("replies").drift
    assert same(found, watched.model("replies").drift)
    other.log.append([replace(alert, seq=0, at=alert.at + 60) for alert in alerts(watched)])
    assert len(alerts(other)) == len(alerts(watched)) == 1


def test_an_alert_found_by_both_before_either_wrote_it_is_one(open_service, watched):
    praise(watched, FALL)
    log = watched.log
    first, second = refolded(watched), refolded(watched)
    assert [alert.id for alert in first.alerts] == [alert.id for alert in second.alerts]
    log.append(first.alerts)
    log.append(second.alerts)
    assert log.counts()["alert"] == 1


def test_an_outcome_may_not_take_the_id_of_an_alert(watched):
    praise(watched, [1])
    with pytest.raises(InvalidInput, match="are the log's own"):
        watched.record(signal="csat", value=1, conversation="c1", event_id="alert:replies:9")


@pytest.mark.parametrize("restart", [5, 28, 34])
def test_a_restart_changes_nothing(open_service, watched, restart):
    praise(watched, FALL[:restart])
    watched.close()
    reopened = open_service()
    assert same(reopened.model("replies").drift, refolded(reopened))
    assert reopened.model("replies").drift.credits == restart
    praise(reopened, FALL[restart:])
    assert len(alerts(reopened)) == 1
    assert same(reopened.model("replies").drift, refolded(reopened))
    assert refolded(reopened).alerts[0].body == alerts(reopened)[0].body


def test_a_fold_to_an_earlier_seq_is_what_was_known_then(watched):
    praise(watched, FALL[:30])
    then = watched.log.last_seq()
    before = watched.model("replies").drift.state_dict()
    praise(watched, FALL[30:])
    assert all(torch.equal(before[name], tensor) for name, tensor in refolded(watched, then).state_dict().items())


def test_a_snapshot_of_a_learner_alone_is_passed_over(open_service, watched):
    praise(watched, [1] * 5)
    model = watched.model("replies")
    watched.snapshots("replies").save(model.settings.version, model.seq, model.learner.state_dict())
    assert same(open_service().model("replies").drift, model.drift)


def test_an_alert_waits_for_the_log_and_no_snapshot_goes_ahead_of_it(watched, monkeypatch, caplog):
    append = watched.log.append

    def no_alerts(events: list[Event], **given: Any) -> list[Appended]:
        if any(event.kind == "alert" for event in events):
            raise LogUnavailable("the disk is full")
        return append(events, **given)

    monkeypatch.setattr(watched.log, "append", no_alerts)
    praise(watched, FALL)
    assert alerts(watched) == []
    assert "an alert waits to be logged: the disk is full" in caplog.text
    watched.model("replies").save()
    kept = watched.snapshots("replies").folder
    assert not kept.exists()
    monkeypatch.undo()
    assert len(alerts(watched)) == 1
    watched.model("replies").save()
    assert list(kept.iterdir())


def test_only_the_first_that_is_known_of_a_decision_counts(watched):
    decision = watched.decide("replies", asked())
    counted = lambda: watched.model("replies").drift.credits  # noqa: E731
    watched.activate(decision.id)
    assert counted() == 0
    watched.record(signal="thumb", value=1, decision=decision.id, event_id="o1")
    assert counted() == 1
    watched.correct("o1", value=0, who="test")
    watched.revoke("o1", who="test")
    watched.record(signal="thumb", value=0, decision=decision.id, event_id="o2")
    watched.record(signal="csat", value=1, conversation="c1")
    assert counted() == 1


def test_a_word_on_a_conversation_counts_once_with_the_mean(watched):
    made = [watched.decide("replies", asked(f"text {n}", message=f"m{n}")) for n in range(3)]
    for decision in made:
        watched.activate(decision.id)
    watched.record(signal="csat", value=5, conversation="c1")
    drift = watched.model("replies").drift
    bodies = [watched.decision(decision.id).body for decision in made]
    residuals = [1.0 - sum(part[body["index"]] for part in body["parts"].values()) for body in bodies]
    assert drift.credits == drift._detector.width == 1
    assert drift._detector.mean == pytest.approx(sum(residuals) / 3)


def test_another_model_folds_the_same_alerts_from_the_log(watched):
    praise(watched, FALL)
    before = alerts(watched)
    watched.configure("replies", replace(WATCHED, learner={**SETTINGS.learner, "ridge": 3.0}), who="test")
    assert alerts(watched) == before
    report = verify(watched)
    assert report["ok"], report["problems"]


def test_another_sensitivity_holds_from_where_it_was_set(watched):
    praise(watched, FALL[:30])
    watched.configure("replies", replace(WATCHED, drift={"sensitivity": 0.0}), who="test")
    praise(watched, FALL[30:])
    assert alerts(watched) == []
    watched.configure("replies", WATCHED, who="test")
    praise(watched, [0] * 3)
    assert watched.model("replies").drift._detector.width == 3
    assert same(watched.model("replies").drift, refolded(watched))
    assert alerts(watched) == []


def test_widening_begins_with_an_alert_and_fades(watched):
    praise(watched, FALL[:30])
    drift = lambda: watched.model("replies").drift  # noqa: E731
    assert drift().widening() == 0.0
    while not drift()._alerted_at:
        praise(watched, [0])
    shares = [drift().widening()]
    for _ in range(11):
        praise(watched, [0])
        shares.append(drift().widening())
    assert shares == pytest.approx([0.4 - 0.04 * n for n in range(11)] + [0.0])
    *_, before, last = watched.log.read(kinds=("decision",))
    assert before.body["limits"]["widen"] == shares[-3]
    assert min(before.body["probabilities"]) >= shares[-3] / 2
    assert last.body.get("limits", {}).get("widen", 0.0) == 0.0
    watched.configure("replies", replace(WATCHED, drift={**WATCHED.drift, "widen_for": 22}), who="test")
    assert drift().widening() == pytest.approx(0.2)


@pytest.mark.parametrize(
    "sql",
    [
        "update events set body = json_set(body, '$.after', 0.1) where kind = 'alert'",
        "update events set id = 'alert:replies:3' where kind = 'alert'",
    ],
)
def test_verify_finds_an_alert_that_the_log_does_not_bear_out(watched, sql):
    praise(watched, FALL)
    assert len(alerts(watched)) == 1
    watched.close()
    log = LearningLog(watched.log.path)
    log._db().execute("drop trigger events_no_update")
    log._db().execute(sql)
    log.close()
    report = verify(watched)
    assert any("raises no such alert" in problem for problem in report["problems"])


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(0, 60))
@settings(deadline=None, max_examples=25)
def test_saving_and_loading_changes_nothing(values, where):
    drift, loaded = watching(), Drift("replies")
    credited(drift, values[:where])
    loaded.load_state_dict(drift.state_dict())
    assert same(drift, loaded)
    drift.alerts.clear()
    for one in (drift, loaded):
        credited(one, values[where:])
    assert drift.alerts == loaded.alerts
    assert same(drift, loaded)
    assert drift.widening() == loaded.widening()


def test_settings_of_drift_are_filled_in():
    assert LoopSettings(drift={"widen": 0.2}).drift == {"sensitivity": 0.01, "widen": 0.2, "widen_for": 200}
    assert LoopSettings(drift={"widen": 0.2}).version == LoopSettings().version


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sensitivity": 1.0}, "drift: sensitivity must be a number from 0 to below 1; got 1.0"),
        ({"sensitivity": True}, "drift: sensitivity must be a number"),
        ({"widen": -0.1}, "drift: widen must be a number from 0 to below 1; got -0.1"),
        ({"widen": "much"}, "drift: widen must be a number"),
        ({"widen_for": 0}, "drift: widen_for must be a whole number of credits from 1; got 0"),
        ({"widen_for": 1.5}, "drift: widen_for must be a whole number"),
        ({"delta": 0.1}, "drift has no setting 'delta'; it has sensitivity, widen, widen_for"),
        (0.1, "drift must be a mapping of sensitivity, widen, widen_for; got 0.1"),
    ],
)
def test_what_cannot_work_is_refused_where_it_was_written(given, says):
    with pytest.raises(InvalidInput, match=f"^config.yml: {says}"):
        LoopSettings.of({"drift": given}, where="config.yml")
