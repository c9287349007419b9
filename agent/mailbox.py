"""The mailbox: what channels brought and what is to be sent over them, durable, in the file of the learning log.

A delivery is accepted once, by the service's own id for it, and worked on until it is done; what answers it is put up
for sending in the transaction that marks it done. A parcel is one message to send; when it was sent, the id that the
service gave it leads feedback back to the decisions behind it. Words are kept in the clear until they are done with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.log import LearningLog

# The longest that any service delivers again (WhatsApp: 7 days), and a margin.
KEPT_SECONDS = 14 * 86_400.0


@dataclass(frozen=True)
class Delivery:
    """Something a channel brought: `key` is the service's own id for it, `attempts` how often work on it failed."""

    id: int
    channel: str
    key: str
    conversation: str
    body: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True)
class Parcel:
    """A message to send, from `due` on; or sent: `message` is then the id that the service knows it by."""

    id: int
    channel: str
    conversation: str
    body: Mapping[str, Any]
    attempts: int
    message: str | None
    due: float


@dataclass(frozen=True)
class Correspondent:
    """What is known of a conversation: where to send to, and whether people have taken it over from the bot."""

    address: Mapping[str, Any] = field(default_factory=dict)
    handed_over: bool = False


@dataclass(frozen=True)
class Backlog:
    """What is left lying on a channel: how many deliveries and parcels wait, the oldest since when (unix seconds).

    `failed` have been given up since the time asked about.
    """

    channel: str
    waiting: int = 0
    since: float | None = None
    failed: int = 0


