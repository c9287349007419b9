"""The web chat: what it speaks over HTTP, and the page itself in a real browser, against the shipped assistant."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("rasa")

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import InvalidInput
from connectors.core.signature import Refused
from connectors.webchat import bodies
from connectors.webchat.visitors import Pace, Visitors
from tests.connectors.services.web import DESK_SECRET, ORIGIN, SECRET, from_desk

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
QUESTION = "Which payment methods do you accept?"
PATIENCE = 60.0


class Visit:
    """A visitor without a browser."""

    def __init__(self, assistant: Any, token: str | None = None) -> None:
        self.base = f"http://127.0.0.1:{assistant.server.port}/webhooks/web/"
        self.client = httpx.Client(base_url=self.base, timeout=PATIENCE)
        answer = self.client.post("session", headers=_bearer(token))
        assert answer.status_code == 200, answer.text
        self.token, self.conversation = answer.json()["token"], answer.json()["conversation"]
        self.client.headers.update(_bearer(self.token))

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def history(self, count: int = 0) -> list[dict[str, Any]]:
        """The conversation, as soon as it has so many messages."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = self.client.get("history").json()["messages"]
            if len(found) >= count:
                return found
            time.sleep(0.2)
        raise AssertionError(f"fewer than {count} messages: {found}")

    def events(self, *, last: str | None = None, until: str = "ready") -> list[tuple[str, dict[str, Any]]]:
        """What the stream brings, up to the first event of a kind."""
        found = []
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.client.stream("GET", "events", headers=headers) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    found.append(value)
                elif name == "data":
                    found[-1] = (found[-1], json.loads(value))
                    if found[-1][0] == until:
                        return found
        raise AssertionError(found)


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@pytest.fixture
def visits(assistant) -> Iterator[Any]:
    """Makes visits."""
    made: list[Visit] = []

    def make(token: str | None = None) -> Visit:
        made.append(Visit(assistant, token))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


@pytest.fixture
def visit(visits) -> Visit:
    return visits()


# Over HTTP


def test_a_conversation_is_kept_streamed_and_resumed(visit, visits):
    assert visit.post("messages", id="1", text=QUESTION).status_code == 202
    with ThreadPoolExecutor(10) as pool:  # repeated, as after a broken connection
        assert {
            a.status_code for a in pool.map(lambda _: visit.post("messages", id="1", text=QUESTION), range(10))
        } == {202}
    visit.history(2)  # answered
    assert visit.post("messages", id="2", text="/restart").status_code == 202  # no visitor commands the assistant
    asked, answered, again, more = visit.history(4)[:4]
    assert [entry["by"] for entry in (asked, answered, again, more)] == ["visitor", "bot", "visitor", "bot"]
    assert (asked["id"], asked["text"], again["text"]) == ("1", QUESTION, "/restart")
    assert [event for event in visit.events() if event[0] == "message"] == [("message", e) for e in visit.history()]
    resumed = visit.events(last=answered["message"])
    assert [entry["message"] for name, entry in resumed if name == "message"][:2] == [again["message"], more["message"]]
    assert visits(visit.token).history() == visit.history()  # a fresh token for the same conversation
    assert visits().history() == []


def test_what_comes_is_pushed(visit):
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(visit.events, until="message")
        time.sleep(1.0)
        visit.post("messages", id="1", text=QUESTION)
        names = [name for name, _ in stream.result(PATIENCE)]
    assert names == ["people", "ready", "message"]


def test_a_thumb_is_bound_changed_with_a_reason_and_taken_back(assistant, visit, visits):
    visit.post("messages", id="1", text=QUESTION)
    _, answered = visit.history(2)
    said = {"message": answered["message"]}
    assert visit.post("feedback", id="up", value=1, **said).status_code == 202
    key = f"web:{visit.conversation}"
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == f"{key}:up")
    learning = assistant.learning()
    assert learning.log.decisions(column="turn", value=outcome.turn)[0].body["channel"] == "web"
    learning.close()
    visit.post("feedback", id="down", value=0, reason="unclear: mail me at jo@example.com", **said)
    (changed,) = assistant.wait_for("outcome", lambda e: e.id == f"{key}:down")
    assert changed.body["comment"] == "unclear: mail me at [email]"
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == f"{key}:up")
    assert visit.history()[1]["thumb"] == 0
    visit.post("feedback", id="none", value=None, **said)
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == f"{key}:down")
    assert "thumb" not in visit.history()[1]
    stranger = visits()
    assert stranger.post("feedback", value=1, **said).status_code == 400
    visit.post("csat", id="stars", rating=4, comment="fine")
    (stars,) = assistant.wait_for("outcome", lambda e: e.id == f"{key}:stars")
    assert (stars.body["signal"], stars.body["value"], stars.body["comment"]) == ("csat", 4.0, "fine")


