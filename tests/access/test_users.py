"""Users: whom a name and password let in, and that there is always an admin."""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.access import passwords
from agent.access.door import Door
from agent.access.names import folded
from agent.access.visitor import ROLES
from agent.errors import Conflict, InvalidInput, Unknown
from tests.access.conftest import PASSWORD, Clock

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_the_hash_is_argon2id_of_owasp_s_least_and_salted() -> None:
    one, other = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)
    assert one != other
    found = extract_parameters(one)
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 19_456, 2, 1)
    assert found.salt_len >= 16
    assert passwords.verified(PASSWORD, one)
    assert not passwords.verified(PASSWORD + " ", one)
    assert not passwords.verified(PASSWORD, "no hash")


def test_an_unknown_name_takes_as_long_as_a_known_one(home: Path) -> None:
    door = Door(home)
    door.users.create("ann", "admin", PASSWORD)

    def seconds(name: str) -> float:
        began = time.perf_counter()
        assert door.log_in(name, "a wrong password") is None
        return time.perf_counter() - began

    known, unknown = (min(seconds(name) for _ in range(8)) for name in ("ann", "bob"))
    assert 0.5 < unknown / known < 2.0  # without a hash to compare with it is a thousandth
    door.close()


def test_the_right_password_lets_in_and_the_reason_of_a_refusal_is_not_said(door: Door) -> None:
    door.users.create("Ann", "admin", PASSWORD)
    door.users.create("bob", "viewer", PASSWORD)
    assert door.users.check("ANN", PASSWORD) == door.users.find("ann")
    door.users.set_enabled("bob", False)
    for name, password in (("Ann", PASSWORD.upper()), ("bob", PASSWORD), ("eve", PASSWORD), ("", ""), ("\ud800", "x")):
        assert door.users.check(name, password) is None
    door.users.set_enabled("bob", True)
    assert door.users.check("bob", PASSWORD)


def test_one_password_is_the_same_however_a_keyboard_composes_it(door: Door) -> None:
    door.users.create("ann", "admin", "caf\u00e9 au lait, please")
    assert door.users.check("ann", "cafe\u0301 au lait, please")


def test_a_hash_of_weaker_parameters_is_made_anew_at_log_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.users.create("Ann", "admin", PASSWORD)
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", stronger)
    assert door.users.check("ann", PASSWORD)
    kept = door.store.rows("select password from users")[0][0]
    assert not stronger.check_needs_rehash(kept)
    assert door.users.check("ann", PASSWORD)


@pytest.mark.parametrize(
    ("password", "says"),
    [("short", "12 to 256"), ("x" * 257, "12 to 256"), ("abababababab", "5 different"), ("Annabel Smith", "name")],
)
def test_a_password_that_is_easily_guessed_is_refused(door: Door, password: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        door.users.create("annabel smith", "admin", password)
    assert not door.users.exist()


@pytest.mark.parametrize(
    "name", ["", " ann", "ann ", "a" * 101, "a\nb", "a\x00b", "a\u202eb", "a\u200bb", "\ud800", "Somebody", "KEY:bot"]
)
def test_a_name_that_hides_or_imitates_is_refused(door: Door, name: str) -> None:
    with pytest.raises(InvalidInput):
        door.users.create(name, "admin", PASSWORD)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=120))
def test_any_name_is_either_kept_and_found_or_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder))
        try:
            user = door.users.create(name, "admin", PASSWORD)
        except InvalidInput:
            assert door.users.check(name, PASSWORD) is None
        else:
            assert door.users.find(name) == user == door.users.check(name, PASSWORD)
            assert door.users.find(name.upper()) == user or folded(name.upper()) != folded(name)
            with pytest.raises(Conflict):
                door.users.create(name, "viewer", PASSWORD)
        finally:
            door.close()


def test_names_that_look_alike_are_one_name(door: Door) -> None:
    door.users.create("Stra\u00dfe", "admin", PASSWORD)
    for name in ("STRASSE", "\uff33trasse", "stra\u00dfe"):
        with pytest.raises(Conflict):
            door.users.create(name, "viewer", PASSWORD)


