"""Answers: what the bot said to a message that it had before, found in the tracker."""

from __future__ import annotations

from typing import Any

from rasa.core.channels.channel import UserMessage
from rasa.shared.core.events import BotUttered, UserUttered


async def answered_before(message: UserMessage, agent: Any) -> list[dict[str, Any]] | None:
    """What the tracker holds as the answer to this message, as Rasa hands it to channels; None for a new one."""
    if agent is None:
        return None
    tracker = await agent.tracker_store.retrieve(message.sender_id)
    events = list(tracker.events) if tracker is not None else []
    asked = [i for i, e in enumerate(events) if isinstance(e, UserUttered) and e.message_id == message.message_id]
    if not asked:
        return None
    said = []
    for event in events[asked[-1] + 1 :]:
        if isinstance(event, UserUttered):
            break
        if isinstance(event, BotUttered):
            said.append(event.message())
    return said
