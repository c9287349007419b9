"""Slack: the Events API, interactive messages and the Web API (https://docs.slack.dev), with feedback buttons.

In a channel the bot answers mentions, in a thread; in direct messages everything. A conversation is a channel, or one
thread in it. Events and interactions come to the same address.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from sanic.request import Request
from sanic.response import HTTPResponse, text

from agent.errors import InvalidInput
from connectors.base import Channel, json_object
from connectors.core.content import Button, Card, Content, Outgoing, cut, split
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.sending import Later, Undeliverable
from connectors.core.signature import check_fresh, check_hmac

# What the service's documents say of it.
LONGEST_TEXT, LONGEST_TITLE, LONGEST_LINK, MOST_BUTTONS = 3000, 75, 3000, 25
# A message takes 50 blocks, and (as people found) 13,000 characters of which a block alone takes over a hundred.
_CARDS, _CARD_TITLE, _CARD_TEXT, _CARD_LINK, _PICTURE_TEXT = 5, 100, 500, 300, 200
_PASSING = ("internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited")
_REACTIONS = {"+1": 1.0, "thumbsup": 1.0, "-1": 0.0, "thumbsdown": 0.0}
_THUMBS = {"up": 1.0, "down": 0.0}
_FEEDBACK = "feedback"
# What a customer says themselves, beside others' doings such as joining.
_SAID = (None, "file_share", "thread_broadcast")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """In credentials.yml.

    `token` is the bot's (xoxb-…), `signing_secret` the app's; `feedback` says whether answers carry feedback buttons,
    which screen readers read as `good` and `bad`.
    """

    token: str = secret()
    signing_secret: str = secret()
    feedback: bool = True
    good: str = "Good answer"
    bad: str = "Bad answer"
    api: str = "https://slack.com/api"


class SlackInput(Channel):
    """The channel `slack`."""

    label = "slack"
    Settings = Options
    # A message is known by its channel and time: a reaction does not say in which thread it is.
    local_ids = False
    settings: Options

    async def verify(self, request: Request) -> None:
        """`X-Slack-Signature: v0=` and the HMAC of `v0:{timestamp}:{body}`."""
        timestamp = request.headers.get("X-Slack-Request-Timestamp")
        signed = f"v0:{timestamp}:".encode() + request.body
        check_hmac(self.settings.signing_secret, signed, request.headers.get("X-Slack-Signature"), prefix="v0=")
        check_fresh(timestamp)

    def read(self, request: Request) -> Sequence[Incoming]:
        """An event, or all that was done with an interactive message."""
        body = _body(request)
        kind = body["type"]
        if kind == "event_callback":
            return [_event(_text(body["event_id"]), body["event"], _own_ids(body))]
        if kind == "block_actions":
            return [_action(body, action) for action in body["actions"]]
        return [Ignored(str(kind))]

    def acknowledgement(self, request: Request, found: Sequence[Incoming]) -> HTTPResponse:
        """Nothing, but where Slack makes sure of the address: what it sent."""
        if request.headers.get("X-Slack-Retry-Num"):
            self.counts["redelivered"] += 1
        if found == [Ignored("url_verification")]:
            return text(str(_body(request).get("challenge")))
        return text("")

    def parts(self, content: Content) -> Sequence[Content]:
        """Words in as many messages as they take; the last carries what goes with them, and so many cards as it can."""
        same = Content(turn=content.turn, decisions=content.decisions)
        words = "\n\n".join(part for part in (content.text, content.attachment) if part)
        *texts, last = _pieces(words)
        cards = [content.cards[at : at + _CARDS] for at in range(0, len(content.cards), _CARDS)] or [()]
        return [
            *(replace(same, text=piece) for piece in texts),
            replace(content, text=last, attachment=None, cards=cards[0]),
            *(replace(same, cards=more) for more in cards[1:]),
        ]

    async def send(self, out: Outgoing) -> str | None:
        """One message; pictures that Slack cannot get become links."""
        try:
            return await self._post(out)
        except Undeliverable as error:
            if not (out.content.image or any(card.image for card in out.content.cards)):
                raise
            _log.warning("slack: a picture was not taken (%s); its link is sent", error)
            return await self._post(replace(out, content=_without_pictures(out.content)))

    async def _post(self, out: Outgoing) -> str | None:
        content = out.content
        channel, _, thread = out.conversation.partition(":")
        # For notifications and screen readers.
        shown = content.plain() or "\n".join(button.title for button in content.buttons)
        body: dict[str, Any] = {"channel": channel, "text": _escaped(shown, LONGEST_TEXT)}
        if blocks := self._blocks(out):
            body["blocks"] = blocks
        if thread:
            body["thread_ts"] = thread
        answer = await self._call("chat.postMessage", {**body, **content.custom})
        return f"{channel}:{answer['ts']}" if "ts" in answer else None

    async def _call(self, method: str, body: Mapping[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.settings.token}"}
        answer = await self.client.call("POST", f"{self.settings.api}/{method}", json=body, headers=headers)
        if isinstance(answer, dict) and answer.get("ok") is True:
            return answer
        # Slack answers 200 to what it refuses, too.
        error = str(answer.get("error")) if isinstance(answer, dict) else "no JSON"
        if error in _PASSING:
            raise Later(f"the service answered {error}", limited="limited" in error)
        raise Undeliverable(f"the service answered {error}")

    def _blocks(self, out: Outgoing) -> list[dict[str, Any]]:
        content = out.content
        references = (self.reference(out.parcel, number) for number in count())
        blocks = [_section(_escaped(content.text, LONGEST_TEXT))] if content.text else []
        if content.image:
            blocks.append(_picture(content.image, content.text))
        blocks += _actions(content.buttons, references)
        for card in content.cards:
            blocks += [_card(card), *_actions(card.buttons, references)]
        if self.settings.feedback and content.decisions:
            blocks.append(self._feedback_buttons())
        return blocks

    def _feedback_buttons(self) -> dict[str, Any]:
        labels = {"up": ("👍", self.settings.good), "down": ("👎", self.settings.bad)}
        up, down = (
            {"text": _plain(emoji), "accessibility_label": cut(label, LONGEST_TITLE), "value": name}
            for name, (emoji, label) in labels.items()
        )
        buttons = {"type": "feedback_buttons", "action_id": _FEEDBACK, "positive_button": up, "negative_button": down}
        return {"type": "context_actions", "elements": [buttons]}


# In


def _body(request: Request) -> dict[str, Any]:
    """An event as it is; an interaction is in a form's field, and a form without it is a command's."""
    if not str(request.headers.get("Content-Type")).startswith("application/x-www-form-urlencoded"):
        return json_object(request.body)
    fields = parse_qs(request.body.decode(errors="replace"))
    return json_object(fields["payload"][0].encode()) if "payload" in fields else {"type": "form without a payload"}


def _event(key: str, event: Mapping[str, Any], own: set[str]) -> Incoming:
    kind = event["type"]
    if kind in ("reaction_added", "reaction_removed"):
        return _reaction(key, event, own)
    if kind not in ("message", "app_mention"):
        return Ignored(str(kind))
    if event.get("bot_id") or event.get("subtype") not in _SAID or event.get("user") in {None, *own}:
        return Ignored(f"{kind} of a bot or about something")
    if kind == "message" and event.get("channel_type") != "im":
        return Ignored("message in a channel")  # where it is for the bot, an app_mention comes, too
    words = _words(str(event.get("text") or ""), own)
    if not words:
        return Ignored("message without words")
    # A mention is answered in its thread; a direct message where it is.
    thread = event.get("thread_ts") or (event["ts"] if kind == "app_mention" else None)
    return Message(key, _conversation(event["channel"], thread), words, person=_text(event["user"]))


def _reaction(key: str, event: Mapping[str, Any], own: set[str]) -> Incoming:
    item, reaction = event["item"], _text(event["reaction"])
    value = _REACTIONS.get(reaction.partition("::")[0])  # a skin tone follows
    if item["type"] != "message" or value is None:
        return Ignored(f"{event['type']} without a thumb on a message")
    if own and event.get("item_user") not in {None, *own}:
        return Ignored(f"{event['type']} on what others said")
    channel, person = _text(item["channel"]), _text(event["user"])
    value = value if event["type"] == "reaction_added" else None
    message = f"{channel}:{_text(item['ts'])}"
    return Feedback(key, channel, "thumb", value, message=message, person=person, facet=reaction)


def _action(body: Mapping[str, Any], action: Mapping[str, Any]) -> Incoming:
    """A pressed button of ours; links are pressed, too, and open by themselves."""
    if "channel" not in body or "message" not in body:
        return Ignored("block_actions on no message")
    channel, at = _text(body["channel"]["id"]), _text(body["message"]["ts"])
    person, name, value = _text(body["user"]["id"]), _text(action["action_id"]), str(action.get("value"))
    # What it answers keeps its place even where others begin a thread under it.
    thread = body["message"].get("thread_ts")
    conversation = _conversation(channel, None if thread == at else thread)
    message, key = f"{channel}:{at}", f"{channel}:{at}:{person}:{_text(action['action_ts'])}:{name}"
    if name == _FEEDBACK and value in _THUMBS:
        return Feedback(key, conversation, "thumb", _THUMBS[value], message=message, person=person)
    if Channel.referred(value) is None:
        return Ignored("block_actions on what is not a choice")
    return Press(key, conversation, value, person=person, message=message)


def _own_ids(body: Mapping[str, Any]) -> set[str]:
    return {_text(one["user_id"]) for one in body.get("authorizations") or () if one.get("is_bot")}


def _words(said: str, own: set[str]) -> str:
    """What is said: without our name, and links as they are."""
    said = re.sub(r"<@(\w+)(?:\|([^>]*))?>", lambda m: "" if m[1] in own or not own else f"@{m[2] or m[1]}", said)
    said = re.sub(r"<([^>|]+)(?:\|[^>]*)?>", r"\1", said)
    return html.unescape(said).strip()


def _conversation(channel: Any, thread: Any) -> str:
    return f"{_text(channel)}:{_text(thread)}" if thread else _text(channel)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"an id must be a text, not {type(value).__name__}")
    return value


# Out


def _pieces(words: str) -> list[str]:
    """Parted so that each fits when escaped, which makes five characters of one at worst."""
    return [
        part
        for piece in split(words, LONGEST_TEXT)
        for part in ([piece] if len(_escaped(piece)) <= LONGEST_TEXT else split(piece, LONGEST_TEXT // 5))
    ]


def _escaped(words: str, length: int | None = None) -> str:
    """As Slack wants it, and cut so that it is no longer than that even so."""
    whole = html.escape(words, quote=False)
    if length is None or len(whole) <= length:
        return whole
    short = html.escape(cut(words, length), quote=False)
    return short if len(short) <= length else html.escape(cut(words, length // 5), quote=False)


def _without_pictures(content: Content) -> Content:
    cards = tuple(
        replace(card, image=None, subtitle="\n".join(part for part in (card.image, card.subtitle) if part))
        for card in content.cards
    )
    words = f"{content.text}\n\n{content.image}" if content.image else content.text
    return replace(content, text=cut(words.strip(), LONGEST_TEXT), image=None, cards=cards)


def _card(card: Card) -> dict[str, Any]:
    title = f"*{_escaped(card.title, _CARD_TITLE)}*" if card.title else ""
    link = card.url if card.url and len(_escaped(card.url)) <= _CARD_LINK else ""
    words = "\n".join(part for part in (title, _escaped(card.subtitle, _CARD_TEXT), _escaped(link)) if part)
    picture = {"accessory": _picture(card.image, card.title)} if card.image else {}
    return {**_section(words or "•"), **picture}


def _picture(address: str, words: str) -> dict[str, Any]:
    return {"type": "image", "image_url": address, "alt_text": cut(words or address, _PICTURE_TEXT)}


def _section(words: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words}}


def _actions(buttons: Sequence[Button], references: Iterator[str]) -> list[dict[str, Any]]:
    """Blocks of buttons; their references are drawn for all that can be chosen, shown or not."""
    elements = []
    for number, button in enumerate(buttons):
        element = {"type": "button", "text": _plain(cut(button.title, LONGEST_TITLE)), "action_id": f"button-{number}"}
        if button.payload:
            elements.append({**element, "value": next(references)})
        elif button.url and len(button.url) <= LONGEST_LINK:
            elements.append({**element, "url": button.url})
    return [{"type": "actions", "elements": elements[:MOST_BUTTONS]}] if elements else []


def _plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words, "emoji": True}
