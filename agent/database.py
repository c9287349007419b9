"""A database: one SQLite file beside the learning log, for what is no event. Short transactions, readers never wait."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from agent.errors import RejoinderError

Connection: TypeAlias = sqlite3.Connection
Row: TypeAlias = sqlite3.Row
Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
BUSY_SECONDS = 5.0


class Database:
    """A file brought up to date by `steps`, safe to use from several threads and several processes.

    Each step is a script that brings the schema one step further; one that has landed is never edited. With `private`
    the file is readable by its owner alone.

    Raises:
        RejoinderError: of the kind `unavailable`, where the file cannot be opened, read or written, or is locked for
            longer than `busy_seconds`.
    """

    def __init__(
        self,
        path: Path,
        steps: Sequence[str],
        *,
        unavailable: type[RejoinderError],
        private: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.path = path
        self._unavailable, self._busy_seconds = unavailable, busy_seconds
        self._writing, self._lock = threading.Lock(), threading.Lock()
        self._local = threading.local()
        # Weak: the connection of a thread that has ended closes with it (thread pools come and go).
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        with self._explained("opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if private:
                path.touch(mode=0o600)  # SQLite's side files follow it
            self._migrate(steps)

    def rows(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        """What a question finds, values given as parameters."""
        with self._explained("read"):
            return self._connection().execute(sql, values).fetchall()

    def row(self, sql: str, values: Values = ()) -> sqlite3.Row | None:
        """The first row that a question finds."""
        with self._explained("read"):
            found: sqlite3.Row | None = self._connection().execute(sql, values).fetchone()
            return found

    @contextmanager
    def change(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the lock of who writes from its start: what it reads stays so until it ends."""
        with self._explained("written"):
            db = self._connection()
            if not self._writing.acquire(timeout=self._busy_seconds):
                raise sqlite3.OperationalError("other threads are writing")
            try:
                db.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
                db.execute("begin immediate")
                try:
                    yield db
                except BaseException:
                    db.execute("rollback")
                    raise
                db.execute("commit")
            finally:
                self._writing.release()

    def close(self) -> None:
        """Close every thread's connection. The database can be used again: it reopens."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        made: _Connection | None = getattr(self._local, "connection", None)
        if made is None:
            made = sqlite3.connect(
                self.path,
                timeout=self._busy_seconds,
                isolation_level=None,
                check_same_thread=False,
                factory=_Connection,
            )
            made.row_factory = sqlite3.Row
            made.execute("pragma foreign_keys = on")
            self._local.connection = made
            with self._lock:
                self._open.add(made)
        return made

    def _migrate(self, steps: Sequence[str]) -> None:
        self._connection().execute("pragma journal_mode = wal")
        with self.change() as db:
            done = int(db.execute("pragma user_version").fetchone()[0])
            for step in steps[done:]:
                for statement in statements(step):
                    db.execute(statement)
            if done < len(steps):
                db.execute(f"pragma user_version = {len(steps)}")

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(f"{self.path} cannot be {done}: {error}") from error


class _Connection(sqlite3.Connection):
    """A connection that a weak set can hold."""


def statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would commit the transaction that is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if statement.strip():
        raise ValueError(f"a script ends within a statement: {statement.strip()[:60]!r}")
