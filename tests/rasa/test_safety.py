"""What keeps a live bot safe: an apprentice that learns without acting, abstaining, handing over, and blocking."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.shared.core.events import ActionExecuted, BotUttered
from rasa.shared.exceptions import InvalidConfigException
from rasa.utils.endpoints import EndpointConfig

from agent.candidates import ABSTAIN
from agent.explain import explain
from agent.log import Event
from agent.plugin.nlg import BanditResponses
from agent.plugin.runtime import Runtime
from agent.verification import verify
from tests.rasa.components import DOMAIN, chosen, conversation, policy, published

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.usefixtures("shared")]

FAQ = ["utter_faq_*"]


def decided(shared: Runtime, loop: str = "actions") -> Event:
    (decision,) = shared.service().log.read(kinds=("decision",), loop=loop)
    return decision


def thumb(shared: Runtime, decision: Event, value: int = 1) -> dict[str, Any]:
    """A thumb on the decision's turn, and the decision taken apart afterwards."""
    shared.service().record(signal="thumb", value=value, turn=decision.turn)
    report = verify(shared.service())
    assert report["ok"], report["problems"]
    return explain(shared.service().log, decision)


@pytest.mark.parametrize("config", [{}, {"apprentice": True, "candidates": [*FAQ, "utter_bye"]}])
def test_an_apprentice_learns_from_what_the_others_did(tmp_path: Path, shared: Runtime, config: dict[str, Any]) -> None:
    bandit = policy(tmp_path, **config)
    tracker = conversation("when do you open?", "hours")
    assert chosen(bandit.predict_action_probabilities(tracker, DOMAIN)) is None
    decision = decided(shared)
    assert not decision.body["live"]
    published(tracker, ActionExecuted("utter_bye", "RulePolicy", 1.0), ActionExecuted("action_listen"))
    found = thumb(shared, decision)
    assert (found["observed"], found["activated"], found["reward"]["value"]) == ("utter_bye", False, 1.0)
    report = verify(shared.service())
    assert report["loops"]["actions"]["credited"] == 1
    assert [name.split("/")[0] for name in shared.service().model("actions").learner.sums()] == ["utter_bye"] * 2


def test_an_apprentice_learns_nothing_from_what_is_no_candidate(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path)
    tracker = conversation("I want to order", "order")
    bandit.predict_action_probabilities(tracker, DOMAIN)
    decision = decided(shared)
    published(tracker, ActionExecuted("order_form", "RulePolicy", 1.0), ActionExecuted("action_listen"))
    assert decision.body["abstained"]  # below the threshold, and watched all the same
    found = thumb(shared, decision)
    assert (found["observed"], found["reward"]) == (None, None)


def test_abstaining_leaves_the_turn_to_others_and_learns_from_what_came_of_it(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=FAQ, abstain=True, threshold=5.0)
    tracker = conversation("when do you open?", "hours")
    for _ in range(2):
        prediction = bandit.predict_action_probabilities(tracker, DOMAIN)
        assert (chosen(prediction), prediction.action_metadata) == (None, None)
    decision = decided(shared)
    assert (decision.body["chosen"], decision.body["live"]) == (ABSTAIN, True)
    assert explain(shared.service().log, decision)["activated"] is False
    fallback = ActionExecuted("action_default_fallback", "RulePolicy", 0.3)
    published(tracker, fallback)
    after = conversation("when do you open?", "hours", fallback)
    assert chosen(bandit.predict_action_probabilities(after, DOMAIN)) is None
    found = thumb(shared, decision, 0)
    assert (found["activated"], found["reward"]["value"]) == (True, 0.0)
    (row,) = (row for row in found["candidates"] if row["candidate"] == ABSTAIN)
    assert row["expected"] == 5.0
    assert {name.split("/")[0] for name in shared.service().model("actions").learner.sums()} == {ABSTAIN}


