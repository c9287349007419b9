"""The file `access.db`: users, sessions, keys, the trail and saved views.

It is no part of the learning log: who may look is not something that was learned, and it changes.
"""

from __future__ import annotations

from pathlib import Path

from agent.database import BUSY_SECONDS, Connection, Database, Row
from agent.errors import AccessUnavailable

FILE = "access.db"
# Each brings the schema one step further; one that has landed is never edited.
_STEPS: tuple[str, ...] = (
    """
    create table users (
        name text primary key,
        folded text not null unique,
        role text not null,
        password text not null,
        enabled integer not null default 1,
        created real not null,
        changed real not null
    ) without rowid;
    create table sessions (
        hash blob primary key,
        user text not null references users (name),
        address text not null,
        created real not null,
        seen real not null
    ) without rowid;
    create index sessions_user on sessions (user);
    create table keys (
        name text primary key,
        hash blob not null unique,
        hint text not null,
        scopes text not null,
        created real not null,
        creator text not null,
        expires real,
        used real,
        revoked real
    ) without rowid;
    create table audit (
        id integer primary key autoincrement,
        at real not null,
        who text not null,
        role text not null,
        action text not null,
        object text not null,
        address text not null
    );
    create index audit_who on audit (who, id);
    create index audit_action on audit (action, id);
    create trigger audit_no_update before update on audit
        begin select raise(abort, 'the trail is append-only'); end;
    create trigger audit_no_delete before delete on audit
        begin select raise(abort, 'the trail is append-only'); end;
    create table views (
        id integer primary key autoincrement,
        owner text not null,
        name text not null,
        query text not null,
        shared integer not null,
        created real not null,
        unique (owner, name)
    );
    """,
    "create index audit_at on audit (at, id);",
)


class Store(Database):
    """The database of a home. It holds hashes of passwords: its owner alone can read it.

    Raises:
        AccessUnavailable: the file cannot be opened, read or written, or is locked for longer than `busy_seconds`.
    """

    def __init__(self, home: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        super().__init__(home / FILE, _STEPS, unavailable=AccessUnavailable, private=True, busy_seconds=busy_seconds)


__all__ = ["FILE", "Connection", "Row", "Store"]
