"""Feeds: the raw rows of a catalogue, from a CSV, JSON or SQLite file or from an http(s) address."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3

from agent.errors import InvalidInput, SourceUnavailable
from agent.items.rows import Problem, Row, form_of, form_of_type, rows_of

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # without a byte
TOTAL_SECONDS = 600.0
LARGEST = 4 << 30  # bytes of a feed, unpacked
# A file written less than this before it was read may be written again within the same tick of its clock.
_SETTLED_SECONDS = 2.0
_DATABASES = (".db", ".sqlite", ".sqlite3")
_SQLITE_BEGINS = b"SQLite format 3\0"
_CHUNK = 1 << 16

Mark = tuple[Any, ...]


@dataclass(frozen=True)
class Reading:
    """A source as it was at one time. Two readings of the same mark hold the same rows.

    `rows` can be gone through once; whoever has read must go through them, since a file may stand open. Going through
    them raises SourceUnavailable or InvalidInput where the rest cannot be read.
    """

    rows: Iterator[Row | Problem]
    mark: Mark


class Source(ABC):
    """Where the rows of a catalogue come from."""

    @abstractmethod
    def read(self, *, unless: Mark | None = None) -> Reading | None:
        """Read it now; None if it is as it was when a reading had the mark `unless`.

        Raises:
            SourceUnavailable: it cannot be read now.
            InvalidInput: it is nothing that rows can be read from.
        """


def source_of(name: str | Path) -> Source:
    """The source that a name stands for: an http(s) address, `shop.db?table=products`, or the path of a file."""
    text = str(name)
    if text.lower().startswith(("http://", "https://")):
        return Feed(text)
    path, asked, table = text.rpartition("?table=")
    if asked:
        return Database(Path(path), table)
    return Database(Path(text)) if _is_database(Path(text)) else File(Path(text))


@dataclass(frozen=True)
class File(Source):
    """A file of CSV (with a header), JSON lines, or one JSON list, in UTF-8."""

    path: Path

    def read(self, *, unless: Mark | None = None) -> Reading | None:
        """Read it now; None where size and time of the file are as they were."""
        try:
            mark = _file_mark(self.path.stat())
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return None if mark == unless else Reading(self._rows(), mark)

    def _rows(self) -> Iterator[Row | Problem]:
        try:
            stream = self.path.open("rb")
            yield from _rows(stream, str(self.path), form_of(self.path.suffix, stream))
        except OSError as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class Database(Source):
    """A table of a SQLite file; the only one, unless named."""

    path: Path
    table: str = ""

    def read(self, *, unless: Mark | None = None) -> Reading | None:
        """Read it now; None where the file and its write-ahead log are as they were."""
        try:
            mark = _file_mark(self.path.stat())
            log = self.path.with_name(self.path.name + "-wal")
            mark += _file_mark(log.stat()) if log.exists() else ()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return None if mark == unless else Reading(self._rows(), mark)

    def _rows(self) -> Iterator[Row | Problem]:
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                database.text_factory = bytes  # so that one broken text loses one row
                name = self._name(database).replace('"', '""')
                cursor = database.execute(f'SELECT * FROM "{name}"')  # noqa: S608  # quoted, and one that is there
                columns = [column[0] for column in cursor.description]
                for number, values in enumerate(cursor, start=1):
                    yield _decoded(number, columns, values)
        except sqlite3.Error as error:
            raise SourceUnavailable(f"{self.path}: {error}") from error

    def _name(self, database: sqlite3.Connection) -> str:
        found = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        tables = [row[0].decode() for row in found if not row[0].startswith(b"sqlite_")]
        if self.table in tables or (not self.table and len(tables) == 1):
            return self.table or tables[0]
        asked = f"no table {self.table!r}" if self.table else "not one table; name it, as in shop.db?table=products"
        raise InvalidInput(f"{self.path}: {asked}; it has {', '.join(tables) or 'none'}")


@dataclass(frozen=True)
class Feed(Source):
    """What an http(s) address answers with: CSV, JSON lines, or one JSON list.

    A feed that has not changed since (ETag, Last-Modified) costs one conditional request. It is fetched whole, to a
    file without a name, before its first row is read: half a feed changes nothing.
    """

    address: str
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    total_seconds: float = TOTAL_SECONDS
    largest: int = LARGEST
    shown: str = field(init=False, default="")

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        # Without name, password and query, which may hold a key.
        object.__setattr__(self, "shown", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")

    def read(self, *, unless: Mark | None = None) -> Reading | None:
        """Fetch it now; None where the server says that it has not changed."""
        headers = {"Accept": "text/csv, application/x-ndjson, application/json;q=0.9, */*;q=0.5"}
        headers |= dict(unless or ())
        until = time.monotonic() + self.total_seconds
        stream = tempfile.TemporaryFile()  # noqa: SIM115  # stands open until its rows have been read
        try:
            with requests.get(
                self.address, headers=headers, stream=True, timeout=(self.connect_seconds, self.read_seconds)
            ) as response:
                if response.status_code == requests.codes.not_modified and unless:
                    stream.close()
                    return None
                if response.status_code != requests.codes.ok:
                    raise SourceUnavailable(f"{self.shown}: answered {response.status_code} {response.reason}")
                self._fetch(response, stream, until)
                form = form_of_type(response.headers.get("Content-Type", ""))
            stream.seek(0)
            form = form or form_of(Path(urlsplit(self.address).path).suffix, stream)
            return Reading(_rows(stream, self.shown, form), _feed_mark(response.headers))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            stream.close()
            raise SourceUnavailable(f"{self.shown}: {self._reason(error)}") from error
        except BaseException:
            stream.close()
            raise

    def _fetch(self, response: requests.Response, stream: IO[bytes], until: float) -> None:
        """Write what is answered to the stream; slow drops end in time as well."""
        size = 0
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            size += stream.write(chunk)
            if size > self.largest:
                raise SourceUnavailable(f"{self.shown}: has more than {self.largest:,} bytes")
            if time.monotonic() > until:
                raise SourceUnavailable(f"{self.shown}: not here whole after {self.total_seconds:g} seconds")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout | urllib3.exceptions.TimeoutError):
            return "timed out"
        if isinstance(error, urllib3.exceptions.ProtocolError | requests.exceptions.ChunkedEncodingError):
            return "broke off"
        if isinstance(error, requests.exceptions.SSLError):
            return "its certificate is not to be trusted"
        if isinstance(error, requests.ConnectionError):
            return "cannot be reached"
        return f"cannot be fetched ({type(error).__name__})"


def _feed_mark(headers: Mapping[str, str]) -> Mark:
    """The headers by which the next request asks whether there is anything new; a mark of none always reads anew."""
    names = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return tuple((asks, headers[says]) for asks, says in names if says in headers)


def _file_mark(found: os.stat_result) -> Mark:
    """What tells one state of a file from another; one just written is told from every other."""
    settled = time.time() - found.st_mtime > _SETTLED_SECONDS
    return (found.st_ino, found.st_size, found.st_mtime_ns, None if settled else time.monotonic_ns())


def _unreadable(path: Path, error: OSError) -> SourceUnavailable:
    return SourceUnavailable(f"{path}: {error.strerror or error}")


def _is_database(path: Path) -> bool:
    if path.suffix.lower() in _DATABASES:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE_BEGINS)) == _SQLITE_BEGINS
    except OSError:
        return False  # whoever reads it says so


def _rows(stream: IO[bytes], where: str, form: str) -> Iterator[Row | Problem]:
    """The rows of a stream, which is closed after the last."""
    with stream:
        yield from rows_of(stream, where=where, form=form)


def _decoded(number: int, columns: list[str], values: tuple[Any, ...]) -> Row | Problem:
    name = ""
    found = {}
    try:
        for name, value in zip(columns, values, strict=True):
            found[name] = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        return Problem(number, f"{name}: is not UTF-8, at byte {error.start + 1} (0x{error.object[error.start]:02x})")
    return Row(number, found)
