"""The web chat's page and widget in a real Chromium, against the shipped assistant: as a customer uses it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")
pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from axe_playwright_python import sync_playwright as axe

from agent.mailbox import Mailbox
from connectors.core.content import Button, Card, Content

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.browser]
LOCKED = "My account is locked"
PATIENCE = 60_000.0  # ms, on a busy machine
HEAD = '<!doctype html><html lang="en"><title>Shop</title>'
# What words and links may try.
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script> javascript:alert(1)'


class Chat:
    """A browser's page that is the chat."""

    def __init__(self, browser: Any, assistant: Any, **more: Any) -> None:
        self.assistant, self.requests, self.problems = assistant, [], []
        self.base = f"http://127.0.0.1:{assistant.server.port}/webhooks/web/"
        settings = {"locale": "en-GB", "viewport": {"width": 900, "height": 760}, **more}
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)

    def open(self) -> Chat:
        self.page.goto(f"{self.base}chat")
        return self.ready()

    def ready(self) -> Chat:
        self.page.locator('.log[aria-busy="false"]').wait_for()
        self.page.locator('.state[data-state="online"]').wait_for()
        return self

    def say(self, text: str) -> Any:
        """Say it, and what the bot answers."""
        before = self.bots.count()
        self.page.locator("#text").fill(text)
        self.page.keyboard.press("Enter")
        return self.answer(before)

    def answer(self, before: int) -> Any:
        self.bots.nth(before).wait_for()
        return self.bots.nth(before)

    @property
    def bots(self) -> Any:
        return self.page.locator('.message[data-by="bot"]:not(.hello)')

    @property
    def conversation(self) -> str:
        return self.page.evaluate("localStorage.getItem('rejoinder.token')").split(".")[1]

    def post(self, content: Content) -> Any:
        """Let the bot say something of its own accord."""
        before, learning = self.bots.count(), self.assistant.learning()
        Mailbox(learning.log).post("web", self.conversation, [content.body()])
        learning.close()
        return self.answer(before)

    def check(self, name: str) -> None:
        """Nothing that axe-core finds; and a picture, where somebody wants to look at it."""
        self.page.wait_for_timeout(300)  # what moves has come to rest: faint is a fault of contrast, too
        if folder := os.environ.get("SHOTS"):
            self.page.screenshot(path=str(Path(folder) / f"test-{name}.png"))
        found = axe.Axe().run(self.page).response["violations"]
        assert not found, [(v["id"], [node["html"] for node in v["nodes"]]) for v in found]

    def close(self) -> None:
        assert not self.problems
        assert {url.split("/")[2] for url in self.requests} == {self.base.split("/")[2]}, "requests to others"
        self.context.close()


@pytest.fixture
def chat(chromium: Any, assistant: Any) -> Iterator[Any]:
    opened: list[Chat] = []

    def make(**more: Any) -> Chat:
        opened.append(Chat(chromium, assistant, **more))
        return opened[-1].open()

    yield make
    for page in opened:
        page.close()


def cards(base: str) -> Content:
    """Two things side by side, and what has no business in a page."""
    icon = f"{base}static/x/icon.svg"
    lamp = Card(
        "Garden lamp",
        "Solar, £24",
        image=icon,
        url="https://shop.example/lamp",
        buttons=(Button("Gift wrap", "/gift_wrapping"),),
    )
    bench = Card(
        HOSTILE,
        "Acacia",
        image="javascript:alert(1)",
        url="javascript:alert(1)",
        buttons=(Button("No", url="data:text/html,x"),),
    )
    return Content(text=HOSTILE, cards=(lamp, bench), attachment="javascript:alert(1)")


