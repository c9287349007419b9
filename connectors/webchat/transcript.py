"""The transcript: a conversation as the web chat shows it, what visitors and people said among the bot's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from agent.mailbox import Parcel
from connectors.core.content import Button, Content

_ORIGIN = "web"
VISITOR, PERSON, BOT = "visitor", "person", "bot"


def visitors(text: str, id: str) -> Content:
    """What a visitor said, to be kept among what the bot says."""
    return Content(text=text, custom={_ORIGIN: {"by": VISITOR, "id": id}})


def persons(text: str, name: str) -> Content:
    """What somebody at the desk said."""
    return Content(text=text, custom={_ORIGIN: {"by": PERSON, "name": name}})


def origin(content: Content) -> Mapping[str, Any]:
    """Who said it: `by`, and with what `id` or under what `name`."""
    found = content.custom.get(_ORIGIN)
    return found if isinstance(found, Mapping) and found.get("by") in (VISITOR, PERSON) else {"by": BOT}


def entry(parcel: Parcel, reference: Callable[[int, int], str], thumb: float | None = None) -> dict[str, Any] | None:
    """A message as the browser gets it; None for what is not shown."""
    content = Content.from_body(parcel.body)
    if content.handover:
        return None
    numbers = count()

    def pressable(button: Button) -> dict[str, Any] | None:
        if button.payload:
            return {"title": button.title, "choice": reference(parcel.id, next(numbers))}
        return {"title": button.title, "url": button.url} if link(button.url) else None

    # In the order of `Content.choices`, whose numbers the references hold.
    buttons = [found for button in content.buttons if (found := pressable(button))]
    cards = [
        {
            "title": card.title,
            "subtitle": card.subtitle,
            "image": link(card.image),
            "url": link(card.url),
            "buttons": [found for button in card.buttons if (found := pressable(button))],
        }
        for card in content.cards
    ]
    shown = {
        "message": str(parcel.id),
        "at": round(parcel.due, 3),
        **origin(content),
        "text": content.text,
        "buttons": buttons,
        "cards": cards,
        "image": link(content.image),
        "attachment": link(content.attachment),
        "thumb": thumb,
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}


def link(address: str | None) -> str | None:
    """An address that a page may open; None for any other kind, such as a script."""
    return address if address and address.lower().startswith(("http://", "https://")) else None
