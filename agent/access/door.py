"""The door: all that decides who comes in, over one `access.db`, and what of it the trail keeps."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

from agent.access.audit import Audit
from agent.access.keys import Keys
from agent.access.sessions import ABSOLUTE_SECONDS, IDLE_SECONDS, Sessions
from agent.access.store import FILE, Store
from agent.access.users import User, Users
from agent.access.views import Views
from agent.access.visitor import NOBODY, Visitor
from agent.errors import InvalidInput

UNKNOWN = "(unknown)"  # in the trail: who gave a name that is no user's


class Door:
    """Users, sessions, keys, the trail and saved views of one installation.

    Raises:
        AccessUnavailable: `access.db` cannot be opened.
    """

    def __init__(
        self,
        home: Path,
        *,
        idle: float = IDLE_SECONDS,
        absolute: float = ABSOLUTE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = Store(home)
        self.users = Users(self.store, clock=clock)
        self.sessions = Sessions(self.store, idle=idle, absolute=absolute, clock=clock)
        self.keys = Keys(self.store, clock=clock)
        self.audit = Audit(self.store, clock=clock)
        self.views = Views(self.store, clock=clock)

    def log_in(self, name: str, password: str, *, address: str = "", before: str | None = None) -> str | None:
        """A new session's token, or None: name or password are wrong, or the user is disabled; it is not said which.

        The session that the browser had `before` ends.
        """
        user = self.users.check(name, password)
        if user is None:
            # People type passwords into the wrong field: the trail keeps no name that is nobody's.
            who = self.users.known(name) or UNKNOWN
            self.audit.write_as(who, NOBODY, "log-in failed", address=address)
            return None
        token = self.sessions.start(user.name, address=address, before=before)
        self.audit.write_as(user.name, user.role, "log-in", address=address)
        return token

    def log_out(self, visitor: Visitor, token: str | None, *, everywhere: bool = False, address: str = "") -> None:
        """End the session of a token, or all of the visitor's."""
        if everywhere:
            self.sessions.end_all(visitor.name)
        elif token is not None:
            self.sessions.end(token)
        self.audit.write(visitor, "log-out everywhere" if everywhere else "log-out", address=address)

    def change_password(self, visitor: Visitor, now: str, then: str, *, address: str = "") -> str:
        """Give the visitor another password: every session ends, and the token of a new one is returned.

        Raises:
            InvalidInput: the present password is not `now`, or `then` cannot be used.
        """
        user = self.users.check(visitor.name, now)
        if user is None:
            self.audit.write(visitor, "password change failed", address=address)
            raise InvalidInput("the present password is another one")
        self.users.set_password(user.name, then)
        self.audit.write(visitor, "password changed", user.name, address=address)
        return self.sessions.start(user.name, address=address)

    def reset_password(self, visitor: Visitor, name: str, password: str, *, address: str = "") -> str | None:
        """Give a user a password; a new session's token where that is the visitor, whose session has ended.

        Raises:
            InvalidInput: the password cannot be used.
            Unknown: there is no such user.
        """
        return self._done(visitor, self.users.set_password(name, password), "password reset", address)

    def set_role(self, visitor: Visitor, name: str, role: str, *, address: str = "") -> str | None:
        """Give a user another role; a new session's token where that is the visitor, whose session has ended.

        Raises:
            Conflict: it is the last enabled admin.
            InvalidInput: there is no such role.
            Unknown: there is no such user.
        """
        return self._done(visitor, self.users.set_role(name, role), f"role changed to {role}", address)

    def set_enabled(self, visitor: Visitor, name: str, enabled: bool, *, address: str = "") -> None:
        """Let a user log in, or no longer.

        Raises:
            Conflict: it is the last enabled admin.
            Unknown: there is no such user.
        """
        user = self.users.set_enabled(name, enabled)
        self.audit.write(visitor, "user enabled" if enabled else "user disabled", user.name, address=address)

    def _done(self, visitor: Visitor, user: User, action: str, address: str) -> str | None:
        self.audit.write(visitor, action, user.name, address=address)
        if visitor.csrf and user.name == visitor.name:
            return self.sessions.start(user.name, address=address)
        return None

    def close(self) -> None:
        """Close the file."""
        self.store.close()


def refuse_open(home: Path, host: str) -> None:
    """Let nobody listen where other machines reach who needs no password.

    Raises:
        InvalidInput: the address is not this machine's own, and there is no user yet.
        AccessUnavailable: `access.db` cannot be read.
    """
    if _own(host):
        return
    if (home / FILE).exists():
        store = Store(home)
        try:
            if Users(store).exist():
                return
        finally:
            store.close()
    raise InvalidInput(
        f"other machines reach {host}, and nobody has to log in yet: make a user first, "
        "with `rejoinder users add NAME --role admin`"
    )


def _own(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone; a name is, if it is `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
