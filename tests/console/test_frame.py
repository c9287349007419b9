"""The frame in a real Chromium: every part of a page in every dress, charts and keys by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import ChoiceLoader, FileSystemLoader

from agent.console import rendering
from agent.console.app import create_app
from agent.console.notices import tell
from agent.service import Service
from tests.console.browser import DRESSES, PHONE, Console

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
Window = Callable[..., Console]
DAYS = 30
NOON = 1_790_000_000.0


def curve() -> dict[str, Any]:
    values = [None if n == 7 else 0.6 + 0.15 * math.sin(n / 5) for n in range(DAYS)]
    return {
        "times": [NOON + 86_400 * n for n in range(DAYS)],
        "values": values,
        "low": [None if value is None else value - 0.08 for value in values],
        "high": [None if value is None else value + 0.08 for value in values],
        "hrefs": [f"/decisions?day={n}" for n in range(DAYS)],
        "expected": [0.62 + 0.004 * n for n in range(DAYS)],
    }


@pytest.fixture
def gallery(service: Service, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The console with a page more, on which every part stands, and a post that tells of itself."""
    loader = ChoiceLoader([rendering.templates.loader, FileSystemLoader(Path(__file__).parent)])
    monkeypatch.setattr(rendering.templates, "loader", loader)
    app = create_app(service)

    @app.get("/gallery")
    def show(request: Request) -> HTMLResponse:
        return rendering.render(request, "gallery.html", section="/decisions", **curve())

    @app.post("/told")
    def told() -> Response:
        return tell(RedirectResponse("/gallery", 303), "Reward <b>corrected</b>.", undo="/told", event="e1")

    return app


@pytest.mark.parametrize("name", DRESSES)
def test_every_part_is_accessible_in_every_dress(window: Window, gallery: FastAPI, name: str) -> None:
    console = window(app=gallery, **DRESSES[name])
    gallery.state.simulated = lambda: True
    page = console.open("/gallery")
    page.locator(".plot canvas").wait_for()
    page.get_by_role("button", name="Tell").click()
    notice = page.locator(".notice")
    assert notice.inner_text().startswith("Reward <b>corrected</b>.")
    page.locator(".figures summary").click()
    if name.endswith("phone"):
        page.get_by_text("Menu", exact=True).click()
    console.check(f"gallery-{name}")
    page.reload()
    assert notice.count() == 0


@pytest.mark.parametrize("name", DRESSES)
def test_the_pages_of_decisions_are_accessible_in_every_dress(
    window: Window, decide: Callable[..., dict[str, Any]], client: Any, name: str
) -> None:
    for text in ("where is my parcel", "I want my money back", "can I talk to a person"):
        made = decide(context={"text": text, "features": {"intent:track": 0.5}})
        body = {"decision_id": made["decision_id"], "signal": "thumb", "value": 1, "event_id": text}
        client.post("/v1/outcomes", json=body)
    client.patch(f"/v1/outcomes/{text}", json={"value": 0, "who": "lead", "why": "a slip"})
    console = window(**DRESSES[name])
    id = made["decision_id"]
    paths = {
        "list": "/decisions?loop=replies",
        "decision": f"/decisions/{id}",
        "why": f"/decisions/{id}/why",
    }
    for kind, path in paths.items():
        console.open(path)
        console.check(f"{kind}-{name}")
    if name == "dark":
        red, *_ = console.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert red < 60


def test_a_chart_is_read_and_opened_with_pointer_and_keys(window: Window, gallery: FastAPI) -> None:
    page = window(app=gallery).open("/gallery")
    plot = page.get_by_role("slider", name="Reward over time")
    plot.scroll_into_view_if_needed()
    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 40)
    tip = page.locator(".tip")
    assert "Reward: 0.60 (0.52 \N{EN DASH} 0.68)" in tip.inner_text()
    assert "Expected: 0.62" in tip.inner_text()
    page.mouse.click(box["x"] + 1, box["y"] + 40)
    page.wait_for_url("**/decisions?day=0")
    page.go_back()
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert plot.get_attribute("aria-valuenow") == "2"
    assert plot.get_attribute("aria-valuetext") == ". ".join(tip.inner_text().split("\n"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/decisions?day=1")


def test_a_chart_holds_nothing_that_its_table_does_not(window: Window, gallery: FastAPI) -> None:
    page = window(app=gallery).open("/gallery")
    page.locator(".figures summary").click()
    rows = page.locator(".figures tbody tr")
    assert rows.count() == DAYS
    assert rows.nth(1).locator("td").nth(0).inner_text() == "0.63 0.55 \N{EN DASH} 0.71"
    assert rows.nth(1).get_by_role("link").get_attribute("href") == "/decisions?day=1"
    assert rows.nth(7).locator("td").nth(0).inner_text() == "\N{EN DASH}"


def test_a_chart_is_drawn_anew_in_the_dark(window: Window, gallery: FastAPI) -> None:
    page = window(app=gallery).open("/gallery")
    page.locator(".plot canvas").wait_for()
    drawn = "document.querySelector('.plot canvas').toDataURL()"
    light = page.evaluate(drawn)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate(drawn) != light


def test_keys_press_what_they_name_and_rest_while_somebody_types(window: Window, gallery: FastAPI) -> None:
    page = window(app=gallery).open("/gallery")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    assert "g then d\nDecisions" in dialog.inner_text()
    assert "t\nTell" in dialog.inner_text()
    page.keyboard.press("Escape")
    words = page.get_by_label("Words", exact=True)
    words.fill("")
    words.press_sequentially("gd t?")
    assert words.input_value() == "gd t?"
    assert page.url.endswith("/gallery")
    words.blur()
    page.keyboard.press("t")
    page.locator(".notice").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/decisions")
    page.go_back()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Shortcuts of a single key are on").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_timeout(200)
    assert page.url.endswith("/gallery")


def test_the_language_is_switched_and_kept(window: Window) -> None:
    page = window().open("/decisions?loop=nobody")
    page.get_by_role("button", name="Deutsch").click()
    page.wait_for_url("**/decisions?loop=nobody")
    assert page.locator("html").get_attribute("lang") == "de"
    assert page.get_by_role("heading", name="Hier ist nichts").is_visible()
    page.reload()
    page.get_by_role("button", name="English").click()
    assert page.get_by_role("heading", name="Nothing here").is_visible()


def test_without_script_the_menu_opens_and_figures_are_read(window: Window, gallery: FastAPI) -> None:
    console = window(app=gallery, java_script_enabled=False, **PHONE)
    page = console.open("/gallery")
    page.get_by_text("Menu", exact=True).click()
    page.locator(".drawer").get_by_role("link", name="Decisions").click()
    page.wait_for_url("**/decisions")
    console.open("/gallery")
    page.locator(".figures summary").click()
    assert page.locator(".figures tbody tr").nth(3).is_visible()
    assert not page.get_by_role("button", name="Keyboard shortcuts").is_visible()


def test_on_paper_there_is_what_is_read(window: Window, gallery: FastAPI) -> None:
    page = window(app=gallery).open("/gallery")
    page.emulate_media(media="print")
    assert page.get_by_role("heading", name="Gallery").is_visible()
    assert not page.locator(".side").is_visible()
    assert not page.locator(".filters").is_visible()
