"""Conversations: pages of a list of them, filtered and sorted, in time that does not grow with the log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.database import Row
from agent.errors import InvalidInput, Unknown
from agent.review.filters import Filter, question
from agent.review.index import ReviewIndex

#: by what a list can be sorted: the column, and whether the greatest come first.
SORTS = {
    "latest": ("started", True),
    "oldest": ("started", False),
    "worst": ("worst", False),
    "uncertain": ("uncertainty", True),
    "longest": ("turns", True),
    "useful": ("priority", True),
}
COUNTED = 10_000  # a list is counted no further


@dataclass(frozen=True)
class Page:
    """Rows of `conversations`, and the cursors of the pages beside this one; None: there is none."""

    rows: Sequence[Row]
    newer: str | None
    older: str | None


def page(
    index: ReviewIndex,
    asked: Filter,
    *,
    sort: str = "latest",
    limit: int = 25,
    before: str | None = None,
    after: str | None = None,
    now: float | None = None,
) -> Page:
    """A page of the conversations that a filter finds: the first, the one `after` a cursor, or the one `before` it.

    Raises:
        InvalidInput: there is no such sort, or the cursor is not one.
    """
    if sort not in SORTS:
        raise InvalidInput(f"sort: must be one of {', '.join(SORTS)}; got {sort[:40]!r}")
    column, descending = SORTS[sort]
    found = question(index, asked, now=time.time() if now is None else now)
    where, values = [found.conditions, f"c.{column} is not null"], list(found.values)
    backwards = before is not None
    down = descending is not backwards
    cursor = _cursor(before or after)
    if cursor is not None:
        where.append(f"(c.{column}, c.id) {'<' if down else '>'} (?, ?)")
        values += cursor
    order = "desc" if down else "asc"
    rows = index.rows(
        f"select c.* from {found.source} where {' and '.join(where)} order by c.{column} {order}, c.id {order} limit ?",
        (*values, limit + 1),
    )
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    first, last = (f"{rows[place][column]!r}:{rows[place]['id']}" if rows else None for place in (0, -1))
    back = more if backwards else after is not None
    on = True if backwards else more
    return Page(rows, first if back else None, last if on and rows else None)


def count(index: ReviewIndex, asked: Filter, *, now: float | None = None) -> int:
    """How many conversations a filter finds, counted up to `COUNTED` and one more."""
    found = question(index, asked, now=time.time() if now is None else now)
    sql = f"select count(*) as n from (select 1 from {found.source} where {found.conditions} limit ?)"
    row = index.row(sql, (*found.values, COUNTED + 1))
    return int(row["n"]) if row else 0


def keys(index: ReviewIndex, asked: Filter, *, now: float | None = None, size: int = 1_000) -> Iterator[str]:
    """The keys of all conversations that a filter finds, as they stood when the first was asked for."""
    found = question(index, asked, now=time.time() if now is None else now)
    last = 0
    top = index.row("select max(id) as id from conversations")
    most = int(top["id"] or 0) if top else 0
    sql = f"select c.id, c.key from {found.source} where {found.conditions} and c.id > ? and c.id <= ?"
    while rows := index.rows(f"{sql} order by c.id limit ?", (*found.values, last, most, size)):
        yield from (row["key"] for row in rows)
        last = rows[-1]["id"]


def conversation(index: ReviewIndex, key: str) -> Row:
    """A conversation's row.

    Raises:
        Unknown: there is none of this key.
    """
    row = index.row("select * from conversations where key = ?", (key,))
    if row is None:
        raise Unknown(f"unknown conversation {key[:80]!r}")
    return row


def facets(index: ReviewIndex, kind: str, *, limit: int = 200) -> list[str]:
    """The values that a kind of facet has, in alphabetical order."""
    sql = (
        "select value from facets f where kind = ? and exists (select 1 from faceted where facet = f.id) "
        "order by value limit ?"
    )
    return [row["value"] for row in index.rows(sql, (kind, limit))]


def tags(index: ReviewIndex, ids: Sequence[int]) -> dict[int, list[str]]:
    """The tags of conversations, by id."""
    found: dict[int, list[str]] = {id: [] for id in ids}
    marks = ", ".join("?" * len(ids))
    sql = (
        "select f.conversation, n.value from faceted f join facets n on n.id = f.facet "
        f"where f.conversation in ({marks}) and n.kind = 'tag' order by n.value"
    )
    for row in index.rows(sql, tuple(ids)):
        found[row["conversation"]].append(row["value"])
    return found


def _cursor(written: str | None) -> tuple[Any, int] | None:
    if written is None:
        return None
    value, _, id = written.rpartition(":")
    try:
        return float(value), int(id)
    except ValueError as error:
        raise InvalidInput(f"a page begins at a number and an id; got {written[:60]!r}") from error
