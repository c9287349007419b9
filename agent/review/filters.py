"""Filters: which conversations are asked for, as people write it into an address, and as the index is asked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from agent.errors import InvalidInput
from agent.review.index import ReviewIndex

#: what a conversation can be found by, under the names that addresses use for it.
KINDS = (
    "channel", "language", "loop", "intent", "reply", "signal", "outcome", "said", "was", "tag", "verdict", "reviewer",
    "assigned", "version", "hour",
)  # fmt: skip
#: stretches of time that move along with the day.
WHENS = ("today", "yesterday", "7d", "30d", "90d")
_RANGES = ("reward", "uncertainty")
_OTHERS = ("q", "when", "from", "to", "not")
LONGEST_QUERY = 500
_NUMBER = r"[0-9]+\.?[0-9]*|\.[0-9]+"
#: a range, as a pattern: two numbers of which either may be left out.
RANGE = rf"(?=.*[0-9])({_NUMBER})?\.\.({_NUMBER})?"
# So many found by words are looked at, the latest; so few found by a facet are gone through rather than all others.
_MOST_FOUND, _FEW = 20_000, 5_000
_DAY = 86_400.0
Facet = tuple[str, str]


@dataclass(frozen=True)
class Filter:
    """Conversations by what was said, when, and what is known of them.

    Of several values of one kind any will do; of several kinds all must hold. `without` are facets that may not be.
    `when` is a stretch of `WHENS`; `since` and `until` are days, the last one included. `reward` and `uncertainty` are
    ranges, of which either end may be open.
    """

    q: str = ""
    when: str = ""
    since: date | None = None
    until: date | None = None
    facets: tuple[Facet, ...] = ()
    without: tuple[Facet, ...] = ()
    reward: tuple[float | None, float | None] = (None, None)
    uncertainty: tuple[float | None, float | None] = (None, None)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Filter:
        """The filter that the names and values of an address's query say; names of others are left alone.

        `not` names a facet as `kind:value`. Empty values say nothing.

        Raises:
            InvalidInput: a value means nothing; the message begins with its name.
        """
        made = cls()
        for name, value in pairs:
            if value.strip():
                made = made._with(name, value.strip())
        if made.since and made.until and made.since > made.until:
            raise InvalidInput(f"from: {made.since} comes after to: {made.until}")
        return made

    def _with(self, name: str, value: str) -> Filter:
        if name == "q":
            return replace(self, q=value[:LONGEST_QUERY])
        if name == "when":
            if value not in WHENS:
                raise InvalidInput(f"when: must be one of {', '.join(WHENS)}; got {value[:40]!r}")
            return replace(self, when=value)
        if name in ("from", "to"):
            day = _date(name, value)
            return replace(self, since=day) if name == "from" else replace(self, until=day)
        if name in _RANGES:
            ends = _range(name, value)
            return replace(self, reward=ends) if name == "reward" else replace(self, uncertainty=ends)
        if name == "not":
            kind, _, of = value.partition(":")
            if kind not in KINDS or not of:
                raise InvalidInput(f"not: must be kind:value, of the kinds {', '.join(KINDS)}; got {value[:60]!r}")
            return replace(self, without=_added(self.without, (kind, of)))
        return replace(self, facets=_added(self.facets, (name, value))) if name in KINDS else self

    def pairs(self) -> list[tuple[str, str]]:
        """The names and values that `of` makes this filter of."""
        found = [("q", self.q), ("when", self.when)]
        found += [
            ("from", self.since.isoformat() if self.since else ""),
            ("to", self.until.isoformat() if self.until else ""),
        ]
        found += [(name, _written(getattr(self, name))) for name in _RANGES]
        found += [*self.facets, *(("not", f"{kind}:{value}") for kind, value in self.without)]
        return [(name, value) for name, value in found if value]

    def values(self, kind: str) -> list[str]:
        """The values of a kind that are asked for."""
        return [value for name, value in self.facets if name == kind]

    def times(self, now: float) -> tuple[float | None, float | None]:
        """The stretch of time in unix seconds, the end not included; None where it is open."""
        today = datetime.fromtimestamp(now).astimezone().date()
        first, last = self.since, self.until
        if self.when == "yesterday":
            first = last = today - timedelta(days=1)
        elif self.when:
            first = today - timedelta(days=0 if self.when == "today" else int(self.when[:-1]) - 1)
        return _midnight(first), _midnight(last + timedelta(days=1) if last else None)


def _added(facets: tuple[Facet, ...], facet: Facet) -> tuple[Facet, ...]:
    return facets if facet in facets else (*facets, facet)


def _date(name: str, value: str) -> date:
    try:
        found = date.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(f"{name}: must be a day such as 2026-11-25; got {value[:40]!r}") from error
    if not 1971 <= found.year <= 2999:
        raise InvalidInput(f"{name}: must be a day of the years 1971 to 2999; got {value[:40]!r}")
    return found


def _range(name: str, value: str) -> tuple[float | None, float | None]:
    found = re.fullmatch(RANGE, value)
    if found is None:
        raise InvalidInput(f"{name}: must be a range such as 0.2..0.5, ..0.5 or 0.2..; got {value[:40]!r}")
    low, high = (float(end) if end else None for end in found.groups())
    return low, high


def _written(ends: tuple[float | None, float | None]) -> str:
    low, high = ("" if end is None else f"{end:.12g}" for end in ends)
    return f"{low}..{high}" if low or high else ""


def _midnight(day: date | None) -> float | None:
    return None if day is None else datetime(day.year, day.month, day.day).astimezone().timestamp()


@dataclass(frozen=True)
class Question:
    """A filter as SQL: what stands behind `from` (with `conversations` as `c`), the conditions, and their values."""

    source: str
    conditions: str
    values: tuple[Any, ...]


def question(index: ReviewIndex, asked: Filter, *, now: float, ordered: bool = True) -> Question:
    """The question to the index that finds what a filter asks for.

    Where the answer is `ordered`, by a column of an index, the first of it are found sooner along that than among many.
    """
    source, drive = "conversations c", list[Any]()
    since, until = asked.times(now)
    earliest = None if since is None else since - _longest(index) - 1.0  # and what rounding takes
    groups: dict[str, list[int]] = {}
    for kind, value in asked.facets:
        groups.setdefault(kind, []).extend(_ids(index, kind, value))
    few = min(groups.values(), key=lambda ids: _size(index, ids), default=None)
    by_facet = few is not None and _size(index, few) < _FEW
    by_time = not by_facet and earliest is not None and _between(index, earliest, until) < 4 * _FEW
    if asked.q:
        source = f"({_SAID}) s cross join conversations c on c.id = s.conversation"
        drive = [match(asked.q), _MOST_FOUND]
    elif by_time:
        found = "select id from conversations where started >= ? and started < ?"
        source, drive = f"({found}) s cross join conversations c on c.id = s.id", [earliest, _end(until)]
    elif few is not None and (by_facet or not ordered):
        found = f"select distinct conversation from faceted where facet in ({_marks(few)})"
        source, drive = f"({found}) s cross join conversations c on c.id = s.conversation", list(few)
    where, values = ["1"], list[Any]()
    for ids in groups.values():
        where.append(f"exists (select 1 from faceted where facet in ({_marks(ids)}) and conversation = c.id)")
        values += ids
    for kind, value in asked.without:
        ids = _ids(index, kind, value)
        where.append(f"not exists (select 1 from faceted where facet in ({_marks(ids)}) and conversation = c.id)")
        values += ids
    bounds = [("c.last >= ?", since), ("c.started >= ?", earliest), ("c.started < ?", until)]
    bounds += [(f"c.{name} >= ?", getattr(asked, name)[0]) for name in _RANGES]
    bounds += [(f"c.{name} <= ?", getattr(asked, name)[1]) for name in _RANGES]
    for condition, bound in bounds:
        if bound is not None:
            where.append(condition)
            values.append(bound)
    return Question(source, " and ".join(where), (*drive, *values))


_SAID = (
    "select distinct m.conversation from (select rowid from words where words match ? order by rowid desc limit ?) w "
    "join messages m on m.seq = w.rowid"
)


def match(q: str) -> str:
    """A question to the full-text index: every word must occur, what stands in quotes as it stands, the last may go on.

    Whatever people type is made of words and nothing else: there is no syntax to get wrong.
    """
    terms = [" ".join(re.findall(r"\w+", phrase or word)) for phrase, word in re.findall(r'"([^"]*)"|(\S+)', q)]
    found = [f'"{term}"' for term in terms if term]
    if not found:
        return '""'
    return " ".join(found) + ("" if q.rstrip().endswith('"') else "*")


def _ids(index: ReviewIndex, kind: str, value: str) -> list[int]:
    row = index.row("select id from facets where kind = ? and value = ?", (kind, value))
    return [] if row is None else [row["id"]]


def _size(index: ReviewIndex, ids: Sequence[int]) -> int:
    """How many conversations the facets hold, counted no further than to "many"."""
    sql = f"select count(*) as n from (select 1 from faceted where facet in ({_marks(ids)}) limit ?)"
    row = index.row(sql, (*ids, _FEW))
    return int(row["n"]) if row else 0


def _longest(index: ReviewIndex) -> float:
    """How long the longest conversation lasts, in seconds: none that goes on at a time began earlier than that."""
    row = index.row("select max(last - started) as longest from conversations")
    return float(row["longest"] or 0.0) if row else 0.0


def _between(index: ReviewIndex, since: float, until: float | None) -> int:
    """How many conversations began in a stretch of time, counted no further than to "many"."""
    sql = "select count(*) as n from (select 1 from conversations where started >= ? and started < ? limit ?)"
    row = index.row(sql, (since, _end(until), 4 * _FEW))
    return int(row["n"]) if row else 0


def _end(until: float | None) -> float:
    return math.inf if until is None else until


def _marks(ids: Sequence[int]) -> str:
    return ", ".join("?" * len(ids))
