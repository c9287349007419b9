"""The trail: who did what, from the learning log and from the trail of users and keys, as one list, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.access.audit import Audit
from agent.errors import InvalidInput
from agent.review.index import ReviewIndex

#: what the trail of access is told apart by: how its actions begin.
ACCESS = ("log-in", "log-out", "password", "account", "user", "key")
_LOG, _ACCESS = 0, 1
_END = 2**62


@dataclass(frozen=True)
class Deed:
    """Something that somebody did: `kind` is an event's, or the action in the trail of access.

    `conversation` is the key of the one it was about, `address` where it was done from; empty where there is none.
    """

    at: float
    who: str
    kind: str
    about: str
    why: str = ""
    loop: str = ""
    conversation: str = ""
    address: str = ""
    place: tuple[int, int] = (_LOG, 0)  # of those at the same time: the log's before access's, each by number


@dataclass(frozen=True)
class Page:
    """Deeds, newest first, and the cursor of the page of older ones; None: there is none."""

    deeds: Sequence[Deed]
    older: str | None


def page(
    index: ReviewIndex,
    audit: Audit | None,
    *,
    who: str = "",
    kind: str = "",
    before: str | None = None,
    limit: int = 50,
) -> Page:
    """The latest deeds, or those before a cursor; of one person, or of one kind. Without `audit`, the log's alone.

    Raises:
        InvalidInput: the cursor is none.
    """
    at, place = _cursor(before)
    found: list[Deed] = []
    if kind not in ACCESS:
        seq = place[1] if place[0] == _LOG else 0  # at that time all of the log's were shown before
        found += _of_log(index, at, seq, who, kind, limit + 1)
    if audit is not None and (not kind or kind in ACCESS):
        id = place[1] if place[0] == _ACCESS else _END
        entries = audit.until(at, id, limit=limit + 1, who=who or None, action=kind or None)
        found += [Deed(e.at, e.who, e.action, e.object, address=e.address, place=(_ACCESS, e.id)) for e in entries]
    found.sort(key=lambda deed: (-deed.at, deed.place[0], -deed.place[1]))
    rows = found[:limit]
    return Page(rows, _written(rows[-1]) if len(found) > limit else None)


def people(index: ReviewIndex, audit: Audit | None) -> list[str]:
    """Everybody who did anything."""
    return sorted({*_distinct(index, "who"), *(audit.people() if audit is not None else ())})


def kinds(index: ReviewIndex, audit: Audit | None) -> list[str]:
    """The kinds of deeds that can be asked for."""
    return [*_distinct(index, "kind"), *(ACCESS if audit is not None else ())]


def _distinct(index: ReviewIndex, column: str) -> Iterable[str]:
    # From one value to the next in the index, however many rows lie between.
    sql = (
        f"with recursive found (value) as (select min({column}) from actions union all "
        f"select (select min({column}) from actions where {column} > value) from found where value is not null) "
        "select value from found where value is not null"
    )
    return [row["value"] for row in index.rows(sql)]


def _of_log(index: ReviewIndex, at: float, seq: int, who: str, kind: str, limit: int) -> list[Deed]:
    where, values = ["(a.at, a.seq) < (?, ?)"], list[Any]((at, seq))
    for column, value in (("who", who), ("kind", kind)):
        if value:
            where.append(f"a.{column} = ?")
            values.append(value)
    rows = index.rows(
        "select a.*, c.key from actions a left join conversations c on c.id = a.conversation "
        f"where {' and '.join(where)} order by a.at desc, a.seq desc limit ?",
        (*values, limit),
    )
    return [
        Deed(
            row["at"], row["who"], row["kind"], row["about"], row["why"], row["loop"] or "", row["key"] or "",
            place=(_LOG, row["seq"]),
        )
        for row in rows
    ]  # fmt: skip


def _cursor(written: str | None) -> tuple[float, tuple[int, int]]:
    if not written:
        return math.inf, (_LOG, _END)
    try:
        at, source, number = written.split(":")
        found = float(at), (int(source), int(number))
    except ValueError as error:
        raise InvalidInput(f"before: no place in the trail; got {written[:60]!r}") from error
    if math.isnan(found[0]) or not 0 <= found[1][1] <= _END:
        raise InvalidInput(f"before: no place in the trail; got {written[:60]!r}")
    return found


def _written(deed: Deed) -> str:
    return f"{deed.at!r}:{deed.place[0]}:{deed.place[1]}"
