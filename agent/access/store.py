"""The file `access.db`: users, sessions, keys, the trail and saved views. One file, short transactions, SQLite in WAL.

It is no part of the learning log: who may look is not something that was learned, and it changes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from agent.errors import AccessUnavailable

FILE = "access.db"
Connection: TypeAlias = sqlite3.Connection
Row: TypeAlias = sqlite3.Row
BUSY_SECONDS = 5.0
# Each brings the schema one step further; one that has landed is never edited.
_STEPS: tuple[str, ...] = (
    """
    create table users (
        name text primary key,
        folded text not null unique,
        role text not null,
        password text not null,
        enabled integer not null default 1,
        created real not null,
        changed real not null
    ) without rowid;
    create table sessions (
        hash blob primary key,
        user text not null references users (name),
        address text not null,
        created real not null,
        seen real not null
    ) without rowid;
    create index sessions_user on sessions (user);
    create table keys (
        name text primary key,
        hash blob not null unique,
        hint text not null,
        scopes text not null,
        created real not null,
        creator text not null,
        expires real,
        used real,
        revoked real
    ) without rowid;
    create table audit (
        id integer primary key autoincrement,
        at real not null,
        who text not null,
        role text not null,
        action text not null,
        object text not null,
        address text not null
    );
    create index audit_who on audit (who, id);
    create index audit_action on audit (action, id);
    create trigger audit_no_update before update on audit
        begin select raise(abort, 'the trail is append-only'); end;
    create trigger audit_no_delete before delete on audit
        begin select raise(abort, 'the trail is append-only'); end;
    create table views (
        id integer primary key autoincrement,
        owner text not null,
        name text not null,
        query text not null,
        shared integer not null,
        created real not null,
        unique (owner, name)
    );
    """,
    "create index audit_at on audit (at, id);",
)


class Store:
    """The database, safe to use from several threads and several processes.

    Reading never waits for who writes, here or in another process.

    Raises:
        AccessUnavailable: the file cannot be opened, read or written, or is locked for longer than `busy_seconds`.
    """

    def __init__(self, home: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = home / FILE
        self._reading, self._writing = threading.Lock(), threading.Lock()
        with self._explained("opened"):
            home.mkdir(parents=True, exist_ok=True)
            # It holds hashes of passwords: made readable by its owner alone, and SQLite's side files follow it.
            self.path.touch(mode=0o600)
            self._writer = self._connect(busy_seconds)
            self._migrate()
            self._reader = self._connect(busy_seconds)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What a question finds, values given as parameters."""
        with self._explained("read"), self._reading:
            return self._reader.execute(sql, values).fetchall()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the lock of who writes from its start: what it reads stays so until it ends."""
        with self._explained("written"), self._writing:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("rollback")
                raise
            self._writer.execute("commit")

    def close(self) -> None:
        """Close the file; using the store afterwards is an error."""
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()

    def _connect(self, busy_seconds: float) -> sqlite3.Connection:
        made = sqlite3.connect(self.path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        made.row_factory = sqlite3.Row
        made.execute("pragma journal_mode = wal")
        made.execute("pragma foreign_keys = on")
        return made

    def _migrate(self) -> None:
        with self.change() as db:
            done = int(db.execute("pragma user_version").fetchone()[0])
            for step in _STEPS[done:]:
                for statement in _statements(step):
                    db.execute(statement)
            if done < len(_STEPS):
                db.execute(f"pragma user_version = {len(_STEPS)}")

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AccessUnavailable(f"{self.path} cannot be {done}: {error}") from error


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would commit the transaction that is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), "a step ends with a whole statement"
