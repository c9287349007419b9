"""Replies and the inbox in a real Chromium: accessible in every dress, and a question answered in two clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from agent.console.app import create_app
from agent.decision import Situation
from agent.service import Service
from tests.console.browser import DRESSES, Console
from tests.console.conftest import LOOP

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
Window = Callable[..., Console]
ASKED = ("are you open on Christmas Eve", "are you open at Christmas", "is the shop open on Christmas Eve", "mumble")


@pytest.fixture
def app(service: Service) -> Any:
    """A console on which something has happened to every reply, and four questions were not understood."""
    for n in range(24):
        text = "where is my parcel" if n % 2 else "I want my money back"
        intent = "track" if n % 2 else "refund"
        made = service.decide(LOOP, Situation([text], f"d{n}", "p", f"d{n}", "web", {f"intent:{intent}": 1.0}), seed=n)
        assert made is not None
        service.activate(made.id)
        service.record(signal="thumb", value=n % 3 and 1, decision=made.id)
    service.edit(LOOP, "refund", ["Five days.", "<b>Five</b> working days."], examples=["where is it"], who="Ann")
    for n, text in enumerate(ASKED):
        service.hear(Situation([text], f"c{n}", f"p{n}", f"m{n}", "web", {"intent:nlu_fallback": 1.0}))
    app = create_app(service)
    app.state.index.catch_up()
    app.state.index.renew()
    return app


def inbox(console: Console) -> Any:
    """The inbox, sorted by now: until then its page loads again by itself."""
    page = console.open("/unanswered")
    page.locator(".pile").first.wait_for(timeout=60_000)
    return page


@pytest.mark.parametrize("name", DRESSES)
def test_every_page_is_accessible_in_every_dress(window: Window, app: Any, name: str) -> None:
    console = window(app=app, **DRESSES[name])
    console.open("/replies")
    console.check(f"replies-{name}")
    page = console.open(f"/replies/{LOOP}/refund")
    page.locator(".plot canvas").first.wait_for()
    for summary in page.locator("main details summary").all():
        summary.click()
    console.check(f"reply-{name}")
    page = console.open("/replies/new")
    page.get_by_role("textbox", name="Words").fill("We are open on Sundays.")
    page.get_by_role("button", name="See what it would change").click()
    page.get_by_role("heading", name="What it would change").wait_for()
    console.check(f"reply-new-{name}")
    page = inbox(console)
    page.locator(".pile summary").first.click()
    console.check(f"unanswered-{name}")
    page.get_by_role("link", name=re.compile("^Existing reply")).first.click()
    console.check(f"unanswered-existing-{name}")


def test_a_pile_is_answered_in_two_clicks_and_undone_with_a_key(window: Window, app: Any, service: Service) -> None:
    console = window(app=app)
    page = inbox(console)
    page.get_by_role("link", name=re.compile("^Answer")).first.click()
    assert page.locator("input[name=example]:checked").count() == 3
    page.get_by_role("textbox", name="Words").fill("We are closed on Christmas Eve.")
    console.check("unanswered-answer")
    page.get_by_role("button", name="Write the reply").click()
    notice = page.locator(".notice")
    assert "Reply written for 3 questions." in notice.inner_text()
    assert [pile.inner_text() for pile in page.locator(".pile h2").all()] == ["mumble"]
    reply = service.overview(LOOP).candidates[-1]
    assert (reply.texts, set(reply.examples)) == (("We are closed on Christmas Eve.",), set(ASKED[:3]))
    page.keyboard.press("z")
    page.get_by_text("Undone.").wait_for()
    assert page.locator(".pile").count() == 2
    assert service.overview(LOOP).candidates[-1].state == "disabled"


def test_two_who_edit_the_same_words_are_told(window: Window, app: Any, service: Service) -> None:
    consoles = [window(app=app) for _ in range(2)]
    ann, bea = (console.open(f"/replies/{LOOP}/human") for console in consoles)
    for page, words in ((ann, "Ann brings somebody."), (bea, "Bea brings somebody.")):
        page.get_by_text("Edit the words").click()
        page.get_by_role("textbox", name="Words").fill(words)
        page.get_by_role("button", name="Keep as a new version").click()
    assert "Somebody else was quicker." in bea.get_by_role("alert").inner_text()
    assert bea.get_by_role("textbox", name="Words").input_value() == "Bea brings somebody."
    assert service.history(LOOP, "human")[0].reply.texts == ("Ann brings somebody.",)
    bea.get_by_role("button", name="Keep as a new version").click()
    bea.get_by_text("New version kept").wait_for()
    assert service.history(LOOP, "human")[0].reply.texts == ("Bea brings somebody.",)
    assert [line for console in consoles for line in console.problems if "409" not in line] == []
    consoles[1].problems.clear()
