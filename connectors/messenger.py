"""Messenger: quick replies, buttons and cards, Meta's own thumbs, reactions, and hand-over to the page's inbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.core import emoji
from connectors.core.content import Button, Card, Content, Outgoing, cut, in_words, split
from connectors.core.incoming import Feedback, Handover, Ignored, Incoming, Message, Press
from connectors.meta import MetaChannel, MetaOptions, each, named, stale, word

# What Meta's documents say of it.
LONGEST_TEXT, LONGEST_TITLE = 2000, 20
MOST_QUICK_REPLIES, MOST_BUTTONS, LONGEST_WITH_BUTTONS = 13, 3, 640
MOST_CARDS, LONGEST_OF_CARD = 10, 80
# The page's inbox, as an app.
INBOX = "263902037430900"


@dataclass(frozen=True, kw_only=True)
class Options(MetaOptions):
    """In credentials.yml, besides: your app's id (to tell who a conversation was passed to), and the app of people."""

    app_id: str = ""
    people_app_id: str = INBOX


class MessengerInput(MetaChannel):
    """The channel `messenger`."""

    label = "messenger"
    local_ids = False  # an mid is the only one of its kind
    thing = "page"
    Settings = Options
    hands_over = True
    settings: Options

    def entry(self, entry: Mapping[str, Any]) -> Iterator[Incoming]:
        """All events; what goes on while others own a conversation (`standby`) is theirs."""
        yield from each(entry.get("messaging") or (), self._incoming)
        for _ in entry.get("standby") or ():
            yield Ignored("standby")
        for change in entry.get("changes") or ():
            yield Ignored(named(change.get("field")))

    def _incoming(self, event: Mapping[str, Any]) -> Incoming:
        kind = next((kind for kind in _KINDS if kind in event), None)
        if kind is None:
            return Ignored(named(next((name for name in event if name not in _COMMON), "nothing")))
        if stale(float(event["timestamp"]) / 1000.0):
            return Ignored("stale")
        person, what = word(event["sender"]["id"]), event[kind]
        if kind == "message":
            return self._message_of(person, what)
        # The rest have no ids of their own; one person does one thing at a time.
        key = f"{kind}:{person}:{named(event['timestamp'])}"
        if kind == "postback":
            choice = what.get("payload") or what["title"]
            return Press(what.get("mid") or key, person, word(choice), person=person)
        if kind == "response_feedback":
            good = {"Good response": 1.0, "Bad response": 0.0}[what["feedback"]]
            return Feedback(key, person, "thumb", good, message=word(what["mid"]), person=person)
        if kind == "reaction":
            value = _reaction(what) if what["action"] == "react" else None
            about = word(what["mid"])
            return Feedback(f"{key}:{about}", person, "thumb", value, message=about, person=person, facet="reaction")
        return Handover(key, person, to_people=self._passed_to_people(kind, str(what.get("new_owner_app_id") or "")))

    def _message_of(self, person: str, message: Mapping[str, Any]) -> Incoming:
        if message.get("is_echo"):
            return Ignored("echo")
        key = word(message["mid"])
        if quick := message.get("quick_reply"):
            return Press(key, person, word(quick["payload"]), person=person)
        text = message.get("text") or (self.settings.wordless if message.get("attachments") else "")
        if not text:
            return Ignored("message without words")
        return Message(key, person, word(text), person=person, command=not message.get("text"))

    def _passed_to_people(self, kind: str, owner: str) -> bool:
        """Whether it is not the bot that owns the conversation now: `take` takes it from us, `pass` passes it to us."""
        if owner and owner in (self.settings.app_id, self.settings.people_app_id):
            return owner == self.settings.people_app_id
        return kind == "take_thread_control" or bool(owner and self.settings.app_id)

    def parts(self, content: Content) -> Sequence[Content]:
        """A message for the words, one for a picture, one for ten cards; what can be chosen with the last of them.

        For quick replies are gone as soon as another message follows.
        """
        if content.custom.get("text") or content.custom.get("attachment"):
            return [content]
        bare = Content(turn=content.turn, decisions=content.decisions)
        cards = [_whole(card) for card in content.cards]
        found = [replace(bare, cards=tuple(cards[n : n + MOST_CARDS])) for n in range(0, len(cards), MOST_CARDS)]
        if content.image:
            found.insert(0, replace(bare, image=content.image))
        said = replace(content, cards=(), image=None)
        if _form(said) == "numbered":
            return [*found, *in_words(said, LONGEST_TEXT)]
        if _form(said) == "button":
            *before, last = split(replace(said, buttons=()).plain(), LONGEST_WITH_BUTTONS)
            words = [*(replace(bare, text=piece) for piece in before), replace(bare, text=last, buttons=said.buttons)]
            return [*found, *words]
        words = [replace(bare, text=piece) for piece in split(said.plain(), LONGEST_TEXT) if piece]
        found = [*words, *found] or [bare]
        return [*found[:-1], replace(found[-1], buttons=tuple(said.choices()))]

    def numbered(self, content: Content) -> bool:
        """Where there are more choices than quick replies."""
        return not content.cards and _form(content) == "numbered"

    async def send(self, out: Outgoing) -> str | None:
        """One message."""
        body = {"messaging_type": "RESPONSE", "message": self._message(out)}
        answer = await self.graph("me/messages", {"recipient": {"id": out.conversation}, **body})
        return str(answer["message_id"])

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Three dots."""
        await self.graph("me/messages", {"recipient": {"id": conversation}, "sender_action": "typing_on"})

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """The page's inbox takes over."""
        passed = {"target_app_id": self.settings.people_app_id, "metadata": "rejoinder: a person is wanted"}
        await self.graph("me/pass_thread_control", {"recipient": {"id": conversation}, **passed})

    def _message(self, out: Outgoing) -> dict[str, Any]:
        content = out.content
        if content.custom.get("text") or content.custom.get("attachment"):
            return dict(content.custom)
        references = {id(button): self.reference(out.parcel, n) for n, button in enumerate(content.choices())}
        if content.cards:
            elements = [_element(card, references) for card in content.cards]
            message = _template({"template_type": "generic", "elements": elements})
        elif content.image:
            message = {"attachment": {"type": "image", "payload": {"url": content.image, "is_reusable": True}}}
        elif _form(content) == "button":
            buttons = [_button(button, references) for button in content.buttons]
            return _template({"template_type": "button", "text": content.text or "…", "buttons": buttons})
        elif _form(content) == "numbered":
            return {"text": cut(content.plain(numbered=True), LONGEST_TEXT)}
        else:
            message = {"text": content.text or "…"}
        quick = [
            {"content_type": "text", "title": cut(button.title, LONGEST_TITLE), "payload": references[id(button)]}
            for button in content.buttons
            if button.payload
        ]
        return {**message, "quick_replies": quick} if quick else message


