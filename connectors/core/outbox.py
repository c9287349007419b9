"""The outbox: where Rasa puts what the bot says on a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rasa.core.channels.channel import OutputChannel

from connectors.core.content import Content
from connectors.core.outcomes import sender

if TYPE_CHECKING:
    from connectors.base import Channel


class Outbox(OutputChannel):
    """Where Rasa puts what the bot says: collected for an answer, or, where nobody asked, put up for sending."""

    def __init__(self, channel: Channel, *, collect: bool = False) -> None:
        self._collected: list[Content] = []
        self._channel, self._collect = channel, collect

    def taken(self) -> list[Content]:
        """What was collected. What comes from now on, of a reminder that the turn set, is put up for sending."""
        self._collect = False
        return self._collected

    def name(self) -> str:
        """The channel's name, which a response's variations may ask for."""
        return self._channel.label

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Take one message of the bot's."""
        found = self._channel.contents(Content.of(message), message.get("utter_action"))
        if self._collect:
            self._collected += found
        elif found:
            conversation = recipient_id.removeprefix(sender(self._channel.label, ""))
            channel = self._channel
            bodies = [content.body() for content in await channel.in_thread(channel.offered, found)]
            await channel.in_thread(channel.mailbox.post, channel.label, conversation, bodies)
            if channel.worker is not None:
                channel.worker.wake()

    async def send_text_message(self, recipient_id: str, text: str, **_: Any) -> None:
        """Take words alone."""
        await self.send_response(recipient_id, {"text": text})
