"""Rasa's tracker as the situation of a decision."""

from __future__ import annotations

import math
import re

from rasa.shared.core.events import UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

from agent.decision import Situation

_LATEST = 4  # user messages that a context can look back on
_INTENTS = 5  # guesses of the NLU that are named in a context
_PAYLOAD = re.compile(r"^/(?P<intent>[^\s{@]+)")


def situation_of(tracker: DialogueStateTracker) -> Situation | None:
    """What is known when the bot is to answer the latest message; None when there is none with words."""
    message = tracker.latest_message
    if message is None or not message.text:
        return None
    texts = [event.text for event in tracker.applied_events() if isinstance(event, UserUttered) and event.text]
    return Situation(
        messages=[words(text) for text in texts[-_LATEST:]] or [words(message.text)],
        conversation=tracker.sender_id,
        person=tracker.sender_id,
        message_id=message.message_id,
        channel=message.input_channel,
        features=intents(message),
    )


def words(text: str) -> str:
    """What a message says: of a button's payload, such as `/track_order{...}`, the intent's words."""
    payload = _PAYLOAD.match(text)
    return " ".join(re.split(r"[_/\s]+", payload["intent"])) if payload else text


def intents(message: UserUttered) -> dict[str, float]:
    """The NLU's best guesses as named features, `intent:<name>` with the confidence in [0, 1]."""
    ranking = message.parse_data.get("intent_ranking") or [message.intent]
    guesses = [(guess.get("name"), guess.get("confidence")) for guess in ranking[:_INTENTS]]
    return {
        f"intent:{name}": float(confidence)
        for name, confidence in guesses
        if name and confidence is not None and math.isfinite(confidence)
    }