def test_people_at_the_desk_take_over_and_give_back(assistant, visit):
    desk = assistant.services["web"]
    of_visit = lambda call: call.body["conversation"] == visit.conversation  # noqa: E731
    visit.post("messages", id="1", text=QUESTION)
    visit.history(2)
    visit.post("handover", id="2", text="A person, please")
    (call,) = desk.wait_for(of_visit)
    assert [m["by"] for m in call.body["messages"]][:3] == ["visitor", "bot", "visitor"]
    assistant_said = len(visit.history())
    until = time.monotonic() + PATIENCE
    while visit.events()[0] != ("people", {"here": True}):
        assert time.monotonic() < until
    visit.post("messages", id="3", text="Are you there?")
    assert desk.wait_for(of_visit, count=2)[-1].body["messages"] == [
        {"id": "3", "by": "visitor", "text": "Are you there?"}
    ]
    answer = {"id": "d1", "conversation": visit.conversation, "text": "Yes, I am.", "name": "Ada"}
    for signing in ({"secret": "another"}, {"at": time.time() - 400}):
        assert assistant.post("web", *from_desk(answer, **signing), path="desk").status_code == 403
    for _ in range(2):
        assert assistant.post("web", *from_desk(answer), path="desk").status_code == 200
    last = visit.history(assistant_said + 2)[-1]
    assert (last["by"], last["name"], last["text"]) == ("person", "Ada", "Yes, I am.")
    back = {"id": "d2", "conversation": visit.conversation, "to": "bot"}
    assert assistant.post("web", *from_desk(back), path="desk").status_code == 200
    visit.post("messages", id="4", text=QUESTION)
    assert [entry["by"] for entry in visit.history(assistant_said + 4)][-2:] == ["visitor", "bot"]
    desk.check()


def test_who_may_use_it_and_how(assistant, visit):
    base = visit.base
    for path, method in (
        ("messages", "POST"),
        ("feedback", "POST"),
        ("csat", "POST"),
        ("handover", "POST"),
        ("events", "GET"),
        ("history", "GET"),
        ("webhook", "POST"),
    ):
        assert httpx.request(method, base + path, json={}).status_code == 401, path
        assert httpx.request(method, base + path, json={}, headers=_bearer(visit.token[:-1] + "!")).status_code == 403
    other = Visitors(b"another key", seconds=60).admit(visit.conversation)[1]
    assert httpx.get(base + "history", headers=_bearer(other)).status_code == 403
    assert visit.client.post("messages", json={"id": "1", "text": "x" * 2001}).status_code == 413
    assert visit.client.post("messages", content=b"{" + b" " * 40_000 + b"}").status_code == 413
    foreign = {"Origin": "http://elsewhere.example"}
    assert visit.client.post("messages", json={"id": "1", "text": "x"}, headers=foreign).status_code == 403
    allowed = visit.client.get("history", headers={"Origin": ORIGIN})
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    asking = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    before = httpx.options(base + "messages", headers=asking)
    assert before.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in httpx.options(base + "messages", headers={**asking, **foreign}).headers
    page = httpx.get(base + "chat")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert f"frame-ancestors 'self' {ORIGIN}" in page.headers["Content-Security-Policy"]
    assert httpx.get(base + "chat", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    (style,) = [part for part in page.text.split('"') if part.endswith("chat.css")]
    assert "immutable" in httpx.get(base + style).headers["Cache-Control"]
    assert httpx.get(base + "static/old/chat.css").headers["Cache-Control"] == "no-cache"
    assert httpx.get(base + "static/old/..%2fweb.py").status_code == 404
    log = assistant.server.log.read_text(errors="replace")
    assert SECRET not in log
    assert DESK_SECRET not in log
    assert visit.token not in log


def test_a_hurried_visitor_waits_and_others_do_not(visit, visits):
    answers = [visit.post("feedback", message="0", value=1) for _ in range(90)]
    assert {answer.status_code for answer in answers} == {400, 429}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert visits().client.get("history").status_code == 200


def test_paces_and_tokens_by_the_clock():
    now = [0.0]
    pace = Pace(60, burst=2, clock=lambda: now[0])
    assert [pace.wait("a") for _ in range(3)] == [0, 0, pytest.approx(1.0)]
    assert pace.wait("b") == 0
    now[0] = 1.0
    assert pace.wait("a") == 0
    visitors = Visitors(b"key", seconds=10, clock=lambda: now[0])
    conversation, token = visitors.admit()
    assert visitors.conversation(token) == conversation
    now[0] = 20.0
    with pytest.raises(Refused, match="expired") as refused:
        visitors.conversation(token)
    assert refused.value.status == 401


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "id",
    "text",
    "choice",
    "message",
    "value",
    "reason",
    "rating",
    "comment",
    "events",
    "conversation",
    "to",
    "name",
)
VALUES = JSON | st.sampled_from(["1", 1, 0, 5, "r1.0", "a", "/x", "bot", "\ud800", "x" * 3000])
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES)))


@given(BODIES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_whatever_is_sent_is_read_or_refused(body):
    for read in (
        lambda: bodies.said(body, 2000),
        lambda: bodies.thumb("c", body),
        lambda: bodies.rating("c", body),
        lambda: bodies.at_desk(body, 2000),
    ):
        refusal = _refusal(read)
        assert refusal is None or isinstance(refusal, InvalidInput) or refusal.status == 413


def _refusal(read):
    try:
        read()
    except (InvalidInput, Refused) as refusal:
        return refusal


@given(st.text())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_given_as_a_token_is_refused(token):
    with pytest.raises(Refused):
        Visitors(b"key", seconds=60).conversation(token)


ALWAYS = [b"", b"[]", b"{}", b"\xff", b'{"id": 3, "text": "x"}', b'{"message":{}}', b"[" * 20_000]
SAID = [b'{"id":"1","text":"x","choice":"r1.0"}', b'{"id":"1","choice":"r9.9"}', b'{"id":"1","choice":["x"]}']


@pytest.mark.parametrize("path", ["messages", "feedback", "csat", "handover", "webhook"])
def test_what_cannot_be_read_is_refused_in_one_line(visit, path):
    for body in [*ALWAYS, *(SAID if path == "messages" else [])]:
        answer = visit.client.post(path, content=body)
        assert answer.status_code == 400, (body[:80], answer.text)
        assert len(answer.json()["error"].splitlines()) == 1
