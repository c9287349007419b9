"""Fuzzing: whatever a service (or somebody with its secret) may send, a channel reads it or refuses it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from agent.errors import InvalidInput
from connectors.base import Channel
from connectors.incoming import Ignored, Incoming, body_of
from connectors.signature import Refused

# What the base answers 400 to.
UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError)
FUZZ = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800")
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Request:
    """As much of a request as channels look at."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    path: str = "/webhook"
    query_string: str = ""
    scheme: str = "http"


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[Any]) -> bytes:
    """A real sample as JSON, with one or two places of it replaced or left out."""
    found = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 2))):
        place = found
        while isinstance(place, (dict, list)) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(JSON)
            else:
                del place[key]
            break
    return json.dumps(found).encode()


def reads(channel: Channel, request: Request) -> list[Incoming]:
    """What the channel reads, fit for the mailbox; nothing where it refuses."""
    try:
        found = channel.read(request)
    except (InvalidInput, Refused, *UNREADABLE):
        return []
    for incoming in found:
        if not isinstance(incoming, Ignored):
            assert isinstance(incoming.key, str)
            assert incoming.key
            assert isinstance(incoming.conversation, str)
            assert incoming.conversation
            json.dumps(body_of(incoming), ensure_ascii=False).encode()
    return list(found)
