"""The index follows from the log alone: in whatever steps it is folded, and whatever is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.decision import Situation
from agent.errors import Conflict, InvalidInput
from agent.explain import explain
from agent.log import LearningLog
from agent.review import index as review
from agent.review.index import ReviewIndex
from agent.service import Service
from agent.settings import LoopSettings
from tests.agent.conftest import REPLIES, SETTINGS, Clock, HashEncoder

TABLES = (
    "conversations", "decisions", "outcomes", "messages", "annotations", "actions", "days", "signal_days",
    "intent_days", "chosen_days", "conversation_days", "kinds", "reply_days", "settled",
)  # fmt: skip
FACETED = """select key, kind, value from faceted f join facets n on n.id = f.facet
join conversations c on c.id = f.conversation order by 1, 2, 3"""
WHAT = (
    "decide", "hear", "activate", "thumb", "csat", "handover", "revoke", "correct", "undo", "note", "settle",
    "rules", "fold",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 5), st.integers(0, 1)), max_size=25)


def contents(index: ReviewIndex) -> dict[str, Sequence[Any]]:
    """All that pages can ask: of each table its rows, but for the numbers that rows are given as they come."""
    index.catch_up()
    index.renew()
    keys = {row["id"]: row["key"] for row in index.rows("select id, key from conversations")}
    found = {}
    for table in TABLES:
        rows = [dict(row) for row in index.rows(f"select * from {table}")]
        for row in rows:
            if "conversation" in row:
                row["conversation"] = keys.get(row["conversation"])
            if table == "conversations":
                del row["id"]
        found[table] = sorted(rows, key=repr)
    return {**found, "faceted": [tuple(row) for row in index.rows(FACETED)]}


class History:
    """A service on which things happen, and what they are known by."""

    def __init__(self, home: Any) -> None:
        self.clock = Clock()
        self.service = Service(
            home, encoder=HashEncoder, clock=self.clock, log=LearningLog(home / "l.db", scratch=True)
        )
        self.service.configure("replies", SETTINGS, who="test")
        self.service.reconcile("replies", REPLIES, who="test")
        self.decisions: list[str] = []
        self.told: list[str] = []
        self.changes: list[str] = []

    def do(self, what: str, which: int, value: int) -> None:
        situation = Situation(
            [f"where is it {which}"], f"c{which % 2}", "ann", f"m{which}", "web" if value else None,
            {"intent:track": 0.9, "language:en": 1.0},
        )  # fmt: skip
        self.clock.now += 10_000.0 * value
        if what == "decide":
            self.decisions.append(self.service.decide("replies", situation, seed=which, live=which != 5).id)
        elif what == "hear":
            self.service.hear(situation, who="bot" if value else "user")
        elif what == "rules":
            signals = LoopSettings(**{**SETTINGS.as_body(), "signals": {"thumb": value / 2}})
            self.service.configure("replies", signals, who="test")
        elif what == "settle" and self.decisions:
            answer = "replies/refund" if value else None
            self.changes.append(self.service.settle(self.decisions[which % 2 :], who="Ida", answer=answer).event_id)
        elif self.decisions:
            self._about(what, self.decisions[which % len(self.decisions)], which, value)

    def _about(self, what: str, decision: str, which: int, value: int) -> None:
        event, service = self.service.decision(decision), self.service
        if what == "activate" and event.body["live"]:
            service.activate(decision)
        elif what in ("thumb", "handover"):
            address = {"turn": event.turn} if which % 2 else {"decision": decision}
            self.told.append(
                service.record(signal=what, value=value, comment="Well" if value else None, **address).event_id
            )
        elif what == "csat":
            self.told.append(service.record(signal="csat", value=1 + 4 * value, conversation=f"c{which % 2}").event_id)
        elif what == "note":
            note = [
                ("flag", True),
                ("tag", "late"),
                ("untag", "late"),
                ("comment", "so"),
                ("reviewed", "bad"),
                ("assigned", ""),
            ]
            self.changes.append(service.annotate(*note[which], who="Ida", turn=event.turn).event_id)
        elif what == "undo":
            for change in self.changes[which : which + 1]:
                self.changes.append(service.revoke(change, who="Ida").event_id)
        for told in self.told[which : which + 1]:
            if what == "revoke":
                self.changes.append(service.revoke(told, who="Ida", why="a slip").event_id)
            elif what == "correct":
                worst = int(service.log.event(told).body["signal"] == "csat")
                self.changes.append(service.correct(told, value=worst + value, who="Ida").event_id)


@given(STEPS, st.integers(1, 7))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_in_whatever_steps_it_is_folded_it_holds_the_same(tmp_path_factory, steps, batch):
    home = tmp_path_factory.mktemp("home")
    history = History(home)
    followed = ReviewIndex(history.service.log, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(review, "BATCH", batch)
        for what, which, value in steps:
            if what == "fold":
                followed.catch_up()
                followed.renew() if value else None
                continue
            try:
                history.do(what, which, value)
            except (InvalidInput, Conflict):  # as a caller would be told; nothing has happened
                continue
        found = contents(followed)
    fresh = ReviewIndex(history.service.log, tmp_path_factory.mktemp("fresh"))
    assert contents(fresh) == found
    for row in found["decisions"]:
        reward = explain(history.service.log, history.service.decision(row["id"]))["reward"]
        assert (row["reward"], row["weight"]) == (
            (None, None) if reward is None else (reward["value"], reward["weight"])
        )
    for closed in (followed, fresh, history.service):
        closed.close()
