"""The learning log: events in order, appended in short transactions, never changed.

One file (`learning.db`, SQLite in WAL mode) is shared by several processes. Each appends through
`LearningLog.append`, so the order of `seq` is the order of commits, and each reads `seq > n` to catch up.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from agent.errors import Conflict, InvalidInput, LogUnavailable, Unknown
from agent.migrations import migrations

KINDS = frozenset(
    {
        "message",
        "decision",
        "activated",
        "outcome",
        "revoked",
        "correction",
        "wait_expired",
        "observed",
        "candidate",
        "mark",
        "settings",
        "model",
        "alert",
        "tastes",
        "annotation",
    }
)
# The kinds that can change what a decision has earned.
EVIDENCE = ("outcome", "revoked", "correction", "activated", "observed", "wait_expired")
# Kinds of which a repetition in other words is a repetition still.
_FIRST_WORD_HOLDS = frozenset({"activated", "alert", "message", "observed", "revoked"})
# The kinds that people can take back: what they said, what they changed about it, and the taking back itself.
REVOCABLE = ("outcome", "correction", "annotation", "revoked")
# What an outcome can be about, the narrowest first.
ADDRESSES = ("decision", "turn", "conversation")
BUSY_SECONDS = 5.0
_END = 2**62  # beyond every `seq`
_COLUMNS = "seq, id, kind, loop, conversation, turn, decision, at, body"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `id` makes a repeated delivery harmless: a second event with the same id and content is not appended.
    `conversation`, `turn` and `decision` say what the event is about; an outcome has exactly one of them, its
    address. `at` is in unix seconds. `seq` is the event's place in the log, 0 before it is appended.
    """

    id: str
    kind: str
    at: float
    loop: str | None = None
    conversation: str | None = None
    turn: str | None = None
    decision: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True)
class Appended:
    """Where an event stands in the log, and whether it had been there before."""

    seq: int
    duplicate: bool


