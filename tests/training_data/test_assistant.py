"""The shipped assistant is complete and consistent: topics, questions, replies, stories, rules, settings."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
ASSISTANT = HERE.parents[1] / "training_data"
PREFIX = "utter_faq_"
FOREIGN = re.compile(
    r"https?:|www\.|@|\.(com|net|org)\b|\b(paypal|klarna|visa|mastercard|amex|amazon|ikea|dhl|ups|fedex)\b",
    re.IGNORECASE,
)


def load(path: Path) -> Any:
    """Return what a YAML file holds."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@cache
def domain() -> dict[str, Any]:
    """Return the domain's files as one mapping; a key that two files define fails."""
    merged: dict[str, Any] = {"responses": {}}
    for path in sorted((ASSISTANT / "domain").glob("*.yml")):
        part = load(path)
        responses = part.pop("responses", {})
        assert not responses.keys() & merged["responses"].keys(), path
        merged["responses"].update(responses)
        merged.update(part)
    return merged


@cache
def questions() -> dict[str, list[str]]:
    """Return the training questions of each intent, without entity marks."""
    found: dict[str, list[str]] = {}
    for path in sorted((ASSISTANT / "nlu").glob("*.yml")):
        for item in load(path)["nlu"]:
            if "intent" in item:
                assert item["intent"] not in found, item["intent"]
                lines = item["examples"].strip().splitlines()
                found[item["intent"]] = [plain(line.removeprefix("- ").strip()) for line in lines]
    return found


@cache
def dialogues() -> list[dict[str, Any]]:
    """Return the steps of all stories and rules, flat."""
    stories = load(ASSISTANT / "stories.yml")["stories"] + load(ASSISTANT / "rules.yml")["rules"]
    steps: list[dict[str, Any]] = []
    for story in stories:
        for step in story["steps"]:
            steps.extend(step.get("or", [step]))
    return steps


def plain(text: str) -> str:
    """Take `[AB12345](order_number)` for `AB12345`, and quotation marks away."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text.strip('"'))


def bare(text: str) -> str:
    """Lower-case words only, so that near-copies count as copies."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def topics() -> list[str]:
    """Return the topics that the bandit answers, by intent."""
    return [name.removeprefix(PREFIX) for name in domain()["responses"] if name.startswith(PREFIX)]


def variations() -> list[tuple[str, dict[str, Any]]]:
    """Return every wording with the name of its response."""
    return [(name, wording) for name, wordings in domain()["responses"].items() for wording in wordings]


def test_there_are_enough_topics_and_each_is_an_intent() -> None:
    assert len(topics()) >= 25
    assert set(topics()) <= set(domain()["intents"])
    for needed in ("refund_not_arrived", "damaged_item", "payment_failed", "invoice", "warranty", "complaint"):
        assert needed in topics()


def test_every_intent_has_varied_questions_and_every_question_an_intent() -> None:
    assert set(questions()) == set(domain()["intents"])
    for intent, asked in questions().items():
        assert len(asked) >= 8, intent


def test_no_question_stands_twice() -> None:
    counts = Counter(bare(text) for asked in questions().values() for text in asked)
    assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", sorted(domain()["responses"]))
def test_each_reply_has_two_to_four_different_wordings(name: str) -> None:
    texts = [bare(wording["text"]) for wording in domain()["responses"][name]]
    assert 2 <= len(texts) <= 4
    for position, text in enumerate(texts):
        for other in texts[:position]:
            shared = len(set(text.split()) & set(other.split()))
            assert shared < 0.7 * max(len(set(text.split())), len(set(other.split()))), (text, other)


def test_ids_are_unique_and_begin_with_their_reply() -> None:
    ids = [wording["id"] for _, wording in variations()]
    assert len(ids) == len(set(ids))
    for name, wording in variations():
        assert wording["id"].startswith(name.removeprefix(PREFIX).removeprefix("utter_") + "_"), wording["id"]


def test_some_replies_offer_a_next_step_and_some_do_not() -> None:
    offering = sum("buttons" in wording for name, wording in variations() if name.startswith(PREFIX))
    total = sum(name.startswith(PREFIX) for name, _ in variations())
    assert 0.25 < offering / total < 0.75


