"""The runtime that components share, when the learning log is in trouble."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("rasa")

from agent.decision import Situation
from agent.log import LearningLog
from agent.plugin import runtime as runtime_module
from agent.plugin.runtime import Runtime
from agent.settings import LoopSettings
from tests.rasa.components import REPLIES

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written by this process."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # to root no mode is an obstacle
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            if path.exists():
                path.chmod(0o755)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can look into, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="rejoinder-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


QUESTION = Situation(["when do you open?"], conversation="ann", message_id="m1")


def test_with_a_read_only_log_replies_go_on(open_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared = Runtime(open_folder)
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    first = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    assert first is not None
    assert first.decision is not None
    shared.close()
    identity = open_folder / "identity.key"
    identity.chmod(0o444)
    with unwritable(open_folder):
        for number in range(3):
            question = Situation(["when do you open?"], conversation="ann", message_id=f"r{number}")
            found = shared.decide("actions", question, candidates=["hours", "parcel"])
            assert found is not None
            assert (found.candidate, found.decision) == ("hours", None)
    shared.close()
    assert [record.levelname for record in caplog.records if "learning log" in record.message] == ["ERROR"]
    kept = LearningLog(open_folder / "learning.db")
    assert kept.counts()["decision"] == 1
    kept.close()


def test_without_any_log_replies_go_by_their_words(open_folder: Path) -> None:
    shared = Runtime(open_folder / "home")
    with unwritable(open_folder):
        shared.prepare("actions", LoopSettings(), REPLIES, who="test")
        found = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
        assert found is not None
        assert (found.candidate, found.decision, found.turn) == ("hours", None, None)
    shared.close()


def test_decisions_go_on_where_the_lock_ends(shared: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(shared, "_clock", lambda: now[0])
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    with closing(sqlite3.connect(shared.home / "learning.db", isolation_level=None)) as db:
        db.execute("begin immediate")
        locked = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
        db.execute("rollback")
    paused = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    now[0] += runtime_module.PAUSE_SECONDS
    after = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    assert locked is not None
    assert paused is not None
    assert after is not None
    assert (locked.decision, paused.decision) == (None, None)
    assert after.decision is not None
