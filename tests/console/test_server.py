"""The server as a process: it starts, answers, catches up, ends in order, and brings in no Rasa."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.console.server import catch_up, follow
from agent.decision import Situation
from agent.errors import LogUnavailable
from agent.review.index import ReviewIndex
from agent.review.overview import Scope, by_day
from agent.service import Service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def call(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextmanager
def serving(home: Path, port: int, root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "agent.console", "--port", str(port)]
    environment = {**os.environ, "REJOINDER_HOME": str(home)}
    process = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                call(f"{url}/healthz")
                break
            except (OSError, ValueError):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        yield url, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_real_server_decides_and_stops_when_told(home: Path, root: Path) -> None:
    port = free_port()
    with serving(home, port, root) as (url, process):
        assert call(f"{url}/v1/loops/replies", {"candidates": [{"id": "a", "text": "hello"}]})[0] == 201
        status, made = call(f"{url}/v1/decisions", {"loop": "replies", "context": {"text": "good morning"}})
        assert (status, made["chosen"]) == (200, "a")
        body = {"decision_id": made["decision_id"], "signal": "thumb", "value": 1, "event_id": "e1"}
        assert call(f"{url}/v1/outcomes", body) == (200, {"event_id": "e1", "duplicate": False})
        assert call(f"{url}/healthz")[1]["encoder"] == "ok"
        second = subprocess.run(
            [sys.executable, "-m", "agent.console", "--port", str(port)],
            cwd=root,
            env={**os.environ, "REJOINDER_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (second.returncode, second.stdout) == (2, "")
        assert second.stderr.splitlines() == [
            f"rejoinder: port {port} on 127.0.0.1 is in use: stop what listens there, or give another --port"
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    # What was acknowledged is there, and what was folded was kept.
    service = Service(home)
    assert [event.id for event in service.log.read(kinds=("outcome",))] == ["e1"]
    service.close()


def test_nobody_but_this_machine_is_let_in_while_nobody_has_to_log_in(home: Path, root: Path) -> None:
    for host in ("0.0.0.0", "::"):
        ran = subprocess.run(
            [sys.executable, "-m", "agent.console", "--host", host, "--port", str(free_port())],
            cwd=root,
            env={**os.environ, "REJOINDER_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.count("\n") == 1
        assert "rejoinder users add NAME --role admin" in ran.stderr


def test_catching_up_survives_a_log_that_is_away(
    service: Service, make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, failures, over = service.loops, [LogUnavailable("away"), RuntimeError("odd")], threading.Event()

    def loops() -> list[str]:
        if failures:
            raise failures.pop()
        return there()

    monkeypatch.setattr(service, "loops", loops)
    thread = threading.Thread(target=catch_up, args=(service, over), kwargs={"seconds": 0.01})
    thread.start()
    try:
        other = make_service()
        made = other.decide("replies", Situation(["hello"]))
        assert made is not None
        other.record(signal="thumb", value=1, decision=made.id)
        deadline = time.monotonic() + 60
        while service.folds()["replies"].credits < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        over.set()
        thread.join()
    assert not failures


def test_the_index_follows_the_log_and_survives_one_that_is_away(
    service: Service, make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, failures, over = ReviewIndex(service.log, service.home), [LogUnavailable("away")], threading.Event()
    there = index.renew

    def renew(**how: int) -> bool:
        if failures:
            raise failures.pop()
        return there(**how)

    monkeypatch.setattr(index, "renew", renew)
    thread = threading.Thread(target=follow, args=(index, over), kwargs={"seconds": 0.01})
    thread.start()
    try:
        other = make_service()
        for n in range(3):
            made = other.decide("replies", Situation([f"hello {n}"]))
            assert made is not None
            deadline = time.monotonic() + 60
            while sum(figures.counts.decisions for figures in by_day(index, Scope(1, 10**6)).values()) <= n:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        over.set()
        thread.join()
        index.close()
    assert not failures


def test_the_server_brings_in_neither_rasa_nor_tensorflow(root: Path) -> None:
    code = "import sys, agent.console.server; print(*{'rasa', 'tensorflow', 'sanic'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr
