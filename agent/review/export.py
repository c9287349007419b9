"""Exports: what a filter finds as comma-separated values, a row a conversation or a row a decision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from agent.database import Row
from agent.errors import InvalidInput
from agent.review.conversations import keys, tags
from agent.review.filters import Filter
from agent.review.index import ReviewIndex

KINDS = ("conversations", "decisions")
#: columns of a row, beside the times and the tags.
_CONVERSATION = (
    "key", "channel", "language", "opening", "turns", "decisions", "outcomes", "reward", "worst", "uncertainty",
    "handed_over", "resolved", "flagged", "verdict", "assigned",
)  # fmt: skip
_DECISION = (
    "id", "key", "turn", "loop", "channel", "language", "intent", "text", "chosen", "version", "model_version",
    "propensity", "expected", "deviation", "explored", "live", "abstained", "activated", "reward", "weight",
)  # fmt: skip
_CHUNK = 500  # conversations asked for at a time
# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def export(index: ReviewIndex, asked: Filter, kind: str, *, now: float | None = None) -> Iterator[str]:
    """Lines of a file, a few hundred at a time, the names of the columns first. Times are in this machine's zone.

    Text that a spreadsheet would run as a formula is made text by an apostrophe.

    Raises:
        InvalidInput: there is no such kind of export.
    """
    if kind not in KINDS:
        raise InvalidInput(f"a row is one of {', '.join(KINDS)}; got {kind[:40]!r}")
    found = keys(index, asked, now=now, size=_CHUNK)
    rows = _conversations if kind == "conversations" else _decisions
    return _lines(index, found, kind, rows)


def _lines(index: ReviewIndex, found: Iterator[str], kind: str, rows: Any) -> Iterator[str]:
    names = ("key", "started", "last", *_CONVERSATION[1:], "tags") if kind == "conversations" else ("at", *_DECISION)
    yield written([names])
    while chunk := list(islice(found, _CHUNK)):
        yield written(rows(index, chunk))


def _conversations(index: ReviewIndex, chunk: Sequence[str]) -> Iterator[list[Any]]:
    rows = index.rows(f"select * from conversations where key in ({_marks(chunk)}) order by id", chunk)
    known = tags(index, [row["id"] for row in rows])
    for row in rows:
        rest = [row[name] for name in _CONVERSATION[1:]]
        yield [row["key"], _time(row["started"]), _time(row["last"]), *rest, "; ".join(known[row["id"]])]


def _decisions(index: ReviewIndex, chunk: Sequence[str]) -> Iterator[list[Any]]:
    rows: list[Row] = index.rows(
        "select d.*, c.key from conversations c join decisions d on d.conversation = c.id "
        f"where c.key in ({_marks(chunk)}) order by c.id, d.seq",
        chunk,
    )
    for row in rows:
        yield [_time(row["at"]), *(row[name] for name in _DECISION)]


def written(rows: Any) -> str:
    """Rows as lines, with what would be a formula made text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([guarded(value) for value in row] for row in rows)
    return out.getvalue()


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet runs: numbers as they are, text that begins as a formula does behind an apostrophe."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
