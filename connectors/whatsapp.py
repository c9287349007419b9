"""WhatsApp: the Cloud API. Reply buttons and lists, pictures, and emoji reactions as thumbs that can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from connectors.core import emoji
from connectors.core.content import Button, Content, Outgoing, cut, in_words, split
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.meta import MetaChannel, MetaOptions, each, named, stale, word

# What Meta's documents say of it.
LONGEST_TEXT, LONGEST_BODY = 4096, 1024  # of a text; of a caption, and beside buttons
MOST_BUTTONS, LONGEST_TITLE = 3, 20
MOST_ROWS, LONGEST_ROW, LONGEST_DESCRIPTION = 10, 24, 72


@dataclass(frozen=True, kw_only=True)
class Options(MetaOptions):
    """In credentials.yml, besides: the id of the phone number to send from, and what opens a list of choices."""

    phone_number_id: str
    choose: str = "Choose"


class WhatsappInput(MetaChannel):
    """The channel `whatsapp`."""

    label = "whatsapp"
    local_ids = False  # a wamid is the only one of its kind
    thing = "whatsapp_business_account"
    Settings = Options
    settings: Options

    def entry(self, entry: Mapping[str, Any]) -> Iterator[Incoming]:
        """All messages of all changes; what became of ours (`statuses`) needs no work."""
        for change in entry["changes"]:
            value = change["value"]
            if change.get("field") != "messages":
                yield Ignored(named(change.get("field")))
                continue
            yield from each(value.get("messages") or (), partial(self._incoming, value=value))
            for status in value.get("statuses") or ():
                yield Ignored(named(f"status {status.get('status')}"))

    def _incoming(self, message: Mapping[str, Any], value: Mapping[str, Any]) -> Incoming:
        key, kind = word(message["id"]), named(message["type"])
        if "group_id" in message or stale(message["timestamp"]):
            return Ignored("group" if "group_id" in message else "stale")
        who, phone = _who(message, value.get("contacts") or ())
        if kind == "reaction":
            reaction = message["reaction"]
            said = emoji.thumb(reaction.get("emoji") or "")  # none, where it was taken back
            return Feedback(key, who, "thumb", said, message=word(reaction["message_id"]), person=who)
        address = {"number": word(value["metadata"]["phone_number_id"]), "message": key}
        if phone:
            address["to"] = phone
        if choice := _choice(kind, message):
            about = (message.get("context") or {}).get("id")
            return Press(key, who, choice, person=who, message=about, address=address)
        if kind != "text" and kind not in _WORDLESS:
            return Ignored(kind)
        part = message.get(kind)
        words = (part.get("body") or part.get("caption")) if isinstance(part, Mapping) else None
        if not words and not self.settings.wordless:
            return Ignored(kind)
        return Message(key, who, word(words or self.settings.wordless), who, address, command=not words)

    def parts(self, content: Content) -> Sequence[Content]:
        """A message for the words and one a card, each split where it is too long."""
        if content.custom.get("type"):
            return [content]
        bare = Content(turn=content.turn, decisions=content.decisions)
        cards = [
            replace(bare, text="\n".join(filter(None, (card.title, card.subtitle, card.url))), image=card.image)
            for card in content.cards
        ]
        pressed = [replace(card, buttons=of.buttons) for card, of in zip(cards, content.cards, strict=True)]
        return [part for each in (replace(content, cards=()), *pressed) for part in _fitting(each)]

    def numbered(self, content: Content) -> bool:
        """Where there are more choices, or longer ones, than buttons and lists hold."""
        return _form(content) == "numbered"

    async def send(self, out: Outgoing) -> str | None:
        """One message."""
        known = {"messaging_product": "whatsapp", "recipient_type": "individual", **_recipient(out)}
        answer = await self.graph(self._messages(out.address), {**known, **self._message(out)})
        return str(answer["messages"][0]["id"])

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Two blue ticks, and three dots."""
        if message := address.get("message"):
            read = {"messaging_product": "whatsapp", "status": "read", "message_id": message}
            await self.graph(self._messages(address), {**read, "typing_indicator": {"type": "text"}})

    def _messages(self, address: Mapping[str, Any]) -> str:
        return f"{address.get('number') or self.settings.phone_number_id}/messages"

    def _message(self, out: Outgoing) -> dict[str, Any]:
        content = out.content
        if content.custom.get("type"):
            return dict(content.custom)
        form = _form(content)
        if form in ("", "numbered") and content.image:
            caption = {"caption": content.text} if content.text else {}
            return {"type": "image", "image": {"link": content.image, **caption}}
        if form in ("", "numbered"):
            body = cut(content.plain(numbered=True), LONGEST_TEXT)
            return {"type": "text", "text": {"body": body, "preview_url": "http" in body}}
        header = {"header": {"type": "image", "image": {"link": content.image}}} if content.image else {}
        said = {"text": content.text or self.settings.choose}
        action = self._action(form, content, out.parcel)
        return {"type": "interactive", "interactive": {"type": form, **header, "body": said, "action": action}}

    def _action(self, form: str, content: Content, parcel: int) -> dict[str, Any]:
        if form == "cta_url":
            (link,) = _links(content)
            shown = {"display_text": cut(link.title or str(link.url), LONGEST_TITLE), "url": link.url}
            return {"name": "cta_url", "parameters": shown}
        choices = [(self.reference(parcel, n), button.title) for n, button in enumerate(content.choices())]
        if form == "button":
            return {"buttons": [{"type": "reply", "reply": {"id": id, "title": title}} for id, title in choices]}
        rows = [{"id": id, "title": cut(title, LONGEST_ROW), **_description(title)} for id, title in choices]
        return {"button": cut(self.settings.choose, LONGEST_TITLE), "sections": [{"rows": rows}]}


