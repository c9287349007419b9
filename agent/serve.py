"""`serve`: Rasa's server and the console's, two processes that live and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from agent.access.door import refuse_open
from agent.errors import InvalidInput, RejoinderError
from agent.settings import HOME_VARIABLE, PROJECT_VARIABLE

_START_SECONDS = 180.0  # TensorFlow alone takes a quarter of a minute on a small machine
_STOP_SECONDS = 15.0


def serve(
    project: Path,
    model: Path,
    home: Path,
    *,
    host: str,
    port: int,
    console_port: int,
    say: Callable[[str], None],
) -> None:
    """Run both servers until SIGINT or SIGTERM, or until one of them ends, which ends the other.

    Raises:
        InvalidInput: a port is taken; or the address is not this machine's own, and nobody has to log in yet.
        RejoinderError: a server ended, or did not answer in time.
    """
    refuse_open(home, host)
    for number in (port, console_port):
        _check_free(host, number)
    environment = {**os.environ, **quiet(home), PROJECT_VARIABLE: str(project.absolute())}
    rasa = [sys.executable, "-m", "rasa", "run", "--model", str(model), "-i", host, "--port", str(port)]
    rasa += ["--endpoints", str(project / "endpoints.yml"), "--credentials", str(project / "credentials.yml")]
    console = [sys.executable, "-m", "agent.console", "--host", host, "--port", str(console_port)]
    with _Processes({"assistant": rasa, "console": console}, environment) as processes:
        say("starting the assistant and the console …")
        processes.wait_until_up([f"http://{host}:{console_port}/healthz", f"http://{host}:{port}/webhooks/rejoinder/"])
        say(f"assistant  http://{host}:{port}/webhooks/rejoinder/webhook")
        say(f"feedback   http://{host}:{port}/webhooks/rejoinder/feedback")
        say(f"console    http://{host}:{console_port}/")
        say("stop with Ctrl-C")
        processes.wait()


def quiet(home: Path) -> Mapping[str, str]:
    """The environment in which Rasa and TensorFlow keep to themselves: no telemetry, no start-up chatter."""
    return {
        HOME_VARIABLE: str(home),
        "RASA_TELEMETRY_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
    }


class _Processes:
    """Processes of which none outlives the others."""

    def __init__(self, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
        self._commands = commands
        self._environment = environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._asked_to_stop = False

    def __enter__(self) -> _Processes:  # noqa: PYI034 (no subclass)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)
        for name, command in self._commands.items():
            # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
            self._running[name] = subprocess.Popen(command, env=self._environment, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            process.kill()
            process.wait()

    def wait_until_up(self, addresses: Sequence[str]) -> None:
        """Return when every address answers, or when asked to stop."""
        deadline = time.monotonic() + _START_SECONDS
        for address in addresses:
            while not self._asked_to_stop and (trouble := _trouble(address)):
                self._check()
                if time.monotonic() > deadline:
                    raise RejoinderError(f"{address} is not up after {_START_SECONDS:.0f} seconds: {trouble}")
                time.sleep(0.3)

    def wait(self) -> None:
        """Return when asked to stop."""
        while not self._asked_to_stop:
            self._check()
            time.sleep(0.3)

    def _check(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None and not self._asked_to_stop:
                raise RejoinderError(
                    f"the {name} server ended with exit code {process.returncode}; see its output above"
                )

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInput(f"port {port} on {host} cannot be used: {error.strerror}") from error


def _trouble(address: str) -> str | None:
    """What an address answers or fails with; None when it is up."""
    try:
        urllib.request.urlopen(address, timeout=2).close()  # noqa: S310 (our own)
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)
    return None
