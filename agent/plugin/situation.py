"""Rasa's tracker as the situation of a decision."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timezone

from rasa.shared.core.constants import DEFAULT_SLOT_NAMES
from rasa.shared.core.events import BotUttered, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

from agent.decision import Situation

_LATEST = 4  # user messages that a context can look back on
_LONG = 10  # turns after which one more makes no difference
_PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")  # of six hours each, UTC
_INTENTS = 5  # guesses of the NLU that are named in a context
_PAYLOAD = re.compile(r"^/(?P<intent>[^\s{@]+)")


def situation_of(tracker: DialogueStateTracker) -> Situation | None:
    """What is known when the bot is to answer the latest message; None when there is none with words."""
    message = tracker.latest_message
    if message is None or not message.text:
        return None
    events = tracker.applied_events()
    texts = [event.text for event in events if isinstance(event, UserUttered) and event.text]
    return Situation(
        messages=[words(text) for text in texts[-_LATEST:]] or [words(message.text)],
        replies=_replies(events),
        conversation=tracker.sender_id,
        person=tracker.sender_id,
        message_id=message.message_id,
        channel=message.input_channel,
        features={**intents(message), **_state(tracker, message, len(texts))},
    )


def _replies(events: Sequence[Event]) -> list[str]:
    """What the bot said before the message to answer, the latest last."""
    asked = max(place for place, event in enumerate(events) if isinstance(event, UserUttered))
    return [event.text for event in events[:asked] if isinstance(event, BotUttered) and event.text][-_LATEST:]


def _state(tracker: DialogueStateTracker, message: UserUttered, turns: int) -> dict[str, float]:
    """Where and when the dialogue stands, as named features: turn, slots filled, channel, language, time."""
    filled = [
        name
        for name, slot in tracker.slots.items()
        if slot.has_been_set and slot.value is not None and name not in DEFAULT_SLOT_NAMES
    ]
    names = [f"slot:{name}" for name in sorted(filled)]
    if message.input_channel:
        names.append(f"channel:{message.input_channel}")
    if isinstance(language := (message.metadata or {}).get("language"), str):
        names.append(f"language:{language}")
    if message.timestamp:
        moment = datetime.fromtimestamp(message.timestamp, tz=timezone.utc)
        names.append(f"time:{_PARTS_OF_DAY[moment.hour // 6]}")
        names.append("time:weekend" if moment.weekday() >= 5 else "time:weekday")
    return {"turn": min(turns, _LONG) / _LONG, **dict.fromkeys(names, 1.0)}


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
