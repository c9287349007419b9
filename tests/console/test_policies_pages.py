"""The pages on policies in a real Chromium: a challenger promoted and rolled back, and the past slid through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.console.app import create_app
from agent.service import Service
from agent.standing import standing_of
from tests.console.browser import DRESSES, Console
from tests.console.conftest import LOOP

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
WORKED_OUT = 60_000.0  # ms: the log is folded for it, on a busy machine


def test_a_challenger_is_staged_promoted_and_rolled_back(window: Callable[..., Console], service: Service) -> None:
    console = window(app=create_app(service))
    page = console.open("/policies")
    page.get_by_role("link", name=LOOP, exact=True).click()
    form = page.locator("form", has=page.get_by_role("heading", name="Stage a challenger"))
    form.get_by_label("Policy").select_option("lints")
    form.get_by_label("Settings that differ").fill("alpha=")
    form.get_by_label("Reason").fill("more daring")
    form.get_by_role("button").click()
    page.get_by_text("That was not done").wait_for()
    assert form.get_by_label("Settings that differ").input_value() == "alpha="
    assert form.get_by_label("Reason").input_value() == "more daring"
    console.check("policies-refused")
    (refused,) = console.problems
    assert "422" in refused  # the browser's own line on the answer's status
    console.problems.clear()
    form.get_by_label("Settings that differ").fill("alpha=0.3")
    form.get_by_role("button").click()
    page.get_by_text("The challenger is staged.").wait_for()
    first, challenger = standing_of(service.log, LOOP).champion, standing_of(service.log, LOOP).challenger
    assert challenger is not None
    console.check("policies-staged")
    form = page.locator("form", has=page.get_by_role("heading", name="Promote"))
    form.get_by_label("Reason").fill("it earned more")
    form.get_by_role("button").click()
    page.get_by_text("answers everybody from now on").wait_for()
    assert standing_of(service.log, LOOP).champion == challenger
    form = page.locator("form", has=page.get_by_role("heading", name="Roll back"))
    form.get_by_label("Reason").fill("it did not")
    form.get_by_role("button").click()
    page.get_by_text("the version before answers everybody again").wait_for()
    assert standing_of(service.log, LOOP).champion == first
    page.keyboard.press("z")  # Undo
    page.get_by_text("Undone.", exact=True).wait_for()
    assert standing_of(service.log, LOOP).champion == challenger


@pytest.mark.parametrize("name", DRESSES)
def test_the_past_is_loaded_after_its_page_and_slid_through(
    window: Callable[..., Console], service: Service, decide: Callable[..., dict[str, Any]], client: Any, name: str
) -> None:
    for i in range(24):
        made = decide(context={"text": f"where is my parcel {i % 3}"}, seed=i, conversation=f"c{i}")
        told = {"decision_id": made["decision_id"], "signal": "thumb", "value": i % 2}
        assert client.post("/v1/outcomes", json=told).status_code == 200
    console = window(**DRESSES[name])
    page = console.open("/policies")
    console.check(f"policies-{name}")
    views = {"learning": "#rewards canvas", "changes": "#figures .tiles", "importance": "#features", "as-of": "#known"}
    for view, there in views.items():
        console.open(f"/policies/{LOOP}/{view}")
        page.locator(there).wait_for(timeout=WORKED_OUT)
        console.check(f"policies-{view}-{name}")
    slider = page.get_by_role("slider", name="Slide through the log")
    assert slider.get_attribute("aria-valuetext") == page.locator("#place option:checked").inner_text()
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_url("**/as-of?seq=*")
    page.locator("#stood .tile .value", has_text="1").first.wait_for(timeout=WORKED_OUT)
    assert page.locator("#place").evaluate("(select) => select.selectedIndex") == 0
    assert slider.evaluate("(slider) => slider === document.activeElement")
    console.open(f"/decisions/{made['decision_id']}/what-if")
    page.locator("#beside").wait_for(timeout=WORKED_OUT)
    console.check(f"policies-what-if-{name}")
