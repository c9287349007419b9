"""The pages of replies and of the inbox: what people see and change there, and that nothing written becomes markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from agent.console.app import create_app
from agent.decision import Situation
from agent.review.inbox import sort
from agent.review.index import ReviewIndex
from agent.review.unanswered import Search, questions
from agent.service import Service
from tests.console.conftest import LOOP
from tests.console.test_pages import page

Decide = Callable[..., dict[str, Any]]
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \"quoted\" 'single'"
ASKED = ("are you open on Christmas Eve", "are you open at Christmas", "is the shop open on Christmas Eve", "mumble")


@pytest.fixture
def asked(service: Service) -> None:
    """Four questions that were not understood, three of which ask the same."""
    for n, text in enumerate(ASKED):
        service.hear(Situation([text], f"c{n}", f"p{n}", f"m{n}", "web", {"intent:nlu_fallback": 1.0}))


def sent(client: TestClient, path: str, **fields: Any) -> Any:
    return client.post(path, data=fields, follow_redirects=False)


def undo(client: TestClient, where: str) -> Any:
    """Press Undo in the notice of the next page."""
    found = client.get(where).text
    form = re.search(r'<div class="notice.*?<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', found, re.DOTALL)
    assert form is not None, found[-2000:]
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[2]))
    return sent(client, html.unescape(form[1]), **{name: html.unescape(value) for name, value in fields.items()})


def left(service: Service) -> list[str]:
    index = ReviewIndex(service.log, service.home)
    index.catch_up()
    found = [question.text for question in questions(index, Search())]
    index.close()
    return sorted(found)


def form_of(client: TestClient, kind: str, of: str = "Christmas") -> tuple[str, dict[str, Any]]:
    """Click one: the path of the form and its fields as they stand, the ticked ones ticked."""
    inbox = client.get("/unanswered").text
    while "being sorted" in inbox:
        inbox = client.get("/unanswered").text
    links = re.findall(rf'href="(/unanswered/{kind}\?[^"]+)">[^<]+<span class="visually-hidden">: ([^<]+)<', inbox)
    path = html.unescape(next(path for path, medoid in links if of in medoid))
    shown = client.get(path).text
    hidden = dict(re.findall(r'<input type="hidden" name="(about|upto|loop)" value="([^"]*)"', shown))
    ticked = re.findall(r'name="example" value="([^"]*)" checked', shown)
    offered = re.findall(r'name="offered" value="([^"]*)"', shown)
    fields = {**hidden, "example": [html.unescape(t) for t in ticked], "offered": [html.unescape(t) for t in offered]}
    return path, fields


def test_two_clicks_answer_what_was_asked_and_undo_opens_it_again(
    client: TestClient, service: Service, asked: None
) -> None:
    _, fields = form_of(client, "answer")
    assert sorted(fields["example"]) == sorted(ASKED[:3])
    done = sent(client, "/unanswered/answer", **fields, text=["We are closed on Christmas Eve."])
    assert (done.status_code, done.headers["location"]) == (303, "/unanswered")
    (reply,) = [r for r in service.overview(LOOP).candidates if r.texts == ("We are closed on Christmas Eve.",)]
    assert (set(reply.examples), reply.state) == (set(ASKED[:3]), "enabled")
    decided = service.decide(LOOP, Situation(["are you open on Christmas Eve?"]), seed=1)
    assert decided is not None
    assert decided.probabilities[reply.id] == max(decided.probabilities.values())
    assert left(service) == ["mumble"]
    undo(client, "/unanswered")
    assert left(service) == sorted(ASKED)
    assert service.overview(LOOP).candidates[-1].state == "disabled"
    undo(client, "/unanswered")
    assert left(service) == ["mumble"]
    assert service.overview(LOOP).candidates[-1].state == "enabled"
    service.hear(Situation([ASKED[0]], "later", "p", "later", "web", {"intent:nlu_fallback": 1.0}))
    assert left(service) == sorted([ASKED[0], "mumble"])


def test_what_was_unticked_and_what_came_since_stay(client: TestClient, service: Service, asked: None) -> None:
    _, fields = form_of(client, "answer")
    service.hear(Situation([ASKED[1]], "since", "p", "since", "web", {"intent:nlu_fallback": 1.0}))
    fields["example"].remove(ASKED[2])
    sent(client, "/unanswered/answer", **fields, text=["We are closed."])
    assert left(service) == sorted([ASKED[1], ASKED[2], "mumble"])


def test_questions_are_added_to_a_reply_that_is_there(client: TestClient, service: Service, asked: None) -> None:
    _, fields = form_of(client, "existing")
    sent(client, "/unanswered/existing", **fields, id="human")
    reply = service.history(LOOP, "human")[0].reply
    assert (set(reply.examples), reply.version, reply.fresh) == (set(ASKED[:3]), 2, False)
    assert left(service) == ["mumble"]
    undo(client, "/unanswered")
    assert service.history(LOOP, "human")[0].reply.examples == ()
    assert left(service) == sorted(ASKED)


def test_a_dismissed_pile_leaves_and_comes_back(client: TestClient, service: Service, asked: None) -> None:
    _, fields = form_of(client, "answer", "mumble")
    sent(client, "/unanswered/dismiss", about=fields["about"], upto=fields["upto"])
    assert left(service) == sorted(ASKED[:3])
    undo(client, "/unanswered")
    assert left(service) == sorted(ASKED)


def test_what_is_no_answer_is_refused_and_kept_in_the_form(client: TestClient, service: Service, asked: None) -> None:
    _, fields = form_of(client, "answer")
    for wrong in ({"text": ["  "]}, {"text": ["Yes."], "example": []}, {"text": ["Yes."], "loop": "responses"}):
        answer = sent(client, "/unanswered/answer", **{**fields, **wrong})
        assert answer.status_code in (404, 422)
        assert 'role="alert"' in answer.text
    assert left(service) == sorted(ASKED)
    assert sent(client, "/unanswered/answer", **{**fields, "about": "no such"}, text=["Yes."]).status_code == 404


def test_an_empty_inbox_says_so(client: TestClient) -> None:
    assert "Nothing is unanswered" in page(client, "/unanswered").text


def test_an_edit_is_a_version_and_undo_writes_the_old_words_again(client: TestClient, service: Service) -> None:
    given = {"loop": LOOP, "id": "refund", "version": 1, "text": ["Five days.", ""], "examples": "when do I get it\n\n"}
    done = sent(client, "/replies/edit", **given)
    assert (done.status_code, done.headers["location"]) == (303, f"/replies/{LOOP}/refund")
    assert service.history(LOOP, "refund")[0].reply.texts == ("Five days.",)
    undo(client, f"/replies/{LOOP}/refund")
    now = service.history(LOOP, "refund")[0].reply
    assert (now.version, now.texts, now.examples, now.like) == (3, ("The refund takes five working days.",), (), 1)


def test_who_edits_what_somebody_else_has_edited_is_told(client: TestClient, service: Service) -> None:
    service.edit(LOOP, "refund", ["Ann's words."], who="Ann")
    given = {"loop": LOOP, "id": "refund", "version": 1, "text": ["Bea's words."], "examples": ""}
    refused = sent(client, "/replies/edit", **given)
    assert refused.status_code == 409
    assert all(words in refused.text for words in ("Ann", "Bea&#39;s words.", 'name="version" value="2"'))
    assert service.history(LOOP, "refund")[0].reply.texts == ("Ann's words.",)
    assert sent(client, "/replies/edit", **{**given, "version": 2}).status_code == 303
    assert service.history(LOOP, "refund")[0].reply.texts == ("Bea's words.",)


def test_states_times_and_approval_can_be_undone(client: TestClient, service: Service) -> None:
    where = f"/replies/{LOOP}/refund"

    def now() -> Any:
        return service.history(LOOP, "refund")[0].reply

    of = {"loop": LOOP, "id": "refund"}
    for state in ("pinned", "blocked", "disabled"):
        sent(client, "/replies/state", **of, state=state)
        assert now().state == state
        undo(client, where)
        assert now().state == "enabled"
    sent(client, "/replies/schedule", **of, since="2030-01-01T09:00", until="2031-01-01T09:00")
    assert now().until - now().since == 365 * 86_400
    undo(client, where)
    assert (now().since, now().until) == (None, None)
    sent(client, "/replies/schedule", **of, since="2030-01-01T09:00")
    assert "not yet" in page(client, where).text
    sent(client, "/replies/approve", **of, approved="false")
    assert not now().approved
    undo(client, where)
    assert now().approved
    assert sent(client, "/replies/schedule", **of, since="soon").status_code == 422
    assert sent(client, "/replies/state", **of, state="gone").status_code == 422


def test_a_preview_tells_what_would_change_and_writes_nothing(
    client: TestClient, service: Service, decide: Decide
) -> None:
    for n in range(6):
        decide(context={"text": "are dogs allowed in the shop" if n % 2 else "where is my parcel"}, seed=n)
    before = service.log.last_seq()
    given = {"loop": LOOP, "text": ["Dogs are welcome."], "examples": "are dogs allowed in the shop", "do": "preview"}
    shown = sent(client, "/replies/new", **given)
    assert shown.status_code == 200
    assert "likeliest answer to <b>3</b>" in re.sub(r"\s+", " ", shown.text)
    edited = sent(client, "/replies/edit", **given, id="refund", version=1)
    assert "likeliest answer to <b>3</b>" in re.sub(r"\s+", " ", edited.text)
    assert service.log.last_seq() == before


def test_nothing_that_is_written_becomes_markup(client: TestClient, service: Service, decide: Decide) -> None:
    reply = service.write(LOOP, texts=[NASTY], examples=[NASTY], who=NASTY, why=NASTY)
    service.edit(LOOP, reply.id, [f"{NASTY} again"], who="ann")
    decide(context={"text": NASTY}, candidates=[reply.id])
    service.hear(Situation([NASTY], "c", "p", "m", "web", {"intent:nlu_fallback": 1.0}))
    path, fields = form_of(client, "answer", "script")
    paths = (f"/replies?loop={LOOP}", f"/replies/{LOOP}/{reply.id}", "/unanswered", path, f"/replies?q={NASTY}")
    for where in (*paths, path.replace("answer?", "existing?")):
        found = page(client, where)
        assert "alert(1)" in found.text or "q=" in where
        assert found.tags.count("img") == 1
        assert "{{ 7 * 7 }}" in found.text or "q=" in where
    again = sent(client, "/unanswered/answer", **{**fields, "text": [""], "why": NASTY})
    assert "<script>alert" not in again.text


def test_the_list_is_narrowed_sorted_and_paged(client: TestClient, service: Service, decide: Decide) -> None:
    for n in range(60):
        service.write(LOOP, texts=[f"words number {n}"], id=f"made/{n:02d}", who="ann")
    service.mark(LOOP, "made/07", state="blocked", who="ann")

    def shown(**query: Any) -> list[str]:
        found = page(client, "/replies?" + "&".join(f"{name}={value}" for name, value in query.items()))
        start = f"/replies/{LOOP}/"
        return [link.removeprefix(start) for link in found.links if link.startswith(start)]

    assert shown(state="blocked") == ["made/07"]
    assert shown(q="NUMBER+42") == ["made/42"]
    assert [len(shown(sort="name", page=n)) for n in (1, 2, 3)] == [50, 13, 13]
    made = decide(candidates=["made/33"])
    client.post(f"/v1/decisions/{made['decision_id']}/activate")
    client.post("/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "thumb", "value": 1})
    client.get("/replies")
    client.app.state.index.renew()  # type: ignore[attr-defined]
    for sort_by in ("shown", "best", "worst", "feedback"):
        assert shown(sort=sort_by)[0] == "made/33"
    assert client.get("/replies?loop=nobody").status_code == 404
    assert page(client, f"/replies/{LOOP}/made/33").text.count("1.00") > 0
    assert client.get(f"/replies/{LOOP}/nobody").status_code == 404


def test_a_viewer_looks_and_changes_nothing(client: TestClient, service: Service, asked: None) -> None:
    door = client.app.state.door  # type: ignore[attr-defined]
    password = "correct horse battery"
    door.users.create("boss", "admin", password)
    door.users.create("vera", "viewer", password)
    answer = client.post("/login", data={"name": "vera", "password": password}, follow_redirects=False)
    assert answer.status_code == 303
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/replies").text)
    assert csrf is not None
    assert "Write a reply" not in client.get("/replies").text
    assert client.get("/unanswered").status_code == 200
    before = service.log.last_seq()
    of = {"loop": LOOP, "id": "refund", "csrf": csrf[1]}
    pile = {"about": "a", "upto": 1}
    posts: dict[str, dict[str, Any]] = {
        "/replies/new": {"text": "x"},
        "/replies/edit": {"version": 1, "text": "x"},
        "/replies/state": {"state": "blocked"},
        "/replies/approve": {},
        "/replies/schedule": {},
        "/replies/restore": {"version": 1, "seen": 1},
        "/unanswered/answer": {**pile, "text": "x"},
        "/unanswered/existing": pile,
        "/unanswered/dismiss": pile,
        "/unanswered/undo": {"event": "e"},
    }
    for path, fields in posts.items():
        assert sent(client, path, **of, **fields).status_code == 403, path
    for path in ("/replies/new", "/unanswered/answer?about=a", "/unanswered/existing?about=a"):
        assert client.get(path).status_code == 403
    assert service.log.last_seq() == before


def test_while_it_is_being_sorted_it_says_so(service: Service, asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    gate = threading.Event()

    def slow(*args: Any, **named: Any) -> Any:
        gate.wait(20.0)
        return sort(*args, **named)

    monkeypatch.setattr("agent.console.pages.unanswered.sort", slow)
    client = TestClient(create_app(service), base_url="http://127.0.0.1")
    assert "being sorted" in page(client, "/unanswered").text
    gate.set()
    found = client.get("/unanswered").text
    while "being sorted" in found:
        found = client.get("/unanswered").text
    assert "mumble" in found
