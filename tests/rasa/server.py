"""A real Rasa server in a process of its own, and what a customer's client would send it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 240.0  # on a busy machine with two cores


def environment(home: Path) -> dict[str, str]:
    """What our processes are started with."""
    quiet = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "REJOINDER_HOME": str(home), "TQDM_DISABLE": "1"}
    return {**os.environ, **quiet}


def run(*arguments: str, home: Path, folder: Path, seconds: float = 540.0) -> str:
    """Run `python …` in a folder; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


class RasaServer:
    """`rasa run` on a free port, in a folder that holds its state; without a model, one can be put in later."""

    def __init__(self, folder: Path, project: Path, model: Path | None) -> None:
        self.home = folder / ".rejoinder"
        self.home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "server.log"
        self._folder, self._project = folder, project
        self._command = [sys.executable, "-m", "rasa", "run", "-i", "127.0.0.1", "--port", str(self.port)]
        # Without a model, Rasa starts only to be given one by its API.
        self._command += ["--enable-api"] if model is None else ["--model", str(model)]
        self._command += ["--endpoints", str(project / "endpoints.yml")]
        self._command += ["--credentials", str(project / "credentials.yml")]
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60.0)

    def start(self) -> RasaServer:
        """Start, and wait until it answers: by then, the model is loaded."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**environment(self.home), "REJOINDER_PROJECT": str(self._project)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None, self.log.read_text(errors="replace")[-4000:]
            try:
                if self._client.get("/").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(f"no answer in {START_SECONDS} s: {self.log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """End it as a power cut would end it: without a chance to write anything."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it in the orderly way."""
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def post(self, path: str, body: Any, *, raw: bytes | None = None) -> httpx.Response:
        """Post JSON, or the very bytes given."""
        content = json.dumps(body).encode() if raw is None else raw
        return self._client.post(path, content=content, headers={"Content-Type": "application/json"})

    def load(self, model: Path) -> None:
        """Put a model in, by Rasa's API."""
        answer = self._client.put("/model", json={"model_file": str(model)})
        assert answer.status_code == 204, answer.text

    def say(self, text: str, *, sender: str | None = None, **more: Any) -> list[dict[str, Any]]:
        """What the assistant answers, by our channel; in a new conversation unless a sender is named."""
        sender = sender or uuid.uuid4().hex
        answer = self.post("/webhooks/rejoinder/webhook", {"sender": sender, "message": text, **more})
        assert answer.status_code == 200, answer.text
        messages: list[dict[str, Any]] = answer.json()
        return messages

    def feedback(self, **body: Any) -> httpx.Response:
        """Post feedback."""
        return self.post("/webhooks/rejoinder/feedback", body)

    def thumb(self, message: dict[str, Any], value: int) -> None:
        """A thumb on a message."""
        answer = self.feedback(decision_id=message["decision_ids"][0], signal="thumb", value=value)
        assert answer.status_code == 200, answer.text
