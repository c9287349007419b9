"""Conversations: pages of a list of them, filtered and sorted, in time that does not grow with the log."""

from __future__ import annotations

import math
import re
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
#: where a row stands in a list, as a pattern: what the list is sorted by, and the row's number.
CURSOR = r"-?[0-9]+(\.[0-9]+)?(e(-[0-9]{1,3}|\+[0-9]{2}))?:[0-9]{1,18}"


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
    first, last = (_written(rows[place], column) if rows else None for place in (0, -1))
    back = more if backwards else after is not None
    on = True if backwards else more
    return Page(rows, first if back else None, last if on and rows else None)


def beside(
    index: ReviewIndex, asked: Filter, row: Row, *, sort: str = "latest", now: float | None = None
) -> tuple[str | None, str | None]:
    """The keys of the conversations before and after one in the list of a filter, which need not hold it any more."""
    column, _ = SORTS[sort]
    if row[column] is None:
        return None, None
    place = _written(row, column)
    before = page(index, asked, sort=sort, limit=1, before=place, now=now).rows
    after = page(index, asked, sort=sort, limit=1, after=place, now=now).rows
    return before[0]["key"] if before else None, after[0]["key"] if after else None


def place_of(key: str) -> tuple[str, str]:
    """What the log knows a conversation by: the column, and its key there. A decision of none is its own."""
    return ("decision", key[1:]) if key.startswith("~") else ("conversation", key)


def count(index: ReviewIndex, asked: Filter, *, now: float | None = None, most: int = COUNTED) -> int:
    """How many conversations a filter finds, counted up to `most` and one more."""
    found = question(index, asked, now=time.time() if now is None else now, ordered=False)
    sql = f"select count(*) as n from (select 1 from {found.source} where {found.conditions} limit ?)"
    row = index.row(sql, (*found.values, most + 1))
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


def _written(row: Row, column: str) -> str:
    """Where a row stands in a list, as `_cursor` reads it."""
    return f"{row[column]!r}:{row['id']}"


def _cursor(written: str | None) -> tuple[Any, int] | None:
    if written is None:
        return None
    value, _, id = written.rpartition(":")
    if not re.fullmatch(CURSOR, written) or not math.isfinite(float(value)):
        raise InvalidInput(f"a page begins at a number and an id; got {written[:60]!r}")
    return float(value), int(id)