class Mailbox:
    """The mailbox of one installation. Safe to use from several threads and processes.

    Every method raises LogUnavailable where the file cannot be used now; nothing has changed then.
    """

    def __init__(self, log: LearningLog, *, clock: Callable[[], float] = time.time) -> None:
        self._log, self._clock = log, clock

    # In

    def accept(
        self,
        channel: str,
        brought: Iterable[tuple[str, str, Mapping[str, Any]]],
        *,
        heard: Mapping[str, Mapping[str, Any]] | None = None,
        forward: bool = False,
    ) -> int:
        """Take over deliveries (key, conversation, body); how many of them are new. Survives a power cut.

        `heard` holds, by key, what is to be shown as said there: kept among the parcels, in its place between them.
        With `forward` it is to be sent, too: to people who have taken the conversation over.
        """
        new = 0
        with self._log.writing() as db:
            for key, conversation, body in brought:
                cursor = db.execute(
                    "insert into deliveries (channel, key, conversation, body, due) values (?, ?, ?, ?, ?) "
                    "on conflict do nothing",
                    (channel, key, conversation, _json(body), self._clock()),
                )
                new += cursor.rowcount
                if cursor.rowcount and heard is not None and key in heard:
                    state = "waiting" if forward else "heard"
                    self._put(db, channel, conversation, [heard[key]], state=state, heard=True)
        return new

    def next_delivery(self, channel: str, conversation: str) -> Delivery | None:
        """The oldest delivery of a conversation that is not done, if its time has come."""
        rows = self._log.rows(
            "select id, channel, key, conversation, body, attempts, due from deliveries "
            "where channel = ? and conversation = ? and state = 'waiting' order by id limit 1",
            (channel, conversation),
        )
        if not rows or rows[0][6] > self._clock():
            return None
        id, channel, key, conversation, body, attempts, _ = rows[0]
        return Delivery(id, channel, key, conversation, json.loads(body), attempts)

    def last_delivery(self) -> int:
        """The id of the latest delivery to any channel; 0 where there was none."""
        return int(self._log.rows("select coalesce(max(id), 0) from deliveries")[0][0])

    def done(self, delivery: Delivery, parcels: Sequence[Mapping[str, Any]] = (), *, note: str | None = None) -> None:
        """Mark a delivery as done, and put up for sending what answers it. Done already, nothing happens."""
        with self._log.writing() as db:
            cursor = db.execute(
                "update deliveries set state = 'done', body = null, error = ? where id = ? and state = 'waiting'",
                (note, delivery.id),
            )
            if cursor.rowcount:
                self._put(db, delivery.channel, delivery.conversation, parcels)

    def postpone(self, delivery: Delivery, *, seconds: float, error: str) -> None:
        """Work on a delivery failed: it is tried again later."""
        with self._log.writing(durable=False) as db:
            db.execute(
                "update deliveries set attempts = attempts + 1, due = ?, error = ? where id = ?",
                (self._clock() + seconds, error, delivery.id),
            )

    def give_up(self, delivery: Delivery, *, error: str) -> None:
        """Work on a delivery failed for good: it is kept, and no longer tried."""
        with self._log.writing() as db:
            db.execute(
                "update deliveries set state = 'failed', attempts = attempts + 1, error = ? where id = ?",
                (error, delivery.id),
            )

    # Out

    def post(self, channel: str, conversation: str, parcels: Sequence[Mapping[str, Any]]) -> None:
        """Put up for sending what no delivery asked for, such as a reminder."""
        with self._log.writing() as db:
            self._put(db, channel, conversation, parcels)

    def next_parcel(self, channel: str, conversation: str) -> Parcel | None:
        """The oldest parcel of a conversation that was not sent, if its time has come."""
        rows = self._parcels(
            "channel = ? and conversation = ? and state = 'waiting' order by id limit 1", (channel, conversation)
        )
        return rows[0] if rows and rows[0].due <= self._clock() else None

    def sent(self, parcel: Parcel, message: str | None) -> None:
        """A parcel was sent, and the service knows it by this id."""
        with self._log.writing(durable=False) as db:
            db.execute(
                "update parcels set state = 'sent', message = ?, error = null where id = ?", (message, parcel.id)
            )

    def resend(self, parcel: Parcel, *, seconds: float, error: str) -> None:
        """Sending failed: it is tried again later, before what comes after it in the conversation."""
        with self._log.writing(durable=False) as db:
            db.execute(
                "update parcels set attempts = attempts + 1, due = ?, error = ? where id = ?",
                (self._clock() + seconds, error, parcel.id),
            )

    def undeliverable(self, parcel: Parcel, *, error: str) -> None:
        """Sending failed for good."""
        with self._log.writing() as db:
            db.execute(
                "update parcels set state = 'failed', attempts = attempts + 1, error = ? where id = ?",
                (error, parcel.id),
            )

    def parcel(self, channel: str, id: int) -> Parcel | None:
        """A parcel by our own id."""
        rows = self._parcels("channel = ? and id = ?", (channel, id))
        return rows[0] if rows else None

    def parcel_of(self, channel: str, message: str, *, conversation: str | None = None) -> Parcel | None:
        """The latest parcel that the service knows by this id (in a conversation, where ids are only unique there)."""
        where, values = "channel = ? and message = ?", [channel, message]
        if conversation is not None:
            where, values = f"{where} and conversation = ?", [*values, conversation]
        rows = self._parcels(f"{where} order by id desc limit 1", values)
        return rows[0] if rows else None

    def history(
        self,
        channel: str,
        conversation: str,
        *,
        after: int = 0,
        limit: int = 200,
        states: Sequence[str] = ("sent",),
        since: float = 0.0,
    ) -> list[Parcel]:
        """The latest parcels of a conversation that are in one of these states, oldest first."""
        marks = ", ".join("?" * len(states))
        rows = self._parcels(
            f"channel = ? and conversation = ? and state in ({marks}) and id > ? and due >= ? order by id desc limit ?",
            (channel, conversation, *states, after, since, limit),
        )
        return rows[::-1]

    # Conversations

    def active(self, channel: str) -> list[str]:
        """The conversations in which something is to be done now, those first that have waited longest."""
        found = "select conversation, due from {} where channel = ? and state = 'waiting' and due <= ?"
        both = f"{found.format('deliveries')} union all {found.format('parcels')}"
        sql = f"select conversation from ({both}) group by conversation order by min(due)"
        now = self._clock()
        return [row[0] for row in self._log.rows(sql, (channel, now, channel, now))]

    def correspondent(self, channel: str, conversation: str) -> Correspondent:
        """What is known of a conversation; of a new one, nothing."""
        rows = self._log.rows(
            "select address, handed_over from conversations where channel = ? and conversation = ?",
            (channel, conversation),
        )
        return Correspondent(json.loads(rows[0][0]), bool(rows[0][1])) if rows else Correspondent()

    def remember(self, channel: str, conversation: str, address: Mapping[str, Any]) -> None:
        """Where a conversation's messages are sent to."""
        with self._log.writing(durable=False) as db:
            db.execute(
                "insert into conversations (channel, conversation, address) values (?, ?, ?) "
                "on conflict do update set address = excluded.address where address != excluded.address",
                (channel, conversation, _json(address)),
            )

    def hand_over(self, channel: str, conversation: str, *, to_people: bool) -> None:
        """People take a conversation over, or give it back to the bot."""
        with self._log.writing() as db:
            db.execute(
                "insert into conversations (channel, conversation, handed_over) values (?, ?, ?) "
                "on conflict do update set handed_over = excluded.handed_over",
                (channel, conversation, int(to_people)),
            )

    # Feedback

    def reaction(self, channel: str, about: str, person: str, facet: str) -> str | None:
        """The id of the outcome that a person's reaction to something sent was recorded as, while it stands."""
        rows = self._log.rows(
            "select event from reactions where channel = ? and parcel = ? and person = ? and facet = ?",
            (channel, about, person, facet),
        )
        return str(rows[0][0]) if rows else None

    def reactions(self, channel: str, about: Sequence[str], person: str, facet: str) -> dict[str, str]:
        """The same of several things sent, by what each is about."""
        marks = ", ".join("?" * len(about))
        rows = self._log.rows(
            f"select parcel, event from reactions where channel = ? and parcel in ({marks}) "
            "and person = ? and facet = ?",
            (channel, *about, person, facet),
        )
        return dict(rows)

    def reacted(self, channel: str, about: str, person: str, facet: str, event: str | None) -> None:
        """A person's reaction stands as this outcome; None where it was taken back."""
        key = (channel, about, person, facet)
        with self._log.writing() as db:
            if event is None:
                db.execute("delete from reactions where channel = ? and parcel = ? and person = ? and facet = ?", key)
            else:
                db.execute("insert or replace into reactions values (?, ?, ?, ?, ?)", (*key, event))

    # Upkeep

    def purge(self) -> None:
        """Forget deliveries so old that no service brings them again, and what customers said as long ago.

        What the bot said stays: feedback may come late.
        """
        with self._log.writing(durable=False) as db:
            before = (self._clock() - KEPT_SECONDS,)
            db.execute("delete from deliveries where state != 'waiting' and due < ?", before)
            db.execute("delete from parcels where heard and state != 'waiting' and due < ?", before)

    def counts(self, channel: str) -> dict[str, int]:
        """How many deliveries and parcels of a channel there are in each state, as `deliveries.waiting` and so on."""
        return {
            f"{table}.{state}": int(n)
            for table in ("deliveries", "parcels")
            for state, n in self._log.rows(
                f"select state, count(*) from {table} where channel = ? group by state", (channel,)
            )
        }

    def backlog(self, *, since: float) -> list[Backlog]:
        """What waits on each channel, and what has failed since a unix time; the channels on which there is any."""
        found: dict[str, Backlog] = {}
        for table in ("deliveries", "parcels"):
            waiting = f"select channel, count(*), min(due) from {table} where state = 'waiting' group by channel"
            for channel, n, due in self._log.rows(waiting):
                was = found.get(channel, Backlog(channel))
                oldest = due if was.since is None else min(due, was.since)
                found[channel] = replace(was, waiting=was.waiting + n, since=oldest)
            failed = f"select channel, count(*) from {table} where state = 'failed' and due >= ? group by channel"
            for channel, n in self._log.rows(failed, (since,)):
                was = found.get(channel, Backlog(channel))
                found[channel] = replace(was, failed=was.failed + n)
        return sorted(found.values(), key=lambda backlog: backlog.channel)

    def _put(
        self,
        db: Any,
        channel: str,
        conversation: str,
        parcels: Sequence[Mapping[str, Any]],
        *,
        state: str = "waiting",
        heard: bool = False,
    ) -> None:
        for body in parcels:
            db.execute(
                "insert into parcels (channel, conversation, body, state, due, heard) values (?, ?, ?, ?, ?, ?)",
                (channel, conversation, _json(body), state, self._clock(), heard),
            )

    def _parcels(self, where: str, values: Sequence[Any]) -> list[Parcel]:
        sql = f"select id, channel, conversation, body, attempts, message, due from parcels where {where}"
        return [
            Parcel(id, channel, conversation, json.loads(body), attempts, message, due)
            for id, channel, conversation, body, attempts, message, due in self._log.rows(sql, values)
        ]


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
