"""The review index: the learning log folded into tables that pages ask. Losing it costs time, never knowledge.

A second file beside the log, `review.db`, so that who reviews never keeps the bot from writing. It follows the log as
a model does: events beyond the `seq` it has come to are folded in order, in transactions of a few thousand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.database import Connection, Database, Row, Values
from agent.errors import LogUnavailable
from agent.log import LearningLog
from agent.review import sums
from agent.review.fold import Batch
from agent.review.schema import SCHEMA, VERSION

FILE = "review.db"
BATCH = 4_000  # events a transaction: a fraction of a second, after which others may write
Progress = Callable[[int, int], None]


class ReviewIndex:
    """What pages ask of an installation's log. Safe to use from several threads and processes.

    Raises:
        LogUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, log: LearningLog, home: Path) -> None:
        self.log = log
        self._path = home / FILE
        self._folding = threading.Lock()
        self._database = self._opened()

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """What a question finds."""
        return self._database.rows(sql, values)

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """The first row that a question finds."""
        return self._database.row(sql, values)

    @property
    def seq(self) -> int:
        """How far the log has been folded."""
        row = self._database.row("select value from state where name = 'seq'")
        return int(row["value"]) if row else 0

    def behind(self) -> int:
        """How many events there are that it does not know yet."""
        return max(0, self.log.last_seq() - self.seq)

    def catch_up(self, *, most: int | None = None, progress: Progress = lambda *_: None) -> bool:
        """Fold what the log has gained, about `most` events at a time; whether nothing is left.

        Where another thread is at it already, that one goes on alone.
        """
        if not self._folding.acquire(blocking=most is None or self.behind() <= most):
            return False
        try:
            last, done = self.log.last_seq(), 0
            while (seq := self._fold(last)) < last:
                done += BATCH
                progress(seq, last)
                if most is not None and done >= most:
                    return False
            return True
        finally:
            self._folding.release()

    def renew(self, *, most: int | None = None) -> bool:
        """Make the sums of days anew in which something has changed, at most so many, the latest first.

        Each is a transaction of its own. Whether none is left.
        """
        stale = self._database.rows("select day from stale_days order by day desc")
        for row in stale[:most]:
            with self._database.change(durable=False) as db:
                # Another thread or process may have been faster.
                if db.execute("delete from stale_days where day = ?", (row["day"],)).rowcount:
                    sums.renew(db, row["day"])
        return most is None or len(stale) <= most

    @property
    def share(self) -> float:
        """How much of the log has been folded, in [0, 1]."""
        last = self.log.last_seq()
        return min(1.0, self.seq / last) if last else 1.0

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _fold(self, last: int) -> int:
        """Fold one batch; the `seq` it has come to, which another process may have moved further."""
        with self._database.change(durable=False) as db:
            after = _state(db, "seq") or 0
            events = list(self.log.read(after=after, upto=last, limit=BATCH)) if after < last else []
            if not events:
                return max(int(after), last)
            batch = Batch(db, self.log)
            for event in events:
                batch.add(event)
            batch.settle()
            seq = events[-1].seq
            _keep(db, seq=seq, anchor=events[-1].id)
        return seq

    def _opened(self) -> Database:
        database = self._connected()
        row = {r["name"]: r["value"] for r in database.rows("select name, value from state")}
        seq = int(row.get("seq") or 0)
        event = next(self.log.read(after=seq - 1, upto=seq), None) if seq else None
        same = not seq or (event is not None and event.id == row.get("anchor"))
        if row.get("version") == VERSION and same:
            return database
        # Of an older version of this code, or of another log: made again.
        database.close()
        for path in (self._path, *(self._path.with_name(f"{FILE}-{side}") for side in ("wal", "shm"))):
            path.unlink(missing_ok=True)
        return self._connected()

    def _connected(self) -> Database:
        database = Database(self._path, [SCHEMA], unavailable=LogUnavailable)
        with database.change() as db:
            if _state(db, "version") is None:
                _keep(db, version=VERSION)
        return database


def _state(db: Connection, name: str) -> Any:
    row = db.execute("select value from state where name = ?", (name,)).fetchone()
    return row[0] if row else None


def _keep(db: Connection, **values: Any) -> None:
    db.executemany("insert or replace into state (name, value) values (?, ?)", list(values.items()))
