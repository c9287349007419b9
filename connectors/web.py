"""The web chat: a page, and a script that puts it into any page, served by the assistant itself.

Under `/webhooks/web`: `chat` (the page), `widget.js` (the script), `static/…`; and what the page speaks, which any
client may. A visitor has a token (`Authorization: Bearer …`); bodies and answers are JSON.

- `POST session` -> `{"token", "conversation"}`; with a token, a fresh one for the same conversation.
- `POST messages` `{"id", "text" | "choice"}`; an id used before in the conversation changes nothing.
- `GET events`: server-sent events. `message` (with an id; those after `Last-Event-ID`, else the history first),
  `ready` (nothing older is left), `typing`, `people` (`{"here": bool}`: whether people answer).
- `GET history` -> `{"messages": […]}`.
- `POST feedback` `{"message", "value": 1 | 0 | null, "reason"?}`, `POST csat` `{"rating": 1-5, "comment"?}`,
  `POST handover` `{"id", "text"?}`: a person is wanted, and how that is shown.
- `POST desk`, signed by the desk: `{"events": [{"id", "conversation", "text", "name"?} | {…, "to": "bot"}]}`.

Errors are `{"error": one line}`: 400 bad input, 401 no token or one that has expired, 403 a wrong token, signature or
origin, 413 too long, 429 too often (with Retry-After), 503 not kept: send it again (with Retry-After).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, empty
from sanic.response import json as json_response

from agent.errors import InvalidInput, LogUnavailable
from agent.identity import kept_key
from agent.mailbox import KEPT_SECONDS
from agent.plugin.runtime import runtime
from connectors.base import Channel
from connectors.core.content import Content, Outgoing
from connectors.core.incoming import Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.signature import Refused, check_fresh, check_hmac
from connectors.webchat import bodies, transcript
from connectors.webchat.pages import Pages
from connectors.webchat.streams import Streams, follow
from connectors.webchat.visitors import Origins, Pace, Visitors

MAX_BYTES = 32 * 1024
_READERS = 4
MOST_STREAMS = 6  # of one visitor, who may have several tabs
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_GLANCE = 0.2  # of a call: what reading costs a visitor
_STATES = ("sent", "waiting", "heard")  # a message is there for the visitor as soon as it is put up

Handler = Callable[[Request], Awaitable[Any]]
Visit = Callable[[Request, str], Awaitable[Any]]


@dataclass(frozen=True)
class Options:
    """In credentials.yml, all optional.

    `origins`: sites that may show the chat, beside the assistant's own. `secret`: what tokens are signed with, else a
    key kept in `$REJOINDER_HOME`. `title`, `greeting`, `suggestions` (questions to begin with), `accent` (a colour as
    `#rrggbb`), `language` (`en` or `de`, else the browser's): how the chat looks. `longest_message` in characters,
    `calls_per_minute` of a visitor. `handover_message`: what is put to the assistant when a person is wanted.
    `desk`: where hand-overs, and what visitors say from then on, are posted to; `desk_secret` signs both ways.
    """

    origins: tuple[str, ...] = ()
    title: str = "Assistant"
    greeting: str = ""
    suggestions: tuple[str, ...] = ()
    accent: str = ""
    language: str = ""
    longest_message: int = 2000
    calls_per_minute: int = 60
    handover_message: str = "/speak_to_human"
    desk: str = ""
    desk_secret: str = secret(default="")
    secret: str = secret(default="")

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be."""
        if wrong := [origin for origin in self.origins if not _ORIGIN.fullmatch(origin)]:
            raise ValueError(f"origins: {wrong[0]!r} is not like https://www.example.com")
        if self.accent and not _COLOUR.fullmatch(self.accent):
            raise ValueError("accent must be like #23655f")
        if self.longest_message < 1 or self.calls_per_minute < 1:
            raise ValueError("longest_message and calls_per_minute must be 1 or more")
        if self.language not in ("", "en", "de"):
            raise ValueError("language must be en or de")
        if bool(self.desk) != bool(self.desk_secret):
            raise ValueError("desk and desk_secret go together")

    def shown(self) -> dict[str, Any]:
        """What the page goes by."""
        names = ("title", "greeting", "suggestions", "accent", "language", "longest_message")
        return {name: getattr(self, name) for name in names}


class WebInput(Channel):
    """The channel `web`."""

    label = "web"
    Settings = Options
    hands_over = True
    settings: Options

    def __init__(self, settings: Options) -> None:
        super().__init__(settings)
        self.streams, self.pages, self.origins = Streams(), Pages(), Origins(settings.origins)
        # Apart from what writes: whoever only reads need not wait for the disk.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="rejoinder-web-readers")
        self.pace = Pace(settings.calls_per_minute, burst=max(5.0, settings.calls_per_minute / 3))

    @cached_property
    def visitors(self) -> Visitors:
        """Who may speak. Raises LogUnavailable where there is no key."""
        given, path = self.settings.secret, runtime().home / "web.key"
        try:
            key = hashlib.sha256(given.encode()).digest() if given else kept_key(path)
        except OSError as error:
            raise LogUnavailable(f"the key {path} cannot be read or made: {error}") from error
        return Visitors(key, seconds=KEPT_SECONDS)

    def routes(self, routes: Blueprint) -> None:
        """The page's files, and what it speaks."""
        routes.add_route(self.guarded(self._page), "/chat", methods=["GET"], name="chat")
        routes.add_route(self.guarded(self._widget), "/widget.js", methods=["GET"], name="widget")
        static = "/static/<version:str>/<name:str>"
        routes.add_route(self.guarded(self._file), static, methods=["GET"], name="static")
        routes.add_route(self._open(self._session), "/session", methods=["POST", "OPTIONS"], name="session")
        for visit in (self._messages, self._handover, self._feedback, self._csat, self._events, self._history):
            name = visit.__name__.strip("_")
            method = "GET" if visit in (self._events, self._history) else "POST"
            handler = self._open(self._visited(visit, cost=1.0 if method == "POST" else _GLANCE))
            routes.add_route(handler, f"/{name}", methods=[method, "OPTIONS"], name=name)
        routes.add_route(self.guarded(self._desk), "/desk", methods=["POST"], name="desk")
        routes.listener("before_server_stop")(self._close)

        # As middleware: Rasa's own answers browsers that ask beforehand, before any handler does.
        @routes.middleware("response")
        async def named(request: Request, response: HTTPResponse) -> None:
            for name, value in self.origins.headers(request).items():
                response.headers.setdefault(name, value)

    async def verify(self, request: Request) -> None:
        """A visitor's own token. Raises Refused."""
        self._visitor(request)

    def read(self, request: Request) -> Sequence[Incoming]:
        """One message, as `messages` takes it; it is not shown in the chat."""
        return [_incoming(self._visitor(request), self._said(request))]

    async def send(self, out: Outgoing) -> str | None:
        """Tell the open streams; whoever has none finds it in the history. What a visitor said goes to the desk."""
        by = transcript.origin(out.content)
        if by["by"] == transcript.VISITOR:
            said = {"id": by["id"], "by": transcript.VISITOR, "text": out.content.text}
            await self._tell_desk({"conversation": out.conversation, "messages": [said]})
        self.streams.wake(out.conversation)
        return str(out.parcel)

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Three dots."""
        self.streams.wake(conversation, "typing")

    def contents(self, content: Content, reply: str | None) -> list[Content]:
        """As for every channel; without a desk, nobody takes over."""
        return [part for part in super().contents(content, reply) if self.settings.desk or not part.handover]

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Tell the desk, with all that was said."""
        entries = await self._told(conversation, 0)
        await self._tell_desk({"conversation": conversation, "messages": entries})
        await self.in_thread(self.mailbox.hand_over, self.label, conversation, to_people=True)
        # What was said while the desk was told, it does not know yet; what comes from now on, `send` brings it.
        last = int(entries[-1]["message"]) if entries else 0
        if later := await self._told(conversation, last):
            await self._tell_desk({"conversation": conversation, "messages": later})
        self.streams.wake(conversation, "people", {"here": True})

    # Who asks

    def _open(self, handler: Handler) -> Callable[..., Awaitable[Any]]:
        """A handler for the pages of allowed origins alone."""

        async def checked(request: Request) -> Any:
            self.origins.check(request)
            if len(request.body) > MAX_BYTES:
                raise Refused(f"the body holds more than {MAX_BYTES} bytes", status=413)
            return empty() if request.method == "OPTIONS" else await handler(request)

        return self.guarded(checked)

    def _visited(self, visit: Visit, *, cost: float) -> Handler:
        """A handler for visitors who have a token and call no more often than they may."""

        async def handler(request: Request) -> Any:
            conversation = self._visitor(request)
            if wait := self.pace.wait(conversation, cost=cost):
                return self._error(429, "too many calls; wait a moment", {"Retry-After": str(math.ceil(wait))})
            return await visit(request, conversation)

        return handler

    def _visitor(self, request: Request) -> str:
        scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
        return self.visitors.conversation(token.strip() if scheme.lower() == "bearer" else None)

    # What visitors say

    async def _session(self, request: Request) -> HTTPResponse:
        known = self._visitor(request) if request.headers.get("Authorization") else None
        conversation, token = self.visitors.admit(known)
        return json_response({"token": token, "conversation": conversation})

    async def _messages(self, request: Request, conversation: str) -> HTTPResponse:
        said = self._said(request)
        text = said.text if said.choice is None else await self.in_thread(self._title, conversation, said.choice)
        return await self._say(_incoming(conversation, said), text, said.id)

    async def _handover(self, request: Request, conversation: str) -> HTTPResponse:
        body = self.json(request)
        id, text = bodies.identifier(body), bodies.words(body, "text", 100) or "I would like to talk to a person"
        wanted = Message(f"{conversation}:{id}", conversation, self.settings.handover_message, command=True)
        return await self._say(wanted, text, id)

    async def _say(self, found: Message | Press, text: str, id: str) -> HTTPResponse:
        known = await self.in_thread(self.mailbox.correspondent, self.label, found.conversation)
        forward = known.handed_over and bool(self.settings.desk)
        await self.accept([found], heard={found.key: transcript.visitors(text, id)}, forward=forward)
        self.streams.wake(found.conversation)
        return json_response({"id": id}, status=202)

    def _said(self, request: Request) -> bodies.Said:
        return bodies.said(self.json(request), self.settings.longest_message)

    def _title(self, conversation: str, reference: str) -> str:
        """What a button reads that was sent in the conversation."""
        parcel, number = self.referred(reference) or (0, 0)
        found = self.mailbox.parcel(self.label, parcel)
        choices = [] if found is None or found.conversation != conversation else Content.from_body(found.body).choices()
        if number >= len(choices):
            raise InvalidInput("choice: no such button was sent in this conversation")
        return choices[number].title

    async def _feedback(self, request: Request, conversation: str) -> HTTPResponse:
        found = bodies.thumb(conversation, self.json(request))
        parcel = await self.in_thread(self.mailbox.parcel, self.label, int(found.message or 0))
        if parcel is None or parcel.conversation != conversation:
            raise InvalidInput("message: no such message was sent in this conversation")
        await self.accept([found])
        return json_response({}, status=202)

    async def _csat(self, request: Request, conversation: str) -> HTTPResponse:
        await self.accept([bodies.rating(conversation, self.json(request))])
        return json_response({}, status=202)

    # What they are shown

    async def _history(self, _: Request, conversation: str) -> HTTPResponse:
        return json_response({"messages": await self._told(conversation, 0)})

    async def _events(self, request: Request, conversation: str) -> HTTPResponse | None:
        if self.streams.of(conversation) >= MOST_STREAMS:
            return self._error(429, "too many open streams", {"Retry-After": "30"})
        last = request.headers.get("Last-Event-ID") or ""
        after = int(last) if re.fullmatch("[0-9]{1,18}", last) else 0
        known = await self.in_thread(self.mailbox.correspondent, self.label, conversation)
        headers = {"X-Accel-Buffering": "no"}  # a proxy in between passes each event on at once
        with self.streams.opened(conversation) as stream:
            stream.wake("people", {"here": known.handed_over})
            response = await request.respond(content_type="text/event-stream; charset=utf-8", headers=headers)
            with suppress(LogUnavailable):  # the stream ends; the browser asks again
                await follow(stream, response.send, partial(self._told, conversation), after=after)
        return None

    async def _told(self, conversation: str, after: int) -> list[dict[str, Any]]:
        """The conversation as the visitor sees it, after one of its messages."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._entries, conversation, after)

    def _entries(self, conversation: str, after: int) -> list[dict[str, Any]]:
        since = time.time() - KEPT_SECONDS
        parcels = self.mailbox.history(self.label, conversation, after=after, states=_STATES, since=since)
        about = [str(parcel.id) for parcel in parcels]
        thumbs = self.mailbox.reactions(self.label, about, conversation, "thumb") if about else {}
        log = runtime().service().log
        values = {about: event.body["value"] for about, id in thumbs.items() if (event := log.event(id)) is not None}
        found = (transcript.entry(parcel, self.reference, values.get(str(parcel.id))) for parcel in parcels)
        return [entry for entry in found if entry is not None]

    async def _page(self, request: Request) -> HTTPResponse:
        return self.pages.chat(request, self.settings.shown(), self.settings.origins)

    async def _widget(self, request: Request) -> HTTPResponse:
        return self._file_or_none(request, "widget.js", None)

    async def _file(self, request: Request, version: str, name: str) -> HTTPResponse:
        return self._file_or_none(request, name, version)

    def _file_or_none(self, request: Request, name: str, version: str | None) -> HTTPResponse:
        return self.pages.file(request, name, version=version) or self._error(404, "there is no such file")

    # The desk

    async def _tell_desk(self, body: Mapping[str, Any]) -> None:
        """Raises as `send`."""
        content, timestamp = json.dumps(body).encode(), str(int(time.time()))
        signed = f"{timestamp}.".encode() + content
        signature = hmac.new(self.settings.desk_secret.encode(), signed, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Timestamp": timestamp,
            "X-Signature": f"sha256={signature}",
        }
        await self.client.call("POST", self.settings.desk, data=content, headers=headers)

    async def _desk(self, request: Request) -> HTTPResponse:
        if not self.settings.desk:
            return self._error(404, "there is no desk; option desk of this channel names one")
        timestamp = request.headers.get("X-Timestamp")
        signed = f"{timestamp}.".encode() + request.body
        check_hmac(self.settings.desk_secret, signed, request.headers.get("X-Signature"), prefix="sha256=")
        check_fresh(timestamp)
        found = bodies.at_desk(self.json(request), self.settings.longest_message)
        heard = {handover.key: transcript.persons(text, name) for handover, text, name in found if text}
        await self.accept([handover for handover, _, _ in found], heard=heard)
        for handover, _, _ in found:
            self.streams.wake(handover.conversation, "people", {"here": handover.to_people})
        return json_response({})

    async def _close(self, _app: Any, _loop: Any) -> None:
        self.streams.close()


def _incoming(conversation: str, said: bodies.Said) -> Message | Press:
    key = f"{conversation}:{said.id}"
    return Message(key, conversation, said.text) if said.choice is None else Press(key, conversation, said.choice)
