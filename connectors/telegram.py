"""Telegram: bots by webhook (https://core.telegram.org/bots/api), with thumbs on every answer and reactions.

A conversation is a chat, or one topic of a forum. In groups the bot answers what is meant for it: a message that
mentions it, replies to it or is a command.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import json as json_response

from agent.errors import InvalidInput, RejoinderError
from connectors.base import Channel
from connectors.core.content import Button, Content, Outgoing, cut, split
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.sending import Undeliverable
from connectors.core.signature import check_secret

# What the service's documents say of it.
LONGEST_TEXT, LONGEST_CAPTION, MOST_BUTTONS = 4096, 1024, 100
UPDATES = ("message", "callback_query", "message_reaction")
_TITLE = 64  # the service names no limit; more is not seen on a phone
_THUMBS = {"up": ("👍", 1.0), "down": ("👎", 0.0)}
_EMOJIS = dict(_THUMBS.values())
# What our thumbs carry: which, or that it is pressed already, and pressing it takes it back.
_THUMB = "thumb:"
_PRESSED = "back"
_COMMAND = re.compile(r"/(\w+)(?:@(\w+))?(?=\s|$)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """In credentials.yml.

    `token` is what BotFather gives; `secret` what Telegram sends back to us (made up by whoever sets the webhook);
    `webhook_url` our address, set with Telegram at the start; `username` the bot's, for groups; `feedback` says
    whether answers carry thumbs; `start` is what the command /start says.
    """

    token: str = secret()
    secret: str = secret()
    webhook_url: str = ""
    username: str = ""
    feedback: bool = True
    start: str = "hello"
    api: str = "https://api.telegram.org"

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not re.fullmatch(r"\d+:[\w-]+", self.token):
            raise ValueError("token is not one that BotFather gives (digits, a colon, letters)")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", self.secret):
            raise ValueError("secret must be 1 to 256 of A-Z, a-z, 0-9, _ and -")


class TelegramInput(Channel):
    """The channel `telegram`."""

    label = "telegram"
    Settings = Options
    # A message is known by its chat and number: a reaction does not say in which topic it is.
    local_ids = False
    settings: Options

    async def verify(self, request: Request) -> None:
        """The secret that the webhook was set with."""
        check_secret(self.settings.secret, request.headers.get("X-Telegram-Bot-Api-Secret-Token"))

    def read(self, request: Request) -> Sequence[Incoming]:
        """An update: one thing each, but for reactions, which may go and come at once."""
        update = self.json(request)
        key = _id(update["update_id"])
        if "message" in update:
            return [self._message(key, update["message"])]
        if "callback_query" in update:
            return [_pressed(key, update["callback_query"])]
        if "message_reaction" in update:
            return _reactions(key, update["message_reaction"])
        return [Ignored(next((name for name in update if name != "update_id"), "update"))]

    def acknowledgement(self, request: Request, found: Sequence[Incoming]) -> HTTPResponse:
        """Ends the spinner on a pressed button: the answer to an update may be a call."""
        query = self.json(request).get("callback_query")
        if not isinstance(query, dict) or "id" not in query:
            return super().acknowledgement(request, found)
        answer = {"method": "answerCallbackQuery", "callback_query_id": str(query["id"])}
        thumbs = [feedback for feedback in found if isinstance(feedback, Feedback)]
        return json_response({**answer, "text": _shown(thumbs[0].value)} if thumbs else answer)

    def parts(self, content: Content) -> Sequence[Content]:
        """A picture and a caption, or words in as many messages as they take; then each card."""
        same = Content(turn=content.turn, decisions=content.decisions)
        links = [f"{button.title}: {button.url}" for button in content.buttons if _only_words(button)]
        text = "\n\n".join(part for part in (content.text, content.attachment, *links) if part)
        found = []
        image = content.image
        if image and len(text) > LONGEST_CAPTION:
            found.append(replace(same, image=image))
            image = None
        texts = split(text or ("👇" if content.buttons and not image else ""), LONGEST_TEXT)
        found += [replace(same, text=piece) for piece in texts[:-1]]
        last = replace(same, text=texts[-1], image=image, buttons=content.buttons, custom=content.custom)
        cards = [
            replace(
                same,
                text="\n".join(part for part in (card.title, cut(card.subtitle, 700), card.url) if part),
                image=card.image,
                buttons=card.buttons,
            )
            for card in content.cards
        ]
        return [*found, last, *cards]

    async def send(self, out: Outgoing) -> str | None:
        """One message; words and a link where Telegram cannot get the picture."""
        content = out.content
        body = {**_place(out.conversation), "reply_markup": self._keyboard(out), **content.custom}
        if not body["reply_markup"]["inline_keyboard"]:
            del body["reply_markup"]
        if not content.image:
            return _sent(await self._call("sendMessage", {"text": cut(content.text, LONGEST_TEXT), **body}))
        photo = {"photo": content.image, **({"caption": cut(content.text, LONGEST_CAPTION)} if content.text else {})}
        try:
            return _sent(await self._call("sendPhoto", {**photo, **body}))
        except Undeliverable as error:
            _log.warning("telegram: a picture was not taken (%s); its link is sent", error)
            words = f"{content.text}\n\n{content.image}".strip()
            return _sent(await self._call("sendMessage", {"text": cut(words, LONGEST_TEXT), **body}))

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Shown for five seconds, or until the answer."""
        await self._call("sendChatAction", {**_place(conversation), "action": "typing"})

    async def noted(self, feedback: Feedback, out: Outgoing) -> None:
        """Mark the thumb that was pressed; not in groups, where all see the same buttons."""
        if feedback.message is None or feedback.facet is not None or out.conversation.startswith("-"):
            return
        chat, _, message = feedback.message.partition(":")
        body = {"chat_id": int(chat), "message_id": int(message), "reply_markup": self._keyboard(out, feedback.value)}
        await self._call("editMessageReplyMarkup", body)

    def routes(self, routes: Blueprint) -> None:
        """None of its own, but a webhook to be set at the start."""
        if self.settings.webhook_url:
            routes.listener("after_server_start")(self._set_webhook)

    async def _set_webhook(self, _app: Any, _loop: Any) -> None:
        options = self.settings
        body = {"url": options.webhook_url, "secret_token": options.secret, "allowed_updates": list(UPDATES)}
        try:
            await self._call("setWebhook", body)
        except RejoinderError as error:
            _log.error("telegram: the webhook was not set: %s", error)

    async def _call(self, method: str, body: Mapping[str, Any]) -> Any:
        return await self.client.call("POST", f"{self.settings.api}/bot{self.settings.token}/{method}", json=body)

    def _message(self, key: str, message: Mapping[str, Any]) -> Incoming:
        person, text = message.get("from"), message.get("text") or message.get("caption")
        if person is None or person.get("is_bot"):
            return Ignored("message of a bot or of no one")
        if message["chat"]["type"] != "private" and not self._meant(message, text or ""):
            return Ignored("group talk")
        command = _COMMAND.match(text or "")
        start = command is not None and command[1] == "start"
        words = self.settings.start if start else self._words(text or "")
        if not words.strip(" /"):
            return Ignored("message without words")
        return Message(key, _conversation(message), words, person=_id(person["id"]), command=start)

    def _meant(self, message: Mapping[str, Any], text: str) -> bool:
        """Whether something said in a group is meant for the bot."""
        answered = ((message.get("reply_to_message") or {}).get("from") or {}).get("id")
        if answered is not None and str(answered) == self.settings.token.partition(":")[0]:
            return True
        if command := _COMMAND.match(text):
            return not command[2] or command[2].lower() == self.settings.username.lower()
        return self._mention().search(text) is not None

    def _mention(self) -> re.Pattern[str]:
        name = re.escape(self.settings.username)
        return re.compile(rf"(?<!\w)@{name}\b" if name else r"(?!)", re.IGNORECASE)

    def _words(self, text: str) -> str:
        """What is said: without our name, and commands as words."""
        return (_COMMAND.sub(r"\1", text, count=1) if _COMMAND.match(text) else self._mention().sub("", text)).strip()

    def _keyboard(self, out: Outgoing, pressed: float | None = None) -> dict[str, Any]:
        rows = _rows(out.content, lambda number: self.reference(out.parcel, number))[: MOST_BUTTONS - len(_THUMBS)]
        if self.settings.feedback and out.content.decisions:
            rows.append([_thumb(name, pressed=value == pressed) for name, (_, value) in _THUMBS.items()])
        return {"inline_keyboard": rows}


