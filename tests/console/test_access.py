"""Who may do what over HTTP: every route, as everybody."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response

from agent.access import passwords
from agent.access.door import Door
from agent.access.visitor import NOBODY, ROLES, SCOPES, Visitor, role_of, spread
from agent.console.access import Need, check_routes, needs
from agent.console.app import create_app
from agent.service import Service
from tests.access.conftest import Clock
from tests.console.conftest import problem

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
# What is for everybody, and what everybody may change who may look: their own account and views.
PUBLIC = {"GET /login", "POST /login", "POST /language", "GET /healthz"}
OWN = {"POST /logout", "POST /account/password", "POST /conversations/views", "POST /conversations/views/remove"}
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


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


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
    return create_app(service, door=door)


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


def call(client: TestClient, name: str) -> Response:
    """Call a route with nothing in its body, and names of nothing in its path."""
    method, _, path = name.partition(" ")
    places = ("{decision_id}", "{event_id}", "{candidate:path}", "{version}", "{key:path}", "{key}", "{turn}", "{bulk}")
    for place in places:
        path = path.replace(place, "nothing")
    path = path.replace("{loop}", "replies")
    assert "{" not in path, f"{name}: say here what stands in its path"
    return client.request(method, path)


def refused(answer: Response) -> bool:
    """Whether who asked is turned away: told so, or sent to log in."""
    if "clear-site-data" in answer.headers:  # logged out
        return False
    return answer.status_code in {401, 403} or answer.headers.get("location", "").startswith("/login")


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


def test_a_wrong_key_is_not_made_good_by_a_cookie(app: FastAPI, door: Door, clock: Clock) -> None:
    client = logged_in(app, "admin")
    for wrong in ("Bearer rj_wrong", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "rj_wrong", "", "bearer \u00e9"):
        assert problem(client.get("/v1/loops", headers={"authorization": wrong.encode("latin-1")}), 401)
    _, secret = door.keys.create("short", ["read"], creator="test", days=1)
    bot = browser(app)
    for kind in ("Bearer", "bearer", "BEARER"):
        assert bot.get("/v1/loops", headers={"authorization": f"{kind} {secret}"}).status_code == 200
    clock.now += 86_400
    assert problem(bot.get("/v1/loops", headers={"authorization": f"Bearer {secret}"}), 401)
    lasting = with_key(app, "read")
    assert lasting.get("/v1/loops").status_code == 200
    door.keys.revoke("for read")
    assert problem(lasting.get("/v1/loops"), 401)


def test_a_session_ends_at_once_when_it_should(app: FastAPI, door: Door, clock: Clock) -> None:
    for end in (
        lambda: door.users.set_role("reviewer", "viewer"),
        lambda: door.users.set_role("reviewer", "reviewer"),
        lambda: door.users.set_enabled("reviewer", False),
        lambda: setattr(clock, "now", clock.now + 3_600),
    ):
        client = logged_in(app, "reviewer")
        assert client.get("/account").status_code == 200
        end()
        assert client.get("/").headers["location"].startswith("/login")
        assert problem(client.patch("/v1/outcomes/nothing", json={"value": 1, "who": "x"}), 401)
        door.users.set_enabled("reviewer", True)
    client = logged_in(app, "admin")
    stolen = dict(client.cookies)
    assert client.post("/logout").status_code == 303
    assert not client.cookies
    thief = browser(app)
    thief.cookies.update(stolen)
    assert thief.get("/").headers["location"].startswith("/login")


def test_logging_out_everywhere_ends_the_others(app: FastAPI) -> None:
    here, there = logged_in(app, "viewer"), logged_in(app, "viewer")
    here.post("/logout", data={"everywhere": "true"})
    assert there.get("/").headers["location"].startswith("/login")


def test_a_token_planted_before_log_in_is_worth_nothing(app: FastAPI, door: Door) -> None:
    mine = logged_in(app, "viewer")
    planted = mine.cookies["rejoinder_session"]
    for token in (planted, "chosen-by-somebody-else"):
        victim = browser(app)
        victim.cookies.set("rejoinder_session", token, domain="127.0.0.1")
        answer = victim.post("/login", data={"name": "admin", "password": PASSWORD})
        kept = answer.cookies["rejoinder_session"]
        assert kept != token
        assert door.sessions.visitor(token) is None
        assert door.sessions.visitor(kept).name == "admin"
    assert mine.get("/").headers["location"].startswith("/login")


def test_the_cookie_is_out_of_reach(app: FastAPI, service: Service, door: Door) -> None:
    def cookie(base: str) -> tuple[str, set[str]]:
        client = browser(create_app(service, door=door, hosts=["bot.example"]), base=base)
        answer = client.post("/login", data={"name": "viewer", "password": PASSWORD})
        first, *rest = answer.headers["set-cookie"].split("; ")
        assert client.get("/account").status_code == 200
        return first.split("=")[0], {part.lower() for part in rest}

    assert cookie("http://bot.example") == ("rejoinder_session", {"httponly", "path=/", "samesite=lax"})
    secure = {"httponly", "path=/", "samesite=lax", "secure"}
    assert cookie("https://bot.example") == ("__Host-rejoinder_session", secure)
    # Over https, a cookie that plain http may have set counts for nothing.
    token = door.sessions.start("admin")
    client = browser(create_app(service, door=door, hosts=["bot.example"]), base="https://bot.example")
    client.cookies.set("rejoinder_session", token, domain="bot.example")
    assert client.get("/account").headers["location"].startswith("/login")


def test_what_a_cookie_speaks_for_needs_the_token_of_its_session(app: FastAPI, service: Service, door: Door) -> None:
    client, other = logged_in(app, "admin"), logged_in(app, "admin")
    mine, foreign = client.headers.pop("x-csrf-token"), other.headers["x-csrf-token"]
    assert mine != foreign
    before, names = service.log.last_seq(), [user.name for user in door.users.listed()]
    form = {"name": "eve", "role": "admin", "password": PASSWORD}
    for wrong in ("", foreign, mine[:-1], mine.upper(), "\u00e9"):
        raw = wrong.encode("latin-1")
        assert client.post("/people/users", data={**form, "csrf": wrong}).status_code == 403
        assert client.post("/people/users", data=form, headers={"x-csrf-token": raw}).status_code == 403
        # A header that is wrong is not made good by the form.
        both = client.post("/people/users", data={**form, "csrf": mine}, headers={"x-csrf-token": raw})
        assert both.status_code == 403
        for method in ("POST", "PATCH", "DELETE", "PUT"):
            answer = client.request(method, "/v1/outcomes/x", json={"csrf": mine}, headers={"x-csrf-token": raw})
            assert problem(answer, 403)
    assert client.post("/people/users", data=form).status_code == 403
    assert client.post("/people/users", json={**form, "csrf": mine}).status_code == 403
    assert client.post(f"/people/users?csrf={mine}", data=form).status_code == 403
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/people/users", content=b"--x\r\nnonsense", headers=boundary).status_code == 403
    assert (service.log.last_seq(), [user.name for user in door.users.listed()]) == (before, names)
    assert client.post("/people/users", data={**form, "csrf": mine}).status_code == 303
    parts = {"name": (None, "eve"), "role": (None, "viewer"), "csrf": (None, mine)}
    assert client.post("/people/users/role", files=parts).status_code == 303
    assert client.delete("/v1/outcomes/x", headers={"x-csrf-token": mine}).status_code == 404
    assert door.users.find("eve").role == "viewer"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_posts_nothing_even_with_the_token(
    app: FastAPI, door: Door, headers: dict[str, str]
) -> None:
    client = logged_in(app, "admin")
    for name in routes(app):
        method, _, path = name.partition(" ")
        if method not in {"GET", "HEAD"}:
            assert client.request(method, path.split("{")[0], headers=headers).status_code == 403
    victim = browser(app)  # to be logged in as somebody else is an attack too
    assert victim.post("/login", data={"name": "admin", "password": PASSWORD}, headers=headers).status_code == 403
    assert not victim.cookies
    assert client.get("/account").status_code == 200  # nor was anybody logged out


def test_guessing_is_slowed_and_others_are_not_kept_out(app: FastAPI, door: Door) -> None:
    guesser, user = browser(app, address="10.0.0.66"), browser(app, address="10.0.0.5")
    answers = [guesser.post("/login", data={"name": "admin", "password": f"guess {n}"}) for n in range(14)]
    assert [answer.status_code for answer in answers[:10]] == [401] * 10
    last = guesser.post("/login", data={"name": "ADMIN", "password": PASSWORD})  # right, but too often
    assert last.status_code == 429
    assert 1 <= int(last.headers["retry-after"]) <= 11
    assert not guesser.cookies
    assert user.post("/login", data={"name": "admin", "password": PASSWORD}).status_code == 303
    failed = [entry for entry in door.audit.read(action="log-in failed") if entry.who == "admin"]
    assert {entry.address for entry in failed} == {"10.0.0.66"}
    assert len(failed) in {10, 11}
    # The present password is guessed at no faster by who found an open browser.
    client = logged_in(app, "viewer", address="10.0.0.7")
    form = {"then": "another passphrase", "again": "another passphrase"}
    tried = [client.post("/account/password", data={**form, "now": f"guess {n}"}).status_code for n in range(14)]
    assert tried[:9] == [422] * 9
    assert 429 in tried


def test_a_refusal_does_not_say_whether_the_name_is_known(app: FastAPI, door: Door) -> None:
    door.users.set_enabled("reviewer", False)
    said = set()
    for name in ("viewer", "reviewer", "nobody-of-this-name"):
        password = PASSWORD if name == "reviewer" else "a wrong password"
        answer = browser(app).post("/login", data={"name": name, "password": password})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        said.add(answer.text.replace(name, "NAME"))
    assert len(said) == 1


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


def test_many_log_in_at_once(app: FastAPI) -> None:
    def work(n: int) -> str:
        role = ROLES[n % 3]
        client = logged_in(app, role, address=f"10.0.0.{n}")
        assert f"<h1>{role}</h1>" in client.get("/account").text
        return client.cookies["rejoinder_session"]

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(work, range(24)))) == 24


@pytest.mark.parametrize(
    ("target", "leads"),
    [
        ("/people?x=1", "/people?x=1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("", "/"),
        ("evil", "/"),
    ],
)
def test_logging_in_leads_nowhere_else(app: FastAPI, target: str, leads: str) -> None:
    client = browser(app)
    answer = client.post("/login", data={"name": "admin", "password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, leads)
    assert client.get("/login", params={"next": target}).headers["location"] == leads


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
    from urllib.parse import quote

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


@pytest.mark.parametrize("name", ["\u00c5sa Ekstr\u00f6m", "\u738b\u82b3", "a/b?c=d&e#f", '50% "off"', "O'Brien; --"])
def test_a_user_of_any_name_works_here(app: FastAPI, door: Door, name: str) -> None:
    admin = logged_in(app, "admin")
    form = {"name": name, "role": "viewer", "password": PASSWORD}
    assert admin.post("/people/users", data=form).status_code == 303
    client = browser(app)
    assert client.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
    assert f"<h1>{html.escape(name)}</h1>".replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in (
        client.get("/account").text
    )
    assert admin.post("/people/users/role", data={"name": name, "role": "reviewer"}).status_code == 303
    assert client.get("/").headers["location"].startswith("/login")
    assert admin.post("/people/users/password", data={"name": name, "password": PASSWORD * 2}).status_code == 303
    assert admin.post("/people/users/enabled", data={"name": name, "enabled": "false"}).status_code == 303
    assert client.post("/login", data={"name": name, "password": PASSWORD * 2}).status_code == 401
    actions = [entry.action for entry in door.audit.read() if entry.object == name]
    assert actions == ["user disabled", "password reset", "role changed to reviewer", "user added as viewer"]


def test_the_last_admin_stays(app: FastAPI, door: Door) -> None:
    admin = logged_in(app, "admin")
    for path, form in (
        ("/people/users/role", {"role": "viewer"}),
        ("/people/users/enabled", {"enabled": "false"}),
    ):
        answer = admin.post(path, data={"name": "admin", **form})
        assert answer.status_code == 409
        assert "last admin" in answer.text
    assert admin.get("/people").status_code == 200
    assert admin.post("/people/users/role", data={"name": "viewer", "role": "admin"}).status_code == 303
    demoted = admin.post("/people/users/role", data={"name": "admin", "role": "viewer"})
    assert demoted.status_code == 303
    assert admin.get("/people").status_code == 403  # still logged in, in a new session
    assert admin.get("/account").status_code == 200


def test_a_key_is_made_on_the_page_shown_once_and_revoked(app: FastAPI, door: Door) -> None:
    admin = logged_in(app, "admin")
    made = admin.post("/people/keys", data={"name": "bot", "scopes": ["decide", "read"], "days": "30"})
    secret = made.text.split("<code>rj_")[1].split("<")[0]
    assert secret not in admin.get("/people").text
    bot = browser(app)
    bot.headers["authorization"] = f"Bearer rj_{secret}"
    assert bot.get("/v1/loops").status_code == 200
    for wrong in ({"name": "bot"}, {"name": "x", "days": "soon", "scopes": "read"}, {"name": "x", "scopes": "root"}):
        assert admin.post("/people/keys", data=wrong).status_code in {409, 422}
    assert admin.post("/people/keys/revoke", data={"name": "bot"}).status_code == 303
    assert problem(bot.get("/v1/loops"), 401)


def test_ones_own_password_is_changed_and_other_browsers_are_logged_out(app: FastAPI) -> None:
    here, there = logged_in(app, "viewer"), logged_in(app, "viewer")
    form = {"now": PASSWORD, "then": "another passphrase", "again": "another passphrase"}
    assert here.post("/account/password", data={**form, "again": "a slip"}).status_code == 422
    old = here.cookies["rejoinder_session"]
    assert here.post("/account/password", data=form).headers["location"] == "/account"
    assert here.cookies["rejoinder_session"] != old
    assert here.get("/account").status_code == 200
    assert there.get("/account").headers["location"].startswith("/login")


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


def test_a_door_that_is_shut_says_try_again(app: FastAPI, door: Door) -> None:
    client = logged_in(app, "viewer")
    door.close()
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
