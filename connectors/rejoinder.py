"""Rejoinder's own channel: messages over HTTP with the decisions behind them, and feedback on those.

Under `/webhooks/rejoinder`:

- `POST /webhook` `{"sender", "message", "message_id"?, "metadata"?}` -> `[{"recipient_id", "text", …, "turn_id",
  "decision_ids"}, …]`, as Rasa's REST channel answers, and the ids. The same `message_id` of a sender delivered again
  is not answered anew: what was answered is returned.
- `POST /feedback` `{"decision_id" | "turn_id" | "conversation", "signal", "value", "event_id"?}` ->
  `{"event_id", "duplicate"}`. Feedback on a decision is feedback on its whole turn.
- `POST /feedback/revoke` or `DELETE /feedback` `{"event_id", "why"?}` -> the same.

Errors are `{"error": one line}`: 400 bad input, 404 unknown decision or outcome, 409 an event id used for another
outcome, 413 a body of more than `max_bytes`, 503 (with Retry-After) no model, or the learning log cannot be written.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from rasa.core.channels.channel import InputChannel, UserMessage
from rasa.shared.constants import DEFAULT_SENDER_ID
from rasa.shared.exceptions import RasaException
from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import json as json_response

from agent.errors import Conflict, InvalidInput, LogUnavailable, RejoinderError, Unknown
from agent.plugin.output import AnnotatedOutput
from agent.plugin.runtime import runtime
from agent.reports import Recorded
from agent.service import Service
from connectors.core.answers import answered_before
from connectors.core.outcomes import sent_turn

MAX_BYTES = 256 * 1024
RETRY_AFTER = "1"  # seconds
# Each waits for the disk in turn; more threads would only wait for one another.
_WRITERS = 2
_ADDRESSES = ("decision_id", "turn_id", "conversation")
_log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[HTTPResponse]]
OnMessage = Callable[[UserMessage], Awaitable[Any]]


class RejoinderInput(InputChannel):
    """The channel. Option in credentials.yml: `max_bytes`, the largest body taken (256 KiB)."""

    @classmethod
    def name(cls) -> str:
        """The channel's name, also its place under `/webhooks`."""
        return "rejoinder"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> RejoinderInput:
        """The channel that credentials.yml describes.

        Raises:
            RasaException: an option that there is not, or of the wrong kind.
        """
        options = dict(credentials or {})
        max_bytes = options.pop("max_bytes", MAX_BYTES)
        if options or not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 1:
            raise RasaException(
                f"connectors.rejoinder.RejoinderInput in credentials.yml takes max_bytes (a number of bytes) and "
                f"nothing else; got {credentials!r}"
            )
        return cls(max_bytes=max_bytes)

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="rejoinder-feedback")
        self._answering: dict[tuple[str, str], asyncio.Future[list[dict[str, Any]]]] = {}

    def blueprint(self, on_new_message: OnMessage) -> Blueprint:
        """The routes."""
        routes = Blueprint("rejoinder_webhook", __name__)

        async def health(_: Request) -> HTTPResponse:
            return json_response({"status": "ok"})

        async def receive(request: Request) -> HTTPResponse:
            return json_response(await self._receive(request, on_new_message))

        async def feedback(request: Request) -> HTTPResponse:
            body = self._body(request)
            return json_response(await self._write(lambda service: _record(service, body)))

        async def revoke(request: Request) -> HTTPResponse:
            body = self._body(request)
            return json_response(await self._write(lambda service: _revoke(service, body)))

        routes.add_route(health, "/", methods=["GET"], name="health")
        routes.add_route(_answered(receive), "/webhook", methods=["POST"], name="receive")
        routes.add_route(_answered(feedback), "/feedback", methods=["POST"], name="feedback")
        routes.add_route(_answered(revoke), "/feedback", methods=["DELETE"], name="delete_feedback")
        routes.add_route(_answered(revoke), "/feedback/revoke", methods=["POST"], name="revoke_feedback")
        return routes

    def get_output_channel(self) -> AnnotatedOutput:
        """Where messages go that no user message asked for, such as a reminder's: nobody reads them."""
        return AnnotatedOutput()

    async def _receive(self, request: Request, on_new_message: OnMessage) -> list[dict[str, Any]]:
        body = self._body(request)
        sender = _identifier(body, "sender") or DEFAULT_SENDER_ID
        message_id = _identifier(body, "message_id")
        text = body.get("message")
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput("message: a text that is not empty is needed")
        metadata = body.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise InvalidInput("metadata: must be an object")
        agent = getattr(request.app.ctx, "agent", None)
        if agent is not None and not agent.is_ready():
            raise _Unavailable("the assistant has no model loaded: train one and start it again")
        message = UserMessage(
            text, AnnotatedOutput(), sender, input_channel=self.name(), message_id=message_id, metadata=metadata
        )
        if message_id is None:
            return await _answer(message, on_new_message)
        return await self._once(message, agent, on_new_message)

    async def _once(self, message: UserMessage, agent: Any, on_new_message: OnMessage) -> list[dict[str, Any]]:
        """Answer a message, or give the answer that it had: from the delivery under way, or from the tracker."""
        key = (message.sender_id, message.message_id)
        if key in self._answering:
            return await asyncio.shield(self._answering[key])
        future = self._answering[key] = asyncio.get_running_loop().create_future()
        try:
            before = await answered_before(message, agent)
            answer = await (_answer(message, on_new_message) if before is None else _again(message, before))
        except BaseException as error:
            future.set_exception(_Unavailable(f"the delivery under way failed: {type(error).__name__}"))
            future.exception()  # looked at here, since nobody may be waiting
            raise
        else:
            future.set_result(answer)
            return answer
        finally:
            del self._answering[key]

    def _body(self, request: Request) -> dict[str, Any]:
        if len(request.body) > self._max_bytes:
            raise _TooLarge(f"the body holds {len(request.body)} bytes, more than {self._max_bytes}")
        try:
            body = json.loads(request.body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise InvalidInput("the body must be a JSON object")
        return body

    async def _write(self, write: Callable[[Service], Recorded]) -> dict[str, Any]:
        """Do what waits for the disk off the event loop, which serves everybody."""
        recorded = await asyncio.get_running_loop().run_in_executor(self._writers, lambda: write(runtime().service()))
        return {"event_id": recorded.event_id, "duplicate": recorded.duplicate}


class _TooLarge(InvalidInput):
    """A body larger than is taken."""


class _Unavailable(RejoinderError):
    """Not now: come again."""


# The most special first.
_STATUS: tuple[tuple[type[RejoinderError], int], ...] = (
    (_TooLarge, 413),
    (Unknown, 404),
    (Conflict, 409),
    (InvalidInput, 400),
    (_Unavailable, 503),
    (LogUnavailable, 503),
)


def _answered(handler: Handler) -> Handler:
    """The handler with its errors answered in one clear line each."""

    async def answered(request: Request) -> HTTPResponse:
        try:
            return await handler(request)
        except RejoinderError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
            return json_response({"error": str(error)}, status=status, headers=headers)

    return answered


async def _answer(message: UserMessage, on_new_message: OnMessage) -> list[dict[str, Any]]:
    try:
        await on_new_message(message)
    except RejoinderError:
        raise
    except Exception as error:
        _log.exception("a message was not answered")
        raise RejoinderError(
            f"the message was not answered ({type(error).__name__}); the server's log says why"
        ) from error
    messages: list[dict[str, Any]] = message.output_channel.messages
    return messages


async def _again(message: UserMessage, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    output = AnnotatedOutput()
    for one in said:
        await output.send_response(message.sender_id, one)
    messages: list[dict[str, Any]] = output.messages
    return messages


def _record(service: Service, body: dict[str, Any]) -> Recorded:
    given = {name: _identifier(body, name) for name in _ADDRESSES}
    if sum(value is not None for value in given.values()) != 1:
        raise InvalidInput(f"exactly one of {', '.join(_ADDRESSES)} is needed")
    signal, value = body.get("signal"), body.get("value")
    if not isinstance(signal, str):
        raise InvalidInput("signal: a text is needed, such as thumb")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"value: a number is needed; got {value!r}")
    event_id, turn, decision = _identifier(body, "event_id"), given["turn_id"], given["decision_id"]
    if decision is not None:
        turn = sent_turn(service, decision)
    return service.record(
        signal=signal,
        value=value,
        decision=decision if turn is None else None,
        turn=turn,
        conversation=given["conversation"],
        event_id=event_id,
        source="rejoinder",
    )


def _revoke(service: Service, body: dict[str, Any]) -> Recorded:
    event_id = _identifier(body, "event_id")
    if event_id is None:
        raise InvalidInput("event_id: the id of the outcome to take back is needed")
    why = body.get("why", "")
    if not isinstance(why, str):
        raise InvalidInput("why: must be a text")
    return service.revoke(event_id, who="customer", why=why)


def _identifier(body: dict[str, Any], name: str) -> str | None:
    """An id as text; whole numbers are taken, too."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InvalidInput(f"{name}: must be a text that is not empty")
    return str(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
