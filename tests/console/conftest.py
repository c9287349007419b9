"""A console over a real service and the real encoder, which is loaded once for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from agent.access import passwords
from agent.access.door import Door
from agent.access.visitor import ROLES
from agent.candidates import Reply
from agent.console.app import create_app
from agent.encoder import Encoder
from agent.log import Event, LearningLog
from agent.service import Service
from agent.settings import LoopSettings
from tests.access.conftest import Clock
from tests.console.browser import Console, serving
from tests.console.visitors import PASSWORD

LOOP = "replies"
REPLIES = (
    Reply("track", ("Your parcel is on its way.", "Let me look up where your parcel is.")),
    Reply("refund", ("The refund takes five working days.",)),
    Reply("human", ("I will bring in a colleague.",)),
)


def alert(at: float, *, seq: int = 7, loop: str = LOOP) -> Event:
    """An alert of drift, as a fold raises it."""
    body = {"direction": "down", "before": 0.02, "after": -0.31, "credits_before": 412, "credits_after": 38}
    return Event(f"alert:{loop}:{seq}", "alert", at, loop, body=body)


def problem(answer: Response, status: int) -> str:
    """What an error says, which must be one line of a problem as RFC 9457 has it, of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert list(said) == ["type", "title", "status", "detail"]
    assert (said["type"], said["title"], said["status"]) == ("about:blank", HTTPStatus(status).phrase, status)
    detail: str = said["detail"]
    assert len(detail.splitlines()) == 1
    return detail


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed in no time: `tests/access` has the real hash."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    encoder = Encoder()
    encoder.encode([""])
    return encoder


@pytest.fixture
def make_service(home: Path, encoder: Encoder) -> Iterator[Callable[..., Service]]:
    made = []

    def make(**changes: Any) -> Service:
        # A busy log is given up on at once: tests wait for nothing.
        log = LearningLog(home / "learning.db", busy_seconds=0.1)
        made.append(Service(home, encoder=lambda name: encoder, log=log, **changes))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    service = make_service()
    service.configure(LOOP, LoopSettings(policy="linucb", learner={"epsilon": 0.1}), who="test")
    service.reconcile(LOOP, REPLIES, who="test")
    return service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(service: Service, clock: Clock) -> Iterator[Door]:
    """A door with a user of each role, each called as their role."""
    door = Door(service.home, clock=clock)
    for role in reversed(ROLES):
        door.users.create(role, role, PASSWORD)
    yield door
    door.close()


@pytest.fixture
def app(service: Service, door: Door) -> FastAPI:
    """The console behind that door."""
    return create_app(service, door=door)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def decide(client: TestClient) -> Callable[..., dict[str, Any]]:
    """Decide over HTTP, on a message about a parcel unless told otherwise."""

    def decide(**changes: Any) -> dict[str, Any]:
        body = {"loop": LOOP, "context": {"text": "where is my parcel"}, "seed": 1, **changes}
        answer = client.post("/v1/decisions", json=body)
        assert answer.status_code == 200, answer.text
        decided: dict[str, Any] = answer.json()
        return decided

    return decide


@pytest.fixture
def window(chromium: Any, service: Service) -> Iterator[Callable[..., Console]]:
    """Windows on a console over the service: `window(**DARK)`. Give `app=` to look at another application."""
    with ExitStack() as stack:
        opened: list[Console] = []

        def make(*, app: FastAPI | None = None, **dress: Any) -> Console:
            base = stack.enter_context(serving(app or create_app(service)))
            opened.append(Console(chromium, base, **dress))
            return opened[-1]

        yield make
        for console in opened:
            console.close()
