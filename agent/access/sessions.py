"""Sessions: who has logged in, known by a random token of which only the hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.access.store import Store
from agent.access.visitor import Visitor

IDLE_SECONDS = 3_600.0
ABSOLUTE_SECONDS = 12 * 3_600.0
_TOKEN_BYTES = 32
_LONGEST = 100  # characters of a token that are looked at
_SEEN_SECONDS = 60.0  # how exactly it is known when somebody was last there: each look is not a write


@dataclass(frozen=True)
class Session:
    """Where and when a user logged in; times in unix seconds."""

    user: str
    address: str
    created: float
    seen: float


class Sessions:
    """Who is logged in. A session ends `idle` seconds after it was last used, and `absolute` after it began."""

    def __init__(
        self,
        store: Store,
        *,
        idle: float = IDLE_SECONDS,
        absolute: float = ABSOLUTE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._idle, self._absolute = idle, absolute
        self._clock = clock

    def start(self, user: str, *, address: str = "", before: str | None = None) -> str:
        """Log a user in: a new token, whatever the browser had `before`, which ends."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock()
        with self._store.change() as db:
            if before is not None:
                db.execute("delete from sessions where hash = ?", (_hash(before),))
            # Those that are over would stay for ever where nobody comes back to them.
            db.execute("delete from sessions where seen <= ? or created <= ?", (now - self._idle, now - self._absolute))
            db.execute(
                "insert into sessions (hash, user, address, created, seen) values (?, ?, ?, ?, ?)",
                (_hash(token), user, address, now, now),
            )
        return token

    def visitor(self, token: str) -> Visitor | None:
        """Who a token speaks for, in the role that user has now; None where it has ended, or there was none."""
        now = self._clock()
        rows = self._store.rows(
            "select users.name, users.role, sessions.seen from sessions join users on users.name = sessions.user "
            "where sessions.hash = ? and users.enabled and sessions.seen > ? and sessions.created > ?",
            (_hash(token), now - self._idle, now - self._absolute),
        )
        if not rows:
            return None
        if now - rows[0]["seen"] >= min(_SEEN_SECONDS, self._idle / 10):
            with self._store.change() as db:
                db.execute("update sessions set seen = ? where hash = ?", (now, _hash(token)))
        return Visitor(rows[0]["name"], rows[0]["role"], csrf_of(token))

    def end(self, token: str) -> None:
        """Log out here."""
        with self._store.change() as db:
            db.execute("delete from sessions where hash = ?", (_hash(token),))

    def end_all(self, user: str) -> int:
        """Log a user out everywhere; how many sessions that were."""
        with self._store.change() as db:
            return db.execute("delete from sessions where user = ?", (user,)).rowcount

    def listed(self, user: str) -> list[Session]:
        """The sessions of a user that have not ended, the latest first."""
        now = self._clock()
        rows = self._store.rows(
            "select user, address, created, seen from sessions where user = ? and seen > ? and created > ? "
            "order by created desc",
            (user, now - self._idle, now - self._absolute),
        )
        return [Session(row["user"], row["address"], row["created"], row["seen"]) for row in rows]


def csrf_of(token: str) -> str:
    """What forms of a session send back: who has it cannot find the token, and no other session's is the same."""
    return hmac.new(_bytes(token), b"csrf", hashlib.sha256).hexdigest()


def _hash(token: str) -> bytes:
    # No comparison leaks the token: what is looked up is its hash, and tokens are too many to be tried.
    return hashlib.sha256(_bytes(token)).digest()


def _bytes(token: str) -> bytes:
    return token[:_LONGEST].encode("utf-8", "surrogatepass")
