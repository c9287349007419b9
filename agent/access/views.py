"""Saved views of the conversation list: a name for a set of filters, one's own or shared with all."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from agent.access.names import checked_name
from agent.access.store import Row, Store
from agent.errors import InvalidInput, Unknown

LONGEST_QUERY = 4_000
MOST = 200  # of one owner
_COLUMNS = "id, owner, name, query, shared, created"


@dataclass(frozen=True)
class View:
    """What its `owner` calls the conversations that a `query` string finds."""

    id: int
    owner: str
    name: str
    query: str
    shared: bool
    created: float


class Views:
    """The saved views. Whoever may look may save; only the owner may change or remove."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def save(self, owner: str, name: str, query: str, *, shared: bool = False) -> View:
        """Save a view; one of this name of the same owner is replaced.

        Raises:
            InvalidInput: the name or the query cannot be used, or the owner has `MOST` views.
        """
        name, query = checked_name(name, what="view"), query.removeprefix("?")
        if len(query) > LONGEST_QUERY:
            raise InvalidInput(f"the filters of a view have up to {LONGEST_QUERY} characters; got {len(query)}")
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in query):
            raise InvalidInput("the filters of a view are no query string")
        with self._store.change() as db:
            others = db.execute("select count(*) from views where owner = ? and name != ?", (owner, name)).fetchone()
            if others[0] >= MOST:
                raise InvalidInput(f"{owner!r} has {MOST} views already: remove one first")
            row = db.execute(
                "insert into views (owner, name, query, shared, created) values (?, ?, ?, ?, ?) "
                "on conflict (owner, name) do update set query = excluded.query, shared = excluded.shared "
                f"returning {_COLUMNS}",
                (owner, name, query, int(shared), self._clock()),
            ).fetchone()
        return _view(row)

    def listed(self, owner: str) -> list[View]:
        """What somebody can open: their own views, then what others share, each by name."""
        rows = self._store.rows(
            f"select {_COLUMNS} from views where owner = ? or shared order by owner != ?, name, owner", (owner, owner)
        )
        return [_view(row) for row in rows]

    def remove(self, owner: str, id: int) -> View:
        """Remove a view of one's own.

        Raises:
            Unknown: the owner has no such view.
        """
        with self._store.change() as db:
            row = db.execute(
                f"delete from views where owner = ? and id = ? returning {_COLUMNS}", (owner, id)
            ).fetchone()
        if row is None:
            raise Unknown(f"unknown view {id}")
        return _view(row)


def _view(row: Row) -> View:
    return View(row["id"], row["owner"], row["name"], row["query"], bool(row["shared"]), row["created"])
