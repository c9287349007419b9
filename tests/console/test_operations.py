"""Operations: who did what, whether all is well, and the HTTP API as it is."""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from agent.access.visitor import ROLES
from agent.console import bodies
from agent.console.app import create_app
from agent.console.examples import EXAMPLES
from agent.console.pages import operations
from agent.console.reference import reference
from agent.encoder import Encoder
from agent.mailbox import Mailbox
from agent.service import Service
from tests.console.browser import DRESSES, serving
from tests.console.test_pages import page
from tests.console.visitors import API, PASSWORD, logged_in

Decide = Callable[..., dict[str, Any]]


@pytest.fixture
def app(service: Service) -> FastAPI:
    return create_app(service)


def corrected(client: TestClient, decide: Decide) -> None:
    made = decide(conversation="c1")
    client.post(
        "/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "thumb", "value": 1, "event_id": "e1"}
    )
    client.patch("/v1/outcomes/e1", json={"value": 0, "who": "Ida", "why": "a slip"})


def test_the_audit_log_shows_what_was_done_and_by_whom(client: TestClient, decide: Decide) -> None:
    corrected(client, decide)
    found = page(client, "/operations")
    assert re.search(r"correction.*Ida.*a slip", " ".join(found.text.split()))
    assert any(link.startswith("/conversations/") for link in found.links)
    assert "a slip" in page(client, "/operations?who=Ida").text
    assert "a slip" not in page(client, "/operations?who=test").text
    assert "a slip" in page(client, "/operations?kind=correction").text
    assert "Nothing here" in page(client, "/operations?kind=revoked").text
    assert "before" in page(client, "/operations?before=x", 422).text


def test_log_ins_are_for_admins_to_see(app: FastAPI) -> None:
    for role in reversed(ROLES):
        app.state.door.users.create(role, role, PASSWORD)
    admin, viewer = logged_in(app, "admin"), logged_in(app, "viewer")
    seen = page(admin, "/operations")
    assert "log-in" in seen.text
    assert "/people" in seen.links
    hidden = page(viewer, "/operations")
    assert "log-in" not in hidden.text
    assert "/people" not in hidden.links
    assert "Nothing here" in page(viewer, "/operations?kind=log-in").text


def test_the_audit_log_goes_on_from_page_to_page(client: TestClient, service: Service) -> None:
    for n in range(130):
        service.mark("replies", "track", state="enabled" if n % 2 else "pinned", who="Ida", why=f"change {n}.")
    seen: list[str] = []
    link = "/operations?who=Ida"
    while link:
        found = page(client, link)
        seen += re.findall(r"change \d+\.", found.text)
        link = next((link for link in found.links if "before=" in link), "")
    assert seen == [f"change {n}." for n in reversed(range(130))]


def test_health_says_what_there_is(client: TestClient, service: Service, decide: Decide) -> None:
    corrected(client, decide)
    Mailbox(service.log).accept("sms", [("1", "eve", {})])
    client.get("/healthz")
    page(client, "/operations/health")
    found = " ".join(re.sub(r"<[^>]*>", " ", client.get("/operations/health").text).split())
    for expected in ("Learning log well", "up to date 0 events behind", "decision 1", "sms 1", "learning.db"):
        assert expected in found, expected


def test_an_encoder_that_is_being_loaded_is_not_called_unwell(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = threading.Event()

    class Slow(Encoder):
        def encode(self, texts: Any, *, progress: Any = None) -> Any:
            loaded.wait(60.0)
            return []

    monkeypatch.setattr(service, "encoder", Slow)
    try:
        found = page(client, "/operations/health").text
        assert "being loaded" in found
        assert "not well" not in found
    finally:
        loaded.set()
    monkeypatch.setattr(operations, "PATIENCE", 60.0)
    assert "being loaded" not in page(client, "/operations/health").text


def test_the_reference_has_every_call_with_the_scope_it_needs(app: FastAPI, client: TestClient) -> None:
    found = reference(app, base="http://h:1")
    shown = {f"{call.method} {call.path}": call.scope for call in found.calls}
    expected = {name.replace(":path", ""): scope for name, scope in API.items() if name != "GET /v1/openapi.json"}
    assert shown == {**expected, "GET /healthz": ""}
    html = client.get("/docs").text
    for call in found.calls:
        assert f'id="{call.anchor}"' in html
    assert len({call.anchor for call in found.calls}) == len(found.calls)
    document = client.get("/v1/openapi.json").json()
    assert {body.name for body in found.bodies} <= set(document["components"]["schemas"])
    held = {field.ref for body in found.bodies for field in body.fields if field.ref} | {
        call.body for call in found.calls
    }
    assert held - {""} == {body.name for body in found.bodies}
    assert {answer.status for answer in found.errors} >= {"401", "403", "404", "422", "429"}
    page(client, "/docs")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_a_body_of_its_kind(name: str) -> None:
    getattr(bodies, name).parse_obj(EXAMPLES[name])


def test_every_body_that_a_call_takes_has_an_example(app: FastAPI) -> None:
    taken = {call.body for call in reference(app, base="http://h:1").calls} - {""}
    assert taken == set(EXAMPLES)


@pytest.mark.slow
def test_the_examples_of_the_page_can_be_typed_into_a_shell(app: FastAPI, service: Service) -> None:
    """From making a loop on; a key is not needed as long as there are no users."""
    with serving(app) as base:
        calls = {f"{call.method} {call.path}": call.curl for call in reference(app, base=base).calls}

        def typed(name: str, **places: str) -> str:
            command = calls[name].replace("/replies", "/shop")
            for place, value in places.items():
                command = command.replace(place, value)
            done = subprocess.run(
                ["bash", "-c", f"{command} -f"], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            return done.stdout

        assert '"shop"' in typed("POST /v1/loops/{loop}")
        made = typed("POST /v1/decisions", **{'"replies"': '"shop"'})
        id = re.search(r'"decision_id":"(\w+)"', made)[1]  # type: ignore[index]
        typed("POST /v1/decisions/{decision_id}/activate", DECISION=id)
        typed("POST /v1/outcomes", DECISION=id)
        typed("PATCH /v1/outcomes/{event_id}", EVENT="click-88213")
        typed("DELETE /v1/outcomes/{event_id}", EVENT="click-88213")
        typed("GET /v1/decisions/{decision_id}", DECISION=id)
        for name in ("GET /v1/decisions", "GET /v1/loops", "GET /metrics"):
            typed(name)
        assert all(shlex.split(command) for command in calls.values())


def test_metrics_count_requests_and_the_lag_of_the_index(client: TestClient, decide: Decide) -> None:
    decide()
    client.get("/nowhere")
    text = client.get("/metrics").text
    assert re.search(r"^rejoinder_index_lag_events [1-9]", text, re.MULTILINE)
    assert 'rejoinder_requests_total{status="2xx"} 1' in text
    assert 'rejoinder_requests_total{status="4xx"} 1' in text
    client.get("/")
    assert "rejoinder_index_lag_events 0\n" in client.get("/metrics").text


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", DRESSES)
def test_the_pages_are_accessible_in_every_dress(
    window: Callable[..., Any], client: TestClient, decide: Decide, service: Service, name: str
) -> None:
    corrected(client, decide)
    Mailbox(service.log).accept("sms", [("1", "eve", {})])
    console = window(**DRESSES[name])
    for path in ("/operations", "/operations/health", "/docs", "/people"):
        console.open(path)
        console.check(f"{Path(path).name}-{name}")
