"""Turns: where the assistant thinks, which is not where webhooks are acknowledged.

Rasa works a turn out without giving way, for tens of milliseconds; in the event loop that serves everybody, a burst
of messages would hold up every acknowledgement. So turns have a thread and an event loop of their own, where all that
the assistant is made of is known to stand that; anything else is asked where Rasa would ask it.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import sys
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from rasa.core.brokers.file import FileEventBroker
from rasa.core.brokers.kafka import KafkaEventBroker
from rasa.core.brokers.sql import SQLEventBroker
from rasa.core.channels.channel import UserMessage
from rasa.core.lock_store import InMemoryLockStore, RedisLockStore
from rasa.core.nlg import CallbackNaturalLanguageGenerator, TemplatedNaturalLanguageGenerator
from rasa.core.tracker_store import (
    AwaitableTrackerStore,
    FailSafeTrackerStore,
    InMemoryTrackerStore,
    MongoTrackerStore,
    RedisTrackerStore,
    SQLTrackerStore,
)
from sqlalchemy.pool import SingletonThreadPool  # type: ignore[import-untyped]

from agent.plugin.events import LearningLogBroker
from agent.plugin.nlg import BanditResponses

# What two threads may use at once. Rasa's other brokers and stores, and whatever a bot builder wrote, may be bound to
# the event loop in which they were made.
_STORES = (SQLTrackerStore, InMemoryTrackerStore, MongoTrackerStore, RedisTrackerStore)
_LOCKS = (InMemoryLockStore, RedisLockStore)
_BROKERS = (LearningLogBroker, FileEventBroker, KafkaEventBroker, SQLEventBroker, type(None))
_GENERATORS = (BanditResponses, TemplatedNaturalLanguageGenerator, CallbackNaturalLanguageGenerator)
# How soon a thread that only computes lets another go on (seconds): an acknowledgement waits for it about ten times.
_SWITCH_SECONDS = 0.001

Result = TypeVar("Result")


class Turns:
    """The thread for turns; one a process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: Any = None

    def prepare(self, agent: Any) -> None:
        """Have Python's garbage collector leave a loaded model alone, once for each.

        What it is made of stays; looking through that took up to 0.85 s at a time, in which nobody is served.
        """
        with self._lock:
            if self._settled is not agent.processor:
                self._settled = agent.processor
                gc.unfreeze()  # a model that was replaced goes
                gc.collect()
                gc.freeze()

    async def take(self, agent: Any, message: UserMessage) -> None:
        """Have a message answered by Rasa's agent, over the message's own output channel."""
        if not movable(agent):
            await agent.handle_message(message)
            return
        moved = _moved(agent, home=asyncio.get_running_loop())
        await _in(self._started(), moved.handle_message(message))

    async def settle(self) -> None:
        """Wait until the turns that were cancelled have come to their end."""
        if self._loop is not None:
            await _in(self._loop, asyncio.sleep(0))

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                sys.setswitchinterval(_SWITCH_SECONDS)
                threading.Thread(target=self._loop.run_forever, name="rejoinder-turns", daemon=True).start()
            return self._loop


turns = Turns()


def movable(agent: Any) -> bool:
    """Whether all that an agent is made of may be used in another thread than the one it was made in."""
    store = agent.tracker_store
    while isinstance(store, AwaitableTrackerStore | FailSafeTrackerStore):
        store = store._tracker_store
    if type(store) is SQLTrackerStore and isinstance(store.engine.pool, SingletonThreadPool):
        return False  # in memory: each thread would have a database of its own
    parts = ((store, _STORES), (store.event_broker, _BROKERS), (agent.lock_store, _LOCKS), (agent.nlg, _GENERATORS))
    return all(type(part) in known for part, known in parts)


def _moved(agent: Any, *, home: asyncio.AbstractEventLoop) -> Any:
    """The agent, for another event loop. Reminders stay at home: Rasa has one scheduler, bound to its event loop."""
    moved, processor = copy.copy(agent), copy.copy(agent.processor)
    for name in ("_schedule_reminders", "_cancel_reminders"):
        setattr(processor, name, partial(_hopping, home, getattr(agent.processor, name)))
    moved.processor = processor
    return moved


async def _hopping(loop: asyncio.AbstractEventLoop, method: Any, *args: Any) -> None:
    await _in(loop, method(*args))


async def _in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]) -> Result:
    """Have something done in another event loop; cancelled here, it is cancelled there."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
