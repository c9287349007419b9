from __future__ import annotations

import gzip
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.errors import InvalidInput, RejoinderError, SourceUnavailable
from agent.items.catalogue import Catalogue
from agent.items.feeds import Database, Feed, File, source_of
from agent.items.rows import Problem, Row
from tests.agent.conftest import HashEncoder

CSV = b"id,title\n1,Oat mug\n2,Barn lantern\n"
LONG_AGO = 1_600_000_000


class Server(ThreadingHTTPServer):
    """A shop's server, which answers as it is told to, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = CSV
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "text/csv", "ETag": '"one"'}
        self.pause = 0.0  # seconds between two bytes
        self.promised = 0  # bytes more than are sent
        self.asked: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/feed"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        it = self.server
        it.asked.append(dict(self.headers))
        tag = it.headers.get("ETag")
        if tag and self.headers.get("If-None-Match") == tag and it.status == 200:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(it.status)
        for name, value in it.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(it.body) + it.promised))
        self.end_headers()
        try:
            for i in range(0, len(it.body), 1 if it.pause else max(1, len(it.body))):
                self.wfile.write(it.body[i:] if not it.pause else it.body[i : i + 1])
                time.sleep(it.pause)
        except OSError:
            pass  # the reader has gone

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_bytes(CSV)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def rows(source, unless=None):
    return list(source.read(unless=unless).rows)


def ids(source):
    return [row.values["id"] for row in rows(source)]


def test_a_name_stands_for_a_source(tmp_path):
    assert source_of("HTTPS://shop.example/feed") == Feed("HTTPS://shop.example/feed")
    assert source_of(tmp_path / "shop.csv") == File(tmp_path / "shop.csv")
    assert source_of("shop.db") == Database(Path("shop.db"))
    assert source_of("shop.data?table=things") == Database(Path("shop.data"), "things")


def test_a_file_is_read_with_its_lines(file):
    assert rows(source_of(file)) == [
        Row(2, {"id": "1", "title": "Oat mug"}),
        Row(3, {"id": "2", "title": "Barn lantern"}),
    ]


def test_a_file_that_has_not_changed_is_not_read_again(file):
    source = source_of(file)
    reading = source.read()
    assert list(reading.rows)
    assert source.read(unless=reading.mark) is None
    file.write_bytes(CSV + b"3,Bee house\n")
    assert len(rows(source, unless=reading.mark)) == 3


def test_a_file_written_a_moment_ago_is_read_again_whatever_its_time(file):
    """Within one tick of the file system's clock, a file of the same size may say something else."""
    source = source_of(file)
    now = time.time()
    os.utime(file, (now, now))
    mark = source.read().mark
    file.write_bytes(CSV.replace(b"Oat", b"Tea"))
    os.utime(file, (now, now))
    assert rows(source, unless=mark)[0].values["title"] == "Tea mug"


@pytest.mark.parametrize("name", ["none.csv", "none.db", "."])
def test_what_is_not_there_is_named(tmp_path, name):
    with pytest.raises(SourceUnavailable, match=str(tmp_path)):
        rows(source_of(tmp_path / name))


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE products (id INTEGER, title TEXT, price REAL)")
        made.execute(
            "INSERT INTO products VALUES (1, 'Oat mug', 14.0), (2, CAST(x'ff61' AS TEXT), 1), (3, 'Pot', NULL)"
        )
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_the_only_table_is_read_and_a_broken_text_loses_its_row_alone(database):
    assert rows(source_of(database)) == rows(source_of(f"{database}?table=products")) == [
        Row(1, {"id": 1, "title": "Oat mug", "price": 14.0}),
        Problem(2, "title: is not UTF-8, at byte 1 (0xff)"),
        Row(3, {"id": 3, "title": "Pot", "price": None}),
    ]  # fmt: skip


def test_a_database_is_known_by_its_first_bytes_and_never_written(database, tmp_path):
    other = tmp_path / "shop"
    other.write_bytes(database.read_bytes())
    other.chmod(0o400)
    assert len(rows(source_of(other))) == 3
    assert other.read_bytes() == database.read_bytes()


def test_of_several_tables_one_is_named(database):
    with closing(sqlite3.connect(database)) as made, made:
        made.execute('CREATE TABLE "odd "" name" (id, title)')
        made.execute("""INSERT INTO "odd "" name" VALUES (7, 'x')""")
    with pytest.raises(InvalidInput, match=r'not one table; name it.*it has odd " name, products'):
        rows(source_of(database))
    with pytest.raises(InvalidInput, match="no table 'nothing'"):
        rows(source_of(f"{database}?table=nothing"))
    assert ids(source_of(f'{database}?table=odd " name')) == [7]


def test_a_change_in_the_write_ahead_log_is_seen(database):
    source = source_of(database)
    mark = source.read().mark
    assert source.read(unless=mark) is None
    with closing(sqlite3.connect(database, isolation_level=None)) as open_still:
        open_still.execute("PRAGMA journal_mode = WAL")
        open_still.execute("INSERT INTO products VALUES (4, 'Bowl', 3)")
        assert len(rows(source, unless=mark)) == 4


