"""The overview: alive with and without data, under every filter, and every figure leads to what lies behind it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from agent.console.app import create_app
from agent.console.period import NAMES
from agent.decision import Situation
from agent.review.conversations import count
from agent.review.filters import Filter
from agent.review.index import BATCH
from agent.service import Service
from tests.console.browser import DRESSES
from tests.console.conftest import LOOP, alert
from tests.console.test_pages import Page, page

DAY = 86_400.0


def talk(service: Service, clock: list[float], day: int, n: int, *, channel: str = "web", **said: float) -> None:
    """A conversation so many days ago, and what was said of it."""
    clock[0] = time.time() - day * DAY
    cues = {f"intent:{'track' if n % 2 else 'refund'}": 0.9, f"language:{'en' if n % 3 else 'de'}": 1.0}
    asked = Situation([f"where is parcel {n}"], f"c{day}-{n}", f"p{n}", f"m{n}", channel, cues)
    made = service.decide(LOOP, asked, seed=n)
    assert made is not None
    service.activate(made.id)
    for signal, value in said.items():
        service.record(signal=signal, value=value, turn=made.turn)


@pytest.fixture
def lived(make_service: Callable[..., Service], service: Service) -> Iterator[FastAPI]:
    """The console over a week of conversations."""
    clock = [time.time()]
    busy = make_service(clock=lambda: clock[0])
    for day in range(8):
        for n in range(6):
            said = {"thumb": n % 2} if n < 4 else {"handover": 1} if n == 4 else {"resolved_confirmed": 1}
            talk(busy, clock, day, n, channel="telegram" if n == 1 else "web", **said)
    app = create_app(service)
    app.state.index.catch_up()
    app.state.index.renew()
    yield app
    app.state.index.close()


def visit(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000")


def figures(html: str) -> dict[str, tuple[str, str, str]]:
    """The tiles: by label the figure, the note, and where they lead."""
    found = re.findall(
        r'<a class="tile[^"]*" href="([^"]*)">\s*<span class="label">(.*?)</span>\s*<span class="value">(.*?)</span>'
        r'(?:\s*<span class="note">(.*?)</span>)?',
        html,
        re.DOTALL,
    )
    return {label: (value, " ".join(note.split()), href.replace("&amp;", "&")) for href, label, value, note in found}


def behind(app: FastAPI, href: str) -> int:
    """How many conversations the page that a link leads to has."""
    parts = urlsplit(href)
    assert parts.path == "/conversations"
    return count(app.state.index, Filter.of(parse_qsl(parts.query)))


def test_an_empty_log_gets_a_page_that_says_how_to_begin(make_service: Callable[..., Service]) -> None:
    app = create_app(make_service())
    found = page(visit(app), "/")
    assert "Welcome" in found.text
    assert "rejoinder demo" in found.text
    assert "/docs" in found.links
    assert "svg" in found.tags
    app.state.index.close()


def test_a_log_that_is_not_added_up_yet_says_so(client: TestClient, decide: Callable[..., Any]) -> None:
    decide()
    assert "Nothing to add up yet" in page(client, "/").text
    client.app.state.index.renew()  # type: ignore[attr-defined]
    assert "Mean reward" in page(client, "/").text


def test_figures_are_those_of_the_log_and_lead_to_as_many_conversations(lived: FastAPI) -> None:
    tiles = figures(visit(lived).get("/?when=all").text)
    assert tiles["Conversations"][0] == "48"
    assert tiles["Decisions"][0] == "48"
    assert tiles["Handed over"][:2] == ("16.7%", "8 of 48 conversations")
    assert tiles["Feedback"][:2] == ("83.3%", "40 of 48 conversations")
    assert tiles["Resolved, confirmed"][:2] == ("16.7%", "8 of 48 conversations")
    assert tiles["Satisfaction"][0] == "60.0%"  # sixteen thumbs up, as many down, eight who were helped
    for label in ("Conversations", "Handed over", "Feedback", "Resolved, confirmed", "Resolved, assumed"):
        value, note, href = tiles[label]
        assert behind(lived, href) == int(re.sub(r"\D.*", "", note if " of " in note else value)), label


QUERIES = [*(f"when={name}" for name in NAMES), "from=2026-01-01", "to=2030-01-01", "from=2020-01-01&to=2020-02-01"]


@pytest.mark.parametrize(
    "more", ["", "channel=web", "language=de", "loop=replies", "version=nothing", "channel=web&loop=replies"]
)
def test_it_answers_under_every_filter_and_keeps_it(lived: FastAPI, more: str) -> None:
    wanted = set(parse_qsl(more))
    for query in QUERIES:
        found = page(visit(lived), f"/?{query}&{more}")
        assert any(link.startswith("/?when=") for link in found.links)
        for link in (link for link in found.links if link.startswith(("/conversations?", "/?when="))):
            given = parse_qsl(urlsplit(link).query)
            assert wanted <= set(given) or link == "/?when=all", link  # which shows all where nothing is
            if link.startswith("/conversations"):
                asked = Filter.of(given).pairs()
                assert set(given) <= {*asked, *(("not", f"{kind}:{value}") for kind, value in asked)}, link


def test_filters_part_the_figures(lived: FastAPI) -> None:
    client = visit(lived)

    def conversations(query: str) -> int:
        return int(figures(client.get(f"/?when=all&{query}").text)["Conversations"][0])

    assert conversations("channel=web") + conversations("channel=telegram") == 48
    assert conversations("language=en") + conversations("language=de") == 48
    assert conversations("loop=replies") == 48
    assert "Nothing here" in client.get("/?when=all&loop=other").text


def test_points_of_curves_lead_to_their_own_days(lived: FastAPI) -> None:
    html = visit(lived).get("/?when=7d").text
    rows = re.findall(r'href="(/conversations\?from=([\d-]+)&amp;to=([\d-]+)[^"]*)">(\d+)</a>', html)
    assert rows
    assert all(first == last for _, first, last, _ in rows)
    decided = [(href.replace("&amp;", "&"), int(n)) for href, _, _, n in rows if "said" not in href]
    for href, n in decided:
        # A conversation is one decision here; those around midnight belong to two days.
        assert abs(behind(lived, href) - n) <= 6


@pytest.mark.parametrize(
    "query", ["when=never", "from=x", "to=2026-13-01", "from=2026-02-02&to=2026-02-01", "from=0001-01-01"]
)
def test_what_means_nothing_is_said_in_a_line(client: TestClient, decide: Callable[..., Any], query: str) -> None:
    decide()
    client.app.state.index.renew()  # type: ignore[attr-defined]
    found = page(client, f"/?{query}", 422)
    assert re.search(r"(when|from|to): ", found.text)


def test_alerts_stand_on_top(lived: FastAPI, service: Service) -> None:
    service.log.append([alert(time.time() - DAY)])
    found = page(visit(lived), "/")
    assert "replies earn less than expected" in found.text
    assert "To look at" in found.text
    assert "replies earn less" not in page(visit(lived), "/?when=today").text


def test_nothing_anybody_says_becomes_markup(client: TestClient, decide: Callable[..., Any]) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    made = decide(
        context={"text": attack, "features": {f"intent:{attack}": 1.0}, "channel": attack},
        candidates=[{"id": attack, "text": attack}],
    )
    client.post("/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "thumb", "value": 1})
    client.app.state.index.catch_up()  # type: ignore[attr-defined]
    client.app.state.index.renew()  # type: ignore[attr-defined]
    found: Page = page(client, "/")
    assert attack in found.text
    assert found.tags.count("img") == 1  # the brand's
    assert page(client, f"/?channel={attack}").tags.count("img") == 1


def test_while_the_index_is_far_behind_every_page_says_how_far(client: TestClient, service: Service) -> None:
    from agent.log import Event

    service.log.append([Event(f"a{n}", "activated", 1.0, LOOP, decision=f"d{n}") for n in range(2 * BATCH)])
    found = page(client, "/decisions")
    assert "Indexing the log: 0%" in found.text
    client.app.state.index.catch_up()  # type: ignore[attr-defined]
    assert "Indexing the log" not in page(client, "/decisions").text


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", DRESSES)
def test_the_page_is_accessible_in_every_dress(window: Callable[..., Any], lived: FastAPI, name: str) -> None:
    console = window(app=lived, **DRESSES[name])
    found = console.open("/?when=all")
    found.locator(".plot canvas").first.wait_for()
    console.check(f"overview-{name}")
    console.open("/?when=today")
    console.check(f"overview-today-{name}")
    # A point opens by keyboard the conversations of its day.
    console.open("/?when=7d")
    plot = found.locator("#reward .plot")
    plot.locator("canvas").wait_for()
    with found.expect_navigation(url="**/conversations?from=*", wait_until="commit"):
        plot.focus()
        plot.press("ArrowLeft")
        plot.press("Enter")
    console.problems.clear()  # that page is another's, and may not be there yet
