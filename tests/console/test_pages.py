"""The pages: what stands on them, that they link up, and that nothing said by anybody becomes markup."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from fastapi.testclient import TestClient

from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import alert
from tests.console.test_policies import worked_out

Decide = Callable[..., dict[str, Any]]
VOID = {"meta", "link", "img", "rect", "circle", "path", "input", "br"}


class Page(HTMLParser):
    """A page's elements, links and words; closing tags must match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]
        if tag == "script":
            self.scripts.append(dict(attrs).get("src") or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(client: TestClient, path: str, status: int = 200) -> Page:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    found = Page(answer.text)
    # The policy allows none of these, so they would silently not work.
    assert "style" not in found.attributes | set(found.tags)
    assert not [name for name in found.attributes if name.startswith("on")]
    assert found.scripts
    assert all(source.startswith("/static/") for source in found.scripts)
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in found.links)
    return found


def test_without_decisions_the_page_says_what_to_do(make_service: Callable[..., Service]) -> None:
    client = TestClient(create_app(make_service()), base_url="http://127.0.0.1")
    empty = page(client, "/decisions")
    assert "No decisions yet" in empty.text
    assert "Talk to the bot" in empty.text
    assert "table" not in empty.tags


def test_an_alert_stands_on_the_first_page_for_a_week(client: TestClient, service: Service, decide: Decide) -> None:
    assert "drift" not in page(client, "/decisions").text
    now = time.time()
    service.log.append([alert(now - 86_400), alert(now - 8 * 86_400, loop="others"), alert(now - 90_000, seq=3)])
    decide()
    found = page(client, "/decisions").text
    words = "replies earn less than expected: \N{MINUS SIGN}0.31 on average over the last 38 credits, +0.02 before"
    assert found.count(words) == 1
    assert "others" not in found
    assert words in page(client, "/decisions?loop=replies").text
    assert words not in page(client, f"/decisions?before={service.log.last_seq()}").text


