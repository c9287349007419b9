"""A stand-in for a service's API: a real HTTP server on 127.0.0.1 that keeps what it is sent and checks its form."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0  # seconds, on a busy machine


@dataclass
class Call:
    """One call that the service got."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass
class Answer:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that are killed end their connections: that is no error of ours."""


class StandIn:
    """Serves from the moment it is made. `answer` is a service's own: it asserts what the documents ask of a call.

    `script` holds answers that go before it, one a call: for failures.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.script: list[Answer] = []
        self.problems: list[str] = []
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                call = Call(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
                if len(call.raw) < length:  # whoever called was killed meanwhile
                    return
                answer = stand_in._answered(call)
                payload = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, call: Call) -> Answer:
        """What the service answers; an AssertionError is a call that the documents do not allow."""
        raise NotImplementedError

    def wait_for(self, wanted: Callable[[Call], bool], *, count: int = 1, after: int = 0) -> list[Call]:
        """The first calls (from number `after` on) that are wanted, as soon as there are so many of them."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.check()
            found = [call for call in self.calls[after:] if wanted(call)]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{count} wanted of {[(c.method, c.path, c.raw[:200]) for c in self.calls[after:]]}")

    def check(self) -> None:
        """Nothing was sent that the documents do not allow."""
        assert not self.problems, self.problems

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answered(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
            if self.script:
                return self.script.pop(0)
        try:
            return self.answer(call)
        except Exception as error:  # noqa: BLE001 (whatever a malformed call leads to)
            self.problems.append(f"{call.method} {call.path} {call.raw[:500]!r}: {type(error).__name__}: {error}")
            return Answer(400, {"error": str(error)})
