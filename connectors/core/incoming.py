"""Incoming: what a service's delivery can mean, once a connector has read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Union

from agent.errors import InvalidInput

_SLASHES = re.compile(r"^[\s/]*/\s*")


@dataclass(frozen=True)
class Message:
    """A customer said something.

    `key` is the service's own id for it, which a repeated delivery repeats. `conversation` is what an answer is sent
    to, as the service names it; `address` is what else is needed for that (a thread, a service's address). `command`
    says that the text is no customer's own words: only then may it name an intent, as `/restart`.
    """

    key: str
    conversation: str
    text: str
    person: str | None = None
    address: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    command: bool = False

    @property
    def asked(self) -> str:
        """The text as it is put to the assistant: what a customer types after a slash is words, too."""
        return self.text if self.command else _SLASHES.sub("", self.text) or self.text.replace("/", " ")


@dataclass(frozen=True)
class Press:
    """A customer pressed a button: `choice` is the reference that was sent with it (`Channel.reference`).

    Where a service brings back the payload itself, that is `choice`, and `message` the id of the message it was on.
    """

    key: str
    conversation: str
    choice: str
    person: str | None = None
    message: str | None = None
    address: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Feedback:
    """A customer reacted: to a message that the bot sent or, naming none, to the conversation.

    A message is named by the id that the service gave it (`message`), by our own (`parcel`) or, where the service tells
    neither, by words of it (`quoted`): the latest in the conversation that has them; none of them, the latest of all.
    `value` is in the signal's own range; None takes back what the same `person` gave as the same `facet` (that tells
    apart several reactions of one person to one message, such as emojis; by default the signal). `comment` is what they
    said of it.
    """

    key: str
    conversation: str
    signal: str
    value: float | None
    message: str | None = None
    parcel: int | None = None
    quoted: str | None = None
    person: str | None = None
    facet: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class AgentReply:
    """Somebody of the team said something to the customer, where the bot suggests replies (`Channel.suggests`)."""

    key: str
    conversation: str
    text: str


@dataclass(frozen=True)
class Handover:
    """People took the conversation over (`to_people`), or gave it back to the bot."""

    key: str
    conversation: str
    to_people: bool


@dataclass(frozen=True)
class Ignored:
    """Something that needs no work: acknowledged, and counted by what it is."""

    kind: str


Incoming = Union[Message, Press, Feedback, AgentReply, Handover, Ignored]  # noqa: UP007 (evaluated when the module is read)
_KINDS = {kind.__name__.lower(): kind for kind in (Message, Press, Feedback, AgentReply, Handover)}
Work = Union[Message, Press, Feedback, AgentReply, Handover]  # noqa: UP007


def body_of(incoming: Work) -> dict[str, Any]:
    """It as JSON can hold it."""
    return {"kind": type(incoming).__name__.lower(), **asdict(incoming)}


def from_body(body: Mapping[str, Any]) -> Work:
    """What `body_of` gave.

    Raises:
        InvalidInput: it is of a kind that there is not.
    """
    fields = dict(body)
    kind = _KINDS.get(str(fields.pop("kind", None)))
    if kind is None:
        raise InvalidInput(f"a delivery of an unknown kind: {body.get('kind')!r}")
    found: Work = kind(**fields)
    return found