def test_the_list_shows_what_was_said_chosen_and_earned(client: TestClient, decide: Decide) -> None:
    made = decide(context={"text": "write to jo@example.com about order 12345678"})
    client.post("/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "rating", "value": 4})
    decide(context={"text": "and another"})
    found = page(client, "/decisions")
    assert "write to [email] about order [number]" in found.text
    assert "jo@example.com" not in found.text
    assert made["chosen"] in found.text
    assert "0.75" in found.text
    assert "none yet" in found.text
    assert f"/decisions/{made['decision_id']}" in found.links
    assert {"caption", "label", "main", "nav"} <= set(found.tags)


def test_pages_lead_to_older_and_newer_ones(client: TestClient, decide: Decide) -> None:
    made = [decide(seed=n)["decision_id"] for n in range(60)][::-1]

    def shown(found: Page) -> list[str]:
        return [link.rsplit("/", 1)[1] for link in found.links if link.startswith("/decisions/")]

    def link(found: Page, word: str) -> str:
        return next(link for link in found.links if f"{word}=" in link)

    first = page(client, "/decisions")
    second = page(client, link(first, "before"))
    third = page(client, link(second, "before"))
    assert [shown(first), shown(second), shown(third)] == [made[:25], made[25:50], made[50:]]
    assert not any("before=" in link for link in third.links)
    assert not any("after=" in link for link in first.links)
    back = page(client, link(third, "after"))
    assert shown(back) == made[25:50]
    assert shown(page(client, link(back, "after"))) == made[:25]


def test_the_list_is_filtered_by_loop(client: TestClient, decide: Decide) -> None:
    client.post("/v1/loops/other", json={"candidates": [{"id": "only", "text": "hello"}]})
    decide(loop="other", context={"text": "a word to the other"})
    decide(context={"text": "a word to the replies"})
    found = page(client, "/decisions?loop=other")
    assert '<option value="other" selected>' in client.get("/decisions?loop=other").text
    assert "a word to the other" in found.text
    assert "a word to the replies" not in found.text
    assert "Nothing here" in page(client, "/decisions?loop=nobody").text


def test_a_decision_is_taken_apart(client: TestClient, decide: Decide) -> None:
    made = decide(
        candidates=["track", "refund"],
        conversation="c",
        message_id="m",
        context={"text": "where is it", "features": {"intent:track": 0.5}},
    )
    id = made["decision_id"]
    for event, value in (("e1", 0), ("e2", 1)):
        client.post("/v1/outcomes", json={"decision_id": id, "signal": "thumb", "value": value, "event_id": event})
    client.patch("/v1/outcomes/e1", json={"value": 1, "who": "lead", "why": "a slip"})
    client.delete("/v1/outcomes/e2", params={"who": "lead"})
    found = page(client, f"/decisions/{id}")
    words = re.sub(r"\s+", " ", found.text)
    for expected in (
        "where is it",
        "Your parcel is on its way.",
        "Let me look up where your parcel is.",
        "The refund takes five working days.",
        "intent:track",
        "corrected by lead: a slip",
        "taken back by lead",
        "The draw repeatsyes",
        made["turn_id"],
        f"{100 * made['propensity']:.1f}%",
    ):
        assert expected in words, expected
    assert client.get(f"/decisions/{id}").text.count('<svg class="bar') == 2


def test_why_shows_words_neighbours_and_that_the_vector_repeats(client: TestClient, decide: Decide) -> None:
    first = decide(candidates=["track"], context={"text": "where is my parcel now"})
    client.post("/v1/outcomes", json={"decision_id": first["decision_id"], "signal": "thumb", "value": 1})
    made = decide(context={"text": "and my parcel? mail jo@example.com", "features": {"intent:track": 0.5}})
    id = made["decision_id"]
    assert f"/decisions/{id}/why" in page(client, f"/decisions/{id}").links
    answer = client.get(f"/decisions/{id}/why")
    found = page(client, f"/decisions/{id}/why")
    words = re.sub(r"\s+", " ", found.text)
    assert re.search(
        r'<span class="word (for|against)-[123]">parcel<small>[+\u2212]0\.\d\d</small></span>', answer.text
    )
    assert f"Why \u201c{made['chosen']}\u201d?" in words
    assert "Approximate:" in words
    assert "jo@example.com" not in words
    assert "where is my parcel now" in words
    assert "repeats The log" in words
    assert f"/decisions/{first['decision_id']}" in found.links
    # Each word's effect is in words as well: colour alone says nothing to those who do not see it.
    assert "Each word speaks for" in words
    first_page = page(client, f"/decisions/{first['decision_id']}/why")
    assert "Nothing else could have been chosen" in first_page.text
    assert "There is none yet." in first_page.text


def test_without_the_encoder_why_shows_the_rest(client: TestClient, decide: Decide, monkeypatch: Any) -> None:
    from agent.errors import ModelMissing

    id = decide()["decision_id"]

    def missing(self: Service, name: str) -> None:
        raise ModelMissing(f"the encoder {name!r} cannot be loaded")

    monkeypatch.setattr(Service, "encoder", missing)
    found = page(client, f"/decisions/{id}/why")
    assert "the encoder 'all-MiniLM-L6-v2' cannot be loaded" in found.text
    assert "repeats" in found.text
    assert client.get(f"/v1/decisions/{id}", params={"words": True}).status_code == 503


def test_importance_is_shown_by_part_and_by_feature(client: TestClient, decide: Decide) -> None:
    weights = "/policies/replies/importance"
    assert "no decision between two or more" in worked_out(client, weights)
    assert "unknown loop" in page(client, "/policies/nobody/importance", 404).text
    for text in ("where is my parcel", "I want my money back"):
        made = decide(context={"text": text, "features": {"intent:track": 0.5}})
        client.post("/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "thumb", "value": 1})
    decide(context={"text": "my parcel", "features": {"intent:track": 0.9}})
    assert weights in page(client, "/decisions?loop=replies").links
    found = worked_out(client, weights)
    assert {"prior", "own", "own:features"} <= set(re.findall(r"[\w:]+", found))
    assert "intent:track" not in found
    assert f"{weights}?features=true" in found
    assert "intent:track" in worked_out(client, f"{weights}?features=true")
    assert "intent:track" in page(client, f"{weights}?features=true").text  # kept by now


def test_nothing_anybody_says_becomes_markup(client: TestClient, decide: Decide) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    made = decide(
        context={"text": attack, "features": {attack: 1.0}, "channel": attack},
        candidates=[{"id": attack, "text": attack}],
    )
    id = made["decision_id"]
    client.post("/v1/outcomes", json={"decision_id": id, "signal": "thumb", "value": 1, "event_id": "e"})
    client.delete("/v1/outcomes/e", params={"who": attack, "why": attack})
    for path in ("/decisions", f"/decisions/{id}", f"/decisions/{id}/why"):
        found = page(client, path)
        assert attack in found.text
        assert found.tags.count("img") == 1  # the brand's
    assert attack in page(client, "/decisions", 200).text
    assert "img" in page(client, f"/decisions/{attack.replace('/', '')}", 404).tags


def test_errors_on_pages_are_pages(client: TestClient, monkeypatch: Any, service: Service) -> None:
    from agent.errors import LogUnavailable

    assert "unknown decision" in page(client, "/decisions/nope", 404).text
    assert "before" in page(client, "/decisions?before=x", 422).text

    def unavailable() -> list[str]:
        raise LogUnavailable("the learning log is away")

    monkeypatch.setattr(service, "loops", unavailable)
    assert "the learning log is away" in page(client, "/decisions", 503).text
