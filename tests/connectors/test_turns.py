"""Turns in a thread of their own, and the worker that takes them: in order, in turn, and with reminders sent."""

from __future__ import annotations

import asyncio
import gc
import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rasa")

from rasa.core import jobs
from rasa.core.brokers.pika import PikaEventBroker
from rasa.core.channels.channel import UserMessage
from rasa.core.lock_store import InMemoryLockStore
from rasa.core.nlg import TemplatedNaturalLanguageGenerator
from rasa.core.processor import MessageProcessor
from rasa.core.tracker_store import AwaitableTrackerStore, FailSafeTrackerStore, InMemoryTrackerStore, SQLTrackerStore
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ReminderScheduled
from rasa.shared.core.trackers import DialogueStateTracker

from agent.plugin.runtime import runtime
from connectors.core import worker as workers
from connectors.core.content import Content
from connectors.core.incoming import Message, body_of
from connectors.core.outbox import Outbox
from connectors.core.turns import Turns, movable
from connectors.core.worker import Worker
from connectors.template import TemplateInput
from tests.connectors.services import template
from tests.connectors.stand_in import PATIENCE

pytestmark = pytest.mark.rasa


class Agent:
    """Made of what Rasa's agent is made of; what it does with a message is a test's own."""

    def __init__(self, answer, store=None):
        self.tracker_store = FailSafeTrackerStore(store or InMemoryTrackerStore(Domain.empty()))
        self.lock_store, self.nlg = InMemoryLockStore(), TemplatedNaturalLanguageGenerator({})
        self.processor = object.__new__(MessageProcessor)
        self.answer = answer

    async def handle_message(self, message):
        await self.answer(self, message)

    def is_ready(self):
        return True


async def nothing(_agent, _message):
    """No answer."""


def test_what_two_threads_cannot_share_stays_where_it_was_made(tmp_path):
    class Custom(InMemoryTrackerStore):
        """A bot builder's own."""

    def agent(store=None, broker=None):
        found = Agent(nothing, store)
        found.tracker_store._tracker_store.event_broker = broker
        return found

    assert movable(agent())
    assert movable(agent(SQLTrackerStore(db=str(tmp_path / "tracker.db"))))
    assert movable(agent(AwaitableTrackerStore(InMemoryTrackerStore(Domain.empty()))))
    assert not movable(agent(SQLTrackerStore(db="")))  # in memory
    assert not movable(agent(Custom(Domain.empty())))
    assert not movable(agent(broker=object.__new__(PikaEventBroker)))


def test_a_turn_is_taken_elsewhere_and_what_it_raises_is_raised_here():
    seen = []

    async def answer(_agent, message):
        seen.append(threading.current_thread().name)
        raise KeyError(message.text)

    async def main():
        turns, stays = Turns(), Agent(answer, InMemoryTrackerStore(Domain.empty()))
        stays.nlg = object()
        for agent in (Agent(answer), stays):
            with pytest.raises(KeyError, match="hello"):
                await turns.take(agent, UserMessage("hello"))
        assert seen == ["rejoinder-turns", threading.current_thread().name]

    asyncio.run(main())


def test_a_cancelled_turn_has_ended_when_it_has_settled():
    ended = []

    async def answer(_agent, _message):
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.append(True)

    async def main():
        turns = Turns()
        task = asyncio.create_task(turns.take(Agent(answer), UserMessage("hello")))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await turns.settle()
        assert ended == [True]

    begun = threading.Event()
    asyncio.run(main())


def test_reminders_come_in_the_event_loop_of_rasas_scheduler():
    async def answer(agent, message):
        due = datetime.now(timezone.utc) + timedelta(seconds=0.05)
        tracker = DialogueStateTracker("eve", [])
        await agent.processor._schedule_reminders([ReminderScheduled("ask", due)], tracker, message.output_channel)

    async def main():
        come = asyncio.get_running_loop().create_future()

        async def reminded(_event, sender, _output):
            come.set_result((sender, threading.current_thread().name))

        agent = Agent(answer)
        agent.processor.handle_reminder = reminded
        await jobs.scheduler()  # other channels have set theirs: Rasa refuses a second event loop
        try:
            await Turns().take(agent, UserMessage("hello"))
            assert await asyncio.wait_for(come, PATIENCE) == ("eve", threading.current_thread().name)
        finally:
            jobs.kill_scheduler()

    asyncio.run(main())


def test_a_model_is_looked_through_once_for_garbage():
    agent, turns = Agent(nothing), Turns()
    try:
        turns.prepare(agent)
        kept = gc.get_freeze_count()
        more = [[] for _ in range(100)]
        turns.prepare(agent)
        assert kept > 0
        assert gc.get_freeze_count() <= kept + len(more) // 2
        agent.processor = object()  # another model was loaded
        turns.prepare(agent)
        assert gc.get_freeze_count() != kept
    finally:
        gc.unfreeze()


@given(st.text(alphabet="/ a\t\n", max_size=6) | st.text(max_size=20))
@settings(derandomize=True)
def test_what_a_customer_types_names_no_intent(text):
    asked = Message("1", "c", text).asked.strip()
    assert not asked.startswith("/")
    assert asked.endswith(text.lstrip().lstrip("/ \t\n").strip() if "/" in text else text.strip())
    assert Message("1", "c", text, command=True).asked == text


@pytest.fixture
def channel(tmp_path, monkeypatch):
    monkeypatch.setenv("REJOINDER_HOME", str(tmp_path))
    service = template.Service()
    yield TemplateInput.from_credentials(template.credentials(service))
    runtime().close()
    service.close()


def test_what_a_reminder_says_when_its_turn_is_over_is_sent(channel):
    outbox = Outbox(channel, collect=True)
    asyncio.run(outbox.send_response("template:c", {"text": "Two days."}))
    assert [content.text for content in outbox.taken()] == ["Two days."]
    asyncio.run(outbox.send_response("template:c", {"text": "Did that help?"}))
    assert [content.text for content in outbox.taken()] == ["Two days."]
    parcel = channel.mailbox.next_parcel("template", "c")
    assert Content.from_body(parcel.body).text == "Did that help?"


def test_who_writes_again_does_not_keep_others_waiting(channel, monkeypatch):
    order = []

    def came(*names):
        rows = [Message(f"{name}-{len(order)}", name, "hello") for name in names]
        channel.mailbox.accept("template", [(row.key, row.conversation, body_of(row)) for row in rows])

    async def answer(_agent, message):
        order.append(message.sender_id)
        if len(order) < 3 and message.sender_id == "template:eve":
            came("eve")
        await message.output_channel.send_response(message.sender_id, {"text": message.text})

    async def main():
        worker = Worker(channel)
        worker.start(SimpleNamespace(ctx=SimpleNamespace(agent=Agent(answer))))
        try:
            while channel.mailbox.active("template"):  # noqa: ASYNC110 (what is in a file calls nobody)
                await asyncio.sleep(0.02)
        finally:
            await worker.stop()
            await channel.client.close()

    monkeypatch.setattr(workers, "_AT_ONCE", 1)
    came("eve", "ann", "bob")
    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert order == ["template:eve", "template:ann", "template:bob", "template:eve"]
