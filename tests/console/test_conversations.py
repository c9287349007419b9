"""The pages of conversations: found, read, put right and undone by those who may; nothing said becomes markup."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from agent.access.door import Door
from agent.access.visitor import ROLES
from agent.console.app import create_app
from agent.decision import Situation
from agent.model import Model
from agent.service import Service
from tests.console.conftest import LOOP, problem
from tests.console.test_pages import page
from tests.console.visitors import PASSWORD, logged_in

TEXTS = ("where is my parcel", "I want my money back", "can I talk to a person")


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """A client that says what went wrong."""
    with TestClient(create_app(service), base_url="http://127.0.0.1:8000", follow_redirects=False) as client:
        yield client


def talk(service: Service, name: str, text: str = TEXTS[0], *, channel: str = "web", thumb: float | None = None) -> str:
    """A conversation of one turn, on which somebody may have pressed a thumb; the name that the log gives it."""
    situation = Situation([text], name, f"person of {name}", "m1", channel, {"intent:track": 0.9})
    service.hear(situation)
    decision = service.decide(LOOP, situation, seed=1)
    assert decision is not None
    service.activate(decision.id)
    service.hear(Situation([f"An answer to {text}"], name, None, "m1", channel), who="bot")
    if thumb is not None:
        service.record(signal="thumb", value=thumb, turn=decision.turn, source=channel, event_id=f"thumb of {name}")
    return service.identity.conversation(name)


def follow(client: TestClient, answer: Any) -> str:
    """The page that a post leads to, with its notice."""
    assert answer.status_code == 303, answer.text
    there = client.get(answer.headers["location"])
    assert there.status_code == 200
    return html.unescape(there.text)


def undo(client: TestClient, text: str) -> str:
    """Press Undo in the notice of a page."""
    notice = re.search(r'<div class="notice.*?</form>', text, re.DOTALL).group(0)
    action = re.search(r'action="([^"]*)"', notice).group(1)
    fields = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', notice))
    return follow(client, client.post(action, data=fields))


def turn_of(service: Service, key: str) -> str:
    return service.log.decisions(column="conversation", value=key)[0].turn


def test_without_conversations_the_page_says_what_to_do(client: TestClient) -> None:
    found = page(client, "/conversations")
    assert "No conversations yet" in found.text
    assert "Nothing found" in page(client, "/conversations?channel=web").text


def test_what_is_asked_for_is_found_and_said(client: TestClient, service: Service) -> None:
    bad = talk(service, "a", TEXTS[1], thumb=0)
    good = talk(service, "b", thumb=1)
    other = talk(service, "c", TEXTS[2], channel="mail", thumb=0)
    text = html.unescape(client.get("/conversations?outcome=thumb+bad&channel=web&when=today").text)
    assert f"/conversations/{bad}?when=today&outcome=thumb+bad&channel=web" in text
    assert good not in text
    assert other not in text
    assert "Feedback: thumbs down" in text
    assert "Channel: web" in text
    for remove in ("outcome=thumb+bad&channel=web", "when=today&channel=web", "when=today&outcome=thumb+bad"):
        assert f'class="off" href="/conversations?{remove}"' in text
    assert other in client.get("/conversations?not=channel:web").text
    assert good in client.get("/conversations", params={"q": "answer to where"}).text
    assert bad not in client.get("/conversations", params={"q": "answer to where"}).text


def test_the_fields_of_a_form_become_a_short_address(client: TestClient) -> None:
    form = {
        "q": "",
        "when": "7d",
        "channel": "web",
        "reward_from": "",
        "reward_to": "0.4",
        "sort": "worst",
        "loop": " ",
    }
    answer = client.get("/conversations", params=form)
    assert answer.headers["location"] == "/conversations?when=7d&channel=web&reward=..0.4&sort=worst"
    assert client.get(answer.headers["location"]).status_code == 200
    again = client.get("/conversations", params={"sort": "latest", "x": "y"})
    assert again.headers["location"] == "/conversations"


@pytest.mark.parametrize(
    "query", ["from=tomorrow", "when=never", "reward=much", "not=thing", "from=2026-02-02&to=2026-01-01", "after=x"]
)
def test_what_cannot_be_asked_is_said_beside_the_fields(client: TestClient, query: str) -> None:
    found = page(client, f"/conversations?{query}", 422)
    assert "form" in found.tags
    assert "got" in found.text or "comes after" in found.text


def test_a_conversation_shows_what_was_said_and_why(client: TestClient, service: Service) -> None:
    key = talk(service, "a", "mail jo@example.com about order 12345678", thumb=0)
    turn = turn_of(service, key)
    found = page(client, f"/conversations/{key}")
    assert "mail [email] about order [number]" in found.text
    assert "An answer to mail [email]" in found.text
    assert "thumbs down" in found.text
    opened = page(client, f"/conversations/{key}?open={turn}").text
    part = client.get(f"/conversations/{key}/turns/{turn}", headers={"hx-request": "true"})
    assert "<html" not in part.text
    for said in ("Expected then", "Propensity", "prior", "own:features", "Model version", "from web", "Take back"):
        assert said in opened
        assert said in part.text
    assert part.text.count('class="bar') == 3
    plain = client.get(f"/conversations/{key}/turns/{turn}")
    assert plain.headers["location"] == f"/conversations/{key}?open={turn}#turn-{turn}"
    assert "unknown turn" in client.get(f"/conversations/{key}/turns/x", headers={"hx-request": "true"}).text
    page(client, "/conversations/nothing", 404)


def test_the_nearest_past_messages_are_shown_when_asked_for(client: TestClient, service: Service) -> None:
    talk(service, "a", thumb=1)
    key = talk(service, "b", "where is the parcel of mine")
    decision = service.log.decisions(column="conversation", value=key)[0].id
    part = client.get(f"/decisions/{decision}/nearest", headers={"hx-request": "true"})
    assert TEXTS[0] in part.text
    assert client.get(f"/decisions/{decision}/nearest").headers["location"] == f"/decisions/{decision}/why"


def test_what_another_policy_would_have_said_is_linked_where_there_is_a_page(service: Service) -> None:
    key = talk(service, "a")
    app = create_app(service)
    client = TestClient(app, base_url="http://127.0.0.1:8000")
    there = f"/conversations/{key}?open={turn_of(service, key)}"
    registered = any(str(getattr(route, "path", "")).endswith("/what-if") for route in app.routes)
    assert ("/what-if" in client.get(there).text) == registered
    app.add_api_route("/decisions/{decision_id}/what-if", lambda: "")
    assert "/what-if" in client.get(there).text


def state(service: Service) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in service.model(LOOP).learner.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], *, within: float = 1e-12) -> bool:
    """Whether two states are the same but for rounding; how many updates it took is no part of that."""
    return one.keys() == other.keys() and all(
        torch.allclose(one[name].double(), other[name].double(), rtol=0.0, atol=within)
        for name in one
        if not name.endswith("counters")
    )


def folded(service: Service, upto: int | None = None) -> dict[str, torch.Tensor]:
    """The state of a model that is folded from nothing."""
    model = Model(service.log, LOOP)
    model.catch_up(upto)
    return model.learner.state_dict()


def test_correcting_moves_the_model_and_undoing_moves_it_back(client: TestClient, service: Service) -> None:
    for n in range(5):
        talk(service, f"before {n}", TEXTS[n % 3], thumb=n % 2)
    key = talk(service, "a", thumb=0)
    turn, before, seq = turn_of(service, key), state(service), service.log.last_seq()
    form = {"event": "thumb of a", "value": "1", "why": "a slip", "turn": turn, "query": "?outcome=thumb+bad"}
    text = follow(client, client.post(f"/conversations/{key}/correct", data=form))
    effect = re.search(r"Corrected\. (\S+): reward 0\.00 → 1\.00; the model expects (\S+) here, (\S+) before\.", text)
    assert float(effect[2]) > float(effect[3].replace("\N{MINUS SIGN}", "-"))
    assert "Corrected by somebody. a slip" in text
    assert not same(state(service), before)
    changed = state(service)
    text = undo(client, text)
    assert (
        f"Taken back. {effect[1]}: reward 1.00 → 0.00; the model expects {effect[3]} here, {effect[2]} before." in text
    )
    assert same(state(service), before)  # taken away again by arithmetic, which rounds
    one, other = folded(service), folded(service, seq)
    assert all(torch.equal(one[name], other[name]) for name in one)  # folded, to the bit
    text = undo(client, text)  # the undoing itself
    assert same(state(service), changed)
    assert "took back: took back: corrected “Thumb” to 1" in text


def test_an_outcome_is_taken_back_and_counts_again(client: TestClient, service: Service) -> None:
    key = talk(service, "a", thumb=0)
    before, turn = state(service), turn_of(service, key)
    there = f"/conversations/{key}/revoke"
    text = follow(client, client.post(there, data={"event": "thumb of a", "turn": turn}))
    assert "reward 0.00 → none" in text
    assert "Let it count again" in text
    event = re.findall(r'name="event" value="([^"]*)"', text.split("Let it count again")[0])[-1]
    text = follow(client, client.post(there, data={"event": event, "turn": turn}))
    assert "reward none → 0.00" in text
    assert same(state(service), before)


def test_a_reward_is_given_once_however_often_it_is_sent(client: TestClient, service: Service) -> None:
    key = talk(service, "a")
    turn = turn_of(service, key)
    form = {"turn": turn, "value": "0,75", "why": "polite", "once": "one of its own"}
    text = follow(client, client.post(f"/conversations/{key}/reward", data=form))
    assert "reward none → 0.75" in text
    assert "from somebody" in text
    seq = service.log.last_seq()
    assert client.post(f"/conversations/{key}/reward", data=form).status_code == 303
    assert service.log.last_seq() == seq
    assert "gave a reward of 0.75: polite" in text
    text = undo(client, follow(client, client.post(f"/conversations/{key}/reward", data={**form, "once": ""})))
    for wrong in ("much", "1.5", ""):
        answer = client.post(f"/conversations/{key}/reward", data={**form, "value": wrong, "once": ""})
        assert answer.status_code == 422
        assert "polite" in answer.text  # what was typed is kept


def test_of_two_reviewers_the_second_sees_what_the_first_did(client: TestClient, service: Service) -> None:
    key = talk(service, "a", thumb=0)
    service.correct("thumb of a", value=1, who="Ida", why="she was quicker")
    form = {"event": "thumb of a", "value": "0", "why": "my reasons", "turn": turn_of(service, key)}
    answer = client.post(f"/conversations/{key}/correct", data=form)
    assert answer.status_code == 409
    text = html.unescape(answer.text)
    assert "was changed by 'Ida' in the meantime" in text
    assert "she was quicker" in text
    assert 'value="my reasons"' in text
    seen = re.search(r'name="seen" value="([^"]*)"', text).group(1)
    assert client.post(f"/conversations/{key}/correct", data={**form, "seen": seen}).status_code == 303
    assert [c.body["who"] for c in service.changes(service.log.event("thumb of a"))] == ["Ida", "somebody"]


def test_a_better_reply_can_be_given_from_then_on(client: TestClient, service: Service) -> None:
    key = talk(service, "a", TEXTS[2], thumb=0)
    form = {"turn": turn_of(service, key), "loop": LOOP, "text": "A person will call you.", "question": TEXTS[2]}
    text = follow(client, client.post(f"/conversations/{key}/reply", data=form))
    (written,) = service.written(LOOP)
    assert written.texts == ("A person will call you.",)
    assert written.examples == (TEXTS[2],)
    assert written.id in text
    text = undo(client, text)
    assert "switched off" in text
    assert not service.written(LOOP)
    undo(client, text)
    assert service.written(LOOP)
    again = client.post(f"/conversations/{key}/reply", data=form)
    assert again.status_code == 409
    assert "A person will call you." in again.text


def test_every_note_is_seen_and_undone(client: TestClient, service: Service) -> None:
    key = talk(service, "a")
    notes = {
        "flag": ("1", "raised the flag"),
        "tag": ("late parcel", "put the tag “late parcel”"),
        "comment": ("look at <b>this</b>", "commented: look at <b>this</b>"),
        "reviewed": ("bad", "verdict: bad"),
        "assigned": ("Ida", "assigned it to Ida"),
    }
    for what, (value, said) in notes.items():
        text = follow(client, client.post(f"/conversations/{key}/annotate", data={"what": what, "value": value}))
        assert f"Noted: {said}" in text
        assert text.count(said) == 2  # in the notice and among the changes
        assert "taken back" in undo(client, text)
        follow(client, client.post(f"/conversations/{key}/annotate", data={"what": what, "value": value}))
    listed = html.unescape(client.get("/conversations?was=flagged&tag=late+parcel&verdict=bad&assigned=Ida").text)
    assert f"/conversations/{key}?" in listed
    turn = turn_of(service, key)
    form = {"what": "comment", "value": "about this turn", "turn": turn}
    assert "about this turn" in follow(client, client.post(f"/conversations/{key}/annotate", data=form))
    follow(client, client.post(f"/conversations/{key}/annotate", data={"what": "untag", "value": "late parcel"}))
    assert "Nothing found" in client.get("/conversations?tag=late+parcel").text
    assert client.post(f"/conversations/{key}/annotate", data={"what": "star"}).status_code == 422
    assert client.post("/conversations/nothing/annotate", data={"what": "flag"}).status_code == 404


def test_one_goes_from_one_to_the_next_within_what_was_found(client: TestClient, service: Service) -> None:
    keys = [talk(service, f"c{n}", thumb=n % 2) for n in range(6)]
    bad = keys[0::2]
    query = "?outcome=thumb+bad&sort=oldest"
    text = html.unescape(client.get(f"/conversations/{bad[1]}{query}").text)
    assert f'rel="prev" href="/conversations/{bad[0]}{query}"' in text
    assert f'rel="next" href="/conversations/{bad[2]}{query}"' in text
    assert f'href="/conversations{query}" data-key="u"' in text


def test_views_are_kept_shared_and_removed(client: TestClient) -> None:
    form = {"name": "Late & angry", "query": "outcome=thumb+bad&channel=web&sort=worst", "shared": "true"}
    answer = client.post("/conversations/views", data=form)
    assert answer.headers["location"] == "/conversations?outcome=thumb+bad&channel=web&sort=worst"
    text = follow(client, answer)
    assert 'href="/conversations?outcome=thumb+bad&channel=web&sort=worst" aria-current="page">Late & angry' in text
    assert "Late & angry" not in undo(client, text).split("</main>")[0].split('class="notice')[0]
    assert client.post("/conversations/views", data={**form, "query": "when=never"}).status_code == 422


def test_many_are_changed_at_once_and_that_is_undone(client: TestClient, service: Service) -> None:
    keys = [talk(service, f"c{n}", thumb=n % 2) for n in range(6)]
    form = {"action": "tag", "value": "to do", "scope": "selected", "key": keys[:2], "query": "channel=web"}
    text = follow(client, client.post("/conversations/bulk", data=form))
    assert "2 conversations are changed." in text
    assert client.get("/conversations?tag=to+do").text.count('name="key"') == 2
    assert "Taken back of 2 conversations." in undo(client, text)
    everything = {"action": "reviewed:bad", "scope": "all", "query": "outcome=thumb+bad"}
    assert "3 conversations are changed." in follow(client, client.post("/conversations/bulk", data=everything))
    assert client.get("/conversations?verdict=bad").text.count('name="key"') == 3
    assert "3 conversations are changed." in follow(
        client, client.post("/conversations/bulk", data={**everything, "action": "assigned:me"})
    )
    assert client.get("/conversations?assigned=somebody").text.count('name="key"') == 3
    assert "No conversation was selected." in follow(
        client, client.post("/conversations/bulk", data={"action": "flag"})
    )
    assert client.post("/conversations/bulk", data={**form, "action": "erase"}).status_code == 422
    assert client.post("/conversations/bulk", data={**form, "value": ""}).status_code == 422
    assert client.get("/conversations/bulk/nothing").status_code == 404


def test_an_export_is_a_safe_table_and_is_in_the_trail(client: TestClient, service: Service) -> None:
    talk(service, "a", '=HYPERLINK("http://evil.example","x")', thumb=0)
    talk(service, "b", "@SUM(1+1)*cmd|' /C calc'!A0", thumb=0)
    talk(service, "c", '-2+3, but "quoted"\nand on two lines', thumb=1)
    for rows, column in (("conversations", "opening"), ("decisions", "text")):
        answer = client.get(f"/conversations/export?outcome=thumb+bad&rows={rows}")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert re.fullmatch(rf'attachment; filename="{rows}-[\d-]+\.csv"', answer.headers["content-disposition"])
        table = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
        assert len(table) == 2
        assert all(row[column].startswith(("'=", "'@")) for row in table)
    entry = client.app.state.door.audit.read()[0]
    assert (entry.who, entry.action, entry.object) == ("somebody", "export", "decisions as CSV: outcome=thumb+bad")
    assert client.get("/conversations/export?rows=users").status_code == 422


def test_nothing_anybody_says_becomes_markup(client: TestClient, service: Service) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    key = talk(service, attack, attack, channel=attack, thumb=0)
    turn = turn_of(service, key)
    service.record(signal="thumb", value=1, turn=turn, comment=attack, source=attack, who=attack, why=attack)
    for what in ("comment", "assigned", "tag"):
        service.annotate(what, attack[:60], who=attack, conversation=key)
    service.annotate("comment", attack, who=attack, turn=turn)
    service.correct(f"thumb of {attack}", value=1, who=attack, why=attack)
    client.app.state.door.views.save("somebody", attack, f"q={attack}", shared=True)
    for path in ("/conversations", f"/conversations/{key}", f"/conversations/{key}?open={turn}"):
        found = page(client, path)
        assert attack in found.text
        assert found.tags.count("img") == 1  # the brand's
    part = client.get(f"/conversations/{key}/turns/{turn}", headers={"hx-request": "true"}).text
    assert "<script" not in part
    assert "<img" not in part
    for path in ("/conversations", "/conversations/x", "/conversations/export"):
        for name in ("q", "channel", "from", "sort", "after", "rows", "not"):
            answer = client.get(path, params={name: attack})
            assert answer.status_code < 500
            assert answer.headers.get("content-type", "").startswith("text/csv") or "<script>alert" not in answer.text


def test_a_viewer_sees_and_changes_nothing(service: Service) -> None:
    key = talk(service, "a", thumb=0)
    turn = turn_of(service, key)
    door = Door(service.home)
    for role in reversed(ROLES):
        door.users.create(role, role, PASSWORD)
    app = create_app(service, door=door)
    viewer, reviewer = logged_in(app, "viewer"), logged_in(app, "reviewer")
    posts = {
        f"/conversations/{key}/correct": {"event": "thumb of a", "value": "1"},
        f"/conversations/{key}/revoke": {"event": "thumb of a"},
        f"/conversations/{key}/reward": {"turn": turn, "value": "1"},
        f"/conversations/{key}/reply": {"loop": LOOP, "text": "Hello"},
        f"/conversations/{key}/annotate": {"what": "flag"},
        "/conversations/bulk": {"action": "flag", "key": key},
        "/conversations/bulk/undo": {"bulk": "x"},
        "/undo": {"event": "thumb of a"},
        "/undo/reply": {"loop": LOOP, "id": "track"},
    }
    seq = service.log.last_seq()
    for path, form in posts.items():
        assert viewer.post(path, data=form).status_code == 403
    assert service.log.last_seq() == seq
    for path in ("/conversations", f"/conversations/{key}?open={turn}"):
        seen, mine = viewer.get(path), reviewer.get(path)
        assert seen.status_code == 200
        assert TEXTS[0] in seen.text
        main = seen.text.split('<main id="main"')[1]
        assert set(re.findall(r'method="post" action="([^"]*)"', main)) <= {"/conversations/views"}
        assert len(mine.text) > len(seen.text)
    assert viewer.post("/conversations/views", data={"name": "mine", "query": "channel=web"}).status_code == 303
    assert reviewer.post(f"/conversations/{key}/annotate", data={"what": "flag"}).status_code == 303
    door.close()


def test_conversations_over_http(client: TestClient, service: Service) -> None:
    keys = [talk(service, f"c{n}", thumb=n % 2) for n in range(5)]
    answer = client.get("/v1/conversations", params={"outcome": "thumb bad", "sort": "oldest", "limit": 2}).json()
    rest = client.get(
        "/v1/conversations", params={"outcome": "thumb bad", "sort": "oldest", "after": answer["after"]}
    ).json()
    found = [row["key"] for row in (*answer["conversations"], *rest["conversations"])]
    assert found == keys[0::2]
    assert rest["after"] is None
    one = client.get(f"/v1/conversations/{keys[0]}").json()
    assert [m["text"] for m in one["thread"][0]["messages"]] == [TEXTS[0], f"An answer to {TEXTS[0]}"]
    assert one["thread"][0]["outcomes"][0]["value"] == 0
    turn = one["thread"][0]["turn_id"]
    for body in ({"what": "tag", "value": "late"}, {"what": "comment", "value": "so", "turn_id": turn}):
        noted = client.post(
            f"/v1/conversations/{keys[0]}/annotations", json={**body, "who": "Ida", "event_id": body["what"]}
        )
        assert noted.json() == {"event_id": body["what"], "duplicate": False}
    one = client.get(f"/v1/conversations/{keys[0]}").json()
    assert one["tags"] == ["late"]
    assert one["thread"][0]["annotations"][0]["value"] == "so"
    assert [change["who"] for change in one["changes"]] == ["Ida", "Ida"]
    assert problem(client.get("/v1/conversations?sort=x"), 422)
    assert problem(client.get("/v1/conversations?when=x"), 422)
    assert problem(client.get("/v1/conversations/x"), 404)
    assert problem(client.post(f"/v1/conversations/{keys[0]}/annotations", json={"what": "star", "who": "Ida"}), 422)
    named = {
        p["name"] for p in client.get("/v1/openapi.json").json()["paths"]["/v1/conversations"]["get"]["parameters"]
    }
    assert {"sort", "limit", "after", "q", "when", "channel", "not"} <= named
