"""Limits on a loop's exploration, and the slack of its conservative condition as a fold of the log."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from agent.errors import InvalidInput
from agent.explain import explain
from agent.log import Event
from agent.render import explanation
from agent.safety import Slack
from agent.settings import LoopSettings
from agent.verification import verify
from policies import draw
from tests.agent.conftest import SETTINGS, asked
from tests.agent.test_fold import tampered


def limited(service, **limits):
    service.configure("replies", replace(SETTINGS, **limits), who="test")


def test_what_is_logged_is_what_was_drawn_from_within_the_limits(service):
    limited(service, policy="epsilon_greedy", learner={"epsilon": 0.8, "prior_intercept": 0.5}, floor=0.1, budget=0.15)
    for n in range(10):
        decision = service.decide("replies", asked(message=f"m{n}"))
        body = service.decision(decision.id).body
        assert sorted(body["probabilities"]) == pytest.approx([0.15, 0.85])
        assert body["index"] == draw(body["probabilities"], body["seed"])
        assert body["limits"] == {"floor": 0.1, "budget": 0.15, "widen": 0.0}
        assert body["epsilon"] == 0.8
    shown = explain(service.log, service.decision(decision.id))
    assert shown["limits"] == body["limits"]
    assert "limits: floor 0.1, budget 0.15" in str(explanation(shown).renderables[0])


def test_without_limits_none_are_logged(service):
    assert service.decision(service.decide("replies", asked()).id).body["limits"] == {}


def play(service, rounds, *, others=()):
    """Decide, send most of it, reward some: 0.8 for the baseline's candidate, 0.4 for the other."""
    rng = random.Random(5)
    for n in range(rounds):
        chosen_by = rng.choice([service, *others])
        decision = chosen_by.decide("replies", asked(f"text {n % 3}", message=f"m{n}"))
        if rng.random() < 0.8:
            chosen_by.activate(decision.id)
        if rng.random() < 0.7:
            value = int(rng.random() < (0.8 if decision.chosen == "refund" else 0.4))
            chosen_by.record(signal="thumb", value=value, **rng.choice([{"turn": decision.turn},
                                                                       {"decision": decision.id}]))  # fmt: skip


def conditions(service):
    bodies = [event.body for event in service.log.read(kinds=("decision",))]
    return [(body, body["limits"]["conservative"]) for body in bodies]


def test_the_baseline_is_kept_to_until_it_has_earned_an_exploration(service):
    limited(service, conservative=0.3, baseline="refund")
    play(service, 60)
    found = conditions(service)
    assert found[0][0]["probabilities"] == [1.0, 0.0]
    explored = [body for body, condition in found if body["chosen"] != condition["baseline"]]
    assert 0 < len(explored) < len(found) / 2
    for body, condition in found:
        assert condition["baseline"] == "refund"
        assert condition["slack"] >= 0.0
        if body["chosen"] == "refund":
            assert condition["change"] == pytest.approx(0.3 * condition["expected"])
        else:
            assert condition["change"] == pytest.approx(condition["lower"] - 0.7 * condition["upper"])
            assert condition["slack"] + condition["change"] >= 0.0
    report = verify(service)
    assert report["ok"], report["problems"]


def test_the_slack_is_the_same_wherever_a_fold_begins(open_service, service):
    limited(service, conservative=0.3, baseline="refund")
    play(service, 40, others=[open_service()])
    upto = service.log.last_seq()
    whole = Slack(service.log, "replies").at(upto, afresh=True)
    assert whole > 0.0
    assert Slack(service.log, "replies").at(upto) == pytest.approx(whole, abs=1e-12)
    steps = Slack(service.log, "replies")
    for seq in range(1, upto + 1, 7):
        steps.at(seq)
    assert steps.at(upto) == pytest.approx(whole, abs=1e-12)
    by_hand = 0.0
    for event in service.log.read(kinds=("decision",)):
        change = event.body["limits"]["conservative"]["change"]
        known = service.log.evidence(event)
        sent = any(e.kind == "activated" or e.decision is not None for e in known)
        by_hand += min(change, 0.0) + (max(change, 0.0) if sent else 0.0)
    assert whole == pytest.approx(by_hand, abs=1e-12)