def _pressed(key: str, query: Mapping[str, Any]) -> Incoming:
    """A button of ours; what else carries callback data was not sent by this channel."""
    message, data, person = query.get("message"), str(query.get("data")), _id(query["from"]["id"])
    if message is None:
        return Ignored("callback_query on no message")
    conversation = _conversation(message)
    if data.startswith(_THUMB):
        name = data.removeprefix(_THUMB)
        if name not in (*_THUMBS, _PRESSED):
            return Ignored("callback_query of a thumb that there is not")
        value = None if name == _PRESSED else _THUMBS[name][1]
        # By the message, which Telegram vouches for, rather than by a number that anybody can send.
        return Feedback(key, conversation, "thumb", value, message=_message_id(message), person=person)
    if Channel.referred(data) is None:
        return Ignored("callback_query of another keyboard")
    return Press(key, conversation, data, person=person, message=_message_id(message))


def _reactions(key: str, change: Mapping[str, Any]) -> list[Incoming]:
    """The thumbs among a person's reactions that went, and those that came."""
    old, new = (
        {str(kind.get("emoji")) for kind in change[name] if kind["type"] == "emoji"}
        for name in ("old_reaction", "new_reaction")
    )
    who = change.get("user") or change["actor_chat"]  # the latter where a group's admin is anonymous
    place: dict[str, Any] = {"message": _message_id(change), "person": _id(who["id"])}
    conversation = _id(change["chat"]["id"])
    gone, come = (sorted(emojis & set(_EMOJIS)) for emojis in (old - new, new - old))
    found: list[Incoming] = [
        Feedback(f"{key}:{emoji}", conversation, "thumb", value, facet=emoji, **place)
        for emoji, value in [*((emoji, None) for emoji in gone), *((emoji, _EMOJIS[emoji]) for emoji in come)]
    ]
    return found or [Ignored("message_reaction without thumbs")]


