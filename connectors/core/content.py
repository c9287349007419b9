"""Content: what a bot says, in one form that every channel renders its best way, with words as a fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

_ORIGIN = "rejoinder"


@dataclass(frozen=True)
class Button:
    """Something to press: it says `payload` on the customer's behalf, or opens `url`.

    `decision` is that about a recommended item: what pressing it means of that, the assistant records itself.
    """

    title: str
    payload: str = ""
    url: str | None = None
    decision: str | None = None


@dataclass(frozen=True)
class Card:
    """One of several things side by side, such as recommended items."""

    title: str
    subtitle: str = ""
    image: str | None = None
    url: str | None = None
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True)
class Content:
    """One message of the bot's: words, and what goes with them.

    `custom` is what a response carries for one channel, unchanged; `handover` asks for people to take over. `turn` and
    `decisions` are the ids under which the reply is in the learning log; none where no turn led to it.
    """

    text: str = ""
    buttons: tuple[Button, ...] = ()
    cards: tuple[Card, ...] = ()
    image: str | None = None
    attachment: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    handover: bool = False
    turn: str | None = None
    decisions: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Content:
        """What Rasa hands an output channel (`text`, `buttons`, `quick_replies`, `elements`, `image`, …)."""
        origin = message.get(_ORIGIN) or {}
        custom = dict(message.get("custom") or {})
        return cls(
            text=str(message.get("text") or ""),
            buttons=_buttons([*(message.get("buttons") or ()), *(message.get("quick_replies") or ())]),
            cards=tuple(map(_card, message.get("elements") or ())),
            image=message.get("image") or None,
            attachment=_attachment(message.get("attachment")),
            handover=bool(custom.pop("handover", False)),
            custom=custom,
            turn=origin.get("turn_id"),
            decisions=tuple(origin.get("decision_ids") or ()),
        )

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Content:
        """What `body` gave."""
        known = dict(body)
        known["buttons"] = tuple(Button(**button) for button in body["buttons"])
        known["cards"] = tuple(
            Card(**{**card, "buttons": tuple(Button(**button) for button in card["buttons"])}) for card in body["cards"]
        )
        known["decisions"] = tuple(body["decisions"])
        return cls(**known)

    def body(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return asdict(self)

    def choices(self) -> list[Button]:
        """Everything that says something when pressed: the buttons, then those of each card."""
        every = [*self.buttons, *(button for card in self.cards for button in card.buttons)]
        return [button for button in every if button.payload]

    def named_choices(self) -> list[Button]:
        """The same, those of cards under the name of their card: out of it, `Choose` says nothing."""
        named = [replace(b, title=f"{card.title}: {b.title}") for card in self.cards for b in card.buttons]
        return [button for button in (*self.buttons, *named) if button.payload]

    def unpressed(self) -> Content:
        """The same without what says something when pressed."""
        cards = tuple(replace(card, buttons=_links(card.buttons)) for card in self.cards)
        return replace(self, buttons=_links(self.buttons), cards=cards)

    def plain(self, *, numbered: bool = False) -> str:
        """All of it in words; with `numbered`, what could be pressed is listed to be answered by its number."""
        lines = [self.text] if self.text else []
        lines += ["\n".join(part for part in (card.title, card.subtitle, card.url) if part) for card in self.cards]
        lines += [link for link in (self.image, self.attachment) if link]
        every = [*self.buttons, *(button for card in self.cards for button in card.buttons)]
        lines += [f"{button.title}: {button.url}" for button in every if button.url and not button.payload]
        if numbered and self.choices():
            lines.append("\n".join(f"{n}. {button.title}" for n, button in enumerate(self.choices(), 1)))
        return "\n\n".join(lines)


@dataclass(frozen=True)
class Outgoing:
    """A message on its way: where to, what, and our own number for it (`Channel.reference` makes buttons of it)."""

    conversation: str
    address: Mapping[str, Any]
    content: Content
    parcel: int


def cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis where a service takes no more than `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def split(text: str, length: int) -> list[str]:
    """The text in pieces of at most `length` characters, parted between paragraphs, lines or words where it can be."""
    pieces, rest = [], text.strip()
    while len(rest) > length:
        ends = (rest.rfind(mark, 0, length + 1) for mark in ("\n\n", "\n", " "))
        at = next((end for end in ends if end >= length // 2), length)
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*pieces, rest]


def in_words(content: Content, length: int) -> list[Content]:
    """The content in messages of words alone, each of at most `length` characters in `plain(numbered=True)`.

    What can be chosen stays with the last.
    """
    bare = Content(turn=content.turn, decisions=content.decisions)
    parts = [replace(bare, text=piece) for piece in split(content.plain(), length)]
    choices = tuple(content.choices())
    if len(replace(parts[-1], buttons=choices).plain(numbered=True)) > length:
        parts.append(bare)
    return [*parts[:-1], replace(parts[-1], buttons=choices)]


def _links(buttons: Sequence[Button]) -> tuple[Button, ...]:
    return tuple(button for button in buttons if not button.payload)


def _buttons(given: Sequence[Mapping[str, Any]], decision: str | None = None) -> tuple[Button, ...]:
    return tuple(
        Button(
            decision=decision,
            title=str(button.get("title") or button.get("payload") or ""),
            payload=str(button.get("payload") or ("" if button.get("url") else button.get("title") or "")),
            url=button.get("url") or None,
        )
        for button in given
    )


def _card(element: Mapping[str, Any]) -> Card:
    return Card(
        title=str(element.get("title") or ""),
        subtitle=str(element.get("subtitle") or ""),
        image=element.get("image_url") or element.get("image") or None,
        url=(element.get("default_action") or {}).get("url") or element.get("url") or None,
        buttons=_buttons(element.get("buttons") or (), element.get("decision_id")),
    )


def _attachment(given: Any) -> str | None:
    """A link to the attachment; Rasa's own form for Messenger holds it deeper."""
    if isinstance(given, Mapping):
        payload = given.get("payload") or {}
        return payload.get("url") or payload.get("src") or None
    return str(given) if given else None
