"""From the inbox to the bot: a reply is written in the console, in a browser, and a running Rasa server says it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.console.app import create_app
from agent.service import Service
from tests.console.browser import Console, serving
from tests.rasa.server import RasaServer

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.browser]
pytest.importorskip("playwright", reason="playwright is not installed")

DOGS = "Dogs on a lead are welcome in all our shops."
ASKED = ("can I bring my dog into the shop", "are dogs allowed in your stores", "is the store dog friendly")
LATER = ("may my dog come into the store with me?", "are dogs allowed in your shops")


@pytest.fixture(scope="module")
def server(root: Path, shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RasaServer]:
    """A server of these tests' own: what they write would answer other tests' questions."""
    server = RasaServer(tmp_path_factory.mktemp("inbox"), root / "training_data", shipped_model)
    try:
        yield server.start()
    finally:
        server.stop()


def said(server: RasaServer, text: str) -> list[str]:
    return [message["text"] for message in server.say(text) if message.get("text")]


def test_a_reply_written_in_the_inbox_is_said_without_a_restart(server: RasaServer, chromium: Any) -> None:
    said(server, "do you wrap presents?")  # from then on, the loops exist
    assert all(DOGS not in said(server, question) for question in (*ASKED, *LATER[:1]))
    service = Service(server.home)
    app = create_app(service)
    with serving(app) as base:
        console = Console(chromium, base)
        page = console.open("/unanswered")
        pile = page.locator(".pile", has_text="dog").first
        for _ in range(30):  # the server tells the log of a turn when it is over; then it is sorted
            if pile.count() and page.locator(".banner[role=status]").count() == 0:
                break
            page.wait_for_timeout(1_000)
            page.reload()
        pile.get_by_role("link", name="Answer").click()
        assert set(ASKED) & {tick.get_attribute("value") for tick in page.locator("input[name=example]").all()}
        page.get_by_role("textbox", name="Words").fill(DOGS)
        page.get_by_role("button", name="Write the reply").click()
        page.locator(".notice").wait_for()
        assert said(server, ASKED[0]) == [DOGS]
        assert [said(server, question) for question in LATER] == [[DOGS]] * len(LATER)
        assert DOGS not in said(server, "what is the meaning of life?")
        page.keyboard.press("z")
        page.get_by_text("Undone.").wait_for()
        assert DOGS not in said(server, ASKED[0])
        console.close()
    service.close()
