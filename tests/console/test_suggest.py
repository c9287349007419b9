"""Suggestions over HTTP: what is offered, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from agent.service import Service
from agent.verification import verify
from tests.console.conftest import LOOP, REPLIES

TEXTS = {reply.id: reply.texts[0] for reply in REPLIES}


def offered(client: TestClient) -> dict[str, Any]:
    body = {"loop": LOOP, "context": {"text": "When is my money back?"}, "seed": 1}
    answer = client.post("/v1/suggestions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_best_three_are_offered_the_chosen_first(client: TestClient, service: Service) -> None:
    found = offered(client)
    chosen = service.decision(found["decision_id"]).body["chosen"]
    assert found["suggestions"][0]["candidate"] == chosen
    assert {one["candidate"]: one["text"] for one in found["suggestions"]} == TEXTS


@pytest.mark.parametrize(
    ("used", "how", "verdict"),
    [(0, "{}", "accepted"), (1, "{}", "accepted"), (0, "Dear Eve, {} Yours, Ann", "edited"), (0, "No.", "ignored")],
)
def test_what_was_written_is_the_reward(
    client: TestClient, service: Service, used: int, how: str, verdict: str
) -> None:
    found = offered(client)
    suggestion = found["suggestions"][used]
    path = f"/v1/suggestions/{found['decision_id']}/reply"
    answer = client.post(path, json={"text": how.format(suggestion["text"])}).json()
    assert answer["verdict"] == verdict
    assert answer["candidate"] == (None if verdict == "ignored" else suggestion["candidate"])
    values = [e.body["value"] for e in service.log.read(kinds=("outcome",))]
    assert values[0] == (answer["value"] if used == 0 else 0.0)
    assert values[1:] == ([] if used == 0 else [answer["value"]])
    assert client.post(path, json={"text": how.format(suggestion["text"])}).json()["duplicate"] is True
    assert verify(service)["problems"] == []


def test_several_to_be_shown_at_once_are_not_suggested(client: TestClient) -> None:
    body = {"loop": LOOP, "context": {"text": "When is my money back?"}}
    assert client.post("/v1/suggestions", json={**body, "k": 2}).status_code == 422
    assert client.post("/v1/suggestions", json={**body, "k": 1.0}).status_code == 200  # as some languages write 1


def test_a_reply_to_what_nobody_decided_is_refused(client: TestClient) -> None:
    assert client.post("/v1/suggestions/nothing/reply", json={"text": "Hello"}).status_code == 404
    assert client.post("/v1/suggestions/nothing/reply", json={"text": 5}).status_code == 422
