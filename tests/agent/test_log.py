from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decision import Situation
from agent.errors import Conflict, InvalidInput, LogUnavailable
from agent.log import Event, LearningLog, Vector


def outcome(id: str, value: float = 1.0, *, decision: str = "d1", at: float = 1.0) -> Event:
    return Event(id, "outcome", at, decision=decision, body={"signal": "thumb", "value": value})


@pytest.fixture
def log(tmp_path: Path):
    log = LearningLog(tmp_path / "learning.db", busy_seconds=0.2)
    yield log
    log.close()


def test_events_come_back_as_they_went_in_and_in_order(log):
    written = [outcome(f"e{n}", n) for n in range(5)]
    seqs = [appended.seq for appended in log.append(written)]
    assert seqs == sorted(seqs)
    read = list(log.read())
    assert [event.seq for event in read] == seqs
    assert [(e.id, e.kind, e.at, e.decision, e.body) for e in read] == [
        (e.id, e.kind, e.at, e.decision, e.body) for e in written
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from(("message", "decision", "mark")), st.sampled_from((None, "a", "b"))), max_size=12
    ),
    st.lists(st.sampled_from(("message", "decision", "mark")), max_size=3, unique=True),
    st.sampled_from((None, "a", "c")),
    st.tuples(st.integers(0, 13), st.one_of(st.none(), st.integers(0, 13))),
    st.booleans(),
    st.integers(1, 5),
)
def test_a_few_are_the_first_of_all_that_were_asked_for(written, kinds, loop, between, newest_first, limit):
    with tempfile.TemporaryDirectory() as folder, closing(LearningLog(Path(folder) / "l.db", scratch=True)) as log:
        log.append([Event(f"e{n}", kind, 1.0, of) for n, (kind, of) in enumerate(written)])
        after, upto = between
        asked = {"after": after, "upto": upto, "kinds": kinds, "loop": loop, "newest_first": newest_first}
        found = [
            seq
            for seq, (kind, of) in enumerate(written, 1)
            if after < seq <= (len(written) if upto is None else upto)
            and (not kinds or kind in kinds)
            and (loop is None or of in (loop, None))
        ]
        found = found[::-1] if newest_first else found
        assert [event.seq for event in log.read(**asked)] == found
        assert [event.seq for event in log.read(**asked, limit=limit)] == found[:limit]


def test_a_repeated_delivery_appends_nothing_even_at_another_time(log):
    (first,) = log.append([outcome("e1", at=1.0)])
    (again,) = log.append([outcome("e1", at=99.0)])
    assert not first.duplicate
    assert again.duplicate
    assert again.seq == first.seq
    assert log.counts() == {"outcome": 1}


def test_an_id_used_for_something_else_is_refused_and_nothing_of_the_batch_is_appended(log):
    log.append([outcome("e1", 1.0)])
    with pytest.raises(Conflict, match="e1"):
        log.append([outcome("e2"), outcome("e1", 0.0)])
    assert log.event("e2") is None


@pytest.mark.parametrize(
    "event",
    [
        Event("x", "no such kind", 1.0),
        Event("", "outcome", 1.0),
        Event("x", "outcome", float("nan")),
        Event("x", "outcome", 1.0, body={"value": float("inf")}),
        Event("x", "outcome", 1.0, body={"value": object()}),
        Event("x", "outcome", 1.0, body={"text": "\ud800"}),
    ],
)
def test_an_event_that_cannot_be_kept_is_refused(log, event):
    with pytest.raises(InvalidInput):
        log.append([event])
    assert log.last_seq() == 0


