"""Bulk: the same note on many conversations, in short transactions, taken back as one.

The ids of its events begin with its own, so that it can be taken back by any process at any time, whatever became of
the one that made it.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from agent.annotations import annotated
from agent.database import Row
from agent.errors import InvalidInput, RejoinderError, Unknown
from agent.reports import Reports
from agent.review.conversations import place_of
from agent.review.index import BATCH, ReviewIndex

AT_ONCE = 500  # conversations: more are noted while whoever asked looks at how far it is
CHUNK = 250  # events a transaction: milliseconds, in which the bot waits
_KEPT = 100  # of what went on in this process
_log = logging.getLogger(__name__)
#: what can be noted on many at once.
NOTES = ("flag", "tag", "untag", "reviewed", "assigned")


@dataclass
class Bulk:
    """How far it is: `done` of `total` conversations (0: not counted); `trouble` says why it ended early."""

    id: str
    what: str
    value: str | bool
    done: int = 0
    total: int = 0
    over: bool = False
    undone: bool = False
    trouble: str = ""


class Bulks:
    """The bulk changes that this process makes, and what the log knows of earlier ones."""

    def __init__(self, reports: Reports, index: ReviewIndex) -> None:
        self._reports, self._index = reports, index
        self._running: dict[str, Bulk] = {}
        self._lock = threading.Lock()

    def note(self, what: str, value: str | bool | None, keys: Iterable[str], *, who: str, total: int) -> Bulk:
        """Note the same on the conversations of these keys, of which there are `total`; many in the background.

        Raises:
            InvalidInput: it cannot be noted on many, or takes no such value.
        """
        if what not in NOTES:
            raise InvalidInput(f"what is noted on many is one of {', '.join(NOTES)}; got {what[:40]!r}")
        bulk = Bulk(uuid.uuid4().hex, what, annotated(what, value), total=total)

        def work() -> None:
            left, number = iter(keys), 0
            while chunk := list(islice(left, CHUNK)):
                places = {f"{_prefix(bulk.id)}{number + i:07d}": place_of(key) for i, key in enumerate(chunk)}
                self._reports.annotate_all(what, value, places, who=who)
                number += len(chunk)
                bulk.done = number

        return self._start(bulk, work)

    def undo(self, id: str, *, who: str) -> Bulk:
        """Take back all that still stands of a bulk change; much in the background.

        Raises:
            Unknown: the log knows of none of this id.
        """
        made = self.find(id)
        while not self._index.catch_up(most=BATCH):
            pass
        standing = [row["id"] for row in self._rows(id) if row["standing"]]
        bulk = Bulk(id, made.what, made.value, total=len(standing), undone=True)

        def work() -> None:
            for start in range(0, len(standing), CHUNK):
                self._reports.revoke_all(standing[start : start + CHUNK], who=who)
                bulk.done = min(start + CHUNK, len(standing))

        return self._start(bulk, work)

    def find(self, id: str) -> Bulk:
        """A bulk change as it stands: under way, or what the log has of it.

        Raises:
            Unknown: the log knows of none of this id.
        """
        if found := self._running.get(id):
            return found
        rows = self._rows(id)
        if not rows:
            raise Unknown(f"unknown bulk change {id[:40]!r}")
        undone = not any(row["standing"] for row in rows)
        return Bulk(id, rows[0]["what"], rows[0]["value"], len(rows), len(rows), over=True, undone=undone)

    def _rows(self, id: str) -> list[Row]:
        sql = "select id, what, value, standing from annotations where id >= ? and id < ? order by id"
        return self._index.rows(sql, (_prefix(id), f"{_prefix(id)[:-1]};"))

    def _start(self, bulk: Bulk, work: Callable[[], None]) -> Bulk:
        with self._lock:
            self._running[bulk.id] = bulk
            over = [id for id, known in self._running.items() if known.over]
            for id in over[: max(0, len(self._running) - _KEPT)]:
                del self._running[id]
        if bulk.total <= AT_ONCE:
            self._work(bulk, work, again=True)
        else:
            name = f"rejoinder-bulk-{bulk.id[:8]}"
            threading.Thread(target=self._work, args=(bulk, work), name=name, daemon=True).start()
        return bulk

    def _work(self, bulk: Bulk, work: Callable[[], None], *, again: bool = False) -> None:
        try:
            work()
        except Exception as error:
            bulk.trouble = (
                str(error) if isinstance(error, RejoinderError) else "something went wrong; the log says what"
            )
            if again:
                raise
            _log.warning("a bulk change: %s", error, exc_info=not isinstance(error, RejoinderError))
        finally:
            bulk.over = True


def _prefix(id: str) -> str:
    return f"bulk:{id}:"
