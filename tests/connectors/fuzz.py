"""Fuzzing: whatever a service's delivery holds, reading it gives what can be worked on or a clear refusal."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from agent.errors import InvalidInput
from connectors.base import Channel
from connectors.incoming import Ignored, body_of, from_body

# What `Channel._receive` answers with 400.
READABLE = (InvalidInput, AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Delivered:
    """As much of a request as a connector reads."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[Mapping[str, Any]]) -> Any:
    """A real delivery with something in it changed, added or gone, somewhere."""
    sample = copy.deepcopy(draw(st.sampled_from(list(samples))))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = sample
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(anything)
            else:
                del place[key]
            break
    return sample


def survives(channel: Channel, delivery: Any, headers: Mapping[str, str] | None = None) -> None:
    """Read a delivery; what comes of it can be kept and taken up again."""
    try:
        found = channel.read(Delivered(json.dumps(delivery).encode(), headers or {}))  # type: ignore[arg-type]
    except READABLE:
        return
    for incoming in found:
        if not isinstance(incoming, Ignored):
            assert incoming.key
            assert incoming.conversation
            kept = json.dumps(body_of(incoming), ensure_ascii=False).encode()
            assert type(from_body(json.loads(kept))) is type(incoming)
