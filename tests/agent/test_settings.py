from __future__ import annotations

import pytest

import policies
from agent.errors import InvalidInput
from agent.influence import Guard
from agent.rewards import SIGNALS, Rules
from agent.settings import LoopSettings


@pytest.mark.parametrize("policy", policies.NAMES)
def test_every_setting_of_the_learner_is_filled_in(policy):
    settings = LoopSettings(policy=policy, learner={"ridge": 2.0})
    learner = policies.create(policy, **settings.learner)
    assert {**settings.learner, "device": "cpu"} == learner.settings
    assert LoopSettings(**settings.as_body()) == settings


def test_the_version_is_that_of_what_the_fold_computes():
    version = LoopSettings().version
    assert LoopSettings(learner={"ridge": 1.0, "device": "cpu"}).version == version
    assert LoopSettings(history=0.5, threshold=0.1).version == version
    assert LoopSettings(learner={"ridge": 2.0}).version != version
    assert LoopSettings(policy="linucb").version != version
    assert LoopSettings(encoder="another").version != version
    for decisive in ({"csat_decay": 0.5}, {"signals": {"thumb": 0.5}}, {"share": None}, {"burst": 9}, {"wait": 60}):
        assert LoopSettings(**decisive).version != version
    assert LoopSettings(share=False, burst=0).version == LoopSettings(share=None, burst=None).version
    assert LoopSettings(share_floor=10, signals={"thumb": 1}).version == version


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"policy": "guess"}, "no learner is called 'guess'"),
        ({"alpa": 1}, "no setting 'alpa'"),
        ({"policy": "greedy", "alpha": 1.0}, "greedy has no setting 'alpha'"),
        ({"alpha": "much"}, "alpha: 'much' is not"),
        ({"history": 2}, "history must be a number from 0 to 1"),
        ({"threshold": True}, "threshold must be a number"),
        ({"wait": 0}, "wait must be a number from 1 to"),
        ({"wait": 60, "default_reward": 1.5}, "default_reward must be a number from 0 to 1; got 1.5"),
        ({"default_reward": 0.5}, "default_reward needs a wait"),
        ({"default_weight": 0}, "default_weight must be"),
        ({"csat_decay": None}, "csat_decay must be a number from 0 to 1; got None"),
        ({"share": 1}, "share must be a number from 0.001 to 0.999"),
        ({"share_floor": 0.5}, "share_floor must be a number from 1"),
        ({"burst": "many"}, "burst must be a number from 1"),
        ({"burst_seconds": 0}, "burst_seconds must be a number from 1"),
        ({"signals": ["thumb"]}, "signals must map names of signals to numbers"),
        ({"signals": {"thump": 1}}, "signals: unknown signal 'thump'; known are thumb, rating"),
        ({"signals": {"csat": 2}}, "signals: weight of 'csat' must be a number from 0 to 1"),
    ],
)
def test_what_cannot_work_is_refused_where_it_was_written(given, says):
    with pytest.raises(InvalidInput, match=f"^config.yml: .*{says}"):
        LoopSettings.of(given, where="config.yml")


def test_another_policy_keeps_the_base_but_not_how_much_it_explored():
    base = LoopSettings(policy="lints", learner={"alpha": 0.25, "prior_slope": 0.0})
    settings = LoopSettings.of({"policy": "greedy"}, where="config.yml", base=base)
    assert settings.learner["prior_slope"] == 0.0
    assert "alpha" not in settings.learner
    assert LoopSettings.of({}, where="config.yml", base=base) == base


def test_signals_not_spoken_of_weigh_what_they_did():
    base = LoopSettings(signals={"thanks": 0.0})
    settings = LoopSettings.of({"signals": {"csat": 1.0}}, where="config.yml", base=base)
    assert settings.signals == {**{name: signal.weight for name, signal in SIGNALS.items()}, "thanks": 0.0, "csat": 1.0}


def test_settings_recorded_before_there_were_rewards_to_set_mean_what_they_meant():
    written = {"policy": "greedy", "learner": {}, "encoder": "e", "history": 0.0, "threshold": None}
    settings = LoopSettings.recorded({"settings": written, "who": "test"})
    assert settings.guard == Guard(share=None, burst=None)
    assert settings.rules == Rules({name: signal.weight for name, signal in SIGNALS.items()}, decay=1.0, default=None)
    assert LoopSettings.recorded({"settings": settings.as_body()}) == settings
    now = LoopSettings(wait=60, default_reward=0.3)
    assert LoopSettings.recorded({"settings": now.as_body()}) == now
