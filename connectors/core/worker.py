"""The worker: takes what a channel accepted out of the mailbox, has it answered, and sends the answers.

In each conversation one thing after the other, in the order in which it came; conversations side by side. Whatever
ends the process, what was accepted is worked on by the next; a message is sent twice only where the end falls between
sending it and noting that.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import random
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rasa.core.channels.channel import UserMessage

from agent.errors import InvalidInput, LogUnavailable, RejoinderError
from agent.mailbox import Correspondent, Delivery, Parcel
from agent.plugin.runtime import runtime
from connectors.core import outcomes, suggestions
from connectors.core.answers import answered_before
from connectors.core.content import Content, Outgoing
from connectors.core.incoming import AgentReply, Feedback, Handover, Message, Press, from_body
from connectors.core.outbox import Outbox
from connectors.core.outcomes import sender
from connectors.core.sending import Later, Undeliverable
from connectors.core.turns import turns

if TYPE_CHECKING:
    from connectors.base import Channel

# Work is looked for when something comes, and this often besides (seconds): for what had to wait.
POLL_SECONDS = 0.5
# While another process works on the channel, this often whether it still does.
_LOCK_SECONDS = 2.0
_PURGE_SECONDS = 3600.0
_AT_ONCE = 64  # conversations
WORK_ATTEMPTS, SEND_ATTEMPTS = 5, 12
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 600.0  # between attempts to send: 12 of them take about 50 minutes
# How often feedback looks again for a message that it is about: it may come before sending was noted.
_FIND_ATTEMPTS = 3
# How many of a conversation's latest messages a number or a quotation may be about.
_LOOKED_BACK = 50
_log = logging.getLogger(__name__)


class Worker:
    """Works for one channel, in the event loop that serves it; one process at a time, whoever else accepts."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._app: Any = None
        self._woken: asyncio.Event | None = None
        self._running: asyncio.Task[None] | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._limited_until = 0.0
        self._purged = 0.0
        # The bot may have answered these before: what another process left, and what this one began.
        self._left, self._begun = math.inf, set[int]()

    def start(self, app: Any) -> None:
        """Begin, in the running event loop."""
        self._app, self._woken = app, asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish nothing: what is not done, the next process does."""
        tasks = [*self._busy.values(), *([self._running] if self._running else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns.settle()

    def wake(self) -> None:
        """Something came."""
        if self._woken is not None:
            self._woken.set()

    async def _run(self) -> None:
        home = runtime().home
        home.mkdir(parents=True, exist_ok=True)
        with (home / f"{self._channel.label}.lock").open("a") as lock:
            while not _locked(lock):  # noqa: ASYNC110 (no event tells when another process ends)
                await asyncio.sleep(_LOCK_SECONDS)
            await self._safely(self._inherit())
            while True:
                await self._safely(self._round())

    async def _inherit(self) -> None:
        self._left = await self._channel.in_thread(self._channel.mailbox.last_delivery)

    async def _safely(self, work: Awaitable[None]) -> None:
        """Do it; where it fails, say so and rest a while: it is found again."""
        try:
            await work
        except LogUnavailable as error:
            _log.error("%s: %s; work waits", self._channel.label, error)
            await asyncio.sleep(_LOCK_SECONDS)
        except Exception:  # noqa: BLE001 (the worker must live, and others' conversations go on)
            _log.exception("%s: work failed; it is tried again", self._channel.label)
            await asyncio.sleep(_LOCK_SECONDS)

    async def _round(self) -> None:
        assert self._woken is not None
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
        self._woken.clear()
        agent = getattr(self._app.ctx, "agent", None)
        if agent is None or not agent.is_ready():
            return
        turns.prepare(agent)
        channel = self._channel
        for conversation in await channel.in_thread(channel.mailbox.active, channel.label):
            if len(self._busy) >= _AT_ONCE:
                return
            if conversation not in self._busy:
                task = asyncio.get_running_loop().create_task(self._safely(self._work(conversation)))
                self._busy[conversation] = task
                task.add_done_callback(partial(self._freed, conversation))
        if time.monotonic() > self._purged + _PURGE_SECONDS:
            self._purged = time.monotonic()
            await channel.in_thread(channel.mailbox.purge)

    def _freed(self, conversation: str, _: asyncio.Task[None]) -> None:
        self._busy.pop(conversation, None)
        self.wake()

    async def _work(self, conversation: str) -> None:
        """What there is to do in a conversation now: send what is to be sent, work on what came first, send again.

        What else came there waits until the others have had their turn.
        """
        channel, worked = self._channel, False
        while True:
            parcel = await channel.in_thread(channel.mailbox.next_parcel, channel.label, conversation)
            if parcel is not None and time.time() < self._limited_until:
                await asyncio.sleep(min(1.0, self._limited_until - time.time()))
                continue
            if parcel is not None:
                if not await self._send(parcel):
                    return
                continue
            if worked:
                return
            delivery = await channel.in_thread(channel.mailbox.next_delivery, channel.label, conversation)
            if delivery is None or not await self._deliver(delivery):
                return
            worked = True

    # In

    async def _deliver(self, delivery: Delivery) -> bool:
        """Work on what came; whether to go on with the conversation."""
        channel = self._channel
        try:
            found = from_body(delivery.body)
            if isinstance(found, Feedback):
                return await self._feedback(delivery, found)
            if isinstance(found, Handover):
                await self._handed(delivery, to_people=found.to_people)
            elif isinstance(found, AgentReply):
                await self._replied(delivery, found)
            else:
                said = found if isinstance(found, Press) else await channel.in_thread(self._numbered, found)
                message = said if isinstance(said, Message) else await self._pressed(delivery, said)
                await self._answer(delivery, message)
        except LogUnavailable:
            raise
        except InvalidInput as error:
            await channel.in_thread(channel.mailbox.done, delivery, note=str(error))
        except Exception as error:  # noqa: BLE001 (one message that cannot be answered is one message)
            return await self._failed(delivery, error)
        return True

    async def _handed(self, delivery: Delivery, *, to_people: bool) -> None:
        channel = self._channel
        place = (channel.label, delivery.conversation)
        await channel.in_thread(channel.mailbox.hand_over, *place, to_people=to_people)
        await channel.in_thread(channel.mailbox.done, delivery)

    async def _replied(self, delivery: Delivery, reply: AgentReply) -> None:
        channel, service = self._channel, runtime().service()
        note = await channel.in_thread(suggestions.reward, service, channel.mailbox, channel.label, reply)
        await channel.in_thread(channel.mailbox.done, delivery, note=note)

    async def _failed(self, delivery: Delivery, error: Exception) -> bool:
        channel, why = self._channel, f"{type(error).__name__}: {error}"
        _log.error("%s: a message was not answered (%s)", channel.label, why, exc_info=error)
        if delivery.attempts + 1 >= WORK_ATTEMPTS:
            channel.counts["given up"] += 1
            await channel.in_thread(channel.mailbox.give_up, delivery, error=why)
            return True
        seconds = _FIRST_WAIT * 2.0**delivery.attempts
        await channel.in_thread(channel.mailbox.postpone, delivery, seconds=seconds, error=why)
        return False

    async def _answer(self, delivery: Delivery, message: Message) -> None:
        channel = self._channel
        known = await self._correspondent(delivery.conversation, message.address)
        if known.handed_over and not channel.suggests:
            channel.counts["left to people"] += 1
            await channel.in_thread(channel.mailbox.done, delivery, note="left to people")
            return
        typing = asyncio.get_running_loop().create_task(self._typing(delivery.conversation, known.address))
        try:
            contents = await channel.in_thread(channel.offered, await self._contents(delivery, message))
        finally:
            typing.cancel()
        await channel.in_thread(channel.mailbox.done, delivery, [content.body() for content in contents])
        self._begun.discard(delivery.id)
        channel.counts["answered"] += 1

    async def _contents(self, delivery: Delivery, message: Message) -> list[Content]:
        """What the bot says to a message; what it said, where that was cut short by the end of a process."""
        output, agent = Outbox(self._channel, collect=True), self._app.ctx.agent
        asked = UserMessage(
            message.asked,
            output,
            sender(self._channel.label, delivery.conversation),
            input_channel=self._channel.label,
            message_id=delivery.key,
            metadata=dict(message.metadata) or None,
        )
        before = None
        if delivery.id <= self._left or delivery.id in self._begun:
            before = await answered_before(asked, agent)
        self._begun.add(delivery.id)
        if before is None:
            await turns.take(agent, asked)
        for said in before or ():
            await output.send_response(asked.sender_id, said)
        return output.taken()

    async def _correspondent(self, conversation: str, address: Mapping[str, Any]) -> Correspondent:
        channel = self._channel
        known = await channel.in_thread(channel.mailbox.correspondent, channel.label, conversation)
        if address and address != known.address:
            await channel.in_thread(channel.mailbox.remember, channel.label, conversation, address)
            known = Correspondent(address, known.handed_over)
        return known

    async def _typing(self, conversation: str, address: Mapping[str, Any]) -> None:
        with suppress(RejoinderError):
            await self._channel.typing(conversation, address)

    def _numbered(self, message: Message) -> Message | Press:
        """A number alone is a choice, where the bot's latest turn listed so many."""
        channel, place, text = self._channel, (self._channel.label, message.conversation), message.text.strip(" .)")
        if not (text.isascii() and text.isdecimal() and len(text) <= 3):
            return message
        turn = None
        for parcel in reversed(channel.mailbox.history(*place, limit=_LOOKED_BACK)):
            content = Content.from_body(parcel.body)
            if turn is not None and content.turn != turn:
                break
            titles = [button.title.strip() for button in content.choices()]
            if titles and channel.numbered(content):
                number = titles.index(text) if text in titles else int(text) - 1
                if number not in range(len(titles)):
                    break
                reference = channel.reference(parcel.id, number)
                return Press(message.key, place[1], reference, person=message.person, address=message.address)
            if content.turn is None:
                break
            turn = content.turn
        return message

    async def _pressed(self, delivery: Delivery, press: Press) -> Message:
        """What a pressed button says, and that it was pressed is a signal about the message it was on."""
        channel = self._channel
        parcel, text = await channel.in_thread(self._choice, press)
        if parcel is not None:
            click = Feedback(f"{press.key}:click", press.conversation, "click", 1.0, person=press.person)
            await channel.in_thread(self._record, click, parcel)
        return Message(delivery.key, press.conversation, text, press.person, press.address, command=True)

    def _choice(self, press: Press) -> tuple[Parcel | None, str]:
        channel = self._channel
        referred = channel.referred(press.choice)
        if referred is None:
            return self._known_as(press.message, press.conversation), press.choice
        parcel = channel.mailbox.parcel(channel.label, referred[0])
        # A reference is not secret: it is good in its own conversation alone.
        if parcel is not None and parcel.conversation == press.conversation:
            choices = Content.from_body(parcel.body).choices()
            if referred[1] < len(choices):
                button = choices[referred[1]]
                return None if button.decision else parcel, button.payload
        raise InvalidInput(f"a button that was never sent there: {press.choice!r}")

    async def _feedback(self, delivery: Delivery, feedback: Feedback) -> bool:
        channel = self._channel
        parcel = await channel.in_thread(self._about, feedback)
        named = (feedback.message, feedback.parcel, feedback.quoted) != (None, None, None)
        if named and parcel is None and delivery.attempts + 1 < _FIND_ATTEMPTS:
            why = "no such message yet"
            await channel.in_thread(channel.mailbox.postpone, delivery, seconds=_FIRST_WAIT, error=why)
            return False
        missing = "not a message that the bot sent" if named and parcel is None else None
        note = missing or await channel.in_thread(self._record, feedback, parcel)
        channel.counts["feedback without a decision" if note else f"feedback: {feedback.signal}"] += 1
        await channel.in_thread(channel.mailbox.done, delivery, note=note)
        if parcel is not None and note is None:
            with suppress(RejoinderError):
                await channel.noted(feedback, await self._outgoing(parcel))
        return True

    def _about(self, feedback: Feedback) -> Parcel | None:
        channel = self._channel
        if feedback.parcel is not None:
            return channel.mailbox.parcel(channel.label, feedback.parcel)
        if feedback.quoted is not None:
            return self._quoted(feedback.conversation, feedback.quoted.strip())
        return self._known_as(feedback.message, feedback.conversation)

    def _known_as(self, message: str | None, conversation: str) -> Parcel | None:
        """What was sent and the service knows by this id."""
        channel = self._channel
        if message is None:
            return None
        where = conversation if channel.local_ids else None
        return channel.mailbox.parcel_of(channel.label, message, conversation=where)

    def _quoted(self, conversation: str, words: str) -> Parcel | None:
        channel = self._channel
        for parcel in reversed(channel.mailbox.history(channel.label, conversation, limit=_LOOKED_BACK)):
            content = Content.from_body(parcel.body)
            said = content.plain(numbered=channel.numbered(content))
            if not content.handover and (words in said or (said and said in words)):
                return parcel
        return None

    def _record(self, feedback: Feedback, parcel: Parcel | None) -> str | None:
        channel = self._channel
        return outcomes.record(
            runtime().service(),
            channel.mailbox,
            channel.label,
            feedback,
            content=None if parcel is None else Content.from_body(parcel.body),
            about=f"conversation {feedback.conversation}" if parcel is None else str(parcel.id),
        )

    # Out

    async def _send(self, parcel: Parcel) -> bool:
        """Send one message; whether to go on with the conversation."""
        channel, out = self._channel, await self._outgoing(parcel)
        try:
            if out.content.handover:
                await channel.hand_over(out.conversation, out.address)
                place = (channel.label, out.conversation)
                await channel.in_thread(channel.mailbox.hand_over, *place, to_people=True)
                message = None
            else:
                message = await channel.send(out)
        except Later as error:
            return await self._later(parcel, error)
        except (Undeliverable, InvalidInput) as error:
            return await self._undeliverable(parcel, str(error))
        except LogUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 (a connector that cannot make a message of it: not for ever)
            _log.exception("%s: a message could not be sent", channel.label)
            return await self._later(parcel, Later(f"sending failed ({type(error).__name__})"))
        await channel.note_sent(parcel, message)
        channel.counts["sent"] += 1
        return True

    async def _outgoing(self, parcel: Parcel) -> Outgoing:
        channel = self._channel
        known = await channel.in_thread(channel.mailbox.correspondent, channel.label, parcel.conversation)
        return Outgoing(parcel.conversation, known.address, Content.from_body(parcel.body), parcel.id)

    async def _later(self, parcel: Parcel, error: Later) -> bool:
        channel, attempts = self._channel, parcel.attempts + 1
        if attempts >= SEND_ATTEMPTS:
            return await self._undeliverable(parcel, f"given up after {attempts} attempts: {error}")
        # Spread, so that many messages held up at once do not come again at once.
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**parcel.attempts) * random.uniform(0.75, 1.25)
        seconds = wait if error.seconds is None else error.seconds
        if error.limited:
            self._limited_until = max(self._limited_until, time.time() + seconds)
        channel.counts["sending postponed"] += 1
        await channel.in_thread(channel.mailbox.resend, parcel, seconds=seconds, error=str(error))
        return False

    async def _undeliverable(self, parcel: Parcel, why: str) -> bool:
        channel = self._channel
        channel.counts["undeliverable"] += 1
        _log.error("%s: a message was not sent: %s", channel.label, why)
        await channel.in_thread(channel.mailbox.undeliverable, parcel, error=why)
        return True


def _locked(lock: Any) -> bool:
    """Take a lock that ends with the process that holds it, however that ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
