"""While the learning log is locked, customers are answered and feedback is put off; then all goes on."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.log import LearningLog
from tests.rasa.server import RasaServer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """The log, held by somebody who writes and does not come to an end."""
    with closing(sqlite3.connect(home / "learning.db", isolation_level=None)) as db:
        db.execute("begin immediate")
        yield
        db.execute("rollback")


def test_a_locked_log_stops_neither_answers_nor_what_follows(shipped: RasaServer) -> None:
    sender = uuid.uuid4().hex
    before = shipped.say("can I pay with a credit card?", sender=sender)[0]
    post = {"turn_id": before["turn_id"], "signal": "thumb", "value": 1, "event_id": uuid.uuid4().hex}
    with locked(shipped.home):
        message = shipped.say("I was charged twice for one order", sender=sender)[0]
        assert message["text"]
        assert message["decision_ids"] == []
        refused = shipped.feedback(**post)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert "locked" in refused.json()["error"]
    assert shipped.feedback(**post).json() == {"event_id": post["event_id"], "duplicate": False}
    assert "cannot be written" in shipped.log.read_text(errors="replace")
    # What was said meanwhile reaches the log; and after a pause, decisions are made again.
    log = LearningLog(shipped.home / "learning.db")
    turn = message["turn_id"]
    assert _soon(lambda: bool(log.event(f"message:{turn}:user") and log.event(f"message:{turn}:bot")))
    log.close()
    assert _soon(lambda: bool(shipped.say("do you sell spare parts?")[0]["decision_ids"]))


def _soon(holds, seconds: float = 30.0) -> bool:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