class LearningLog:
    """The events of one installation, on one machine.

    Safe to use from several threads (a connection each) and several processes.

    Raises:
        LogUnavailable: the file cannot be opened or migrated, or is locked for longer than `busy_seconds`.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS, scratch: bool = False) -> None:
        self.path = path
        self._scratch = scratch  # a log that is thrown away need never wait for the disk
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        # Weak: the connection of a thread that has ended closes with it (thread pools come and go).
        self._databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._writer = threading.Lock()
        with self._explained("opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._migrate()

    def append(
        self,
        events: Sequence[Event],
        *,
        vectors: Iterable[Vector] = (),
        blobs: Iterable[bytes] = (),
        durable: bool = True,
    ) -> list[Appended]:
        """Append events, and the embeddings and blobs they refer to, in one transaction.

        What has returned outlives the process, however it ends; with `durable` a power cut as well, which costs a
        wait for the disk. A later durable append makes the earlier ones durable too.

        Raises:
            Conflict: an id was used before for an event of another content; nothing is appended.
            InvalidInput: an event that JSON cannot hold, or of no known kind; nothing is appended.
            LogUnavailable: the log is locked or cannot be written; nothing is appended.
        """
        rows = [_row(event) for event in events]
        with self._explained("written"), self._transaction(durable=durable) as db:
            for vector in vectors:
                db.execute(
                    "insert or ignore into vectors (ref, encoder, vector) values (?, ?, ?)",
                    (vector.ref, vector.encoder, vector.blob),
                )
            for blob in blobs:
                db.execute("insert or ignore into blobs (ref, data) values (?, ?)", (blob_reference(blob), blob))
            return [_insert(db, row) for row in rows]

    def blob(self, ref: str) -> bytes:
        """A blob by its hash.

        Raises:
            Unknown: the log holds none of this hash.
        """
        row = self._one("select data from blobs where ref = ?", (ref,))
        if row is None:
            raise Unknown(f"the learning log holds no blob {ref!r}")
        return bytes(row[0])

    def last_seq(self) -> int:
        """`seq` of the newest event, 0 for an empty log."""
        row = self._one("select max(seq) from events")
        return int(row[0] or 0) if row else 0

    def event(self, id: str) -> Event | None:
        """The event with this id."""
        row = self._one(f"select {_COLUMNS} from events where id = ?", (id,))
        return _event(row) if row else None

    def read(
        self,
        *,
        after: int = 0,
        upto: int | None = None,
        kinds: Sequence[str] = (),
        loop: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Events with `after < seq <= upto` in order of `seq`.

        With `loop`, the events of that loop and those of no loop (an outcome on a turn concerns every loop).
        """
        upto, order = _END if upto is None else upto, f"order by seq {'desc' if newest_first else 'asc'}"
        if limit is not None:
            order += f" limit {int(limit)}"
        if limit is not None and kinds:
            where, values = _few(kinds, loop, after, upto, order)
        else:
            where, values = _all_of(kinds, loop, after, upto)
        yield from map(_event, self._all(f"select {_COLUMNS} from events where {where} {order}", values))

    def decisions(self, *, column: str, value: str, before: int | None = None) -> list[Event]:
        """The decisions with this `decision`, `turn` or `conversation`, made before a `seq`, oldest first."""
        return self._about(column, value, ("decision",), None if before is None else before - 1)

    def messages(self, conversation: str, *, limit: int, kind: str = "message") -> list[Event]:
        """The latest messages of a conversation (or its events of another kind), oldest first."""
        rows = self._all(
            f"select {_COLUMNS} from events where conversation = ? and kind = ? order by seq desc limit ?",
            (conversation, kind, limit),
        )
        return [_event(row) for row in reversed(rows)]

    def addressed(self, event: Event) -> list[Event]:
        """The decisions that an outcome (or what takes it back) is about: those made before it at its address."""
        for column in ADDRESSES:
            value = getattr(event, column)
            if value is not None:
                return self.decisions(column=column, value=value, before=event.seq)
        return []

    def evidence(self, decision: Event, *, upto: int | None = None) -> list[Event]:
        """All that bears on what a decision has earned, oldest first, the events that take back included.

        Outcomes on its turn or conversation count from the decision on.
        """
        found = self._about("decision", decision.decision, EVIDENCE, upto)
        for column, value in (("turn", decision.turn), ("conversation", decision.conversation)):
            if value is not None:
                found += [e for e in self._about(column, value, EVIDENCE, upto) if e.seq > decision.seq]
        return sorted(found, key=lambda event: event.seq)

    def knows(self, column: str, value: str) -> bool:
        """Whether there is any event with this `conversation`, `turn` or `decision`."""
        return self._one(f"select 1 from events where {column} = ? limit 1", (value,)) is not None

    def beside(self, event: Event, kinds: Sequence[str]) -> list[Event]:
        """The events of these kinds at the same address as this one, oldest first."""
        for column in ADDRESSES:
            value = getattr(event, column)
            if value is not None:
                return self._about(column, value, kinds, None)
        return []

    def later_turns(self, decision: Event) -> list[int]:
        """The `seq` at which each later turn of the decision's conversation was first decided, in any loop, ascending.

        A decision that belongs to no turn is one of its own.
        """
        sql = (
            "select min(seq) from events where conversation = ? and kind = 'decision' "
            "group by coalesce(turn, id) having min(seq) > ? order by min(seq)"
        )
        return [int(seq) for (seq,) in self._all(sql, (decision.conversation, decision.seq))]

    def vectors(self, refs: Iterable[str], *, encoder: str) -> dict[str, array[float]]:
        """The stored embeddings (d floats each) of those of the texts that have one, by their hash."""
        return {ref: array("f", vector) for ref, vector in self._vectors(refs, encoder)}

    def stacked(self, refs: Iterable[str], *, encoder: str) -> tuple[list[str], bytearray]:
        """The same for very many texts: the hashes of those m that have one, and their embeddings, m x d float32."""
        rows = self._vectors(refs, encoder)
        return [ref for ref, _ in rows], bytearray().join(vector for _, vector in rows)

    def contexts(self, loop: str, *, upto: int) -> list[tuple[int, str]]:
        """`seq` of a loop's decisions up to one, oldest first, and what the context vector of each is made of.

        That is a JSON list of pairs: the hash of a text, and its weight.
        """
        # Without the hint the decisions are read whole, at a hundred times the cost.
        return self._all(
            "select seq, coalesce(json_extract(body, '$.context.blocks.\"\"'), json_extract(body, '$.context.refs')) "
            "from events indexed by events_context where kind = 'decision' and loop = ? and seq <= ? order by seq",
            (loop, upto),
        )

    def made(self, loop: str) -> dict[str, int]:
        """How many decisions a loop has made under each model version."""
        sql = (
            "select json_extract(body, '$.model_version'), count(*) from events indexed by events_choice "
            "where kind = 'decision' and loop = ? group by json_extract(body, '$.model_version')"
        )
        return {str(version): int(n) for version, n in self._all(sql, (loop,))}

    def chosen(self, loop: str, *, since: float, until: float) -> dict[str, int]:
        """How many decisions with `since <= at < until` a loop has made for each candidate."""
        sql = (
            "select json_extract(body, '$.chosen'), count(*) from events indexed by events_choice "
            "where kind = 'decision' and loop = ? and at >= ? and at < ? group by json_extract(body, '$.chosen')"
        )
        return {str(candidate): int(n) for candidate, n in self._all(sql, (loop, since, until))}

    def persons(self, seqs: Iterable[int]) -> dict[int, str]:
        """Whose messages and decisions those at `seqs` are (keyed hashes), where that is known."""
        sql = (
            "select e.seq, json_extract(e.body, '$.person') from json_each(?) j cross join events e on e.seq = j.value "
            "where e.kind in ('message', 'decision')"
        )
        return {int(seq): str(person) for seq, person in self._all(sql, (json.dumps(list(seqs)),)) if person}

    def heard(self, seqs: Iterable[int], *, upto: int) -> set[int]:
        """Those of the decisions at `seqs` that were sent and have an outcome by `upto`, be it taken back since."""
        evidence = (
            "exists (select 1 from events e where e.{0} = d.{0} and e.kind in ({1}) and e.seq between d.seq and ?)"
        )
        sent = evidence.format("decision", "'activated', 'outcome'")
        outcomes = " or ".join(evidence.format(column, "'outcome'") for column in ADDRESSES)
        rows = self._all(
            f"select seq from events d where seq in (select value from json_each(?)) and {sent} and ({outcomes})",
            (json.dumps(list(seqs)), *[upto] * (1 + len(ADDRESSES))),
        )
        return {int(seq) for (seq,) in rows}

    def check(self) -> list[str]:
        """What SQLite's own integrity check finds wrong with the file; empty when it is sound."""
        return [str(row[0]) for row in self._all("pragma integrity_check") if row[0] != "ok"]

    def counts(self) -> dict[str, int]:
        """How many events there are of each kind."""
        return {str(kind): int(n) for kind, n in self._all("select kind, count(*) from events group by kind")}

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Database]:
        """A transaction of one's own, for tables beside the events.

        Raises:
            LogUnavailable: the log is locked or cannot be written; nothing is.
        """
        with self._explained("written"), self._transaction(durable=durable) as db:
            yield db

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query on those tables finds."""
        return self._all(sql, values)

    def close(self) -> None:
        """Close every thread's connection. The log can be used again: it reopens."""
        with self._lock:
            for database in self._databases:
                database.conn.close()
            self._databases.clear()
            self._local = threading.local()

    def _vectors(self, refs: Iterable[str], encoder: str) -> list[tuple[str, bytes]]:
        # In the order of the index, each of whose pages is then read once.
        wanted = json.dumps(sorted(set(refs)))
        return self._all(
            "select ref, vector from json_each(?) cross join vectors on ref = value and encoder = ?", (wanted, encoder)
        )

    def _about(self, column: str, value: str | None, kinds: Sequence[str], upto: int | None) -> list[Event]:
        marks = ", ".join("?" * len(kinds))
        return [
            _event(row)
            for row in self._all(
                f"select {_COLUMNS} from events where {column} = ? and kind in ({marks}) and seq <= ? order by seq",
                (value, *kinds, _END if upto is None else upto),
            )
        ]

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._explained("read"):
            return list(self._db().execute(sql, values).fetchall())

    def _db(self) -> Database:
        db: Database | None = getattr(self._local, "db", None)
        if db is None:
            connection = sqlite3.connect(
                self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
            )
            db = self._local.db = Database(connection, recursive_triggers=False, execute_plugins=False)
            with self._lock:
                self._databases.add(db)
        return db

    def _migrate(self) -> None:
        db = self._db()
        if db.journal_mode != "wal":
            db.enable_wal()
        if migrations.pending(db):
            with self._transaction():  # the first process migrates, the others wait and find nothing to do
                migrations.apply(db)

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[Database]:
        db = self._db()
        # Threads wait for one another here: SQLite would have each sleep and look again, some for ever.
        if not self._writer.acquire(timeout=self._busy_seconds):
            raise sqlite3.OperationalError("other threads are writing")
        try:
            db.conn.execute(f"pragma synchronous = {'full' if durable and not self._scratch else 'normal'}")
            # IMMEDIATE takes the write lock at once, so that waiting happens here, where the busy time-out holds.
            db.conn.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            else:
                db.commit()
        finally:
            self._writer.release()

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
            raise LogUnavailable(f"the learning log {self.path} cannot be {verb}: {error}") from error