def test_an_abstaining_that_nobody_answered_learns_nothing(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=FAQ, abstain=True, threshold=5.0)
    tracker = conversation("when do you open?", "hours")
    bandit.predict_action_probabilities(tracker, DOMAIN)
    published(tracker, ActionExecuted("action_listen"))
    assert thumb(shared, decided(shared), 0)["reward"] is None


def test_handing_over_is_a_candidate_for_those_who_ask_for_a_person(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=FAQ, handover="utter_bye", handover_intents=["nlu_fallback"])
    asked = conversation("colourless green ideas", "nlu_fallback")
    assert chosen(bandit.predict_action_probabilities(asked, DOMAIN)) == "utter_bye"
    assert shared.service().model("actions").library.get("utter_bye").features == {"intent:nlu_fallback": 1.0}


def test_a_handover_that_the_domain_lacks_is_told_and_left_out(
    tmp_path: Path, shared: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    bandit = policy(tmp_path, candidates=FAQ, handover="utter_person")
    assert chosen(bandit.predict_action_probabilities(conversation("when?", "hours"), DOMAIN)) == "utter_faq_hours"
    assert "no action utter_person to hand over with" in caplog.text


@pytest.mark.parametrize("wrong", [{"handover": 3}, {"handover_intents": "human"}, {"apprentice": "yes"}, {"floor": 2}])
def test_wrong_settings_of_safety_are_refused_by_name(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigException, match=next(iter(wrong))):
        policy(tmp_path, candidates=FAQ, **wrong)


def test_where_all_candidates_are_blocked_others_answer(
    tmp_path: Path, shared: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    bandit = policy(tmp_path, candidates=FAQ, threshold=-1.0)
    asked = conversation("when do you open?", "hours")
    bandit._candidates(DOMAIN)
    service = shared.service()
    service.mark("actions", "utter_faq_hours", state="blocked", who="lead")
    assert chosen(bandit.predict_action_probabilities(asked, DOMAIN)) == "utter_faq_parcel"
    service.mark("actions", "utter_faq_parcel", state="blocked", who="lead")
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            later = conversation("and now?", "hours")
            later.latest_message.message_id = f"later {number}"
            assert chosen(bandit.predict_action_probabilities(later, DOMAIN)) is None
    assert caplog.text.count("none of its 2 candidates is eligible (2 blocked); others answer") == 1


def test_an_apprentice_of_wordings_sends_what_the_dice_say_and_learns_from_that(shared: Runtime) -> None:
    replies = BanditResponses(EndpointConfig(apprentice=True), DOMAIN)
    tracker = conversation("when do you open?", "hours")
    message = asyncio.run(replies.generate("utter_faq_hours", tracker, "rejoinder"))
    assert message is not None
    origin = message["rejoinder"]
    assert (origin["wording_id"], origin["decision_ids"]) == (None, [])
    texts = {f"utter_faq_hours/{v['id']}": v["text"] for v in DOMAIN.responses["utter_faq_hours"]}
    assert texts[origin["watched"]["candidate"]] == message["text"]
    published(tracker, BotUttered(message["text"], metadata={"rejoinder": origin, "utter_action": "utter_faq_hours"}))
    found = thumb(shared, decided(shared, "responses"))
    assert (found["observed"], found["reward"]["value"]) == (origin["watched"]["candidate"], 1.0)


def test_where_the_wording_is_abstained_from_the_dice_decide(shared: Runtime) -> None:
    replies = BanditResponses(EndpointConfig(abstain=True, threshold=5.0), DOMAIN)
    tracker = conversation("when do you open?", "hours")
    message = asyncio.run(replies.generate("utter_faq_hours", tracker, "rejoinder"))
    assert message is not None
    decision = decided(shared, "responses")
    assert (decision.body["chosen"], message["rejoinder"]["wording_id"]) == (ABSTAIN, decision.id)
    other = asyncio.run(replies.generate("utter_faq_parcel", tracker, "rejoinder"))
    assert other is not None
    assert other["rejoinder"]["wording_id"] != decision.id