def test_what_is_no_database_is_named(tmp_path):
    (tmp_path / "shop.db").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SourceUnavailable, match="file is not a database"):
        rows(source_of(tmp_path / "shop.db"))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv; charset=utf-8", b"\xef\xbb\xbf" + CSV),
        ("application/x-ndjson", b'{"id": "1"}\n{"id": "2"}'),
        ("application/json", b'[{"id": "1"}, {"id": "2"}]'),
        ("application/json", b'{"id": "1"}\n{"id": "2"}'),
        ("text/plain", CSV),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_feed_is_read_by_its_type(server, kind, body, packed):
    server.body = gzip.compress(body) if packed else body
    server.headers = {"Content-Type": kind, **({"Content-Encoding": "gzip"} if packed else {})}
    assert ids(source_of(server.address)) == ["1", "2"]


@pytest.mark.parametrize(
    "says", [{"ETag": '"one"'}, {"ETag": 'W/"one"', "Last-Modified": "Tue, 01 Sep 2020 10:00:00 GMT"}]
)
def test_an_unchanged_feed_costs_one_conditional_request(server, says):
    server.headers = says
    source = source_of(server.address)
    reading = source.read()
    assert len(list(reading.rows)) == 2
    assert source.read(unless=reading.mark) is None
    assert len(server.asked) == 2
    assert server.asked[1]["If-None-Match"] == says["ETag"]
    assert server.asked[1].get("If-Modified-Since") == says.get("Last-Modified")
    server.headers = {"ETag": '"two"'}
    server.body = CSV + b"3,Bee house\n"
    assert len(rows(source, unless=reading.mark)) == 3


def test_a_feed_that_says_nothing_about_changes_is_read_each_time(server):
    server.headers = {}
    source = source_of(server.address)
    reading = source.read()
    assert len(list(reading.rows)) == 2
    assert reading.mark == ()
    assert len(rows(source, unless=reading.mark)) == 2


@pytest.mark.parametrize("status", [304, 404, 500, 204])
def test_an_answer_that_is_no_feed_is_named(server, status):
    server.status = status
    server.body = b""
    with pytest.raises(SourceUnavailable, match=rf"^{server.address}: answered {status} "):
        source_of(server.address).read()


def test_a_feed_that_does_not_answer_times_out(server):
    server.pause = 30.0
    with pytest.raises(SourceUnavailable, match=r"/feed: timed out$"):
        Feed(server.address, read_seconds=0.2).read()


def test_a_feed_that_drips_times_out(server):
    """Each byte comes in time, the whole never would."""
    server.pause = 0.05
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"not here whole after 0\.3 seconds"):
        Feed(server.address, read_seconds=5.0, total_seconds=0.3).read()
    assert time.monotonic() - began < 3.0


def test_half_a_feed_is_no_feed(server):
    server.promised = 10
    with pytest.raises(SourceUnavailable, match=r"/feed: broke off$"):
        source_of(server.address).read()


def test_a_feed_packed_badly_is_named(server):
    server.headers["Content-Encoding"] = "gzip"
    with pytest.raises(SourceUnavailable, match="cannot be fetched"):
        source_of(server.address).read()


def test_a_feed_may_not_grow_without_end_even_when_packed(server):
    server.body = gzip.compress(b"x" * 10_000_000)
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(SourceUnavailable, match="has more than 1,000,000 bytes"):
        Feed(server.address, largest=1_000_000).read()


def test_a_server_that_is_not_there_is_named_without_its_keys():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(SourceUnavailable) as refused:
        source_of(f"http://ann:secret@127.0.0.1:{port}/feed?key=secret").read()
    assert str(refused.value) == f"http://127.0.0.1:{port}/feed: cannot be reached"


def test_a_catalogue_keeps_what_it_had_while_its_feed_fails(server, tmp_path):
    catalogue = Catalogue("shop", server.address, encoder=HashEncoder("hash"), folder=tmp_path)
    catalogue.load()
    shelf = catalogue.shelf()
    for trouble in ({"status": 503}, {"promised": 9}, {"body": b"", "headers": {"ETag": "new"}}):
        before = {name: getattr(server, name) for name in trouble}
        vars(server).update(trouble | {"headers": trouble.get("headers", {})})
        with pytest.raises(RejoinderError):
            catalogue.refresh()
        assert catalogue.shelf() is shelf
        vars(server).update(before | {"headers": {"ETag": '"one"'}})
    assert catalogue.refresh().unchanged == 2
    assert "If-None-Match" in server.asked[-1]
    server.headers = {"ETag": '"two"'}
    server.body = CSV.replace(b"1,Oat mug\n", b"3,Bee house\n")
    report = catalogue.refresh()
    assert (report.added, report.removed, report.unchanged) == (("3",), ("1",), 1)
