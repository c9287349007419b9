"""The review queue's pages: a verdict and on to the next, undone and back; and all of it by the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from agent.decision import Situation
from agent.service import Service
from tests.console.browser import DARK, PHONE, Console
from tests.console.conftest import LOOP

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def keys(service: Service) -> list[str]:
    """The keys of fourteen conversations, each with a thumb down on its only answer."""
    for n in range(14):
        text = HOSTILE if n == 0 else f"my parcel number {n} is late"
        decided = service.decide(LOOP, Situation([text], f"c{n}", f"p{n}", "m", "web"), seed=n)
        service.activate(decided.id)
        service.record(signal="thumb", value=0, decision=decided.id, event_id=f"o{n}", comment="No <b>use</b>")
    return [service.identity.conversation(f"c{n}") for n in range(14)]


def token(client: TestClient, path: str) -> dict[str, str]:
    found = re.search(r'name="csrf" value="([^"]*)"', client.get(path).text)
    return {"csrf": found[1]} if found else {}


def verdicts(service: Service) -> list[str]:
    return [e.body["value"] for e in service.log.read(kinds=("annotation",)) if e.body["what"] == "reviewed"]


def test_a_verdict_leads_on_and_undo_leads_back(client: TestClient, service: Service, keys: list[str]) -> None:
    first = client.get("/queue/next").url.path
    csrf = token(client, first)
    second = client.post(f"{first}/verdict", data={"verdict": "bad", **csrf})
    assert second.status_code == 200
    assert second.url.path not in (first, "/queue")
    assert "Reviewed: Bad." in second.text
    event = re.search(r'name="event" value="([0-9a-f]{32})"', second.text)
    assert event is not None
    back = client.post("/queue/undo", data={"event": event[1], "key": first.rsplit("/", 1)[1], **csrf})
    assert back.url.path == first
    assert verdicts(service) == ["bad"]
    assert first.rsplit("/", 1)[1] in client.get("/queue").text


def test_a_corrected_reward_is_the_models_and_undone_is_as_it_was(
    client: TestClient, service: Service, keys: list[str]
) -> None:
    path = f"/queue/{keys[3]}"
    before = service.model(LOOP).learner.state_dict()
    csrf = token(client, path)
    page = client.post(f"{path}/correct", data={"event": "o3", "value": "1", "seen": "", **csrf})
    assert "Corrected." in page.text
    (change,) = service.changes(service.log.event("o3"))
    assert (change.kind, change.body["value"]) == ("correction", 1.0)
    assert any((service.model(LOOP).learner.state_dict()[name] != before[name]).any() for name in before)
    late = client.post(f"{path}/correct", data={"event": "o3", "value": "0", "seen": "", **csrf})
    assert late.status_code == 409
    client.post("/queue/undo", data={"event": change.id, "key": keys[3], **csrf})
    after = service.model(LOOP).learner.state_dict()
    learned = [name for name in before if not name.endswith("counters")]  # how often it was revised is counted
    assert all(after[name].allclose(before[name], atol=1e-12) for name in learned)


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("/queue?part=odd", None, 422),
        ("/queue/nobody", None, 404),
        ("/queue/{key}/verdict", {"verdict": "fine"}, 422),
        ("/queue/{key}/note", {"what": "star"}, 422),
        ("/queue/{key}/correct", {"event": "o3", "value": "7"}, 422),
        ("/queue/{key}/correct", {"event": "none", "value": "1"}, 404),
        ("/queue/nobody/verdict", {"verdict": "good"}, 404),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    client: TestClient, service: Service, keys: list[str], path: str, data: dict[str, str] | None, status: int
) -> None:
    csrf, seq = token(client, f"/queue/{keys[3]}"), service.log.last_seq()
    path = path.replace("{key}", keys[3])
    answer = client.get(path) if data is None else client.post(path, data={**data, **csrf})
    assert answer.status_code == status
    assert service.log.last_seq() == seq


def test_what_customers_say_is_never_markup(client: TestClient, keys: list[str]) -> None:
    for path in ("/queue", f"/queue/{keys[0]}"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;" in text
    assert "No &lt;b&gt;use&lt;/b&gt;" in client.get(f"/queue/{keys[1]}").text


def test_an_empty_queue_says_so(client: TestClient) -> None:
    assert "Nothing is left here" in client.get("/queue").text
    assert "Nothing is left in this part of the queue." in client.get("/queue/next").text


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("dress", [{}, DARK, PHONE], ids=["light", "dark", "phone"])
def test_the_queue_in_a_browser(window: Callable[..., Console], keys: list[str], dress: dict[str, Any]) -> None:
    console = window(**dress)
    for path in ("/queue", f"/queue/{keys[1]}"):
        console.open(path)
        console.check(f"queue-{path.count('/')}-{dress.get('color_scheme', 'light')}-{dress.get('is_mobile', False)}")


@pytest.mark.slow
@pytest.mark.browser
def test_ten_items_are_reviewed_with_the_keyboard_alone(
    window: Callable[..., Console], service: Service, keys: list[str]
) -> None:
    console = window()
    page = console.open("/queue")

    def press(key: str) -> str:
        """Press a key that leads to another page; the path of that."""
        with page.expect_navigation():
            page.keyboard.press(key)
        return str(page.url).split("?")[0]

    seen = [press("s")]
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    listed = page.inner_text("dialog dl")
    assert all(word in listed for word in ("Good", "Bad", "Mixed", "Flag", "Correct", "Next", "Comment"))
    page.keyboard.press("Escape")
    press("f")
    page.keyboard.press("c")
    page.keyboard.press("ArrowUp")
    press("Enter")
    assert press("j") != press("k") == seen[0]
    seen += [press("123"[n % 3]) for n in range(10)]
    assert len(set(seen)) == 11
    press("z")
    assert str(page.url).split("?")[0] == seen[-2]
    given = verdicts(service)
    assert sorted(given) == sorted(["good", "bad", "mixed"] * 3 + ["good"])
    (correction,) = service.log.read(kinds=("correction",))
    assert correction.body["value"] == 1.0
    assert sum(e.body["what"] == "flag" for e in service.log.read(kinds=("annotation",))) == 1
    assert sum(1 for _ in service.log.read(kinds=("revoked",))) == 1