def _rows(content: Content, reference: Callable[[int], str]) -> list[list[dict[str, str]]]:
    """One button a row: their titles are seldom short enough for two."""
    rows, number = [], 0
    for button in content.buttons:
        if button.payload:
            rows.append([{"text": cut(button.title, _TITLE), "callback_data": reference(number)}])
            number += 1
        elif button.url and not _only_words(button):
            rows.append([{"text": cut(button.title, _TITLE), "url": button.url}])
    return rows


def _only_words(button: Button) -> bool:
    """Whether it opens what a button of Telegram's may not."""
    return bool(button.url) and not button.payload and not str(button.url).startswith(("http://", "https://", "tg://"))


def _thumb(name: str, *, pressed: bool) -> dict[str, str]:
    emoji = _THUMBS[name][0]
    return {"text": f"{emoji} ✓" if pressed else emoji, "callback_data": f"{_THUMB}{_PRESSED if pressed else name}"}


def _shown(value: float | None) -> str:
    return next((emoji for emoji, meant in _EMOJIS.items() if meant == value), "↩")


def _conversation(message: Mapping[str, Any]) -> str:
    chat = _id(message["chat"]["id"])
    return f"{chat}:{_id(message['message_thread_id'])}" if message.get("is_topic_message") else chat


def _place(conversation: str) -> dict[str, int]:
    chat, _, topic = conversation.partition(":")
    return {"chat_id": int(chat), **({"message_thread_id": int(topic)} if topic else {})}


def _message_id(message: Mapping[str, Any]) -> str:
    return f"{_id(message['chat']['id'])}:{_id(message['message_id'])}"


def _sent(answer: Any) -> str | None:
    """The id of what was sent; none where it was sent, but the answer does not say."""
    try:
        return _message_id(answer["result"])
    except (LookupError, TypeError, InvalidInput):
        return None


def _id(value: Any) -> str:
    if not isinstance(value, int):
        raise InvalidInput(f"an id must be a whole number, not {type(value).__name__}")
    return str(value)
