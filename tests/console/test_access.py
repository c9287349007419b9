"""Who may do what over HTTP: every route, as everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from agent.access.door import Door
from agent.access.visitor import NOBODY, ROLES, SCOPES, Visitor, role_of, spread
from agent.console.access import Need, check_routes, needs
from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import problem
from tests.console.visitors import API, PASSWORD, browser, logged_in, refused, routes, with_key

# What is for everybody, and what everybody may change who may look: their own account and views.
PUBLIC = {"GET /login", "POST /login", "POST /language", "GET /healthz"}
OWN = {"POST /logout", "POST /account/password", "POST /conversations/views", "POST /conversations/views/remove"}


def call(client: TestClient, name: str) -> Response:
    """Call a route with nothing in its body, and names of nothing in its path."""
    method, _, path = name.partition(" ")
    places = ("{decision_id}", "{event_id}", "{candidate:path}", "{version}", "{key:path}", "{key}", "{turn}", "{bulk}")
    for place in places:
        path = path.replace(place, "nothing")
    path = path.replace("{loop}", "replies")
    assert "{" not in path, f"{name}: say here what stands in its path"
    return client.request(method, path)


def test_every_route_says_whom_it_is_for(app: FastAPI) -> None:
    found = routes(app)
    assert {name: needs(route)[0].scope for name, route in found.items() if name in API} == API
    for name, route in found.items():
        asked = needs(route)
        assert asked, f"{name} says nothing"
        if name in API:
            assert asked == [Need(scope=API[name])]
        elif name in PUBLIC:
            assert asked == [Need()]
        else:
            assert not name.split(" ")[1].startswith("/v1"), f"{name} is not in the table of this test"
            strictest = max((need.role or NOBODY for need in asked), key=(NOBODY, *ROLES).index)
            if name in OWN or name.startswith(("GET ", "HEAD ")):
                assert strictest in ROLES, f"{name} is for everybody"
            else:
                assert strictest in {"reviewer", "admin"}, f"{name} changes something, and takes no more than looking"
            if " /people" in name or name.startswith("POST /policies"):
                assert strictest == "admin"


def test_an_application_with_a_route_that_says_nothing_does_not_start() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/secret", lambda: "nobody thought of it")
    with pytest.raises(RuntimeError, match="/secret"):
        check_routes(app)


def everybody(app: FastAPI) -> Iterator[tuple[Visitor, TestClient]]:
    yield Visitor("", NOBODY), browser(app)
    for role in ROLES:
        yield Visitor(role, role), logged_in(app, role)
    for scope in SCOPES:
        scopes = frozenset({scope})
        yield Visitor(scope, role_of(scopes), scopes=spread(scopes)), with_key(app, scope)


def test_every_route_lets_in_who_may_and_nobody_else(app: FastAPI, service: Service) -> None:
    names = sorted(routes(app), key="POST /logout".__eq__)  # that one comes last
    calls = 0
    for visitor, client in everybody(app):
        for name in names:
            may = all(need.met(visitor) for need in needs(routes(app)[name]))
            before = service.log.last_seq()
            answer = call(client, name)
            if name == "POST /login":
                assert answer.status_code == 401  # what was given is wrong, whoever gives it
                continue
            assert refused(answer) == (not may), (visitor, name, answer.status_code, answer.text[:200])
            assert answer.status_code < 500, (visitor, name, answer.text[:200])
            if not may:
                assert service.log.last_seq() == before
                if name.split(" ")[1].startswith("/v1"):
                    assert problem(answer, 401 if visitor.role == NOBODY and not visitor.scopes else 403)
            calls += 1
    assert calls == 8 * (len(names) - 1)


def test_nobody_learns_what_there_is(app: FastAPI) -> None:
    stranger = browser(app)
    for path in ("/v1/nothing", "/v1/decisions/nothing", "/v1/loops", "/v1/openapi.json", "/metrics"):
        answer = stranger.get(path)
        assert problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert problem(stranger.post("/v1/decisions", content="{"), 401)  # before the body is looked at
    for path in ("/", "/nothing", "/decisions/nothing", "/people", "/decisions/a%20b?x=1&y=2"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
    assert stranger.get("/decisions/a?x=1&y=2").headers["location"] == "/login?next=%2Fdecisions%2Fa%3Fx%3D1%26y%3D2"
    assert stranger.get("/", headers={"hx-request": "true"}).headers["hx-redirect"] == "/login"
    assert stranger.get("/healthz").json() == {"ok": True}
    assert set(logged_in(app, "viewer").get("/healthz").json()) == {"ok", "log", "encoder", "seq"}
    assert stranger.get("/login").status_code == 200
    assert stranger.get("/static/icon.svg").status_code == 200


def test_without_a_user_everything_is_open_until_the_first_is_made(service: Service) -> None:
    app = create_app(service)
    client = browser(app)
    for name in routes(app):
        if name != "POST /people/users":
            assert not refused(call(client, name)), name
    assert client.post("/people/users", data={"name": "a", "role": "viewer", "password": PASSWORD}).status_code == 422
    made = client.post("/people/users", data={"name": "ann", "role": "admin", "password": PASSWORD})
    assert made.status_code == 303
    assert client.get("/people").headers["location"].startswith("/login")
    assert problem(client.get("/v1/loops"), 401)
    other = Door(service.home)  # another process, such as the command line's
    other.users.set_password("ann", "another passphrase")
    assert client.post("/login", data={"name": "ann", "password": "another passphrase"}).status_code == 303
    other.close()


def test_calls_are_limited_by_caller(service: Service, door: Door) -> None:
    app = create_app(service, door=door, rate="1/m burst 5")
    bot, other = with_key(app, "read"), with_key(app, "admin")
    statuses = [bot.get("/v1/loops").status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    answer = bot.get("/v1/loops")
    assert problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert other.get("/v1/loops").status_code == 200
    assert bot.get("/metrics").status_code == 200
    stranger = browser(app)
    assert [stranger.get("/v1/loops").status_code for _ in range(7)] == [401] * 5 + [429] * 2


def test_nobody_acts_in_the_name_of_another(app: FastAPI, service: Service) -> None:
    bot, reviewer = with_key(app, "decide", "review"), logged_in(app, "reviewer")
    decision = {"loop": "replies", "context": {"text": "where is it"}, "candidates": ["track"]}
    made = bot.post("/v1/decisions", json=decision).json()["decision_id"]
    for n, client in enumerate((bot, reviewer)):
        outcome = {"decision_id": made, "signal": "thumb", "value": 1, "event_id": f"e{n}"}
        assert bot.post("/v1/outcomes", json=outcome).status_code == 200
        corrected = client.patch(f"/v1/outcomes/e{n}", json={"value": 0, "who": "the director"})
        assert corrected.status_code == 200
    written = [event.body["who"] for event in service.log.read(kinds=("correction",))]
    assert written == ["the director (key:for decide review)", "reviewer"]


def test_a_door_that_cannot_be_asked_says_try_again(app: FastAPI, service: Service, door: Door) -> None:
    client = logged_in(app, "viewer")
    door.close()  # it opens again with the next question
    (service.home / "access.db").write_bytes(b"no database")
    for side in ("wal", "shm"):
        (service.home / f"access.db-{side}").unlink(missing_ok=True)
    answer = client.get("/v1/loops")
    assert "access.db" in problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/").status_code == 503


def test_the_document_of_the_api_is_not_for_everybody_and_shows_problems(app: FastAPI) -> None:
    document = json.loads(with_key(app, "read").get("/v1/openapi.json").text)
    paths = {path for path in document["paths"] if path.startswith("/v1")}
    assert {f"/v1{path}" for path in ("/decisions", "/outcomes", "/loops")} <= paths
    for path in paths:
        for operation in document["paths"][path].values():
            said = operation["responses"]
            assert {"401", "403", "422", "429", "503"} <= set(said)
            assert all(set(said[status]["content"]) == {"application/problem+json"} for status in said if status > "3")
