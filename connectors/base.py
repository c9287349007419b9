"""The base of every connector: what a support channel needs, so that a channel's own file holds only what is its own.

A request is verified over its raw bytes, read, accepted into the mailbox (durable, once) and acknowledged; work goes
on from there (`connectors.core.worker`). A connector says how to verify, how to read and how to send:

    class ExampleInput(Channel):
        label = "example"
        Settings = Options             # a frozen dataclass: the options in credentials.yml

        async def verify(self, request): ...        # raise Refused
        def read(self, request): ...                # -> a list of Incoming
        async def send(self, out): ...              # one call to the service -> the id it gives the message

`connectors/template.py` is one to start from, and README.md says the rest.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar

from rasa.core.channels.channel import InputChannel, OutputChannel, UserMessage
from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import json as json_response

from agent.errors import InvalidInput, LogUnavailable, RejoinderError
from agent.mailbox import Mailbox, Parcel
from agent.plugin.runtime import runtime
from connectors.core import suggestions
from connectors.core.content import Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Incoming, body_of
from connectors.core.options import settings_of
from connectors.core.outbox import Outbox
from connectors.core.sending import Client
from connectors.core.signature import Refused
from connectors.core.worker import Worker

MAX_BYTES = 1024 * 1024
# Each waits for the disk in turn; more threads would only wait for one another.
_WRITERS = 2
_REFERENCE = "r"
_log = logging.getLogger(__name__)

OnMessage = Callable[[UserMessage], Awaitable[Any]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class NoSettings:
    """The settings of a channel that has none."""


class Channel(InputChannel):
    """A support channel. Abstract: `verify`, `read` and `send` are a connector's own."""

    #: its name, and its place under /webhooks.
    label: ClassVar[str]
    #: a frozen dataclass of the options in credentials.yml.
    Settings: ClassVar[type] = NoSettings
    #: whether the service can pass a conversation to people.
    hands_over: ClassVar[bool] = False
    #: whether the service's ids for messages are unique only within a conversation.
    local_ids: ClassVar[bool] = True
    #: the largest body that it takes (bytes).
    max_bytes: ClassVar[int] = MAX_BYTES
    #: whether the bot only suggests replies to the people who answer (`connectors.core.suggestions`).
    suggests: bool = False
    #: responses after which people take over, where the service can; `custom: {handover: true}` in one says so, too.
    handover_replies: ClassVar[Sequence[str]] = ("utter_handover", "utter_human_handoff", "utter_handoff")

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.client = Client()
        self.counts: Counter[str] = Counter()
        self.worker: Worker | None = None
        self._mailbox: Mailbox | None = None
        self._threads = ThreadPoolExecutor(_WRITERS, thread_name_prefix=f"rejoinder-{self.label}")
        # Each of its own, for what cannot wait behind other work: the service waits for what came to be accepted, and
        # what was sent is sent again after a crash unless it was noted.
        self._accepting = ThreadPoolExecutor(1, thread_name_prefix=f"rejoinder-{self.label}-came")
        self._noting = ThreadPoolExecutor(1, thread_name_prefix=f"rejoinder-{self.label}-sent")

    @classmethod
    def name(cls) -> str:
        """The channel's name, also its place under `/webhooks`."""
        return cls.label

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> Channel:
        """The channel that credentials.yml describes.

        Raises:
            RasaException: an option that there is not, that is missing, or of the wrong kind.
        """
        return cls(settings_of(cls.Settings, credentials, where=f"{cls.__module__}.{cls.__name__}"))

    # A connector's own

    async def verify(self, request: Request) -> None:
        """Check that the request comes from the service.

        Raises:
            Refused: it does not.
        """
        raise NotImplementedError

    def read(self, request: Request) -> Sequence[Incoming]:
        """What a verified request brings: all of a batch, and what needs no work as `Ignored`.

        Raises:
            InvalidInput: it is not what the service sends.
        """
        raise NotImplementedError

    async def send(self, out: Outgoing) -> str | None:
        """Send one message, in one call; the id that the service knows it by.

        Raises:
            Later, Undeliverable: as `Client.call`.
        """
        raise NotImplementedError

    def parts(self, content: Content) -> Sequence[Content]:
        """The messages that the service needs for one of ours: as many as it takes calls."""
        return [content]

    def numbered(self, content: Content) -> bool:  # noqa: ARG002
        """Whether what this message lets people choose was listed in words, to be answered by its number."""
        return False

    def acknowledgement(self, request: Request, found: Sequence[Incoming]) -> HTTPResponse:  # noqa: ARG002
        """What the service expects as an answer."""
        return json_response({})

    def challenge(self, request: Request) -> HTTPResponse | None:  # noqa: ARG002
        """The answer to a GET by which some services make sure of an address; None where it is not one of those.

        Raises:
            Refused: it is not from the service.
        """
        return None

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:
        """Show that an answer is being thought of. What fails here is of no consequence."""

    async def noted(self, feedback: Feedback, out: Outgoing) -> None:
        """Show that feedback on a message was taken. What fails here is of no consequence."""

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:
        """Ask the service to pass the conversation to people. Raises as `send`."""

    def routes(self, routes: Blueprint) -> None:
        """Add routes of the channel's own."""

    # What all have in common

    def blueprint(self, on_new_message: OnMessage) -> Blueprint:  # noqa: ARG002 (the worker asks the agent itself)
        """The routes: `GET /` for health, `/webhook` for the service, and the channel's own."""
        routes = Blueprint(f"{self.label}_webhook", __name__)
        self.worker = Worker(self)
        routes.add_route(self.guarded(self._health), "/", methods=["GET"], name="health")
        routes.add_route(self.guarded(self._challenge), "/webhook", methods=["GET"], name="challenge")
        routes.add_route(self.guarded(self._receive), "/webhook", methods=["POST"], name="receive")
        routes.listener("after_server_start")(self._start)
        routes.listener("before_server_stop")(self._stop)
        self.routes(routes)
        return routes

    def get_output_channel(self) -> OutputChannel:
        """Where messages go that no user message asked for, such as a reminder's."""
        return Outbox(self)

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox of the home in force. Raises LogUnavailable."""
        if self._mailbox is None:
            self._mailbox = Mailbox(runtime().service().log)
        return self._mailbox

    async def in_thread(self, work: Callable[..., Result], *args: Any, **named: Any) -> Result:
        """Do what waits for the disk off the event loop, which serves everybody."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **named))

    async def note_sent(self, parcel: Parcel, message: str | None) -> None:
        """Note that a message was sent, and the id that the service gave it."""
        await asyncio.get_running_loop().run_in_executor(self._noting, self.mailbox.sent, parcel, message)

    async def accept(
        self, found: Sequence[Incoming], *, heard: Mapping[str, Content] | None = None, forward: bool = False
    ) -> int:
        """Take over what came, durably; how many of it are new. `heard` and `forward` are as in `Mailbox.accept`.

        Raises:
            LogUnavailable: not taken over; the service will deliver it again.
        """
        work = [incoming for incoming in found if not isinstance(incoming, Ignored)]
        self.counts.update(f"ignored: {incoming.kind}" for incoming in found if isinstance(incoming, Ignored))
        if not work:
            return 0
        rows = [(incoming.key, incoming.conversation, body_of(incoming)) for incoming in work]
        shown = {key: content.body() for key, content in (heard or {}).items()}
        new = await asyncio.get_running_loop().run_in_executor(
            self._accepting, lambda: self.mailbox.accept(self.label, rows, heard=shown, forward=forward)
        )
        self.counts.update({"accepted": new, "repeated": len(work) - new})
        if self.worker is not None:
            self.worker.wake()
        return new

    def contents(self, content: Content, reply: str | None) -> list[Content]:
        """What is sent for one message of the bot's, one call each; the last may be handing over to people."""
        if self.suggests:
            return [replace(content, handover=False)]
        handing = self.hands_over and (content.handover or reply in self.handover_replies)
        said = replace(content, handover=False)
        found = [part for part in self.parts(said) if part != Content(turn=said.turn, decisions=said.decisions)]
        return [*found, Content(handover=True)] if handing else found

    def offered(self, contents: list[Content]) -> list[Content]:
        """What is sent for all that the bot says in a turn: where it only suggests, a note in its place."""
        return suggestions.offered(runtime().service(), contents) if self.suggests else contents

    @staticmethod
    def reference(parcel: int, number: int) -> str:
        """What a button carries (at most 24 characters): which choice of which message it is."""
        return f"{_REFERENCE}{parcel}.{number}"

    @staticmethod
    def referred(reference: str) -> tuple[int, int] | None:
        """The message and choice that a reference means; None for what is none."""
        parcel, dot, number = reference.removeprefix(_REFERENCE).partition(".")
        known = reference.startswith(_REFERENCE) and dot and parcel.isdecimal() and number.isdecimal()
        return (int(parcel), int(number)) if known and len(reference) <= 24 else None

    @staticmethod
    def json(request: Request) -> dict[str, Any]:
        """The request's body, a JSON object.

        Raises:
            InvalidInput: it is none.
        """
        return json_object(request.body)

    def guarded(self, handler: Callable[..., Awaitable[HTTPResponse]]) -> Callable[..., Awaitable[HTTPResponse]]:
        """The handler with its errors answered in one clear line each."""

        async def answered(request: Request, **more: Any) -> HTTPResponse:
            try:
                if len(request.body) > self.max_bytes:
                    return self._error(413, f"the body holds more than {self.max_bytes} bytes")
                return await handler(request, **more)
            except Refused as error:
                return self._error(error.status, str(error))
            except InvalidInput as error:
                return self._error(400, str(error))
            except LogUnavailable as error:
                _log.error("%s: %s", self.label, error)
                return self._error(503, "what came cannot be kept now; deliver it again", {"Retry-After": "1"})
            except RejoinderError as error:
                return self._error(502, str(error))

        return answered

    def _error(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        self.counts[f"answered {status}"] += 1
        return json_response({"error": line}, status=status, headers=dict(headers or {}))

    async def _health(self, _: Request) -> HTTPResponse:
        try:
            mailbox = await self.in_thread(lambda: self.mailbox.counts(self.label))
        except LogUnavailable as error:
            return json_response({"status": "unavailable", "error": str(error)}, status=503)
        return json_response({"status": "ok", "counts": dict(sorted(self.counts.items())), "mailbox": mailbox})

    async def _challenge(self, request: Request) -> HTTPResponse:
        answer = self.challenge(request)
        return self._error(405, "POST is for the service's deliveries") if answer is None else answer

    async def _receive(self, request: Request) -> HTTPResponse:
        await self.verify(request)
        try:
            found = self.read(request)
        except InvalidInput:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
            _log.warning("%s: a delivery cannot be read (%s: %s)", self.label, type(error).__name__, error)
            raise InvalidInput(f"this is not what {self.label} sends ({type(error).__name__})") from error
        await self.accept(found)
        return self.acknowledgement(request, found)

    async def _start(self, app: Any, _loop: Any) -> None:
        if self.worker is not None:
            self.worker.start(app)

    async def _stop(self, _app: Any, _loop: Any) -> None:
        if self.worker is not None:
            await self.worker.stop()
        await self.client.close()


def json_object(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidInput: it is none.
    """
    try:
        text = body.decode()
        found = json.loads(text)
        if "\\ud" in text.lower():  # half of an emoji: what was cut in two can be kept nowhere
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object")
    return found
