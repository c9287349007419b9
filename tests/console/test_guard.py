"""Who may call: this machine's own pages and programs, and nobody else's."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import problem

BODY = {"loop": "replies", "context": {"text": "hello"}}


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/loops", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::1", "127.1"]
)
def test_a_name_made_to_point_here_is_not(client: TestClient, host: str) -> None:
    for path in ("/", "/v1/loops", "/healthz"):
        answer = client.get(path, headers={"host": host})
        assert problem(answer, 400)


def test_a_further_name_is_answered_when_it_was_allowed(service: Service) -> None:
    app = create_app(service, hosts=["bot.intern"])
    client = TestClient(app, base_url="http://bot.intern:8000")
    for path in ("/v1/loops", "/metrics"):  # nobody would have to log in
        assert "rejoinder users add" in problem(client.get(path), 403)
    app.state.door.users.create("ann", "admin", "a password of the test")
    secret = app.state.door.keys.create("bot", ["read"], creator="test")[1]
    assert client.get("/v1/loops", headers={"authorization": f"Bearer {secret}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},  # another server on this machine is another site
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(client: TestClient, service: Service, headers: dict[str, str]) -> None:
    seq = service.log.last_seq()
    for method in ("POST", "PATCH", "DELETE"):
        answer = client.request(method, "/v1/decisions", json=BODY, headers=headers)
        assert problem(answer, 403)
    assert service.log.last_seq() == seq


def test_our_own_page_may_post(client: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/v1/decisions", json=BODY, headers=headers).status_code == 200


def test_a_body_over_the_limit_is_refused_however_it_is_sent(service: Service) -> None:
    client = TestClient(create_app(service, largest=1_000), base_url="http://127.0.0.1")
    large = b'{"loop": "' + b"x" * 1_000 + b'"}'
    said = client.post("/v1/decisions", content=large)
    chunked = client.post("/v1/decisions", content=iter([large[:600], large[600:]]))
    for answer in (said, chunked):
        assert problem(answer, 413) == "the body is larger than 1000 bytes"


def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/v1/loops", "/static/css/base.css", "/decisions/nope"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/", headers={"host": "evil.example"}).headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in client.get("/docs").headers["content-security-policy"]
