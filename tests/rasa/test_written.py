"""What people wrote, in Rasa's components: when the policy offers it, and how the words are said."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from hypothesis import given
from hypothesis import strategies as st
from rasa.core.constants import RULE_POLICY_PRIORITY
from rasa.core.policies.ensemble import DefaultPolicyPredictionEnsemble
from rasa.core.policies.policy import PolicyPrediction
from rasa.shared.core.domain import Domain
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.utils.endpoints import EndpointConfig

from agent.plugin.nlg import BanditResponses
from agent.plugin.runtime import ACTIONS, Runtime
from agent.plugin.said import CARRIER, filled, one_of
from tests.rasa import components
from tests.rasa.components import DOMAIN, DOMAIN_YAML, policy

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.usefixtures("shared")]

CARRYING_YAML = f'{DOMAIN_YAML}  {CARRIER}:\n    - text: "In a moment."\n'
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Rasa warns of slots at every domain
    CARRYING = Domain.from_yaml(CARRYING_YAML)
QUESTION = "can I bring my dog?"


def conversation(text: str, intent: str) -> DialogueStateTracker:
    """A conversation in which each message opens a turn of its own."""
    tracker = components.conversation(text, intent)
    assert tracker.latest_message is not None
    tracker.latest_message.message_id = f"{intent}: {text}"
    return tracker


def chosen(prediction: PolicyPrediction, domain: Domain) -> str | None:
    best = max(prediction.probabilities)
    return domain.action_names_or_texts[prediction.probabilities.index(best)] if best else None


def write(shared: Runtime, **more: Any) -> str:
    return shared.service().write(ACTIONS, texts=["Dogs may come."], examples=[QUESTION], who="ann", **more).id


def generate(domain: Domain, utter: str, text: str = QUESTION, intent: str = "nlu_fallback") -> dict[str, Any] | None:
    nlg = BanditResponses(EndpointConfig(), domain)
    return asyncio.run(nlg.generate(utter, conversation(text, intent), "rest"))


def test_what_was_not_understood_goes_to_a_reply_for_it_before_a_rule(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*", "utter_*"])
    bandit._lessons = type(bandit._lessons)(bandit._lessons.shares, ruled=("nlu_fallback", "order"))
    assert chosen(bandit.predict_action_probabilities(conversation("hi", "hours"), CARRYING), CARRYING) != CARRIER
    id = write(shared)
    tracker = conversation(QUESTION, "nlu_fallback")
    ours = bandit.predict_action_probabilities(tracker, CARRYING)
    assert chosen(ours, CARRYING) == CARRIER
    rule = PolicyPrediction.for_action_name(CARRYING, "utter_bye", "RulePolicy")
    rule.policy_priority = RULE_POLICY_PRIORITY
    winner = DefaultPolicyPredictionEnsemble().combine_predictions([rule, ours], tracker, CARRYING)
    assert chosen(winner, CARRYING) == CARRIER
    message = generate(CARRYING, CARRIER)
    assert message is not None
    assert message["text"] == "Dogs may come."
    decision = shared.service().decision(message["rejoinder"]["decision_ids"][0])
    assert (decision.body["chosen"], decision.body["candidates"]) == (id, [id])
    # What a rule answers, and what nothing was written for, is theirs.
    for text, intent in ((QUESTION, "order"), ("colourless green ideas", "nlu_fallback")):
        prediction = bandit.predict_action_probabilities(conversation(text, intent), CARRYING)
        assert chosen(prediction, CARRYING) is None, (text, intent)


def test_where_the_topic_is_the_bandits_own_it_is_one_of_the_candidates(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    bandit.predict_action_probabilities(conversation("first", "hours"), CARRYING)
    write(shared)
    ours = bandit.predict_action_probabilities(conversation(QUESTION, "hours"), CARRYING)
    assert ours.policy_priority < RULE_POLICY_PRIORITY
    decided = shared.service().decision(ours.action_metadata["rejoinder"]["decision_id"]).body
    assert len(decided["candidates"]) == 3


@pytest.mark.parametrize(
    "given", [{}, {"candidates": ["utter_faq_*"], "apprentice": True}], ids=["watch", "apprentice"]
)
def test_who_only_watches_gives_none(tmp_path: Path, shared: Runtime, given: dict[str, Any]) -> None:
    bandit = policy(tmp_path, **given)
    bandit.predict_action_probabilities(conversation("first", "hours"), CARRYING)
    write(shared)
    bandit.predict_action_probabilities(conversation(QUESTION, "nlu_fallback"), CARRYING)
    offered = {id for event in shared.service().log.read(kinds=("decision",)) for id in event.body["candidates"]}
    assert not [id for id in offered if id.startswith("reply:") or id == CARRIER]


def test_a_domain_without_the_carrier_is_offered_none(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    bandit.predict_action_probabilities(conversation("first", "hours"), DOMAIN)
    write(shared)
    prediction = bandit.predict_action_probabilities(conversation(QUESTION, "nlu_fallback"), DOMAIN)
    assert chosen(prediction, DOMAIN) is None


def test_a_response_with_one_variation_is_said_in_the_words_of_its_action(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_*"])
    bandit.predict_action_probabilities(conversation("first", "hours"), CARRYING)
    before = generate(CARRYING, "utter_bye")
    assert before is not None
    assert before["text"] == "Bye."
    shared.service().edit(ACTIONS, "utter_bye", ["Farewell, {size}{nobody}!"], who="ann")
    after = generate(CARRYING, "utter_bye")
    assert after is not None
    assert after["text"] == "Farewell, {nobody}!"


def test_the_carrier_says_its_own_words_where_the_library_has_none() -> None:
    message = generate(CARRYING, CARRIER)
    assert message is not None
    assert message["text"] == "In a moment."


@given(text=st.text(), slots=st.dictionaries(st.text(), st.none() | st.text() | st.integers()))
def test_no_text_and_no_slots_break_a_turn(text: str, slots: dict[str, Any]) -> None:
    said = filled(text, slots)
    if "{" not in text:
        assert said == text
    assert filled("{" + "name" + "}", {"name": text}) == text


def test_one_wording_is_said_throughout_a_turn_and_each_in_some() -> None:
    assert {one_of(["a", "b"], str(turn)) for turn in range(50)} == {"a", "b"}
    assert one_of(["a", "b"], "t") == one_of(["a", "b"], "t")
    assert one_of(["a"], None) == "a"
