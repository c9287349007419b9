"""What the connectors' tests share: one Rasa server with every channel, each beside a stand-in for its service."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agent.log import Event, LearningLog
from agent.service import Service
from tests.connectors.stand_in import PATIENCE, StandIn
from tests.rasa.conftest import cache, pytest_ignore_collect, shipped_model
from tests.rasa.server import RasaServer

__all__ = ["cache", "pytest_ignore_collect", "shipped_model"]

NAMES = sorted(path.stem for path in (Path(__file__).parent / "services").glob("[a-z]*.py"))


class Assistant:
    """The shipped assistant on a real Rasa server, its channels, and its learning log."""

    def __init__(self, server: RasaServer, services: Mapping[str, StandIn]) -> None:
        self.server, self.services = server, services
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60.0)

    def post(self, channel: str, body: bytes, headers: Mapping[str, str], path: str = "webhook") -> httpx.Response:
        """Deliver something to a channel."""
        return self.client.post(
            f"/webhooks/{channel}/{path}", content=body, headers={"Content-Type": "application/json", **headers}
        )

    def health(self, channel: str) -> dict[str, Any]:
        """What a channel says of itself: `counts` since its start, and what is in the `mailbox`."""
        answer = self.client.get(f"/webhooks/{channel}/")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def learning(self) -> Service:
        """The learning log as it stands now; close it."""
        return Service(self.server.home)

    def events(self, kind: str, wanted: Callable[[Event], bool] = lambda _: True) -> list[Event]:
        """The events of a kind in the learning log."""
        log = LearningLog(self.server.home / "learning.db")
        try:
            return [event for event in log.read(kinds=(kind,)) if wanted(event)]
        finally:
            log.close()

    def wait_for(self, kind: str, wanted: Callable[[Event], bool] = lambda _: True, *, count: int = 1) -> list[Event]:
        """The same, as soon as there are so many."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if len(found := self.events(kind, wanted)) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"fewer than {count} events {kind!r} are wanted ones: {self.events(kind)[-5:]}")


def project(root: Path, folder: Path, credentials: Mapping[str, Any]) -> Path:
    """The folder of a project like the shipped one, with channels of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("endpoints.yml", "catalogue.csv"):
        (folder / name).write_text((root / "training_data" / name).read_text())
    (folder / "credentials.yml").write_text(yaml.safe_dump(json.loads(json.dumps(credentials))))
    return folder


@pytest.fixture(scope="session")
def assistant(root: Path, shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistant]:
    """One server for all. Let each test use conversations of its own."""
    modules = {name: importlib.import_module(f"tests.connectors.services.{name}") for name in NAMES}
    services = {name: module.Service() for name, module in modules.items()}
    credentials = {module.CONNECTOR: module.credentials(services[name]) for name, module in modules.items()}
    folder = tmp_path_factory.mktemp("channels")
    server = RasaServer(folder, project(root, folder / "project", credentials), shipped_model)
    assistant = Assistant(server, services)
    try:
        server.start()
        yield assistant
    finally:
        assistant.client.close()
        server.stop()
        for service in services.values():
            service.close()
