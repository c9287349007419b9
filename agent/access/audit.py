"""The trail of what is no event of the learning log: log-ins, changes of users and keys, exports, downloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.access.store import Store
from agent.access.visitor import Visitor

MOST_ROWS = 1_000
_LONGEST = 500  # characters that are kept of what somebody sent
_COLUMNS = "id, at, who, role, action, object, address"


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did, and the `object` that it was done to.

    `id` grows with time; `at` is in unix seconds.
    """

    id: int
    at: float
    who: str
    role: str
    action: str
    object: str
    address: str


class Audit:
    """The trail: written to, never changed."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def write(self, visitor: Visitor, action: str, what: str = "", *, address: str = "") -> None:
        """Note what a visitor did, to what, and from where."""
        self.write_as(visitor.name, visitor.role, action, what, address=address)

    def write_as(self, who: str, role: str, action: str, what: str = "", *, address: str = "") -> None:
        """Note what somebody did who is no visitor: at the command line, or before being known."""
        row = (self._clock(), *(_kept(text) for text in (who, role, action, what, address)))
        with self._store.change() as db:
            db.execute("insert into audit (at, who, role, action, object, address) values (?, ?, ?, ?, ?, ?)", row)

    def read(
        self, *, limit: int = 100, before: int | None = None, who: str | None = None, action: str | None = None
    ) -> list[Entry]:
        """The latest entries, newest first; with `before`, those of a smaller `id`."""
        wanted = [("id < ?", before), ("who = ?", who), ("action = ?", action)]
        given = [(condition, value) for condition, value in wanted if value is not None]
        where = f"where {' and '.join(condition for condition, _ in given)} " if given else ""
        values = [_kept(value) if isinstance(value, str) else value for _, value in given]
        rows = self._store.rows(
            f"select {_COLUMNS} from audit {where}order by id desc limit ?", (*values, max(0, min(limit, MOST_ROWS)))
        )
        return [Entry(*row) for row in rows]

    def until(
        self, at: float, id: int | None = None, *, limit: int, who: str | None = None, action: str | None = None
    ) -> list[Entry]:
        """The latest entries before a unix time, newest first; of those at that very time, the ones of a smaller `id`.

        `action` is the beginning of what was done, such as `user` or `logged`.
        """
        where, values = ["(at, id) < (?, ?)"], list[float | int | str]((at, 0 if id is None else id))
        if who is not None:
            where.append("who = ?")
            values.append(_kept(who))
        if action is not None:
            where.append("substr(action, 1, ?) = ?")
            values += [len(action), _kept(action)]
        rows = self._store.rows(
            f"select {_COLUMNS} from audit where {' and '.join(where)} order by at desc, id desc limit ?",
            (*values, max(0, min(limit, MOST_ROWS))),
        )
        return [Entry(*row) for row in rows]

    def people(self) -> list[str]:
        """Everybody who is in the trail, in alphabetical order."""
        return [row["who"] for row in self._store.rows("select distinct who from audit order by who")]


def _kept(text: str) -> str:
    return text[:_LONGEST].encode("utf-8", "replace").decode()
