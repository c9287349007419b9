"""Fuzzing: what no service sends, which every parser has to refuse in an orderly way."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from connectors.base import Channel
from connectors.incoming import Feedback, Ignored, Incoming, Message, Press, body_of, from_body

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud83d")
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Request:
    """As much of Sanic's request as connectors read."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """A real document of a service's with a few of its values replaced or missing."""
    holder = [copy.deepcopy(draw(st.sampled_from(samples)))]
    for _ in range(draw(st.integers(1, 3))):
        place: Any = holder
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.integers(0, 4)):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(DOCUMENTS)
            break
    return holder[0]


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
