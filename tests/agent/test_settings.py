from __future__ import annotations

import pytest

import policies
from agent.errors import InvalidInput
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


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"policy": "guess"}, "no learner is called 'guess'"),
        ({"alpa": 1}, "no setting 'alpa'"),
        ({"policy": "greedy", "alpha": 1.0}, "greedy has no setting 'alpha'"),
        ({"alpha": "much"}, "alpha: 'much' is not"),
        ({"history": 2}, "history must be a number from 0 to 1"),
        ({"threshold": True}, "threshold must be a number"),
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
