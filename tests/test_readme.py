"""Every command in the README is run, in its order, as somebody who reads it would."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rasa.conftest import cache, shipped_model

__all__ = ["cache", "shipped_model"]
ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
# Run by CI itself, of which this test is a part.
RUN_BY_CI = {"make test"}

pytestmark = [pytest.mark.slow, pytest.mark.rasa]


def blocks(kind: str) -> list[str]:
    return [found["body"] for found in FENCE.finditer((ROOT / "README.md").read_text()) if found["kind"] == kind]


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line and not line.startswith("#")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(address: str) -> str:
    """The page at an address, as soon as it answers."""
    deadline = time.monotonic() + 60
    while (page := _page(address)) is None:
        assert time.monotonic() < deadline, f"{address} does not answer"
        time.sleep(0.3)
    return page


def _page(address: str) -> str | None:
    try:
        with urllib.request.urlopen(address, timeout=30) as page:
            return str(page.read().decode())
    except OSError:
        return None


class Reader:
    """Somebody who types the README's commands into a shell, one after the other, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"5005": str(free_port()), "8000": str(free_port())}
        self.ids = {"TURN": "", "DECISION": ""}
        self.environment = {
            **os.environ,
            "REJOINDER_HOME": str(folder / ".rejoinder"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.server: subprocess.Popen[str] | None = None

    def type(self, command: str) -> str:
        for name, value in {**self.ports, **self.ids}.items():
            command = re.sub(rf"\b{name}\b", value, command)
        if command == "rejoinder serve":
            return self._serve()
        if command == "make demo":
            return self._demo()
        folder = ROOT if command.startswith("make ") else self.folder
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=self.environment, input="Where is my parcel?\n/why\n/good\n",
            capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        for name, pattern in (("TURN", r'"turn_id": ?"(\w+)"'), ("DECISION", r'"decision_ids?": ?\[?"(\w+)"')):
            if found := re.search(pattern, done.stdout):
                self.ids[name] = found[1]
        return done.stdout

    def _demo(self) -> str:
        """Simulate a short time, open the console, look at it, and stop."""
        port = str(free_port())
        command = ["make", "demo", f"ARGS=--conversations 60 --weeks 2 --port {port}"]
        # A session of its own: make does not pass on the signal by which a terminal stops all of them.
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as running:
            assert running.stdout is not None
            said = ""
            for line in running.stdout:
                said += line
                if "stop with Ctrl-C" in line:
                    break
            said += answer(f"http://127.0.0.1:{port}/")
            os.killpg(running.pid, signal.SIGINT)
            running.communicate(timeout=60)
        return said

    def _serve(self) -> str:
        command = ["rejoinder", "serve", "--port", self.ports["5005"], "--console-port", self.ports["8000"]]
        self.server = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self.server.stderr is not None
        said = ""
        for line in self.server.stderr:
            said += line
            if "stop with Ctrl-C" in line:
                return said
        raise AssertionError(said)

    def leave(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            self.server.communicate(timeout=60)


@pytest.fixture(scope="module")
def reader(shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    models = folder / ".rejoinder" / "models"
    models.mkdir(parents=True)
    # Trained by the same command before, and found under its name: a minute of every test run.
    (models / shipped_model.name).symlink_to(shipped_model)
    for block in blocks("csv"):
        (folder / ("catalogue.csv" if block.startswith("id,") else "questions.csv")).write_text(block)
    reader = Reader(folder)
    yield reader
    reader.leave()


def test_the_commands_do_what_the_readme_says(reader):
    said = {command: reader.type(command) for command in commands() if command not in RUN_BY_CI}
    talk = said["make chat"]
    assert "bot  " in talk
    assert "probability" in talk
    assert "noted, thank you" in talk
    feedback = next(said[command] for command in said if "feedback" in command)
    assert '"duplicate": false' in feedback.lower() or '"duplicate":false' in feedback.lower()
    assert "simulated" in said["make demo"]
    assert "<html" in said["make demo"]
    assert "log and model agree" in said["rejoinder verify"]
    assert re.search(r"items +2\n", said["rejoinder items check catalogue.csv"])
    assert "line 4" in said["rejoinder items check catalogue.csv"]
    assert "average reward" in next(said[command] for command in said if command.startswith("rejoinder simulate"))


def test_ctrl_c_ends_both_servers(reader):
    if reader.server is None:
        pytest.skip("the server did not start: see the test above")
    reader.server.send_signal(signal.SIGINT)
    reader.server.communicate(timeout=60)
    assert reader.server.returncode == 0
    for port in reader.ports.values():
        deadline = time.monotonic() + 10
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            while True:
                try:
                    probe.bind(("127.0.0.1", int(port)))
                    break
                except OSError:
                    assert time.monotonic() < deadline, f"port {port} is still taken"
                    time.sleep(0.2)


def test_ci_runs_what_the_readme_leaves_to_it():
    assert "make lint test" in (ROOT / ".ci" / "run").read_text()
    for command in RUN_BY_CI:
        assert command in commands()


def test_every_command_of_the_readme_is_one_that_exists():
    for command in commands():
        assert shlex.split(command)[0] in {"make", "rejoinder", "curl"}, command
