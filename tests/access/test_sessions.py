"""Sessions and keys: how long they hold, and what ends them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.access.door import Door
from agent.access.keys import Keys
from agent.access.sessions import ABSOLUTE_SECONDS, IDLE_SECONDS, csrf_of
from agent.access.store import Store
from agent.access.visitor import NOBODY, ROLES, SCOPES, Visitor, role_of, spread
from agent.errors import Conflict, InvalidInput, Unknown
from tests.access.conftest import PASSWORD, Clock


@pytest.fixture
def people(door: Door) -> Door:
    for name, role in (("ann", "admin"), ("bob", "reviewer")):
        door.users.create(name, role, PASSWORD)
    return door


def contents(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.iterdir() if path.is_file())


def test_a_token_is_long_random_and_nowhere_in_the_file(people: Door, home: Path) -> None:
    tokens = {people.sessions.start("ann") for _ in range(20)}
    assert len(tokens) == 20
    assert all(re.fullmatch(r"[\w-]{43}", token) for token in tokens)  # 256 bits in base64
    kept = contents(home)
    assert b"ann" in kept
    assert not any(token.encode() in kept or csrf_of(token).encode() in kept for token in tokens)
    assert PASSWORD.encode() not in kept


def test_nobody_else_may_read_the_file(people: Door, home: Path) -> None:
    people.sessions.start("ann")
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}


def test_a_session_ends_when_idle_and_after_a_day_s_work(people: Door, clock: Clock) -> None:
    idle, busy = people.sessions.start("ann"), people.sessions.start("ann")
    began = clock.now
    while clock.now - began < IDLE_SECONDS - 1:
        clock.now += 600
        assert people.sessions.visitor(busy)
    clock.now = began + IDLE_SECONDS
    assert people.sessions.visitor(idle) is None
    while clock.now - began < ABSOLUTE_SECONDS - 600:
        clock.now += 600
        assert people.sessions.visitor(busy)
    clock.now = began + ABSOLUTE_SECONDS
    assert people.sessions.visitor(busy) is None
    people.sessions.start("bob")
    assert [session.user for session in people.sessions.listed("ann")] == []
    assert people.store.rows("select count(*) from sessions")[0][0] == 1  # those that are over went


def test_logging_in_again_ends_what_the_browser_had(people: Door) -> None:
    planted = people.sessions.start("bob")
    token = people.log_in("ann", PASSWORD, before=planted)
    assert token not in {None, planted}
    assert people.sessions.visitor(planted) is None
    other = people.log_in("ann", PASSWORD, before="x" * 10_000)
    assert people.sessions.visitor(str(token))
    assert people.sessions.visitor(str(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda door: door.users.set_role("bob", "viewer"),
        lambda door: door.users.set_role("bob", "admin"),
        lambda door: door.users.set_enabled("bob", False),
        lambda door: door.users.set_password("bob", PASSWORD + "!"),
        lambda door: door.sessions.end_all("bob"),
    ],
)
def test_a_change_of_role_or_password_ends_every_session_of_that_user(people: Door, change) -> None:
    theirs = [people.sessions.start("bob") for _ in range(3)]
    mine = people.sessions.start("ann")
    change(people)
    assert [people.sessions.visitor(token) for token in theirs] == [None, None, None]
    assert people.sessions.visitor(mine) == Visitor("ann", "admin", csrf_of(mine))


def test_who_changes_their_own_role_or_password_goes_on_with_a_new_token(people: Door) -> None:
    token = people.log_in("bob", PASSWORD)
    assert token is not None
    bob = people.sessions.visitor(token)
    assert bob is not None
    with pytest.raises(InvalidInput, match="present password"):
        people.change_password(bob, "a wrong password", "another passphrase")
    assert people.sessions.visitor(token)
    anew = people.change_password(bob, PASSWORD, "another passphrase")
    assert anew != token
    assert people.sessions.visitor(token) is None
    assert people.sessions.visitor(anew)
    assert people.log_in("bob", PASSWORD) is None
    ann = people.sessions.visitor(people.sessions.start("ann"))
    assert ann is not None
    people.users.create("eve", "admin", PASSWORD)
    other = people.set_role(ann, "ann", "reviewer")
    assert other is not None
    assert people.sessions.visitor(other) == Visitor("ann", "reviewer", csrf_of(other))
    assert people.set_role(ann, "bob", "viewer") is None


def test_logging_out_ends_one_session_or_all(people: Door) -> None:
    tokens = [people.sessions.start("ann") for _ in range(3)]
    ann = people.sessions.visitor(tokens[0])
    assert ann is not None
    people.log_out(ann, tokens[0])
    assert [bool(people.sessions.visitor(token)) for token in tokens] == [False, True, True]
    people.log_out(ann, tokens[1], everywhere=True)
    assert not any(people.sessions.visitor(token) for token in tokens)


def test_a_csrf_token_is_of_one_session(people: Door) -> None:
    one, other = people.sessions.start("ann"), people.sessions.start("ann")
    assert csrf_of(one) == csrf_of(one) != csrf_of(other)
    assert one not in csrf_of(one)


@pytest.mark.parametrize("token", ["", "x", "x" * 10_000, "\ud800", "' or 1=1 --", "\x00"])
def test_what_is_no_token_speaks_for_nobody(people: Door, token: str) -> None:
    people.keys.create("bot", ["read"], creator="ann")
    assert people.sessions.visitor(token) is None
    assert people.keys.visitor(token) is None


def test_a_key_is_shown_once_and_holds_until_it_expires_or_is_revoked(people: Door, home: Path, clock: Clock) -> None:
    key, secret = people.keys.create("bot", ["decide", "read"], creator="ann", days=1)
    assert re.fullmatch(r"rj_[\w-]{43}", secret)
    assert secret.startswith(key.hint)
    assert len(key.hint) == 7
    assert secret.encode() not in contents(home)
    assert people.keys.find("bot").used is None
    visitor = people.keys.visitor(secret)
    assert visitor == Visitor("key:bot", "viewer", scopes=frozenset({"decide", "read"}))
    assert people.keys.find("bot").used == clock.now
    clock.now += 86_399
    assert people.keys.visitor(secret)
    clock.now += 1
    assert people.keys.visitor(secret) is None
    assert not people.keys.find("bot").valid(clock.now)
    lasting = people.keys.create("other", ["read"], creator="ann")[1]
    assert people.keys.visitor(lasting)
    first = people.keys.revoke("other")
    clock.now += 5
    assert people.keys.revoke("other") == first
    assert people.keys.visitor(lasting) is None
    with pytest.raises(Conflict):
        people.keys.create("other", ["read"], creator="ann")


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", ["read"], None),
        ("a", [], None),
        ("a", ["root"], None),
        ("a", ["read", "root"], 1),
        ("a", ["read"], 0),
        ("a", ["read"], -1),
        ("a", ["read"], float("nan")),
        ("a", ["read"], float("inf")),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(people: Door, name: str, scopes: list[str], days: float | None) -> None:
    with pytest.raises(InvalidInput):
        people.keys.create(name, scopes, creator="ann", days=days)
    with pytest.raises(Unknown):
        people.keys.revoke(name)


@settings(max_examples=30)
@given(scopes=st.sets(st.sampled_from(SCOPES), min_size=1), waits=st.lists(st.floats(0, 3 * 86_400), max_size=6))
def test_a_key_allows_its_scopes_and_no_others_for_its_days(scopes: set[str], waits: list[float]) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        keys = Keys(store, clock=clock)
        _, secret = keys.create("bot", scopes, creator="ann", days=2)
        began = clock.now
        for wait in waits:
            clock.now = began + wait
            visitor = keys.visitor(secret)
            if wait >= 2 * 86_400:
                assert visitor is None
                continue
            assert visitor is not None
            allowed = {scope for scope in SCOPES if visitor.allows(scope)}
            assert allowed == spread(frozenset(scopes)) >= scopes
            assert ("admin" in allowed) == ("admin" in scopes)
            assert ("decide" in allowed) == bool(scopes & {"decide", "admin"})
        store.close()


def test_roles_are_in_order_and_each_holds_its_scopes() -> None:
    order = (NOBODY, *ROLES)
    for n, role in enumerate(order):
        visitor = Visitor("x", role)
        assert [visitor.may(other) for other in order] == [m <= n for m in range(len(order))]
    held = {role: {scope for scope in SCOPES if Visitor("x", role).allows(scope)} for role in order}
    assert held == {NOBODY: set(), "viewer": {"read"}, "reviewer": {"read", "review"}, "admin": set(SCOPES)}
    assert {scope: role_of(frozenset({scope})) for scope in SCOPES} == {
        "decide": NOBODY,
        "read": "viewer",
        "review": "reviewer",
        "admin": "admin",
    }
