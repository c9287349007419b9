"""Users and keys as admins see to them, and one's own password."""

from __future__ import annotations

import html

import pytest
from fastapi import FastAPI

from agent.access.door import Door
from tests.console.conftest import problem
from tests.console.visitors import PASSWORD, browser, logged_in


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
