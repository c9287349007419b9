"""The responses: which wording is chosen, and how a message tells where it comes from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.utils.endpoints import EndpointConfig

from agent.errors import InvalidInput
from agent.plugin.nlg import BanditResponses
from agent.plugin.output import AnnotatedOutput
from agent.plugin.runtime import Runtime
from tests.rasa.components import DOMAIN, conversation, policy

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.usefixtures("shared")]


def responses(**options: Any) -> BanditResponses:
    return BanditResponses(EndpointConfig(**options), DOMAIN)


def generate(
    nlg: BanditResponses, utter: str, *, channel: str = "rest", size: str | None = None
) -> dict[str, Any] | None:
    tracker = conversation("where is my parcel?", "parcel")
    if size:
        tracker._set_slot("size", size)
    return asyncio.run(nlg.generate(utter, tracker, channel))


def test_a_wording_is_chosen_among_those_that_suit(shared: Runtime) -> None:
    nlg = responses()
    message = generate(nlg, "utter_faq_parcel")
    assert message is not None
    assert message["text"] in {"Your parcel is on its way.", "Have a look at the tracking page."}
    assert generate(nlg, "utter_faq_parcel") == message  # one decision a turn
    (decision,) = shared.service().log.read(kinds=("decision",))
    assert len(decision.body["candidates"]) == 2
    assert message["rejoinder"] == {"turn_id": decision.turn, "decision_ids": [decision.id], "wording_id": decision.id}


def test_channels_and_conditions_are_kept(shared: Runtime) -> None:
    nlg = responses()
    slack, large = generate(nlg, "utter_faq_parcel", channel="slack"), generate(nlg, "utter_faq_parcel", size="large")
    assert slack is not None
    assert large is not None
    assert (slack["text"], large["text"]) == ("It is coming!", "On its way, large.")
    assert generate(nlg, "utter_no_such_response") is None
    assert not list(shared.service().log.read(kinds=("decision",)))


def test_disabled_the_responses_are_rasas_own(home: Path) -> None:
    message = generate(responses(enabled=False), "utter_faq_hours")
    assert message is not None
    assert message.keys() == {"id", "text"}
    assert not home.exists()


def test_the_action_behind_a_message_is_named_with_it(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation("where is my parcel?", "parcel")
    action = bandit.predict_action_probabilities(tracker, DOMAIN).action_metadata["rejoinder"]["decision_id"]
    message = generate(responses(), "utter_faq_parcel")
    assert message is not None
    assert message["rejoinder"]["decision_ids"] == [action, message["rejoinder"]["wording_id"]]


def test_wrong_options_of_the_responses_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"nlg in endpoints\.yml.*colour"):
        responses(colour="red")


def test_output_tells_where_messages_come_from() -> None:
    output = AnnotatedOutput()
    origin = {"turn_id": "t", "decision_ids": ["a", "b"], "wording_id": "b"}
    asyncio.run(output.send_response("ann", {"text": "one\n\ntwo", "rejoinder": origin}))
    asyncio.run(output.send_response("ann", {"text": "three", "buttons": [{"title": "x", "payload": "/y"}]}))
    assert [m["text"] for m in output.messages] == ["one", "two", "three"]
    assert [m["decision_ids"] for m in output.messages] == [["a", "b"], ["a", "b"], []]
