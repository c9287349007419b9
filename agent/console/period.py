"""Period: the days that a page looks back on, and of what, as its address says; and the way to what lies behind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from urllib.parse import urlencode

from fastapi import Request

from agent.console.language import N_
from agent.errors import InvalidInput
from agent.review.filters import WHENS, Filter
from agent.review.overview import Scope
from agent.review.rows import day_of

ALL, DATES, DEFAULT = "all", "dates", "30d"
#: what a period can be called in an address, and on a page.
NAMES = {
    "today": N_("Today"),
    "yesterday": N_("Yesterday"),
    "7d": N_("7 days"),
    "30d": N_("30 days"),
    "90d": N_("90 days"),
    ALL: N_("All"),
}
_KINDS = ("channel", "language", "loop", "version")
_OLDEST = date(1971, 1, 1).toordinal()


@dataclass(frozen=True)
class Period:
    """Days, what of them is looked at, and the name (a key of `NAMES`, or `dates`) under which they were asked for."""

    name: str
    scope: Scope
    today: int

    def pairs(self, **changes: str) -> list[tuple[str, str]]:
        """The address's names and values that ask for it, some of them changed."""
        scope = self.scope
        found = {"when": self.name, "from": "", "to": ""}
        if self.name == DATES:
            found = {"when": "", "from": iso(scope.first), "to": iso(scope.last)}
        found |= {kind: getattr(scope, kind) for kind in _KINDS}
        return [(name, value) for name, value in (found | changes).items() if value]

    def conversations(self, first: int | None = None, last: int | None = None, *facets: tuple[str, str]) -> str:
        """The path of the conversations that lie behind a figure: of all days, or of those from `first` to `last`."""
        scope = self.scope
        days = f"from={iso(scope.first if first is None else first)}&to={iso(scope.last if last is None else last)}"
        kinds = [(kind, getattr(scope, kind)) for kind in _KINDS if getattr(scope, kind)]
        rest = _encoded((*kinds, *facets))
        return f"/conversations?{days}&{rest}" if rest else f"/conversations?{days}"


@lru_cache(maxsize=1_000)
def _encoded(pairs: tuple[tuple[str, str], ...]) -> str:
    return urlencode(pairs)


def period_of(request: Request, span: tuple[int, int] | None) -> Period:
    """The period that a request asks for: days of its own (`from`, `to`), a name (`when`), or the last thirty days.

    `span` is the first and the last day there are.

    Raises:
        InvalidInput: a value means nothing.
    """
    pairs = list(request.query_params.multi_items())
    name = next((value for key, value in pairs if key == "when" and value), "")
    if name not in ("", DATES, *NAMES):
        raise InvalidInput(f"when: must be one of {', '.join(NAMES)}; got {name[:40]!r}")
    asked = Filter.of(_of(pairs, "from", "to", *_KINDS))
    today = day_of(time.time())
    first, last = span or (today, today)
    if asked.since or asked.until:
        name = DATES
        last = asked.until.toordinal() if asked.until else max(today, last)
        first = asked.since.toordinal() if asked.since else min(first, last)
    elif name == ALL:
        last = max(today, last)
    else:
        name = name if name in WHENS else DEFAULT
        first, last = _named(name, today)
    kinds = {kind: next(iter(asked.values(kind)), "") for kind in _KINDS}
    return Period(name, Scope(max(first, _OLDEST), last, **kinds), today)


def _named(name: str, today: int) -> tuple[int, int]:
    if name == "yesterday":
        return today - 1, today - 1
    return today - (0 if name == "today" else int(name[:-1]) - 1), today


def _of(pairs: Iterable[tuple[str, str]], *names: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name in names]


def iso(day: int) -> str:
    """A day as addresses have it: 2026-11-25."""
    return date.fromordinal(day).isoformat()


def midnight(day: int) -> float:
    """When a day begins where this machine stands, in unix seconds."""
    return datetime.fromordinal(day).astimezone().timestamp()
