"""Formats: numbers, shares, times and spans as people read them, in the language spoken. Filters of the templates."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from babel import Locale, dates, numbers

from agent.console.language import gettext as _
from agent.console.language import locale

_MINUS = "\N{MINUS SIGN}"
_LATEST = 32_503_680_000.0  # the year 3000


def number(value: float, digits: int = 0) -> str:
    """With so many decimals, and thousands apart: 12,345."""
    return _decimal(value, f"#,##0.{'0' * digits}" if digits else "#,##0")


def compact(value: float) -> str:
    """A large count in few signs: 1.2M."""
    short: str = numbers.format_compact_decimal(value, locale=locale(), fraction_digits=0 if abs(value) < 1_000 else 1)
    return short


def score(value: float) -> str:
    """Two decimals: a reward."""
    return _decimal(value + 0.0, "0.00")  # the worst of a signal that counts down is a zero with a sign


def plain(value: float) -> str:
    """Three decimals."""
    return _decimal(value, "0.000")


def signed(value: float) -> str:
    """Three decimals, with a sign."""
    return _decimal(value, "+0.000;-0.000")


def slight(value: float) -> str:
    """Two decimals, with a sign."""
    return _decimal(value, "+0.00;-0.00")


def points(value: float) -> str:
    """One decimal, with a sign: percentage points."""
    return _decimal(value, "+0.0;-0.0")


def bytes_(size: float) -> str:
    """A size in the largest unit that it fills: 1.2 GB."""
    unit, value = "B", float(size)
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1_000.0:
            break
        unit, value = larger, value / 1_000.0
    return f"{number(value, 0 if unit == 'B' or value >= 100.0 else 1)}\N{NO-BREAK SPACE}{unit}"


def short(value: float) -> str:
    """As many digits as tell it, at most six: 0.25, 3, 1e-09."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:g}".replace("-", _MINUS)
    return _decimal(float(f"{value:.6g}"), "0.######")


def percent(share: float) -> str:
    """A probability: a small one never looks like zero, nor a large one like certainty."""
    if 0.0 < share < 0.001:
        return f"< {_percent(0.001, 1)}"
    if 0.999 < share < 1.0:
        return f"> {_percent(0.999, 1)}"
    return _percent(share, 0 if share in (0.0, 1.0) else 1)


def share(value: float) -> str:
    """A part of a whole that may be below zero."""
    return _percent(value, 1)


def clock(at: float) -> str:
    """The time of day of a unix time, to the second, by this machine's clock."""
    said: str = dates.format_time(moment(at), "HH:mm:ss", locale=locale())
    return said


def day(at: float) -> str:
    """The date of a unix time, or that it is today's."""
    if moment(at).date() == moment(time.time()).date():
        return _("today")
    return date(at)


def date(at: float) -> str:
    """The date of a unix time: 5 Mar 2026."""
    return _dated(moment(at).date(), locale())


def tick(at: float, by: str = "day") -> str:
    """A unix time beneath an axis of days or hours: 5 Mar, 14:00."""
    if by == "hour":
        return f"{moment(at):%H:%M}"
    said: str = dates.format_skeleton("MMMd", moment(at), locale=locale())
    return said


def stamp(at: float, by: str = "day") -> str:
    """The day, or the day and the hour, that a unix time begins."""
    return f"{date(at)}, {tick(at, by)}" if by == "hour" else date(at)


def iso(at: float) -> str:
    """A unix time for machines."""
    return moment(at).isoformat(timespec="seconds")


def ago(at: float) -> str:
    """How long ago a unix time was: 3 hours ago."""
    said: str = dates.format_timedelta(moment(at) - moment(time.time()), add_direction=True, locale=locale())
    return said


def duration(seconds: float) -> str:
    """A span of time in its largest unit: 3 hours."""
    said: str = dates.format_timedelta(timedelta(seconds=seconds), locale=locale())
    return said


def moment(at: float) -> datetime:
    """A unix time on this machine's clock, which the console's reader sits at; far-off times are cut."""
    return datetime.fromtimestamp(min(max(at, 0.0), _LATEST)).astimezone()


# A page says the same number or date many times over, and to write one is not cheap.
@lru_cache(maxsize=20_000)
def _written(value: float, pattern: str, where: Locale) -> str:
    said: str = numbers.format_decimal(value, pattern, locale=where)
    return said.replace("-", _MINUS)


@lru_cache(maxsize=2_000)
def _dated(day: dt.date, where: Locale) -> str:
    said: str = dates.format_date(day, "medium", locale=where)
    return said


@lru_cache(maxsize=20_000)
def _shared(share: float, digits: int, where: Locale) -> str:
    whole = where.percent_formats[None].pattern  # where the sign stands, and what parts it from the number
    pattern = whole.replace("#,##0", f"#,##0.{'0' * digits}") if digits else whole
    said: str = numbers.format_percent(share, pattern, locale=where)
    return said.replace("-", _MINUS)


def _decimal(value: float, pattern: str) -> str:
    return _written(value, pattern, locale())


def _percent(share: float, digits: int) -> str:
    return _shared(share, digits, locale())


FILTERS: dict[str, Callable[..., Any]] = {
    made.__name__.rstrip("_"): made
    for made in (
        number,
        compact,
        score,
        plain,
        signed,
        slight,
        points,
        bytes_,
        short,
        percent,
        share,
        clock,
        day,
        date,
        tick,
        stamp,
        iso,
        ago,
        duration,
    )
}
