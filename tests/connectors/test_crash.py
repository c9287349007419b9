"""kill -9 between acknowledgement and work: nothing accepted is lost, and little is said twice."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

pytest.importorskip("rasa")

from tests.connectors.conftest import Assistant, project
from tests.connectors.services import template
from tests.rasa.server import RasaServer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
MESSAGES, KILLS, NOTED_WITHIN = 100, 3, 5.0
QUESTION = "Which payment methods do you accept?"


def test_what_was_accepted_is_answered_whenever_the_server_is_killed(root, shipped_model, tmp_path):
    service, draws = template.Service(), random.Random(4)
    credentials = {template.CONNECTOR: template.credentials(service)}
    server = RasaServer(tmp_path, project(root, tmp_path / "project", credentials), shipped_model)
    assistant, kills = Assistant(server, {}), []
    try:
        server.start()
        for burst in range(KILLS):
            _deliver(assistant, range(burst * MESSAGES // KILLS, (burst + 1) * MESSAGES // KILLS))
            time.sleep(draws.uniform(0.0, 1.0))
            server.kill()
            kills.append(time.monotonic())
            server.start()
        sent = service.wait_for(lambda call: call.path == "/messages", count=MESSAGES)
        _settled(assistant)
        sent = [call for call in service.calls if call.path == "/messages"]
        service.check()
    finally:
        assistant.client.close()
        server.stop()
        service.close()
    times: dict[str, list[float]] = {}
    for call in sent:
        times.setdefault(call.body["to"], []).append(call.at)
    assert set(times) == {f"c{number}" for number in range(MESSAGES)}, "a message that was accepted was lost"
    twice = {conversation: at for conversation, at in times.items() if len(at) > 1}
    print(f"{len(sent)} answers to {MESSAGES} messages, {len(twice)} of them given twice, {KILLS} kills")
    for first, *others in twice.values():
        # Sent, and killed before that was noted: a moment, of which a busy machine makes more.
        assert len(others) <= KILLS
        assert any(first <= kill <= others[0] and kill - first < NOTED_WITHIN for kill in kills)


def _deliver(assistant, numbers):
    """Deliver messages until each is acknowledged, as a service does."""

    def one(number):
        event = {"type": "message", "id": f"k{number}", "conversation": f"c{number}", "text": QUESTION}
        body, headers = template.delivery(event)
        assert assistant.post("template", body, headers).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, numbers))


def _settled(assistant):
    """Wait until nothing is left to do."""
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        try:
            mailbox = assistant.health("template")["mailbox"]
        except httpx.TransportError:
            mailbox = {"deliveries.waiting": 1}
        if not mailbox.get("deliveries.waiting") and not mailbox.get("parcels.waiting"):
            assert not mailbox.get("parcels.failed")
            assert not mailbox.get("deliveries.failed")
            return
        time.sleep(0.2)
    raise AssertionError(f"still at work: {mailbox}")