# Kinds of message that may carry no words, but say something.
_WORDLESS = ("image", "audio", "video", "document", "sticker", "location", "contacts")


def _who(message: Mapping[str, Any], contacts: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """Whose message it is, by their own id where there is one, for numbers change hands; and the number, if given."""
    phone, user = message.get("from"), message.get("from_user_id")
    fitting = (contact for contact in contacts if len(contacts) == 1 or contact.get("wa_id") == phone)
    user = user or next((contact["user_id"] for contact in fitting if contact.get("user_id")), None)
    return word(user or phone), phone


def _choice(kind: str, message: Mapping[str, Any]) -> str | None:
    if kind == "button":  # of a template
        return word(message["button"].get("payload") or message["button"]["text"])
    interactive = message.get("interactive") or {}
    reply = interactive.get("button_reply") or interactive.get("list_reply")
    return word(reply["id"]) if kind == "interactive" and reply else None


def _recipient(out: Outgoing) -> dict[str, str]:
    """The number where we know it; else the person's own id, which has a country and a dot before its digits."""
    to = out.address.get("to")
    return {"recipient": out.conversation} if not to and "." in out.conversation else {"to": to or out.conversation}


def _links(content: Content) -> list[Button]:
    return [button for button in content.buttons if button.url and not button.payload]


def _form(content: Content) -> str:
    """The kind of interactive message that it takes; none for words, "numbered" for choices in words."""
    titles = [button.title for button in content.choices()]
    if not titles:
        return "cta_url" if len(_links(content)) == 1 else ""
    longest = max(map(len, titles))
    if len(titles) <= MOST_BUTTONS and longest <= LONGEST_TITLE and len(set(titles)) == len(titles):
        return "button"
    return "list" if len(titles) <= MOST_ROWS and longest <= LONGEST_DESCRIPTION else "numbered"


def _description(title: str) -> dict[str, str]:
    return {"description": title} if len(title) > LONGEST_ROW else {}


def _fitting(content: Content) -> list[Content]:
    """One message without cards as those it takes: a picture above, what can be pressed with the last."""
    bare, form = Content(turn=content.turn, decisions=content.decisions), _form(content)
    above = replace(bare, image=content.image)
    if form == "numbered":
        return [above, *in_words(replace(content, image=None), LONGEST_TEXT)]
    pressed = _links(content) if form == "cta_url" else content.choices()
    words = replace(content, image=None, buttons=() if form == "cta_url" else content.buttons).plain()
    pieces = split(words, LONGEST_BODY if form or content.image else LONGEST_TEXT)
    parts = [replace(bare, text=piece) for piece in pieces]
    parts[-1] = replace(parts[-1], buttons=tuple(pressed))
    if form == "list" or len(parts) > 1:  # a list takes no picture
        return [above, *parts]
    return [replace(parts[0], image=content.image)]
