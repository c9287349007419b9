"""Fuzzing of what connectors read: whatever is sent, a channel reads it or refuses it, and nothing else happens."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from agent.errors import InvalidInput
from connectors.base import Channel
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press, body_of, from_body

# What the base answers with 400 (`Channel._receive`).
REFUSED = (InvalidInput, AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud83d")
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@dataclass
class LightRequest:
    """As much of a request as a channel looks at when it reads."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@st.composite
def mutated(draw: st.DrawFn, samples: list[Any]) -> Any:
    """One of the samples, some of its values replaced by anything, or taken out."""
    found = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(found))
        if not places:
            break
        place, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            del place[key]
    return found


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def check_reads(channel: Channel, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """What the body brings can be kept and answered, or the body is refused."""
    request: Any = LightRequest(body, headers or {})
    try:
        found = channel.read(request)
    except REFUSED:
        return
    for incoming in found:
        check(incoming)
    channel.acknowledgement(request, found)


def receive(channel: Channel, request: Any) -> int:
    """The status that a verified request is answered with; what it brings must fit the mailbox."""

    async def verified(_: Any) -> None:
        pass

    async def accepted(found: Sequence[Incoming]) -> int:
        for incoming in found:
            check(incoming)
        return len(found)

    channel.verify, channel.accept = verified, accepted  # type: ignore[method-assign]
    return int(asyncio.run(channel.guarded(channel._receive)(request)).status)


def check(incoming: Incoming) -> None:
    """It is what its type says, and comes back from the mailbox unchanged."""
    if isinstance(incoming, Ignored):
        assert isinstance(incoming.kind, str)
        return
    assert isinstance(incoming.key, str)
    assert isinstance(incoming.conversation, str)
    assert isinstance(getattr(incoming, "person", None), (str, type(None)))
    if isinstance(incoming, (Feedback, Press)):
        assert isinstance(incoming.message, (str, type(None)))
    if isinstance(incoming, (Message, Press)):
        assert isinstance(incoming.text if isinstance(incoming, Message) else incoming.choice, str)
        assert isinstance(incoming.address, dict)
    assert from_body(json.loads(json.dumps(body_of(incoming), ensure_ascii=False).encode())) == incoming
