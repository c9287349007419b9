"""The policy: which turns it decides, and what it leaves to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.core.constants import MEMOIZATION_POLICY_PRIORITY, RULE_POLICY_PRIORITY
from rasa.core.policies.ensemble import DefaultPolicyPredictionEnsemble
from rasa.core.policies.policy import PolicyPrediction
from rasa.engine.graph import ExecutionContext, GraphSchema
from rasa.shared.core.events import ActionExecuted, ActiveLoop, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.exceptions import InvalidConfigException

from agent.plugin.policy import BanditPolicy
from agent.plugin.runtime import Runtime
from tests.rasa.components import DOMAIN, chosen, conversation, policy, published

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.usefixtures("shared")]


def test_the_policy_decides_once_in_a_turn_then_waits_for_the_user(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    asked = conversation("when do you open?", "hours")
    first = bandit.predict_action_probabilities(asked, DOMAIN)
    again = bandit.predict_action_probabilities(asked, DOMAIN)
    assert chosen(first) == "utter_faq_hours"
    assert first.max_confidence == 1.0
    assert MEMOIZATION_POLICY_PRIORITY < first.policy_priority < RULE_POLICY_PRIORITY
    assert first.action_metadata == again.action_metadata
    assert first.action_metadata["rejoinder"]["decision_id"]
    assert [event.kind for event in shared.service().log.read(kinds=("decision",))] == ["decision"]
    done = ActionExecuted("utter_faq_hours", metadata=first.action_metadata)
    after = bandit.predict_action_probabilities(conversation("when do you open?", "hours", done), DOMAIN)
    assert (chosen(after), after.max_confidence, after.action_metadata) == ("action_listen", 1.0, None)


@pytest.mark.parametrize(
    ("text", "intent", "events"),
    [
        ("colourless green ideas", "nlu_fallback", ()),
        ("I want to order", "order", ()),  # stories give it to a form
        ("when do you open?", "hours", (ActiveLoop("order_form"),)),
        ("/restart", "restart", ()),
    ],
)
def test_the_policy_leaves_the_rest_to_others(
    tmp_path: Path, shared: Runtime, text: str, intent: str, events: tuple[Event, ...]
) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation(text, intent, before=events)
    assert chosen(bandit.predict_action_probabilities(tracker, DOMAIN)) is None
    done = conversation("when do you open?", "hours", ActionExecuted("utter_bye"))
    assert chosen(bandit.predict_action_probabilities(done, DOMAIN)) is None
    assert not list(shared.service().log.read(kinds=("decision",)))


def test_an_apprentice_watches_and_acts_on_nothing(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path)
    prediction = bandit.predict_action_probabilities(conversation("when do you open?", "hours"), DOMAIN)
    assert chosen(prediction) is None
    (decision,) = shared.service().log.read(kinds=("decision",))
    assert not decision.body["live"]
    assert set(decision.body["candidates"]) == {"utter_faq_hours", "utter_faq_parcel", "utter_bye"}


def test_disabled_the_policy_touches_nothing(tmp_path: Path, home: Path) -> None:
    bandit = policy(tmp_path, enabled=False, candidates=["utter_faq_*"])
    assert chosen(bandit.predict_action_probabilities(conversation("when do you open?", "hours"), DOMAIN)) is None
    assert not home.exists()


@pytest.mark.parametrize(
    "wrong", [{"candidates": "utter_*"}, {"candidates": [1]}, {"threshold": "high"}, {"alpha": -1}, {"colour": "red"}]
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigException, match=next(iter(wrong))):
        policy(tmp_path, **wrong)


def test_what_is_learned_from_stories_is_kept_with_the_model(tmp_path: Path) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    stories = [
        DialogueStateTracker.from_events(
            "default",
            [ActionExecuted("action_listen"), UserUttered(intent={"name": "hours"}), ActionExecuted(action),
             ActionExecuted("action_listen")],
            domain=DOMAIN,
        )
        for action in ("utter_faq_hours", "utter_faq_hours", "utter_bye", "utter_faq_hours")
    ]  # fmt: skip
    resource = bandit.train(stories, DOMAIN)
    loaded = BanditPolicy.load(
        {**BanditPolicy.get_default_config(), "enabled": False},
        bandit._model_storage,
        resource,
        ExecutionContext(GraphSchema({})),
    )
    assert loaded._lessons.shares == {"utter_faq_hours": {"hours": 0.75}, "utter_bye": {"hours": 0.25}}


def test_a_reply_that_another_policy_prevented_learns_nothing(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation("when do you open?", "hours")
    ours = bandit.predict_action_probabilities(tracker, DOMAIN)
    rule = PolicyPrediction.for_action_name(DOMAIN, "utter_bye", "RulePolicy")
    rule.policy_priority = RULE_POLICY_PRIORITY
    winner = DefaultPolicyPredictionEnsemble().combine_predictions([ours, rule], tracker, DOMAIN)
    assert chosen(winner) == "utter_bye"
    published(tracker, ActionExecuted("utter_bye", "RulePolicy", 1.0, metadata=winner.action_metadata))
    turn = ours.action_metadata["rejoinder"]["turn_id"]
    shared.service().record(signal="thumb", value=1, turn=turn)
    assert shared.service().log.counts().get("activated", 0) == 0
    assert not shared.service().model("actions").learner.state_dict().get("0.theta", ())