def test_buttons_lead_somewhere() -> None:
    for _, wording in variations():
        for button in wording.get("buttons", []):
            assert button["title"]
            assert "{" not in button["payload"], "Rasa takes braces for slots"
            if button["payload"].startswith("/"):
                assert button["payload"][1:] in domain()["intents"], button


def test_texts_name_no_address_and_no_other_brand() -> None:
    texts = [wording["text"] for _, wording in variations()]
    texts += [text for asked in questions().values() for text in asked]
    assert [text for text in texts if FOREIGN.search(text)] == []


def test_texts_use_only_slots_that_exist() -> None:
    for _, wording in variations():
        for slot in re.findall(r"\{(\w+)\}", wording["text"]):
            assert slot in domain()["slots"]
    for name, wording in variations():
        if name.startswith(PREFIX):
            assert "{" not in wording["text"], "topic replies must hold without any slot"


def test_each_topic_has_its_story_and_no_rule() -> None:
    told = {(s["steps"][0]["intent"], s["steps"][1]["action"]) for s in load(ASSISTANT / "stories.yml")["stories"]}
    assert told == {(topic, PREFIX + topic) for topic in topics()}
    rules = load(ASSISTANT / "rules.yml")["rules"]
    assert [step for rule in rules for step in rule["steps"] if str(step.get("action")).startswith(PREFIX)] == []


def test_dialogues_use_only_what_the_domain_holds() -> None:
    actions = {*domain()["responses"], *domain()["forms"], "action_deactivate_loop"}
    intents = {*domain()["intents"], "nlu_fallback"}
    for step in dialogues():
        assert step.get("action", "utter_greet") in actions, step
        assert step.get("intent", "greet") in intents, step


def test_every_intent_is_answered() -> None:
    answered = {step["intent"] for step in dialogues() if "intent" in step}
    assert set(domain()["intents"]) <= answered


def test_forms_ask_for_each_slot_and_can_be_left() -> None:
    rules = load(ASSISTANT / "rules.yml")["rules"]
    for form, body in domain()["forms"].items():
        for slot in body["required_slots"]:
            assert f"utter_ask_{slot}" in domain()["responses"]
        leaving = {
            rule["steps"][0]["intent"]
            for rule in rules
            if rule.get("condition") == [{"active_loop": form}] and "intent" in rule["steps"][0]
        }
        assert {"stop_form", "speak_to_human"} <= leaving, form


def test_order_numbers_are_found_by_their_pattern() -> None:
    items = load(ASSISTANT / "nlu" / "conversation.yml")["nlu"]
    pattern = next(item["examples"] for item in items if item.get("regex") == "order_number")
    finder = re.compile(pattern.strip().removeprefix("- "))
    for text in ("WF12345", "it is wf 12345, I think", "order WF-12345."):
        assert finder.search(text)
    for text in ("WF1234", "WF123456", "12345", "W12345"):
        assert not finder.search(text)


def test_settings_name_the_components_of_the_plugin() -> None:
    config = load(ASSISTANT / "config.yml")
    assert config["assistant_id"] == "wrenfold-customer-service"
    assert "agent.plugin.featurizer.SentenceFeaturizer" in [part["name"] for part in config["pipeline"]]
    bandit = next(part for part in config["policies"] if part["name"] == "agent.plugin.policy.BanditPolicy")
    assert bandit["candidates"] == [PREFIX + "*"]
    endpoints = load(ASSISTANT / "endpoints.yml")
    assert endpoints["nlg"]["type"] == "agent.plugin.nlg.BanditResponses"
    assert endpoints["event_broker"]["type"] == "agent.plugin.events.LearningLogBroker"
    assert "connectors.rejoinder.RejoinderInput" in load(ASSISTANT / "credentials.yml")


def test_held_out_questions_are_fresh_and_cover_every_intent() -> None:
    held_out: dict[str, list[str]] = load(HERE / "questions.yml")
    known = {bare(text) for asked in questions().values() for text in asked}
    assert set(held_out) <= set(domain()["intents"])
    assert set(topics()) <= set(held_out)
    assert all(len(asked) == 4 for asked in held_out.values())
    assert [text for asked in held_out.values() for text in asked if bare(text) in known] == []
