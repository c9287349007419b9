"""Who comes to the console: browsers that are logged in, programs with a key, strangers; and what is for whom."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response

PASSWORD = "a password of the test"
HOST = "http://127.0.0.1:8000"
# What each call of the HTTP API takes. One that is added is added here.
API = {
    "POST /v1/decisions": "decide",
    "GET /v1/decisions": "read",
    "GET /v1/decisions/{decision_id}": "read",
    "POST /v1/decisions/{decision_id}/activate": "decide",
    "POST /v1/decisions/{decision_id}/observe": "decide",
    "POST /v1/outcomes": "decide",
    "PATCH /v1/outcomes/{event_id}": "review",
    "GET /v1/conversations": "read",
    "GET /v1/conversations/{key}": "read",
    "POST /v1/conversations/{key}/annotations": "review",
    "DELETE /v1/outcomes/{event_id}": "review",
    "GET /v1/loops": "read",
    "POST /v1/loops/{loop}": "admin",
    "GET /v1/loops/{loop}/importance": "read",
    "GET /v1/loops/{loop}/versions": "read",
    "POST /v1/loops/{loop}/versions": "admin",
    "POST /v1/loops/{loop}/versions/roll-back": "admin",
    "POST /v1/loops/{loop}/versions/{version}/promote": "admin",
    "DELETE /v1/loops/{loop}/versions/challenger": "admin",
    "PATCH /v1/loops/{loop}/candidates/{candidate:path}": "review",
    "POST /v1/suggestions": "decide",
    "POST /v1/suggestions/{decision_id}/reply": "decide",
    "GET /v1/openapi.json": "read",
    "GET /metrics": "read",
}


def browser(app: FastAPI, *, base: str = HOST, address: str = "127.0.0.1") -> TestClient:
    return TestClient(
        app, base_url=base, client=(address, 5_000), raise_server_exceptions=False, follow_redirects=False
    )


def logged_in(app: FastAPI, role: str, **how: str) -> TestClient:
    """A browser in which the user of a role is logged in, and whose pages send the CSRF token."""
    client = browser(app, **how)
    answer = client.post("/login", data={"name": role, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    client.headers["x-csrf-token"] = csrf_of(client)
    return client


def csrf_of(client: TestClient) -> str:
    text = client.get("/account").text
    return text.split('name="csrf" value="')[1].split('"')[0]


def with_key(app: FastAPI, *scopes: str) -> TestClient:
    client = browser(app)
    secret = app.state.door.keys.create(f"for {' '.join(scopes)}", scopes, creator="test")[1]
    client.headers["authorization"] = f"Bearer {secret}"
    return client


def routes(app: FastAPI) -> dict[str, APIRoute]:
    return {
        f"{method} {route.path}": route
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    }


def refused(answer: Response) -> bool:
    """Whether who asked is turned away: told so, or sent to log in."""
    if "clear-site-data" in answer.headers:  # logged out
        return False
    return answer.status_code in {401, 403} or answer.headers.get("location", "").startswith("/login")