def test_what_is_not_there_is_unknown(door: Door) -> None:
    door.users.create("ann", "admin", PASSWORD)
    for act in (
        lambda: door.users.find("eve"),
        lambda: door.users.set_role("eve", "viewer"),
        lambda: door.users.set_enabled("eve", False),
        lambda: door.users.set_password("eve", PASSWORD),
        lambda: door.users.find("' or 1=1 --"),
    ):
        with pytest.raises(Unknown):
            act()
    with pytest.raises(InvalidInput, match="no role"):
        door.users.set_role("ann", "root")


class LastAdmin(RuleBasedStateMachine):
    """Whatever is done to users: once there is one, an admin can log in; and what was refused changed nothing."""

    names = st.sampled_from(["ann", "bob", "eve"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.door = Door(Path(self.folder.name), clock=Clock())
        self.model: dict[str, tuple[str, bool]] = {}

    def teardown(self) -> None:
        self.door.close()
        self.folder.cleanup()

    def _admins(self, model: dict[str, tuple[str, bool]]) -> int:
        return sum(role == "admin" and enabled for role, enabled in model.values())

    def _change(self, name: str, after: tuple[str, bool], act) -> None:
        changed = {**self.model, name: after}
        if name not in self.model:
            with pytest.raises(Unknown):
                act()
        elif self._admins(changed) == 0:
            with pytest.raises(Conflict):
                act()
        else:
            act()
            self.model = changed

    @rule(name=names, role=st.sampled_from(ROLES))
    def create(self, name: str, role: str) -> None:
        if name in self.model or (not self.model and role != "admin"):
            with pytest.raises(InvalidInput):
                self.door.users.create(name, role, PASSWORD)
        else:
            self.door.users.create(name, role, PASSWORD)
            self.model[name] = (role, True)

    @rule(name=names, role=st.sampled_from(ROLES))
    def set_role(self, name: str, role: str) -> None:
        enabled = self.model.get(name, ("", True))[1]
        self._change(name, (role, enabled), lambda: self.door.users.set_role(name, role))

    @rule(name=names, enabled=st.booleans())
    def set_enabled(self, name: str, enabled: bool) -> None:
        role = self.model.get(name, ("", True))[0]
        self._change(name, (role, enabled), lambda: self.door.users.set_enabled(name, enabled))

    @precondition(lambda self: self.model)
    @rule()
    def reopen(self) -> None:
        self.door.close()
        self.door = Door(Path(self.folder.name), clock=Clock())

    @invariant()
    def holds(self) -> None:
        found = {user.name: (user.role, user.enabled) for user in self.door.users.listed()}
        assert found == self.model
        assert self.door.users.exist() == bool(found)
        assert not found or self._admins(found) >= 1


def test_there_is_always_an_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(LastAdmin, settings=settings(max_examples=25, stateful_step_count=15))


def test_two_admins_who_demote_one_another_at_once_leave_one(home: Path, cheap: None) -> None:
    for _ in range(10):
        doors = [Door(home), Door(home)]  # as two processes hold it
        for name in ("ann", "bob"):
            if not doors[0].users.known(name):
                doors[0].users.create(name, "admin", PASSWORD)
            doors[0].users.set_role(name, "admin")
        start = threading.Barrier(2)

        def demote(door: Door, name: str, start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                door.users.set_role(name, "viewer")
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(demote, doors, ["bob", "ann"]))
        assert sorted(done) == [False, True]
        for door in doors:
            door.close()


def test_many_log_in_and_are_made_at_once(home: Path, cheap: None) -> None:
    doors = [Door(home) for _ in range(3)]
    doors[0].users.create("ann", "admin", PASSWORD)

    def work(n: int) -> str:
        door = doors[n % 3]
        if n % 4 == 0:
            with suppress(Conflict):
                door.users.create(f"user {n % 8}", "viewer", PASSWORD)
        token = door.log_in("ann", PASSWORD, address=str(n))
        assert token is not None
        return token

    with ThreadPoolExecutor(12) as pool:
        tokens = list(pool.map(work, range(60)))
    assert len(set(tokens)) == 60
    assert all(doors[0].sessions.visitor(token) for token in tokens)
    assert [user.name for user in doors[1].users.listed()] == ["ann", "user 0", "user 4"]
    entries = doors[2].audit.read(action="log-in")
    assert sorted(int(entry.address) for entry in entries) == list(range(60))
    for door in doors:
        door.close()