@dataclass(frozen=True)
class Vector:
    """An embedding to keep: of which text (`ref`, its hash), by which encoder, d float32 in `blob`."""

    ref: str
    encoder: str
    blob: bytes


def blob_reference(blob: bytes) -> str:
    """The hash by which a blob is kept and referred to (sha256, 64 hex digits)."""
    return hashlib.sha256(blob).hexdigest()


def _row(event: Event) -> tuple[Any, ...]:
    if event.kind not in KINDS:
        raise InvalidInput(f"event {event.id}: unknown kind {event.kind!r}; known are {', '.join(sorted(KINDS))}")
    if not event.id or not math.isfinite(event.at):
        raise InvalidInput(f"a {event.kind} event needs an id and a finite time; got {event.id!r}, {event.at!r}")
    try:
        body = json.dumps(event.body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        body.encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"event {event.id}: its body cannot be written as JSON: {error}") from error
    address = (event.loop, event.conversation, event.turn, event.decision)
    return (event.id, event.kind, *address, event.at, body)


def _insert(db: Database, row: tuple[Any, ...]) -> Appended:
    cursor = db.execute(
        "insert into events (id, kind, loop, conversation, turn, decision, at, body) "
        "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
        row,
    )
    if cursor.rowcount == 1:
        return Appended(seq=int(cursor.lastrowid or 0), duplicate=False)
    there = db.execute(f"select {_COLUMNS} from events where id = ?", (row[0],)).fetchone()
    # The time of a repeated delivery may differ; what it is about, and what it says, may not.
    same = there[1:7] == row[:6] and (row[1] in _FIRST_WORD_HOLDS or json.loads(there[8]) == json.loads(row[7]))
    if not same:
        raise Conflict(f"event {row[0]} is in the log already, as another {there[2]} (seq {there[0]})")
    return Appended(seq=int(there[0]), duplicate=True)