def test_what_was_not_sent_earns_no_slack(service):
    limited(service, conservative=0.3, baseline="refund")
    for n in range(10):
        decision = service.decide("replies", asked(message=f"m{n}"))
    assert Slack(service.log, "replies").at(service.log.last_seq()) == 0.0
    service.activate(decision.id)
    assert Slack(service.log, "replies").at(service.log.last_seq()) == pytest.approx(0.3 * 0.5)


def test_decisions_before_the_condition_count_as_nothing_and_watched_ones_are_not_bound(service):
    for n in range(5):
        service.activate(service.decide("replies", asked(message=f"m{n}")).id)
    limited(service, conservative=0.5, baseline="refund")
    assert Slack(service.log, "replies").at(service.log.last_seq()) == 0.0
    watched = service.decide("replies", asked(message="w"), live=False)
    assert "conservative" not in service.decision(watched.id).body["limits"]
    assert min(watched.probabilities.values()) > 0.0
    bound = service.decide("replies", asked(message="b"))
    assert bound.probabilities == {"refund": 1.0, "delivery": 0.0}


def test_verify_finds_a_slack_that_the_log_does_not_leave(service):
    limited(service, conservative=0.3, baseline="refund")
    play(service, 10)
    service.close()
    sql = (
        "update events set body = json_set(body, '$.limits.conservative.slack', 9.0) "
        "where seq = (select max(seq) from events where kind = 'decision')"
    )
    tampered(service.log.path, sql)
    report = verify(service)
    assert any("made with a slack of 9, but the log leaves" in problem for problem in report["problems"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"floor": 1.5}, "floor must be a number from 0 to 1"),
        ({"floor": None}, "floor must be a number"),
        ({"budget": "low"}, "budget must be a number from 0 to 1"),
        ({"conservative": True}, "conservative must be a number from 0 to 1"),
        ({"width": -1}, "width must be a number"),
        ({"baseline": ""}, 'baseline must be "prior" or the id of a candidate'),
        ({"baseline": 3}, 'baseline must be "prior" or the id of a candidate'),
        ({"strict": "yes"}, "strict must be true or false"),
        ({"abstain": True}, "abstain needs a threshold"),
        ({"abstain": True, "threshold": 0.2, "parts": "shared"}, 'abstain needs parts "disjoint"'),
        ({"apprentice": 1}, "apprentice must be true or false"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, says):
    with pytest.raises(InvalidInput, match=f"^config.yml: .*{says}"):
        LoopSettings.of(given, where="config.yml")


def test_settings_from_before_there_were_limits_load(service):
    old = {name: SETTINGS.as_body()[name] for name in ("policy", "learner", "encoder", "history", "threshold")}
    service.log.append([Event("old", "settings", 1.0, "replies", body={"settings": old, "who": "test"})])
    loaded = service.model("replies").settings
    for name in ("floor", "budget", "conservative", "width", "baseline", "strict", "abstain", "apprentice"):
        assert getattr(loaded, name) == getattr(SETTINGS, name)
    # What a log of then says is read as it was meant then.
    assert (loaded.csat_decay, loaded.share, loaded.burst) == (1.0, None, None)


def test_settings_from_before_there_were_degrees_are_linear(service):
    learner = {name: value for name, value in SETTINGS.learner.items() if name not in ("degree", "feature_scale")}
    old = {**SETTINGS.as_body(), "learner": learner}
    service.log.append([Event("old", "settings", 1.0, "replies", body={"settings": old, "who": "test"})])
    assert service.model("replies").settings.learner["degree"] == 1


def test_limits_do_not_touch_what_the_fold_computes():
    given = {"floor": 0.1, "budget": 0.2, "conservative": 0.1, "strict": True, "apprentice": True}
    assert replace(SETTINGS, **given).version == SETTINGS.version
