"""What is said: the words that people gave to a reply, filled in and told from the domain's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.candidates import CONSOLE, WRITTEN, Reply
from agent.decision import Situation
from agent.plugin.runtime import ACTIONS, Chosen, runtime

#: the action that says what no domain knows: a reply of the library.
CARRIER = "utter_rejoinder"
_SLOT = re.compile(r"{([^\n{}]+?)}")


def from_library(situation: Situation | None) -> tuple[Chosen, Reply] | None:
    """The reply of the library that was chosen in the situation's turn, in the version that was chosen; None if none.

    The policy has just chosen it in this process, whatever became of the log; else the log knows.
    """
    chosen = None if situation is None else runtime().answer(ACTIONS, situation)
    if chosen is None or not chosen.candidate.startswith(WRITTEN):
        return None
    reply = runtime().reply(ACTIONS, chosen.candidate, chosen.version)
    return None if reply is None or not reply.texts else (chosen, reply)


def edited(loop: str, id: str, version: int | None = None) -> Reply | None:
    """A candidate whose words a person wrote in the console, in its latest version unless another is asked for."""
    reply = runtime().reply(loop, id, version)
    return reply if reply is not None and reply.origin == CONSOLE and reply.texts else None


def one_of(texts: Sequence[str], turn: str | None) -> str:
    """One of the wordings, the same throughout a turn."""
    digest = hashlib.sha256((turn or "").encode()).digest()
    return texts[int.from_bytes(digest[:8], "big") % len(texts)]


def filled(text: str, slots: Mapping[str, Any]) -> str:
    """The text with `{name}` replaced by the slot of that name.

    A slot without a value is left out, and what is no slot's name stays as it was written. Whoever writes a reply need
    not know that Rasa's templates fail at a single brace.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name not in slots else "" if slots[name] is None else str(slots[name])

    return _SLOT.sub(value, text)
