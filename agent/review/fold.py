"""The fold: a batch of events brought into the index's tables, in one transaction."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from agent.database import Connection
from agent.ledger import credit_of, rules_of
from agent.log import Event, LearningLog
from agent.review import summary
from agent.review.rows import (
    action_row,
    annotation_row,
    conversation_of,
    day_of,
    decision_row,
    message_row,
    outcome_row,
)
from agent.rewards import SIGNALS, Rules, activated, taken_back

_WHOSE = ("decision", "turn", "conversation")


class Batch:
    """Events being folded: each brings its own row, and what they bear on is settled once at the end."""

    def __init__(self, db: Connection, log: LearningLog) -> None:
        self._db, self._log = db, log
        self._conversations: set[int] = set()  # whose summary may differ
        self._days: set[int] = set()
        self._decisions: set[int] = set()  # by seq: whose reward may differ
        self._changed: list[Event] = []  # what takes back or replaces
        self._rules: dict[str, Rules] = {}
        self._facets: dict[summary.Facet, int] = {}
        self._kinds: dict[str, tuple[int, float]] = {}  # how many events of each kind, and when the last was

    def add(self, event: Event) -> None:
        """Fold one event."""
        self._kinds[event.kind] = (self._kinds.get(event.kind, (0, 0.0))[0] + 1, event.at)
        if event.kind == "decision":
            self._decision(event)
        elif event.kind == "message":
            self._message(event)
        elif event.kind == "outcome":
            self._outcome(event)
        elif event.kind in ("revoked", "correction"):
            self._changed.append(event)
            self._touch(event)
        elif event.kind == "activated":
            self._activated(event)
        elif event.kind in ("observed", "wait_expired"):
            self._touch(event)
        elif event.kind == "annotation":
            self._annotation(event)
        elif event.kind == "settings":
            self._settings(event)
        if (row := action_row(event)) is not None:
            self._insert("actions", {**row, "conversation": self._about(event)})

    def settle(self) -> None:
        """Bring in line what the events bear on: outcomes and notes taken back, rewards, summaries, days."""
        for event in self._changed:
            self._stand(event)
        for seq in self._decisions:
            self._reward(seq)
        for conversation in self._conversations:
            self._days |= summary.write(self._db, conversation, self._facets)
        self._db.executemany("insert or ignore into stale_days (day) values (?)", [(day,) for day in self._days])
        self._db.executemany(
            "insert into kinds (kind, events, last) values (?, ?, ?) "
            "on conflict do update set events = events + excluded.events, last = excluded.last",
            [(kind, *counted) for kind, counted in self._kinds.items()],
        )

    def _decision(self, event: Event) -> None:
        row = {**decision_row(event), "conversation": self._conversation(conversation_of(event))}
        self._insert("decisions", row)
        self._days.add(row["day"])
        if row["text"]:
            said = {"seq": event.seq, "turn": event.turn, "who": "user", "part": 0, "at": event.at, "action": None}
            self._say({**said, **{name: row[name] for name in ("text", "intent", "channel", "conversation")}})

    def _message(self, event: Event) -> None:
        self._say({**message_row(event), "conversation": self._conversation(conversation_of(event))})

    def _say(self, row: Mapping[str, Any]) -> None:
        """Keep what was said, once: a decision has the words that it answers, and the message comes as an event too."""
        known = "select 1 from messages where conversation = ? and turn = ? and who = ? and part = ?"
        place = (row["conversation"], row["turn"], row["who"], row["part"])
        if row["turn"] is None or self._db.execute(known, place).fetchone() is None:
            self._insert("messages", row)
            self._db.execute("insert into words (rowid, text) values (?, ?)", (row["seq"], row["text"]))

    def _outcome(self, event: Event) -> None:
        conversation = self._about(event)
        if conversation is not None:
            row = outcome_row(event)
            self._insert("outcomes", {**row, "conversation": conversation})
            self._days.add(row["day"])
            self._conversations.add(conversation)
        self._touch(event)

    def _activated(self, event: Event) -> None:
        """Most decisions are activated before anybody has said anything: then there is nothing to reckon."""
        self._db.execute("update decisions set activated = 1 where id = ?", (event.decision,))
        told = "decision = d.id or turn = d.turn or (decision is null and turn is null)"
        row = self._db.execute(
            f"select conversation, exists (select 1 from outcomes where conversation = d.conversation and ({told})) "
            "from decisions d where id = ?",
            (event.decision,),
        ).fetchone()
        if row is not None:
            self._conversations.add(row[0])
            if row[1]:
                self._touch(event)

    def _annotation(self, event: Event) -> None:
        for question in event.body.get("questions", ()):
            self._insert("settled", {"event": event.id, "question": question})
        conversation = self._about(event)
        if conversation is not None:
            self._insert("annotations", {**annotation_row(event), "conversation": conversation})
            self._conversations.add(conversation)

    def _settings(self, event: Event) -> None:
        """New rules make other rewards of the same outcomes."""
        loop = event.loop or ""
        self._rules.pop(loop, None)
        rows = self._db.execute("select seq from decisions where loop = ? and (activated or not live)", (loop,))
        self._decisions |= {row[0] for row in rows}

    def _touch(self, event: Event) -> None:
        """Note the decisions that an event bears on."""
        for column in _WHOSE:
            if (value := getattr(event, column)) is None:
                continue
            if column == "conversation":
                value = self._known(value)
            name = "id" if column == "decision" else column
            rows = self._db.execute(
                f"select seq, conversation from decisions where {name} = ? and seq <= ?", (value, event.seq)
            ).fetchall()
            self._decisions |= {row["seq"] for row in rows}
            self._conversations |= {row["conversation"] for row in rows}
            return

    def _stand(self, event: Event) -> None:
        """Bring the outcomes and notes at an event's address in line with what takes them back or replaces them."""
        around = self._log.beside(event, ("outcome", "annotation", "correction", "revoked"))
        gone = taken_back(around)
        values = {e.body["event_id"]: e.body["value"] for e in around if e.kind == "correction" and e.id not in gone}
        for told in around:
            standing = int(told.id not in gone)
            if told.kind == "annotation":
                self._db.execute("update annotations set standing = ? where id = ?", (standing, told.id))
                self._db.execute("update settled set standing = ? where event = ?", (standing, told.id))
            elif told.kind == "outcome":
                value = float(values.get(told.id, told.body["value"]))
                scaled = SIGNALS[told.body["signal"]].scaled(value)
                self._db.execute(
                    "update outcomes set standing = ?, corrected = ?, value = ?, scaled = ? where id = ?",
                    (standing, int(told.id in values), value, scaled, told.id),
                )
                self._days.add(day_of(told.at))
        if (conversation := self._about(event)) is not None:
            self._conversations.add(conversation)

    def _reward(self, seq: int) -> None:
        """What a decision has earned by now, before any guard."""
        (event,) = self._log.read(after=seq - 1, upto=seq)
        evidence, rules = self._log.evidence(event), self._rules_of(event.loop)
        reward = credit_of(self._log, event, evidence, rules)
        earned = (None, None) if reward is None else (reward.value, reward.weight)
        self._db.execute(
            "update decisions set activated = ?, reward = ?, weight = ? where seq = ?",
            (int(activated(evidence)), *earned, seq),
        )
        (conversation,) = self._db.execute("select conversation from decisions where seq = ?", (seq,)).fetchone()
        self._conversations.add(conversation)
        self._days.add(day_of(event.at))

    def _rules_of(self, loop: str | None) -> Rules:
        name = loop or ""
        if name not in self._rules:
            self._rules[name] = rules_of(self._log, loop)
        return self._rules[name]

    def _about(self, event: Event) -> int | None:
        """The conversation that an event is about; None where the index knows of none."""
        if event.conversation is not None:
            return self._known(event.conversation)
        for column, value in (("id", event.decision), ("turn", event.turn)):
            if value is not None:
                row = self._db.execute(f"select conversation from decisions where {column} = ?", (value,)).fetchone()
                return None if row is None else int(row[0])
        return None

    def _known(self, key: str) -> int | None:
        row = self._db.execute("select id from conversations where key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def _conversation(self, key: str | None) -> int:
        assert key is not None, "decisions and messages are of a conversation"
        known = self._known(key)
        if known is None:
            row = (key, zlib.crc32(key.encode()))
            known = int(self._db.execute("insert into conversations (key, lot) values (?, ?)", row).lastrowid or 0)
        self._conversations.add(known)
        return known

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        columns = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        self._db.execute(f"insert into {table} ({columns}) values ({marks})", dict(row))
