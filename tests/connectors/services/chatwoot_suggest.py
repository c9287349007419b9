"""Chatwoot again, where the bot only suggests: a second channel on the same server."""

from __future__ import annotations

from typing import Any

from connectors.chatwoot import ChatwootInput
from tests.connectors.services import chatwoot
from tests.connectors.services.chatwoot import Service
from tests.connectors.stand_in import StandIn

CONNECTOR = "tests.connectors.services.chatwoot_suggest.ChatwootSuggestInput"
__all__ = ["CONNECTOR", "Service", "credentials"]


class ChatwootSuggestInput(ChatwootInput):
    label = "chatwoot_suggest"


def credentials(service: StandIn) -> dict[str, Any]:
    return {**chatwoot.credentials(service), "suggest": True}