def _all_of(kinds: Sequence[str], loop: str | None, after: int, upto: int) -> tuple[str, list[Any]]:
    """A condition that these events meet, and the values in it."""
    where, values = ["seq > ?", "seq <= ?"], [after, upto]  # type: tuple[list[str], list[Any]]
    if kinds:
        where.append(f"kind in ({', '.join('?' * len(kinds))})")
        values += kinds
    if loop is not None:
        where.append("(loop = ? or loop is null)")
        values.append(loop)
    return " and ".join(where), values


def _few(kinds: Sequence[str], loop: str | None, after: int, upto: int, order: str) -> tuple[str, list[Any]]:
    """A condition that the first few of these events in an order meet, and not many others; and the values in it.

    The few of a kind (and, in a loop, of either scope) lie together in an index: a sort of all that there are would
    take as long as the log is.
    """
    scopes: list[tuple[str, list[Any]]] = [("", [])]
    if loop is not None:
        scopes = [(" and loop = ?", [loop]), (" and loop is null", [])]
    arms, values = [], list[Any]()
    for kind in kinds:
        for scope, of in scopes:
            where = f"kind = ?{scope} and seq > ? and seq <= ?"
            arms.append(f"select seq from (select seq from events where {where} {order})")
            values += [kind, *of, after, upto]
    return f"seq in ({' union all '.join(arms)})", values


def _event(row: Sequence[Any]) -> Event:
    seq, id, kind, loop, conversation, turn, decision, at, body = row
    return Event(
        id=id,
        kind=kind,
        at=at,
        loop=loop,
        conversation=conversation,
        turn=turn,
        decision=decision,
        body=json.loads(body),
        seq=seq,
    )
