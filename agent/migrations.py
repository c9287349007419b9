"""The learning log's schema, as a list of plain functions that each bring it one step further.

A migration that has landed is never edited: the next change is the next function.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

migrations = Migrations("rejoinder")


@migrations()
def m001_events(db: Database) -> None:
    """The log itself: one row an event, in the order of `seq`, which is the order of commits."""
    db.execute(
        """
        create table events (
            seq integer primary key autoincrement,
            id text not null unique,
            kind text not null,
            loop text,
            conversation text,
            turn text,
            decision text,
            at real not null,
            body text not null
        )
        """
    )
    db.execute("create index events_decision on events (decision, kind) where decision is not null")
    db.execute("create index events_turn on events (turn, kind) where turn is not null")
    db.execute("create index events_conversation on events (conversation, kind) where conversation is not null")
    db.execute("create index events_kind on events (kind, loop, seq)")


@migrations()
def m002_append_only(db: Database) -> None:
    """Events are never updated or deleted, whoever holds the file."""
    for verb in ("update", "delete"):
        db.execute(
            f"create trigger events_no_{verb} before {verb} on events "
            "begin select raise(abort, 'the learning log is append-only'); end"
        )


@migrations()
def m003_vectors(db: Database) -> None:
    """Embeddings, each text's once: events refer to them by the hash of the text."""
    db.execute(
        """
        create table vectors (
            ref text not null,
            encoder text not null,
            vector blob not null,
            primary key (ref, encoder)
        ) without rowid
        """
    )


@migrations()
def m004_contexts(db: Database) -> None:
    """What each decision's context is made of, by loop: comparing all of them must not read every decision whole."""
    db.execute(
        "create index events_context on events (loop, seq, coalesce("
        "json_extract(body, '$.context.blocks.\"\"'), json_extract(body, '$.context.refs'))) where kind = 'decision'"
    )


@migrations()
def m005_vectors_by_row(db: Database) -> None:
    """Embeddings as rows beside a narrow index: with them in the tree few fit a page, and a look-up reads many."""
    db.execute("alter table vectors rename to vectors_wide")
    db.execute(
        """
        create table vectors (
            ref text not null,
            encoder text not null,
            vector blob not null,
            unique (ref, encoder)
        )
        """
    )
    db.execute("insert into vectors (ref, encoder, vector) select ref, encoder, vector from vectors_wide")
    db.execute("drop table vectors_wide")


@migrations()
def m006_blobs(db: Database) -> None:
    """Large things that events refer to by the hash of what they hold: what another assistant's learner knew."""
    db.execute("create table blobs (ref text primary key, data blob not null) without rowid")


@migrations()
def m007_mailbox(db: Database) -> None:
    """What channels brought and what is to be sent, until it is done: unlike events, these rows change."""
    db.execute(
        """
        create table deliveries (
            id integer primary key autoincrement,
            channel text not null,
            key text not null,
            conversation text not null,
            body text,
            state text not null default 'waiting',
            attempts integer not null default 0,
            due real not null,
            error text,
            unique (channel, key)
        )
        """
    )
    db.execute("create index deliveries_waiting on deliveries (channel, conversation, id) where state = 'waiting'")
    db.execute(
        """
        create table parcels (
            id integer primary key autoincrement,
            channel text not null,
            conversation text not null,
            body text not null,
            state text not null default 'waiting',
            attempts integer not null default 0,
            due real not null,
            message text,
            error text
        )
        """
    )
    db.execute("create index parcels_waiting on parcels (channel, conversation, id) where state = 'waiting'")
    db.execute("create index parcels_message on parcels (channel, message) where message is not null")
    db.execute("create index parcels_conversation on parcels (channel, conversation, id)")
    db.execute(
        """
        create table conversations (
            channel text not null,
            conversation text not null,
            address text not null default '{}',
            handed_over integer not null default 0,
            primary key (channel, conversation)
        ) without rowid
        """
    )
    db.execute(
        """
        create table reactions (
            channel text not null,
            parcel text not null,
            person text not null,
            facet text not null,
            event text not null,
            primary key (channel, parcel, person, facet)
        ) without rowid
        """
    )


@migrations()
def m008_heard(db: Database) -> None:
    """Which parcels hold what customers said: it is forgotten as soon as their other words."""
    db.execute("alter table parcels add column heard integer not null default 0")
    db.execute("update parcels set heard = 1 where state = 'heard'")


@migrations()
def m009_choices(db: Database) -> None:
    """What was chosen by which model version and when: counting must not read every decision whole."""
    db.execute(
        "create index events_choice on events (loop, json_extract(body, '$.model_version'), "
        "json_extract(body, '$.chosen'), at) where kind = 'decision'"
    )


@migrations()
def m010_views(db: Database) -> None:
    """What people look for who open the file with Datasette or `sqlite3`: the bodies of events as columns."""
    address = "seq, id, datetime(at, 'unixepoch') as time, loop, conversation, turn, decision"
    views = {
        "decisions": ("channel", "text", "chosen", "propensity", "policy", "model_version", "live"),
        "outcomes": ("signal", "value", "source", "comment"),
        "messages": ("who", "channel", "text"),
        "candidates": ("id", "version", "texts", "who"),
        "corrections": ("event_id", "value", "who", "why"),
        "revocations": ("event_id", "who", "why"),
        "annotations": ("what", "value", "who"),
    }
    kinds = {"revocations": "revoked"}
    for name, keys in views.items():
        columns = ", ".join(f"json_extract(body, '$.{key}') as {'candidate' if key == 'id' else key}" for key in keys)
        kind = kinds.get(name, name.removesuffix("s"))
        db.execute(f"create view {name} as select {address}, {columns} from events where kind = '{kind}'")
    db.execute(
        "create view decision_candidates as select e.id as decision, c.value as candidate, "
        "json_extract(e.body, '$.probabilities[' || c.key || ']') as probability, "
        "json_extract(e.body, '$.eligible[' || c.key || ']') as eligible, "
        "json_extract(e.body, '$.deviation[' || c.key || ']') as deviation "
        "from events e, json_each(e.body, '$.candidates') c where e.kind = 'decision'"
    )


@migrations()
def m011_failed(db: Database) -> None:
    """What channels failed to take in or to send, and when: what is well need not be read to find it."""
    for table in ("deliveries", "parcels"):
        db.execute(f"create index {table}_failed on {table} (channel, due) where state = 'failed'")


@migrations()
def m012_latest(db: Database) -> None:
    """The latest events of a kind, in whatever loop: they must not be looked for among all there are."""
    db.execute("create index events_latest on events (kind, seq)")
