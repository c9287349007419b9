"""The channel while the server has no model, and once it has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.log import LearningLog
from tests.rasa.server import RasaServer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


@pytest.fixture
def without_model(root: Path, tmp_path: Path) -> Iterator[RasaServer]:
    """A server with the shipped endpoints and channels, and no model."""
    server = RasaServer(tmp_path, root / "training_data", None)
    try:
        yield server.start()
    finally:
        server.stop()


def test_without_a_model_messages_are_put_off_and_none_is_lost(without_model: RasaServer, shipped_model: Path) -> None:
    message = {"sender": "ann", "message": "can I pay with a credit card?", "message_id": "m1"}
    for _ in range(2):
        refused = without_model.post("/webhooks/rejoinder/webhook", message)
        assert refused.status_code == 503
        assert refused.json() == {"error": "the assistant has no model loaded: train one and start it again"}
        assert int(refused.headers["Retry-After"]) > 0
    without_model.load(shipped_model)
    answer = without_model.post("/webhooks/rejoinder/webhook", message)
    assert answer.status_code == 200
    assert answer.json()[0]["text"]
    assert answer.json()[0]["decision_ids"]
    without_model.stop()  # it writes first what waits for the log
    log = LearningLog(without_model.home / "learning.db")
    asked = [event.body["text"] for event in log.read(kinds=("message",)) if event.body["who"] == "user"]
    log.close()
    assert asked == [message["message"]]
