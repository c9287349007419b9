"""API keys: what programs show instead of a password. Shown once; only the hash is kept."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.access.names import checked_name
from agent.access.store import Row, Store
from agent.access.visitor import SCOPES, Visitor, role_of, spread
from agent.errors import Conflict, InvalidInput, Unknown

PREFIX = "rj_"
MOST_DAYS = 3_650.0
_KEY_BYTES = 32
_LONGEST = 100
_HINT = 4  # characters after the prefix by which a person knows a key again
_USED_SECONDS = 60.0
_COLUMNS = "name, hint, scopes, created, creator, expires, used, revoked"


@dataclass(frozen=True)
class Key:
    """A key without what is secret about it. Times in unix seconds; None where there is none, or not yet."""

    name: str
    hint: str
    scopes: frozenset[str]
    created: float
    creator: str
    expires: float | None
    used: float | None
    revoked: float | None

    def valid(self, at: float) -> bool:
        """Whether it is good for anything."""
        return self.revoked is None and (self.expires is None or self.expires > at)


class Keys:
    """All API keys. One that was revoked stays in the list, and its name taken: the trail speaks of it."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def create(self, name: str, scopes: Iterable[str], *, creator: str, days: float | None = None) -> tuple[Key, str]:
        """A new key and, this once, its secret. It is good for so many `days`, for ever unless given.

        Raises:
            Conflict: there is a key of this name, or was.
            InvalidInput: the name or the days cannot be used, there is no scope or an unknown one.
        """
        name, granted = checked_name(name, what="key"), frozenset(scopes)
        if not granted or granted - set(SCOPES):
            wrong = f"no scope is called {min(granted - set(SCOPES))!r}" if granted else "a key has at least one scope"
            raise InvalidInput(f"{wrong}; there are {', '.join(SCOPES)}")
        if days is not None and not 0 < days <= MOST_DAYS:
            raise InvalidInput(f"a key is good for up to {MOST_DAYS:g} days; got {days:g}")
        secret, now = PREFIX + secrets.token_urlsafe(_KEY_BYTES), self._clock()
        with self._store.change() as db:
            if db.execute("select 1 from keys where name = ?", (name,)).fetchone():
                raise Conflict(f"there is a key {name!r} already, or was")
            db.execute(
                "insert into keys (name, hash, hint, scopes, created, creator, expires) values (?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    _hash(secret),
                    secret[: len(PREFIX) + _HINT],
                    " ".join(sorted(granted)),
                    now,
                    creator,
                    None if days is None else now + 86_400 * days,
                ),
            )
        return self.find(name), secret

    def find(self, name: str) -> Key:
        """The key of this name.

        Raises:
            Unknown: there is none.
        """
        known = name.encode("utf-8", "replace").decode()
        rows = self._store.rows(f"select {_COLUMNS} from keys where name = ?", (known,))
        if not rows:
            raise Unknown(f"unknown key {name[:100]!r}")
        return _key(rows[0])

    def listed(self) -> list[Key]:
        """Every key, the latest first."""
        return [_key(row) for row in self._store.rows(f"select {_COLUMNS} from keys order by created desc, name")]

    def revoke(self, name: str) -> Key:
        """Make a key good for nothing, at once and for good. Doing so again changes nothing.

        Raises:
            Unknown: there is no such key.
        """
        name = self.find(name).name
        with self._store.change() as db:
            db.execute("update keys set revoked = ? where name = ? and revoked is null", (self._clock(), name))
        return self.find(name)

    def visitor(self, secret: str) -> Visitor | None:
        """Who a secret speaks for; None where it was revoked, has expired, or was never one."""
        now = self._clock()
        rows = self._store.rows(
            "select name, scopes, used from keys "
            "where hash = ? and revoked is null and (expires is null or expires > ?)",
            (_hash(secret), now),
        )
        if not rows:
            return None
        if rows[0]["used"] is None or now - rows[0]["used"] >= _USED_SECONDS:
            with self._store.change() as db:
                db.execute("update keys set used = ? where hash = ?", (now, _hash(secret)))
        scopes = frozenset(rows[0]["scopes"].split())
        return Visitor(f"key:{rows[0]['name']}", role_of(scopes), scopes=spread(scopes))


def _hash(secret: str) -> bytes:
    # Found by its hash, as a session is: no comparison of the secret itself, and too many to be tried.
    return hashlib.sha256(secret[:_LONGEST].encode("utf-8", "surrogatepass")).digest()


def _key(row: Row) -> Key:
    scopes = frozenset(row["scopes"].split())
    names = ("created", "creator", "expires", "used", "revoked")
    return Key(row["name"], row["hint"], scopes, *(row[name] for name in names))
