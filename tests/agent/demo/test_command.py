from __future__ import annotations

import json
import socket
import sys

import pytest

from agent.__main__ import main
from agent.encoder import Encoder
from agent.service import Service
from agent.settings import LoopSettings
from tests.agent.conftest import HashEncoder


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line in this process; exit code, stdout, stderr. Words have no meaning in it."""
    monkeypatch.setattr(Encoder, "_encode", HashEncoder._encode)
    monkeypatch.setattr(Encoder, "_direction", HashEncoder._direction, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", "demo", *arguments])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        else:
            code = 0
        return code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_a_log_is_made_once_and_then_opened(run, home):
    small = ("--no-serve", "--conversations", "50", "--weeks", "1", "--json")
    first, again, fresh = (json.loads(run(*small, *more)[1]) for more in ((), (), ("--fresh",)))
    assert first["home"] == str(home / "demo")
    assert first["made"]
    assert not again["made"]
    assert again["events"] == first["events"]
    assert fresh["made"]
    assert not (home / "learning.db").exists()  # that of real customers


def test_a_real_log_is_refused_in_one_line(run, home):
    service = Service(home, encoder=HashEncoder)
    service.configure("replies", LoopSettings(), who="config.yml")
    service.close()
    for more in ((), ("--fresh",)):
        code, out, err = run("--no-serve", "--home", str(home), *more)
        assert (code, out) == (2, "")
        assert "simulated" in err
        assert len(err.splitlines()) == 1


def test_a_port_in_use_is_said_before_anything_is_made(run, home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = run("--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "--port" in err
    assert not (home / "demo").exists()