@pytest.mark.parametrize("sql", ["update events set body = '{}'", "delete from events"])
def test_nobody_changes_the_past(log, sql):
    log.append([outcome("e1")])
    connection = sqlite3.connect(log.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    connection.close()


def test_evidence_on_a_turn_counts_from_the_decision_on(log):
    turn = {"turn": "t1", "body": {"signal": "thumb", "value": 1}}
    log.append([Event("early", "outcome", 1.0, **turn)])
    log.append([Event("d1", "decision", 2.0, loop="replies", turn="t1", decision="d1")])
    log.append([Event("late", "outcome", 3.0, **turn)])
    (decision,) = log.decisions(column="turn", value="t1")
    assert [event.id for event in log.evidence(decision)] == ["late"]
    late = log.event("late")
    assert late is not None
    assert [event.id for event in log.addressed(late)] == ["d1"]


def test_vectors_are_kept_once_and_by_encoder(log):
    log.append([], vectors=[Vector("r", "one", b"\0\0\x80?"), Vector("r", "one", b"\0\0\0\0")])
    assert log.vectors(["r", "unknown"], encoder="one") == {"r": pytest.approx([1.0])}
    assert log.vectors(["r"], encoder="two") == {}


def test_a_locked_log_says_so_and_takes_the_same_event_later(log):
    other = sqlite3.connect(log.path)
    other.execute("begin immediate")
    with pytest.raises(LogUnavailable, match=r"learning\.db cannot be written: database is locked"):
        log.append([outcome("e1")])
    other.rollback()
    other.close()
    assert not log.append([outcome("e1")])[0].duplicate


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not write the file")
def test_a_read_only_log_can_be_read_and_says_that_it_cannot_be_written(log, tmp_path):
    log.append([outcome("e1")])
    script = f"""
import os, sys
from pathlib import Path
from agent.errors import LogUnavailable
from agent.log import Event, LearningLog
os.seteuid(65534)
log = LearningLog(Path({str(log.path)!r}))
assert log.event("e1") is not None
try:
    log.append([Event("e2", "outcome", 1.0, decision="d")])
except LogUnavailable as error:
    print(error)
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "cannot be written: attempt to write a readonly database" in done.stdout, done.stderr


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "learning.db").mkdir()
    with pytest.raises(LogUnavailable, match=r"learning\.db cannot be opened"):
        LearningLog(tmp_path / "learning.db")


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path):
    path = tmp_path / "learning.db"
    path.write_text("not a database, " * 100)
    with pytest.raises(LogUnavailable, match="not a database"):
        LearningLog(path)
    assert path.read_text().startswith("not a database")


def test_several_threads_append_at_once(log):
    def work(name: int) -> None:
        for n in range(20):
            log.append([outcome(f"{name}-{n}")], durable=False)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.counts() == {"outcome": 80}


WRITER = """
import sys
from pathlib import Path
from agent.log import Event, LearningLog
log = LearningLog(Path(sys.argv[1]), busy_seconds=30)
for n in range(int(sys.argv[3])):
    log.append([Event(f"{sys.argv[2]}-{n}", "outcome", 1.0, decision="d", body={"signal": "thumb", "value": 1})])
    print(f"{sys.argv[2]}-{n}", flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_processes_open_a_new_log_at_once_and_append(tmp_path):
    path = tmp_path / "learning.db"
    writers = [writer(path, str(name), 25) for name in range(4)]
    assert [process.wait() for process in writers] == [0] * 4
    for process in writers:
        assert process.stdout is not None
        process.stdout.close()
    log = LearningLog(path)
    assert log.counts() == {"outcome": 100}
    assert log.check() == []
    log.close()


@pytest.mark.slow
@pytest.mark.parametrize("kill_after", [1, 7, 30])
def test_what_was_acknowledged_outlives_kill_9(tmp_path, kill_after):
    path = tmp_path / "learning.db"
    process = writer(path, "w", 10_000)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(kill_after)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split()[:-1]  # the last word may be cut short
    process.wait()
    process.stdout.close()
    log = LearningLog(path)
    kept = {event.id for event in log.read()}
    assert set(acknowledged) <= kept
    # At most one more than what was said: the one between its commit and its acknowledgement, or being printed.
    assert len(kept) <= len(acknowledged) + 2
    assert log.check() == []
    assert all(log.append([outcome(id, 1, decision="d")])[0].duplicate for id in acknowledged[:5])
    log.close()


def test_whoever_opens_the_file_finds_events_as_tables(service):
    decided = service.decide("replies", Situation(["where is it"], "c1", "p1", "m1", "web"))
    told = service.record(signal="thumb", value=0, decision=decided.id, comment="No")
    service.correct(told.event_id, value=1, who="Ida", why="a slip")
    service.revoke(told.event_id, who="Ida")
    service.annotate("tag", "late", who="Ida", turn=decided.turn)
    service.hear(Situation(["where is it"], "c1", "p1", "m1", "web"))

    def found(view, columns):
        return service.log.rows(f"select {columns} from {view}")

    assert found("decisions", "id, channel, text, chosen") == [(decided.id, "web", "where is it", decided.chosen)]
    assert found("outcomes", "decision, signal, value, comment") == [(decided.id, "thumb", 0, "No")]
    assert found("corrections", "event_id, value, who") == [(told.event_id, 1, "Ida")]
    assert found("revocations", "event_id, who") == [(told.event_id, "Ida")]
    assert found("annotations", "turn, what, value") == [(decided.turn, "tag", "late")]
    assert found("messages", "turn, who, text") == [(decided.turn, "user", "where is it")]
    assert dict(found("decision_candidates", "candidate, probability")) == decided.probabilities
    assert {row[0] for row in found("candidates", "candidate")} == set(decided.probabilities)