def test_chat_button_card_thumb_reload_and_rating(chat, assistant):
    page = chat()
    page.page.evaluate("""new MutationObserver(() => { window.typed ||= !document.getElementById("typing").hidden; })
        .observe(document.getElementById("typing"), { attributes: true })""")
    first = page.say(LOCKED)
    assert page.page.evaluate("window.typed")
    key = f"web:{page.conversation}"
    first.get_by_role("button", name="Helpful", exact=True).click()
    (up,) = assistant.wait_for("outcome", lambda e: e.id.startswith(key) and e.body["signal"] == "thumb")
    first.get_by_role("button", name="Not helpful").click()
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == up.id)
    page.check("reason")
    reason = first.locator(".reason")
    reason.get_by_role("button", name="Hard to understand").click()
    reason.locator("input").fill("too many words")
    reason.get_by_role("button", name="Send feedback").click()
    said = "unclear: too many words"
    (down,) = assistant.wait_for("outcome", lambda e: e.id.startswith(key) and e.body.get("comment") == said)

    posted = page.post(cards(page.base))
    assert posted.locator(".card").count() == 2
    assert posted.locator(".bubble").inner_text() == HOSTILE
    assert [a.get_attribute("href") for a in posted.locator("a").all()] == ["https://shop.example/lamp"]
    page.check("cards")
    before = page.bots.count()
    posted.get_by_role("button", name="Gift wrap").click()
    page.answer(before)

    offered = page.post(Content(text="Anything else?", buttons=(Button("Opening hours", "/opening_hours"),)))
    assert offered.locator(".bubble").inner_text() == "Anything else?"
    page.page.get_by_role("group", name="Suggested replies").get_by_role("button", name="Opening hours").click()
    page.answer(before + 2)

    texts = page.page.locator(".message:not(.hello) .bubble").all_inner_texts()
    page.page.reload()
    page.ready()
    assert page.page.locator(".message:not(.hello) .bubble").all_inner_texts() == texts
    pressed = page.bots.first.get_by_role("button", name="Not helpful")
    assert pressed.get_attribute("aria-pressed") == "true"
    pressed.click()
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == down.id)

    page.page.get_by_role("button", name="End chat").click()
    page.page.get_by_role("button", name="Send rating").click()
    assert page.page.get_by_role("alert").inner_text() == "Please choose one to five stars."
    page.page.locator(".star").nth(3).click()
    page.page.get_by_label("What could be better?").fill("quick")
    page.check("survey")
    page.page.get_by_role("button", name="Send rating").click()
    page.page.get_by_text("Thank you!").wait_for()
    page.check("over")
    (stars,) = assistant.wait_for("outcome", lambda e: e.id.startswith(key) and e.body["signal"] == "csat")
    assert (stars.body["value"], stars.body["comment"]) == (4.0, "quick")
    old = page.conversation
    page.page.get_by_role("button", name="Start a new chat").click()
    page.ready()
    assert page.conversation != old
    assert page.bots.count() == 0


def test_with_the_keyboard_alone(chat, assistant):
    page = chat()
    press = page.page.keyboard.press
    active = """(() => {
        const { activeElement: e, body } = document;
        return e === body ? "" : (e.getAttribute("aria-label") || e.textContent).trim();
    })()"""

    def tab_to(label: str, *, key: str = "Tab") -> None:
        for _ in range(30):
            if page.page.evaluate(active).startswith(label):
                return
            press(key)
        raise AssertionError(f"{label!r} is not reached")

    page.page.evaluate("document.body.focus()")
    tab_to("Where is my order?")
    press("Enter")
    answer = page.answer(0)
    assert page.page.evaluate("document.activeElement.id") == "text"  # the buttons went: the focus did not
    tab_to("Not helpful", key="Shift+Tab")
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.page.evaluate(ring) == "solid"
    press("Space")
    answer.locator(".reason").wait_for()
    tab_to("Didn")
    press("Space")
    tab_to("Send feedback")
    press("Enter")
    key = f"web:{page.conversation}"
    assistant.wait_for("outcome", lambda e: e.id.startswith(key) and e.body.get("comment") == "unsolved")
    assert page.page.evaluate(active) == "Not helpful"
    tab_to("End chat", key="Shift+Tab")
    press("Enter")
    press("Tab")
    press("ArrowRight")
    press("ArrowRight")
    tab_to("Send rating")
    press("Enter")
    page.page.get_by_text("Thank you!").wait_for()
    (stars,) = assistant.wait_for("outcome", lambda e: e.id.startswith(key) and e.body["signal"] == "csat")
    assert stars.body["value"] == 3.0


