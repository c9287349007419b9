"""Users: a name, a role and a password. There is always an admin who can log in, once there is anybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.access import passwords
from agent.access.names import checked_user, folded
from agent.access.store import Connection, Row, Store
from agent.access.visitor import checked_role
from agent.errors import Conflict, InvalidInput, Unknown

_COLUMNS = "name, role, enabled, created, changed"


@dataclass(frozen=True)
class User:
    """Somebody who can log in while `enabled`. Times are in unix seconds; `changed` is the password's."""

    name: str
    role: str
    enabled: bool
    created: float
    changed: float


class Users:
    """All users. A change of role or password, and disabling, ends the user's sessions."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._any = False

    def exist(self) -> bool:
        """Whether there is a user; users are disabled, never removed, so that there is one holds from then on."""
        self._any = self._any or bool(self._store.rows("select 1 from users limit 1"))
        return self._any

    def create(self, name: str, role: str, password: str) -> User:
        """A new user, who can log in at once.

        Raises:
            Conflict: there is a user of this name, or of one that looks like it.
            InvalidInput: name, role or password cannot be used; or the first user is no admin.
        """
        name, role = checked_user(name), checked_role(role)
        kept, now = passwords.hashed(passwords.checked(password, name=name)), self._clock()
        with self._store.change() as db:
            found = db.execute("select name from users where folded = ?", (folded(name),)).fetchone()
            if found:
                raise Conflict(f"there is a user {found['name']!r} already")
            if role != "admin" and not db.execute("select 1 from users limit 1").fetchone():
                raise InvalidInput("the first user must be an admin: nobody could make further ones")
            db.execute(
                "insert into users (name, folded, role, password, created, changed) values (?, ?, ?, ?, ?, ?)",
                (name, folded(name), role, kept, now, now),
            )
        return self.find(name)

    def find(self, name: str) -> User:
        """The user of this name, in whatever case it is written.

        Raises:
            Unknown: there is none.
        """
        rows = self._store.rows(f"select {_COLUMNS} from users where folded = ?", (_key(name),))
        if not rows:
            raise Unknown(f"unknown user {name[:100]!r}")
        return _user(rows[0])

    def known(self, name: str) -> str | None:
        """The name as it is kept, None where it is no user's."""
        rows = self._store.rows("select name from users where folded = ?", (_key(name),))
        return str(rows[0]["name"]) if rows else None

    def listed(self) -> list[User]:
        """Every user, by name."""
        return [_user(row) for row in self._store.rows(f"select {_COLUMNS} from users order by folded")]

    def check(self, name: str, password: str) -> User | None:
        """The user whose name and password these are, if enabled.

        It takes as long for a name that nobody has, and says no more.
        """
        rows = self._store.rows(f"select password, {_COLUMNS} from users where folded = ?", (_key(name),))
        kept = str(rows[0]["password"]) if rows else passwords.NOBODYS
        right = passwords.verified(password, kept)
        if not (rows and right and rows[0]["enabled"]):
            return None
        if passwords.outdated(kept):
            anew = passwords.hashed(password)
            with self._store.change() as db:  # unless it was changed meanwhile
                db.execute(
                    "update users set password = ? where name = ? and password = ?", (anew, rows[0]["name"], kept)
                )
        return _user(rows[0])

    def set_password(self, name: str, password: str) -> User:
        """Give a user another password.

        Raises:
            InvalidInput: the password cannot be used.
            Unknown: there is no such user.
        """
        name = self.find(name).name
        kept = passwords.hashed(passwords.checked(password, name=name))
        with self._store.change() as db:
            db.execute("update users set password = ?, changed = ? where name = ?", (kept, self._clock(), name))
            _end_sessions(db, name)
        return self.find(name)

    def set_role(self, name: str, role: str) -> User:
        """Give a user another role.

        Raises:
            Conflict: it is the last enabled admin.
            InvalidInput: there is no such role.
            Unknown: there is no such user.
        """
        name, role = self.find(name).name, checked_role(role)
        with self._store.change() as db:
            db.execute("update users set role = ? where name = ?", (role, name))
            _keep_an_admin(db, name)
            _end_sessions(db, name)
        return self.find(name)

    def set_enabled(self, name: str, enabled: bool) -> User:
        """Let a user log in, or no longer.

        Raises:
            Conflict: it is the last enabled admin.
            Unknown: there is no such user.
        """
        name = self.find(name).name
        with self._store.change() as db:
            db.execute("update users set enabled = ? where name = ?", (int(enabled), name))
            _keep_an_admin(db, name)
            _end_sessions(db, name)
        return self.find(name)


def _keep_an_admin(db: Connection, name: str) -> None:
    """Raise, which undoes the change that came before, where nobody is left who could make users."""
    if not db.execute("select 1 from users where role = 'admin' and enabled limit 1").fetchone():
        raise Conflict(f"{name!r} is the last admin who can log in: make another one first")


def _end_sessions(db: Connection, name: str) -> None:
    db.execute("delete from sessions where user = ?", (name,))


def _key(name: str) -> str:
    """What a name is looked up by; one that SQLite cannot hold is nobody's."""
    return folded(name[:1_000]).encode("utf-8", "replace").decode()


def _user(row: Row) -> User:
    return User(row["name"], row["role"], bool(row["enabled"]), row["created"], row["changed"])
