"""The output: what the bot sends in a turn, collected with the ids by which feedback finds its way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rasa.core.channels.channel import CollectingOutputChannel

_KEY = "rejoinder"


class AnnotatedOutput(CollectingOutputChannel):
    """Collects messages as Rasa's REST channel does, each with its `turn_id` and `decision_ids`."""

    def __init__(self, name: str = "rejoinder") -> None:
        super().__init__()
        self._name = name

    def name(self) -> str:
        """The channel's name, which a response's variations may ask for."""
        return self._name

    async def send_elements(self, recipient_id: str, elements: Iterable[dict[str, Any]], **_: Any) -> None:
        """Collect cards as they are, such as recommended items."""
        await self._persist_message({"recipient_id": recipient_id, "elements": list(elements)})

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Collect what one reply sends: a text of several paragraphs is several messages."""
        origin = message.get(_KEY)
        start = len(self.messages)
        await super().send_response(recipient_id, message)
        for sent in self.messages[start:]:
            sent.update(annotation(origin))


def annotation(origin: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the channel tells of a message's origin; of one that no turn led to, nothing is known."""
    known = origin or {}
    return {"turn_id": known.get("turn_id"), "decision_ids": list(known.get("decision_ids") or ())}
