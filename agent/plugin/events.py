"""The event broker: what happened in conversations, told to the learning log.

Rasa publishes a turn's events when the turn is over. They are put in a queue, and one thread writes: a customer
never waits for it, and while the log is locked it tries again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rasa.core.brokers.broker import EventBroker
from rasa.utils.endpoints import EndpointConfig

from agent.errors import InvalidInput, LogUnavailable, RejoinderError
from agent.plugin.behaviour import Behaviour
from agent.plugin.runtime import runtime
from agent.plugin.transcript import Transcript
from agent.silence import Silence

# Some hours of a busy bot; what comes while this many wait is dropped, and said so.
_LONGEST_QUEUE = 100_000
_RETRY_SECONDS = 1.0
# Events come while their turn's answer is still to be sent: that goes first.
_SETTLE_SECONDS = 0.05
# Decisions that have waited in vain for feedback, and conversations that ended, are looked for this often.
_EXPIRE_SECONDS = 10.0
_CLOSING_SECONDS = 10.0
_log = logging.getLogger(__name__)

Published = dict[str, Any]
_END: Published = {}  # of the queue: the thread that takes it ends


class LearningLogBroker(EventBroker):
    """Writes messages, activations and the signals of behaviour to the learning log.

    Options in endpoints.yml: `enabled`, and those of `Behaviour`: `thanks_intents`, `handover_intents`,
    `resolved_intents`, `fallback_intents`, `rephrased_similarity`, `rephrased_within`, `returned_within`, `left_after`,
    `asking`, `encoder`.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._queue: queue.Queue[Published] = queue.Queue(_LONGEST_QUEUE)
        self._behaviour = behaviour or Behaviour()
        self._transcript = Transcript(self._behaviour)
        self._silence: Silence | None = None
        self._dropped = False
        self._expired = time.monotonic()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()

    @classmethod
    async def from_endpoint_config(
        cls,
        broker_config: EndpointConfig,
        event_loop: AbstractEventLoop | None = None,  # noqa: ARG003
    ) -> LearningLogBroker:
        """The broker that endpoints.yml describes.

        Raises:
            InvalidInput: an option that there is not, or of the wrong kind.
        """
        options = dict(broker_config.kwargs)
        enabled = bool(options.pop("enabled", True))
        try:
            return cls(Behaviour(**options), enabled=enabled)
        except TypeError as error:
            raise InvalidInput(f"event_broker in endpoints.yml: {error}") from error

    def publish(self, event: Published) -> None:
        """Take an event over; returns at once."""
        if not self._enabled:
            return
        self._start()
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            if not self._dropped:
                _log.error("%d events wait for the learning log: further ones are dropped", self._queue.qsize())
            self._dropped = True

    async def close(self) -> None:
        """Write what waits, then let go of the log."""
        if self._enabled:
            await asyncio.get_running_loop().run_in_executor(None, self.end)
            runtime().close()

    def flush(self, seconds: float = _CLOSING_SECONDS) -> bool:
        """Wait until everything published so far is written; False when that took longer."""
        if self._writer is None or not self._writer.is_alive():
            return True
        until = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)
        if left := self._queue.unfinished_tasks:
            _log.error("%d events could not be written to the learning log", left)
        return not left

    def end(self) -> bool:
        """Write what waits, and nothing more until the next event; False when that took too long."""
        written = self.flush()
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None and writer.is_alive():
            with suppress(queue.Full):
                self._queue.put_nowait(_END)
            writer.join(_SETTLE_SECONDS if written else 0.0)
        return written

    def _start(self) -> None:
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write, name="rejoinder-log", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        while True:
            waiting = not self._queue.empty()
            try:
                event = self._queue.get(timeout=_EXPIRE_SECONDS)
            except queue.Empty:
                self._expire()
                continue
            if event is _END:
                self._queue.task_done()
                return
            if not waiting:
                time.sleep(_SETTLE_SECONDS)
            try:
                self._insist(lambda event=event: self._transcript.add(event))  # type: ignore[misc]
            except RejoinderError as error:
                _log.warning("an event of type %r was not logged: %s", event.get("event"), error)
            except Exception:  # noqa: BLE001 (the thread must live: one event that cannot be read is one event lost)
                _log.exception("an event was not logged")
            finally:
                self._queue.task_done()
            self._expire()

    def _expire(self) -> None:
        if time.monotonic() < self._expired + _EXPIRE_SECONDS:
            return
        self._expired = time.monotonic()
        try:
            runtime().service().expire()
            self._ended().record(time.time())
        except RejoinderError as error:
            _log.warning("decisions that waited in vain for feedback: %s", error)
        except Exception:  # noqa: BLE001 (as above)
            _log.exception("decisions that waited in vain for feedback")

    def _ended(self) -> Silence:
        if self._silence is None:
            behaviour = self._behaviour
            self._silence = Silence(
                runtime().service(),
                after=behaviour.left_after,
                unanswered=behaviour.fallback_intents,
                handed_over=behaviour.handover_intents,
                asking=behaviour.asking,
            )
        return self._silence

    def _insist(self, write: Callable[[], None]) -> None:
        """Write, trying again for as long as the log is not available. What is written twice counts once."""
        failed = False
        while (error := _attempt(write)) is not None:
            if not failed:
                _log.warning("%s; trying again until it can", error)
            failed = True
            time.sleep(_RETRY_SECONDS)


def _attempt(write: Callable[[], None]) -> LogUnavailable | None:
    try:
        write()
    except LogUnavailable as error:
        return error
    return None
