"""Bodies: what visitors of the web chat and people at the desk send, read and checked."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidInput
from connectors.core.incoming import Feedback, Handover
from connectors.core.signature import Refused

LONGEST_COMMENT = 1000
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Said:
    """What a visitor said: words, or the reference of a button pressed."""

    id: str
    text: str = ""
    choice: str | None = None


def identifier(body: Mapping[str, Any], name: str = "id") -> str:
    """The id that the sender gives it, which a repetition repeats.

    Raises:
        InvalidInput: it is none.
    """
    id = body.get(name)
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InvalidInput(f"{name}: 1 to 64 letters, digits, - or _ are needed")
    return id


def words(body: Mapping[str, Any], name: str, longest: int) -> str:
    """Words, stripped; empty where there are none.

    Raises:
        InvalidInput: it is no text.
        Refused: it is too long (413).
    """
    text = body.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InvalidInput(f"{name}: a text is needed")
    # A lone surrogate, which JSON can carry in, can be written nowhere.
    text = text.encode("utf-8", "replace").decode().replace("\x00", " ").strip()
    if len(text) > longest:
        raise Refused(f"{name}: at most {longest} characters are taken", status=413)
    return text


def said(body: Mapping[str, Any], longest: int) -> Said:
    """What a visitor said.

    Raises:
        InvalidInput: neither words nor a button, or both.
        Refused: it is too long (413).
    """
    id, text, choice = identifier(body), words(body, "text", longest), body.get("choice")
    if (not text) == (choice is None):
        raise InvalidInput("exactly one of text (not empty) and choice is needed")
    if choice is not None and not isinstance(choice, str):
        raise InvalidInput("choice: the reference that came with the button is needed")
    return Said(id, text, choice)


def thumb(conversation: str, body: Mapping[str, Any]) -> Feedback:
    """A thumb on a message, or none where it is taken back.

    Raises:
        InvalidInput: not such a thing.
        Refused: the reason is too long (413).
    """
    message, value = body.get("message"), body.get("value", "")
    if not isinstance(message, (str, int)) or isinstance(message, bool) or not _NUMBER.fullmatch(str(message)):
        raise InvalidInput("message: the number of a message is needed")
    if isinstance(value, bool) or value not in (0, 1, None):
        raise InvalidInput("value: 1, 0 or null is needed")
    reason = words(body, "reason", LONGEST_COMMENT) or None
    key, value = _key(conversation, body), None if value is None else float(value)
    return Feedback(key, conversation, "thumb", value, message=str(message), comment=reason)


def rating(conversation: str, body: Mapping[str, Any]) -> Feedback:
    """How many stars the conversation gets.

    Raises:
        InvalidInput: not such a thing.
        Refused: the comment is too long (413).
    """
    stars = body.get("rating")
    if isinstance(stars, bool) or stars not in (1, 2, 3, 4, 5):
        raise InvalidInput("rating: a whole number from 1 to 5 is needed")
    comment = words(body, "comment", LONGEST_COMMENT) or None
    return Feedback(_key(conversation, body), conversation, "csat", float(stars), comment=comment)


def at_desk(body: Mapping[str, Any], longest: int) -> Sequence[tuple[Handover, str, str]]:
    """What people at the desk did: took over or gave back, with what words, under what name.

    Raises:
        InvalidInput: not such a thing.
        Refused: it is too long (413).
    """
    events = body.get("events")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidInput("events: a list of objects is needed")
    found = []
    for event in events:
        conversation, to_bot = identifier(event, "conversation"), event.get("to") == "bot"
        text = words(event, "text", longest)
        if not text and not to_bot:
            raise InvalidInput('an event needs a text, or "to": "bot"')
        key = f"desk:{conversation}:{identifier(event)}"
        found.append((Handover(key, conversation, to_people=not to_bot), text, words(event, "name", 80)))
    return found


def _key(conversation: str, body: Mapping[str, Any]) -> str:
    """The key of a reaction; one that gives no id of its own is not known again."""
    return f"{conversation}:{identifier(body) if 'id' in body else secrets.token_hex(12)}"
