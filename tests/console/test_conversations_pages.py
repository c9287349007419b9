"""The pages of conversations in a real Chromium: found, put right and undone by hand and by keys, in every dress."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fastapi import FastAPI

from agent.console.app import create_app
from agent.service import Service
from agent.settings import LoopSettings
from tests.console.browser import DRESSES, Console
from tests.console.conftest import LOOP, REPLIES
from tests.console.test_conversations import TEXTS, talk, turn_of

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
Window = Callable[..., Console]


@pytest.fixture
def app(make_service: Callable[..., Service]) -> FastAPI:
    """A console over what was said yesterday and today, by mail and on the web."""
    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0).timestamp()
    now = [noon - timedelta(days=1).total_seconds()]
    service = make_service(clock=lambda: now[0])
    service.configure(LOOP, LoopSettings(policy="linucb", learner={"epsilon": 0.1}), who="test")
    service.reconcile(LOOP, REPLIES, who="test")
    for n, (text, channel, thumb) in enumerate(
        [(TEXTS[0], "web", 0), (TEXTS[1], "web", 1), (TEXTS[2], "mail", 0), (TEXTS[1], "web", 0)]
    ):
        now[0] += 60.0
        talk(service, f"yesterday {n}", text, channel=channel, thumb=thumb)
    now[0] = noon
    talk(service, "today", TEXTS[0], thumb=0)
    return create_app(service)


def test_from_yesterdays_thumbs_down_to_a_model_put_right_and_back(app: FastAPI, window: Window) -> None:
    console = window(app=app)
    found = console.open("/conversations")
    found.get_by_label("Time", exact=True).select_option("yesterday")
    found.get_by_label("Channel", exact=True).select_option("web")
    found.get_by_label("Feedback", exact=True).select_option(label="thumbs down")
    found.get_by_role("button", name="Show").click()
    found.wait_for_url("**/conversations?when=yesterday&channel=web&outcome=thumb+bad")
    assert "2 conversations" in found.get_by_role("status").nth(1).inner_text()
    found.get_by_role("link", name=TEXTS[0]).click()
    found.locator("details.apart > summary").click()
    why = found.locator(".inside")
    why.get_by_text("Expected then").wait_for()
    assert why.locator("table.scores tr").count() == 4
    why.get_by_role("link", name="Nearest past messages").click()
    why.locator(".nearest > *").wait_for()
    why.locator("summary", has_text="Correct").click()
    why.get_by_label("Value").first.select_option("1")
    why.get_by_label("Why").first.fill("pressed the wrong thumb")
    why.get_by_role("button", name="Correct it").click()
    notice = found.locator(".notice p")
    said = notice.inner_text()
    after, before = re.search(r"reward 0\.00 → 1\.00; the model expects (\S+) here, (\S+) before", said).groups()
    assert after != before
    assert "open=" in found.url
    assert "Corrected by somebody. pressed the wrong thumb" in found.locator(".inside").inner_text()
    found.keyboard.press("z")
    found.get_by_text("Taken back.").wait_for()
    assert f"the model expects {before} here, {after} before" in notice.inner_text()
    here = found.url.split("?")[0].rsplit("/", 1)[1]
    found.keyboard.press("k")
    found.wait_for_url(lambda url: here not in url)
    found.get_by_text(TEXTS[1], exact=True).wait_for()
    found.keyboard.press("j")
    found.wait_for_url(f"**/{here}?*")
    found.keyboard.press("3")
    found.get_by_text("Noted: verdict: bad").wait_for()
    found.keyboard.press("f")
    found.get_by_text("Noted: raised the flag").wait_for()
    found.keyboard.press("u")
    found.wait_for_url("**/conversations?when=yesterday&channel=web&outcome=thumb+bad")
    found.get_by_label("Select all on this page").check()
    assert found.locator("input[name=key]:checked").count() == 2
    found.get_by_label("What to do").select_option("tag")
    found.get_by_label("Tag or name").fill("seen")
    found.get_by_role("button", name="Apply").click()
    found.get_by_text("2 conversations are changed.").wait_for()
    assert found.get_by_text("seen", exact=True).count() >= 2


@pytest.mark.parametrize("name", DRESSES)
def test_the_pages_of_conversations_are_accessible_in_every_dress(app: FastAPI, window: Window, name: str) -> None:
    service = app.state.service
    key = service.identity.conversation("yesterday 0")
    turn = turn_of(service, key)
    for what, value in (("flag", True), ("tag", "late"), ("comment", "so"), ("reviewed", "bad"), ("assigned", "Ida")):
        service.annotate(what, value, who="Ida", conversation=key)
    service.annotate("comment", "about this turn", who="Ida", turn=turn)
    service.revoke(service.correct("thumb of yesterday 0", value=1, who="Ida", why="a slip").event_id, who="Bo")
    service.record(signal="csat", value=2, conversation="yesterday 0", comment="meh")
    app.state.door.views.save("somebody", "Bad ones", "outcome=thumb+bad")
    console = window(app=app, **DRESSES[name])
    found = console.open("/conversations?outcome=thumb+bad&reward=..0.5")
    found.get_by_text("Save this view").click()
    console.check(f"conversations-{name}")
    found = console.open(f"/conversations/{key}?outcome=thumb+bad&open={turn}")
    found.locator("summary", has_text="Correct").first.click()
    found.locator("summary", has_text="Suggest a better reply").click()
    console.check(f"conversation-{name}")