_KINDS = ("message", "postback", "response_feedback", "reaction", "pass_thread_control", "take_thread_control")
_COMMON = ("sender", "recipient", "timestamp")


def _reaction(reaction: Mapping[str, Any]) -> float | None:
    """By Meta's word for it, and where that is none that we know, by the emoji."""
    known = {"like": 1.0, "love": 1.0, "dislike": 0.0, "angry": 0.0, "sad": 0.0}
    value = known.get(reaction.get("reaction") or "")
    return emoji.thumb(reaction.get("emoji") or "") if value is None else value


def _form(content: Content) -> str:
    """None where quick replies do; "button" where a link is among few buttons, "numbered" for too many choices."""
    if 0 < len(content.buttons) <= MOST_BUTTONS and len(content.choices()) < len(content.buttons):
        return "button"
    return "numbered" if len(content.choices()) > MOST_QUICK_REPLIES else ""


def _whole(card: Card) -> Card:
    """A card as Messenger takes it: three buttons at most (the first), and something besides a title."""
    bare = not (card.subtitle or card.image or card.buttons)
    return replace(
        card, subtitle=card.url or card.title if bare else card.subtitle, buttons=card.buttons[:MOST_BUTTONS]
    )


def _template(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": payload}}


def _element(card: Card, references: Mapping[int, str]) -> dict[str, Any]:
    element: dict[str, Any] = {"title": cut(card.title or "…", LONGEST_OF_CARD)}
    if card.subtitle:
        element["subtitle"] = cut(card.subtitle, LONGEST_OF_CARD)
    if card.image:
        element["image_url"] = card.image
    if card.url:
        element["default_action"] = {"type": "web_url", "url": card.url}
    if card.buttons:
        element["buttons"] = [_button(button, references) for button in card.buttons]
    return element


def _button(button: Button, references: Mapping[int, str]) -> dict[str, Any]:
    title = cut(button.title or "…", LONGEST_TITLE)
    if button.payload:
        return {"type": "postback", "title": title, "payload": references[id(button)]}
    return {"type": "web_url", "title": title, "url": button.url}
