"""The trail, saved views, and the file they are in."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.access.audit import Audit
from agent.access.door import UNKNOWN, Door, refuse_open
from agent.access.limits import Limits
from agent.access.store import Store
from agent.access.views import MOST, Views
from agent.access.visitor import Visitor
from agent.errors import AccessUnavailable, InvalidInput, Unknown
from tests.access.conftest import PASSWORD, Clock


def test_the_trail_is_append_only_for_whoever_holds_the_file(door: Door) -> None:
    door.audit.write(Visitor("ann", "admin"), "export", "conversations", address="10.0.0.1")
    file = sqlite3.connect(door.store.path)
    for change in ("update audit set who = 'eve'", "delete from audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            file.execute(change)
    file.close()
    entry = door.audit.read()[0]
    assert (entry.who, entry.role, entry.action, entry.object, entry.address) == (
        "ann",
        "admin",
        "export",
        "conversations",
        "10.0.0.1",
    )


def test_log_ins_are_in_the_trail_but_never_what_nobody_is_called(door: Door) -> None:
    door.users.create("Ann", "admin", PASSWORD)
    door.log_in("ann", "a wrong password", address="10.0.0.1")
    door.log_in(PASSWORD, "ann", address="10.0.0.2")  # into the wrong field
    door.log_in("ANN", PASSWORD, address="10.0.0.3")
    found = [(entry.who, entry.action, entry.address) for entry in door.audit.read()]
    assert found == [
        ("Ann", "log-in", "10.0.0.3"),
        (UNKNOWN, "log-in failed", "10.0.0.2"),
        ("Ann", "log-in failed", "10.0.0.1"),
    ]


texts = st.text(max_size=30) | st.sampled_from(["ann", "bob", "' or 1=1 --", "\ud800", "x" * 2_000])


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(texts, texts, texts), max_size=25), size=st.integers(1, 7))
def test_pages_of_the_trail_join_up_newest_first(rows: list[tuple[str, str, str]], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        audit = Audit(store, clock=Clock())
        for who, action, what in rows:
            audit.write_as(who, "viewer", action, what)
        found, before = [], None
        while page := audit.read(limit=size, before=before):
            found += page
            before = page[-1].id
        kept = [tuple(text[:500].encode("utf-8", "replace").decode() for text in row) for row in rows]
        assert [(entry.who, entry.action, entry.object) for entry in found] == kept[::-1]
        for who, action, _ in rows:
            assert {e.id for e in audit.read(who=who)} == {e.id for e in found if e.who == kept_text(who)}
            assert {e.id for e in audit.read(action=action)} == {e.id for e in found if e.action == kept_text(action)}
        store.close()


def kept_text(text: str) -> str:
    return text[:500].encode("utf-8", "replace").decode()


names = st.sampled_from(["mine", "\u00e9t\u00e9", "' or 1=1 --", "<b>"])


@settings(max_examples=30)
@given(saved=st.lists(st.tuples(st.sampled_from(["ann", "bob"]), names, st.text("abc=&%'", max_size=9), st.booleans())))
def test_a_view_is_its_owner_s_to_change_and_shared_where_they_say_so(saved: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        views = Views(store, clock=Clock())
        last: dict[tuple[str, str], tuple[str, bool]] = {}
        for owner, name, query, shared in saved:
            view = views.save(owner, name, f"?{query}", shared=shared)
            last[owner, name] = (query, shared)
            other = {"ann": "bob", "bob": "ann"}[owner]
            with pytest.raises(Unknown):
                views.remove(other, view.id)
        for reader in ("ann", "bob", "eve"):
            seen = {(view.owner, view.name): (view.query, view.shared) for view in views.listed(reader)}
            assert seen == {key: value for key, value in last.items() if key[0] == reader or value[1]}
        for view in views.listed("ann"):
            if view.owner == "ann":
                assert views.remove("ann", view.id) == view
        assert not [view for view in views.listed("ann") if view.owner == "ann"]
        store.close()


def test_views_have_an_end_and_hold_a_query(door: Door) -> None:
    for n in range(MOST):
        door.views.save("ann", f"view {n}", "a=1")
    with pytest.raises(InvalidInput, match="remove one first"):
        door.views.save("ann", "one more", "a=1")
    assert door.views.save("ann", "view 3", "a=2").query == "a=2"
    for query in ("x" * 4_001, "a=\n", "\ud800"):
        with pytest.raises(InvalidInput):
            door.views.save("bob", "mine", query)


def test_a_file_that_is_none_or_is_locked_is_said_to_be(home: Path) -> None:
    home.mkdir()
    store = Store(home, busy_seconds=0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(AccessUnavailable, match="locked"), store.change():
        pass
    assert store.rows("select count(*) from users")[0][0] == 0  # readers do not wait
    other.close()
    with store.change() as db:
        db.execute("insert into views (owner, name, query, shared, created) values ('a', 'b', '', 0, 0)")
    store.close()
    store.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(AccessUnavailable, match=r"access\.db cannot be opened"):
        Store(home)


def test_a_change_that_fails_leaves_nothing(door: Door) -> None:
    def fail() -> None:
        with door.store.change() as db:
            db.execute("insert into audit (at, who, role, action, object, address) values (0, '', '', '', '', '')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert door.audit.read() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "bot.example", "127.0.0.1.example", ""])
def test_without_a_user_only_this_machine_is_listened_to(door: Door, home: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="rejoinder users add"):
        refuse_open(home, host)
    for own in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        refuse_open(home, own)
    door.users.create("ann", "admin", PASSWORD)
    refuse_open(home, host)


def test_log_ins_are_slowed_by_name_and_by_address_and_nobody_is_locked_out_by_others() -> None:
    limits = Limits()
    tried = [limits.log_in("ann", "10.0.0.1") for _ in range(50)]
    assert tried[:10] == [0] * 10
    assert min(tried[12:]) > 0
    assert max(tried) <= 11  # a slip costs seconds, not the day
    assert limits.log_in("ann", "10.0.0.2") == 0
    # Many names from one address.
    assert sum(limits.log_in(f"user {n}", "10.0.0.3") == 0 for n in range(200)) <= 65
    # One name from many addresses.
    assert sum(limits.log_in("bob", f"10.1.{n % 250}.{n}") == 0 for n in range(1_000)) <= 130


def test_calls_are_counted_by_caller() -> None:
    limits = Limits(api="5/s burst 10")
    assert sum(limits.call("one") == 0 for _ in range(100)) in range(10, 13)
    assert limits.call("other") == 0
    with pytest.raises(InvalidInput, match="100/s burst 200"):
        Limits(api="many")