PHONE = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", PHONE),
        ("dark-phone", {**PHONE, "color_scheme": "dark"}),
    ],
)
def test_it_is_accessible_in_every_dress(chat, name, more):
    page = chat(**more)
    page.check(f"{name}-empty")
    page.say(LOCKED)
    page.bots.last.get_by_role("button", name="Not helpful").click()
    page.post(cards(page.base))
    page.check(f"{name}-chat")
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    small = """[...document.querySelectorAll('button, a, input, textarea')].filter((e) => {
        const { width, height } = e.getBoundingClientRect();
        return e.checkVisibility() && !e.closest('p, h3') && (width < 24 || height < 24);
    }).map((e) => e.outerHTML)"""
    assert page.page.evaluate(small) == []
    if name == "dark":
        red, *_ = page.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert red < 60


def test_it_speaks_german_where_the_browser_does_and_moves_little_where_wanted(chat):
    page = chat(locale="de-DE", reduced_motion="reduce")
    assert page.page.locator("html").get_attribute("lang") == "de"
    assert page.page.get_by_role("button", name="Mit einem Menschen sprechen").is_visible()
    answer = page.say(LOCKED)
    answer.get_by_role("button", name="Nicht hilfreich").click()
    page.page.get_by_text("Was hat nicht gepasst?").wait_for()
    page.check("german")
    assert page.page.evaluate("document.getAnimations().length") == 0


def test_people_come_and_the_connection_goes_and_comes(chat):
    page = chat()
    page.page.get_by_role("button", name="Talk to a person").click()
    page.page.get_by_text("A colleague is here").wait_for()
    page.context.set_offline(True)
    page.page.locator("#text").fill("Still there?")
    page.page.keyboard.press("Enter")
    page.page.locator(".sending").wait_for()
    page.context.set_offline(False)
    page.page.locator(".sending").wait_for(state="detached")
    page.page.locator('.message[data-by="visitor"]', has_text="Still there?").wait_for()
    assert page.page.locator('.message[data-by="visitor"]', has_text="Still there?").count() == 1
    page.problems.clear()  # the browser's own lines about the lost connection


def test_the_widget_brings_it_into_another_page(chromium, assistant):
    page, site = Chat(chromium, assistant), assistant.services["web"]
    site.page = f'{HEAD}<main><h1>Shop</h1></main><script src="{page.base}widget.js"></script>'.encode()
    page.page.goto(site.address)
    launcher = page.page.get_by_role("button", name="Open the chat")
    launcher.click()
    frame = page.page.frame_locator("rejoinder-chat iframe")
    frame.locator('.state[data-state="online"]').wait_for()
    frame.locator("#text").fill(LOCKED)
    frame.locator("#text").press("Enter")
    frame.locator('.message[data-by="bot"]:not(.hello)').wait_for()
    page.check("widget")
    frame.locator("#text").press("Escape")
    page.page.locator("rejoinder-chat .panel").wait_for(state="hidden")
    assert launcher.evaluate("(element) => element.getRootNode().activeElement === element")
    page.requests = [url for url in page.requests if not url.startswith(site.address)]
    page.close()


def test_no_other_site_may_frame_it(chromium, assistant):
    page, site = Chat(chromium, assistant), assistant.services["web"]
    site.page = f'{HEAD}<iframe src="{page.base}chat"></iframe>'.encode()
    page.page.goto(site.address.replace("127.0.0.1", "localhost"))
    page.page.wait_for_timeout(500)
    assert any("frame-ancestors" in problem for problem in page.problems)
    page.context.close()
