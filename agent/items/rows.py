"""Rows: what a catalogue's file holds, from CSV, JSON lines or a JSON list, each with its line."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from agent.errors import InvalidInput

LONGEST_LINE = 64 << 20  # bytes; a longer line is lost, and named
LONGEST_RECORD = 128 << 20  # bytes of CSV lines that one pair of quotation marks may hold
_DELIMITERS = (",", ";", "\t")
_CHUNK = 1 << 16


class Row(NamedTuple):
    """One raw row, and the line it begins in (from 1; in a database or a JSON list, the number of the row)."""

    line: int
    values: Mapping[str, Any]


class Problem(NamedTuple):
    """What is wrong in a line, and so is not there."""

    line: int
    message: str


def form_of_type(content_type: str) -> str:
    """csv, lines, or "" where the type leaves it open: much is sent as JSON that is JSON lines."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("text/csv", "application/csv", "text/tab-separated-values"):
        return "csv"
    return "lines" if kind in ("application/x-ndjson", "application/jsonl", "application/x-jsonlines") else ""


def form_of(suffix: str, stream: IO[bytes]) -> str:
    """csv, lines or list, by the ending of a file's name, else by the first sign."""
    known = {".csv": "csv", ".tsv": "csv", ".jsonl": "lines", ".ndjson": "lines"}.get(suffix.lower())
    if known is None:
        begins = stream.read(_CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        stream.seek(0)
        known = {b"[": "list", b"{": "lines"}.get(begins, "csv")
    return known


def rows_of(stream: IO[bytes], *, where: str, form: str) -> Iterator[Row | Problem]:
    """The rows of a stream in one of these forms; a bad one is a problem, and loses nothing else.

    Raises:
        InvalidInput: there is no header, or no list, to begin with; `where` begins the message.
        OSError: the stream cannot be read on.
    """
    yield from {"csv": _csv_rows, "lines": _json_lines, "list": _json_list}[form](stream, where)


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines and their numbers from 1, without a byte order mark; None for one that is too long."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.endswith(b"\n") or len(line) < LONGEST_LINE:
            yield number, line
            continue
        while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
            pass
        yield number, None


def _json_lines(stream: IO[bytes], _: str) -> Iterator[Row | Problem]:
    for number, line in _lines(stream):
        if line is None:
            yield Problem(number, f"is longer than {LONGEST_LINE:,} bytes")
        elif line.strip():
            yield _json_row(number, line)


def _json_row(number: int, line: bytes) -> Row | Problem:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Problem(number, f"is not UTF-8, at byte {error.start + 1} (0x{line[error.start]:02x})")
    except json.JSONDecodeError as error:
        return Problem(number, f"is not JSON: {error.msg}, at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Problem(number, f"is not JSON that can be read: {error}")
    return Row(number, values) if isinstance(values, dict) else Problem(number, "is JSON, but not an object")


def _json_list(stream: IO[bytes], where: str) -> Iterator[Row | Problem]:
    # Broken bytes become lone surrogates, which lose one row below; a broken list is lost whole.
    text = stream.read().removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: is not a JSON list: {error}") from error
    del text
    if not isinstance(found, list):
        raise InvalidInput(f"{where}: is JSON, but not a list")
    for number, values in enumerate(found, start=1):
        if not isinstance(values, dict):
            yield Problem(number, "is not an object")
        elif (broken := _broken(values.items())) is not None:
            yield Problem(number, broken)
        else:
            yield Row(number, values)


def _broken(pairs: Iterable[tuple[str, Any]]) -> str | None:
    """What is wrong with the first text that is none; None if all are sound."""
    for name, value in pairs:
        for text in (name, value):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    code = ord(text[error.start])
                    byte = f" (0x{code - 0xDC00:02x})" if 0xDC80 <= code <= 0xDCFF else ""
                    shown = name.encode(errors="replace").decode()
                    return f"{shown}: is not UTF-8, at character {error.start + 1}{byte}"
    return None


class _Record:
    """The lines of a CSV file, as one csv.reader after the other takes them; those of a bad record can be put back."""

    def __init__(self, lines: Iterator[tuple[int, bytes | None]]) -> None:
        self._lines = lines
        self._back: deque[tuple[int, bytes | None]] = deque()
        self._taken: list[tuple[int, bytes | None]] = []
        self._size = 0
        self.ended = False

    @property
    def line(self) -> int:
        """The line that the record begins in."""
        return self._taken[0][0] if self._taken else 0

    def begin(self) -> None:
        """What comes next is a new record."""
        self._taken.clear()
        self._size = 0

    def give_up(self) -> None:
        """All but the first line of the record are read again, as records of their own."""
        self._back.extendleft(reversed(self._taken[1:]))
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._size > LONGEST_RECORD:
            raise StopIteration  # as if the file ended: the reader says that a quotation mark stands open
        taken = self._back.popleft() if self._back else next(self._lines, None)
        if taken is None:
            self.ended = True
            raise StopIteration
        self._taken.append(taken)
        self._size += len(taken[1] or b"")
        # Broken bytes become lone surrogates: quotation marks and line ends stay where they are.
        return "\0" if taken[1] is None else taken[1].decode(errors="surrogateescape")


def _csv_records(stream: IO[bytes]) -> Iterator[tuple[int, list[str] | str]]:
    """Line and fields of each record; or, of a broken one, what is wrong with it: it loses one line, its first."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
    first = stream.readline(LONGEST_LINE).decode(errors="replace")
    stream.seek(0)
    delimiter = max(_DELIMITERS, key=first.count)
    record = _Record(_lines(stream))
    reader = csv.reader(record, delimiter=delimiter, strict=True)
    while not record.ended:
        record.begin()
        try:
            fields = next(reader, None)
            if fields:
                yield record.line, fields
        except csv.Error as error:
            yield record.line, _said(error)
            record.give_up()
            reader = csv.reader(record, delimiter=delimiter, strict=True)


def _said(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "a quotation mark opens a text that never ends"
    return "is too long, or holds a NUL" if "NUL" in str(error) else f"is not CSV: {error}"


def _csv_rows(stream: IO[bytes], where: str) -> Iterator[Row | Problem]:
    records = _csv_records(stream)
    _, header = next(records, (0, "is empty"))
    if isinstance(header, str):
        raise InvalidInput(f"{where}: its header {header}")
    header = [column.strip() for column in header]
    if (broken := _broken(zip(header, header, strict=True))) is not None:
        raise InvalidInput(f"{where}: its header is not UTF-8: {broken}")
    if twice := [column for column in header if column and header.count(column) > 1]:
        raise InvalidInput(f"{where}: two columns are called {twice[0]!r}")
    for line, fields in records:
        if isinstance(fields, str):
            yield Problem(line, fields)
        elif len(fields) != len(header):
            yield Problem(line, f"has {len(fields)} values, where the header has {len(header)} columns")
        elif (broken := _broken(zip(header, fields, strict=True))) is not None:
            yield Problem(line, broken)
        else:
            yield Row(line, dict(zip(header, fields, strict=True)))
