"""Logging in and out: sessions, tokens against forgery, guessing, and where it leads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI

from agent.access.door import Door
from agent.access.visitor import ROLES
from agent.console.app import create_app
from agent.service import Service
from tests.access.conftest import Clock
from tests.console.conftest import problem
from tests.console.visitors import PASSWORD, browser, logged_in, routes, with_key


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
