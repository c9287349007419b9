"""What an attacker writes stays text: no path leads out, no parameter becomes SQL, no word becomes markup."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from agent.access.door import Door
from agent.service import Service
from tests.console.visitors import PASSWORD, browser, csrf_of, refused, routes, with_key

INJECTIONS = [
    "' or '1'='1",
    '" or 1=1 --',
    "'; drop table users; --",
    "x' union select password from users --",
    "%' or name like '%",
    "\\",
    "a\x00b",
    "\U0001f600' \u202e",
]
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_static_holds_what_it_should_and_no_path_leads_out(app: FastAPI, service: Service) -> None:
    client = browser(app)
    for path in (
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/%00",
        "/static/.",
        "/static/" + "a" * 5_000,
    ):
        assert client.get(path).status_code in {404, 405, 303}, path

    async def raw(path: str) -> int:
        """Send a path as no client would: with its dots."""
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
            "http_version": "1.1",
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        assert b"root:" not in b"".join(message.get("body", b"") for message in sent)
        return int(sent[0]["status"])

    outside = [
        "/static/../app.py",
        "/static/../../../../../etc/passwd",
        f"/static/{service.home}/access.db",
        "/static/../",
        "/static/..",
        "/static/css/../../guard.py",
    ]
    assert {path: anyio.run(raw, path) for path in outside} == dict.fromkeys(outside, 404)
    # What seems to be in the open folder, and is not, is not let through either.
    assert refused(client.get("/static/%2e%2e/people")) or client.get("/static/%2e%2e/people").status_code == 404


def filled(route: APIRoute, text: str) -> tuple[str, dict[str, str], dict[str, str], Any]:
    """A route's path, query, form and JSON body, with a text in every place that takes one."""
    path, dependant = route.path, route.dependant
    for field in dependant.path_params:
        name = field.alias
        path = path.replace(f"{{{name}}}", quoted(text)).replace(f"{{{name}:path}}", quoted(text))
    query = {field.alias: text for field in dependant.query_params}
    form = {field.alias: text for field in dependant.body_params if hasattr(field.field_info, "media_type")}
    model = next((getattr(field.type_, "__fields__", None) for field in dependant.body_params), None)
    return path, query, form, None if model is None else dict.fromkeys(model, text)


def quoted(text: str) -> str:
    return quote(text, safe="")


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_parameter_reaches_a_database_as_sql(app: FastAPI, door: Door, service: Service, text: str) -> None:
    client = with_key(app, "admin")
    users = door.users.listed()
    kept = [row[0] for row in door.store.rows("select password from users")]
    for name, route in routes(app).items():
        path, query, form, body = filled(route, text)
        method = name.split(" ")[0]
        for given in ({"params": query}, {"data": form}, {"params": query, "json": body}):
            answer = client.request(method, path, **given)
            assert answer.status_code < 500, (name, given, answer.text)
            assert not any(row in answer.text for row in kept)
            for leak in ("sqlite", "syntax error", "Traceback", "no such column"):
                assert leak not in answer.text, (name, given)
    decision = {"loop": text, "context": {"text": text}, "conversation": text, "person": text, "candidates": [text]}
    outcome = {"decision_id": text, "signal": text, "value": 1, "event_id": text, "actor": text}
    mark = {"state": text, "who": text, "why": text}
    for method, path, json_body in (
        ("POST", "/v1/decisions", decision),
        ("POST", "/v1/decisions", {**decision, "loop": "replies", "candidates": ["track"]}),
        ("POST", "/v1/outcomes", outcome),
        ("PATCH", "/v1/loops/replies/candidates/track", mark),
    ):
        assert client.request(method, path, json=json_body).status_code < 500
    wrong = browser(app).post("/login", data={"name": text, "password": text})
    assert wrong.status_code == 401
    assert door.users.listed() == users
    assert service.log.last_seq() > 0


def test_names_and_words_never_become_markup(app: FastAPI, door: Door) -> None:
    door.users.create(SCRIPT, "admin", PASSWORD)
    door.keys.create(SCRIPT, ["read"], creator=SCRIPT)
    client = browser(app)
    assert client.post("/login", data={"name": SCRIPT, "password": PASSWORD}).status_code == 303
    client.headers["x-csrf-token"] = csrf_of(client)
    pages = {
        "/account": client.get("/account"),
        "/people": client.get("/people"),
        "error": client.post("/people/users", data={"name": SCRIPT, "role": SCRIPT, "password": PASSWORD}),
        "key": client.post("/people/keys", data={"name": f"{SCRIPT}2", "scopes": ["read"]}),
        "login": browser(app).post("/login", data={"name": SCRIPT, "password": "x", "next": f"/{SCRIPT}"}),
        "not found": client.get(f"/decisions/{quoted(SCRIPT.replace('/', ''))}"),
    }
    for name, answer in pages.items():
        assert answer.headers["content-type"].startswith("text/html"), name
        assert "<script>alert" not in answer.text, name
        assert "<img src=x" not in answer.text, name
        assert "alert(1)" in html.unescape(answer.text), name
    words = {"loop": "replies", "context": {"text": SCRIPT}, "candidates": ["track"]}
    made = client.post("/v1/decisions", json=words).json()
    outcome = {"decision_id": made["decision_id"], "signal": "thumb", "value": 1, "event_id": "e"}
    assert client.post("/v1/outcomes", json=outcome).status_code == 200
    fixed = client.patch("/v1/outcomes/e", json={"value": 0, "who": "somebody else", "why": SCRIPT})
    assert fixed.status_code == 200
    shown = client.get(f"/decisions/{made['decision_id']}").text
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert f"corrected by {SCRIPT}" in html.unescape(shown)  # and not by whom the call claimed
