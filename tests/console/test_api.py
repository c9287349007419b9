"""The HTTP API: what it does, and how it says no."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from tests.console.conftest import alert, problem

Decide = Callable[..., dict[str, Any]]


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """The log, held by another connection that is writing."""
    other = sqlite3.connect(home / "learning.db", isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.close()


def post(client: TestClient, path: str, body: Any) -> Any:
    """Post JSON as Python writes it: in ASCII, so that it can hold a lone surrogate."""
    return client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


def outcomes(client: TestClient, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/decisions/{id}").json()["outcomes"]
    return found


def test_a_decision_carries_every_probability_and_can_be_made_again(decide: Decide) -> None:
    one, other = decide(conversation="c", message_id="m"), decide()
    assert set(one["probabilities"]) == {"track", "refund", "human"}
    assert sum(one["probabilities"].values()) == pytest.approx(1)
    assert one["propensity"] == one["probabilities"][one["chosen"]]
    assert (one["chosen"], one["probabilities"]) == (other["chosen"], other["probabilities"])
    assert one["decision_id"] != other["decision_id"]
    assert one["loop"] == "replies"
    assert one["model_version"]
    assert one["model_seq"] > 0
    assert len(one["turn_id"]) == 32
    assert other["turn_id"] is None


def test_the_whole_path_teaches(client: TestClient, decide: Decide, service: Service) -> None:
    first = decide(candidates=["human"])
    for n in range(3):
        made = decide(candidates=["human"], conversation=f"c{n}", message_id="m")
        activated = client.post(f"/v1/decisions/{made['decision_id']}/activate").json()
        assert activated == {"decision_id": made["decision_id"], "duplicate": False}
        assert client.post(f"/v1/decisions/{made['decision_id']}/activate").json()["duplicate"] is True
        body = {"turn_id": made["turn_id"], "signal": "thumb", "value": 1, "event_id": f"thumb-{n}", "actor": "jo"}
        assert client.post("/v1/outcomes", json=body).json() == {"event_id": f"thumb-{n}", "duplicate": False}
    last = client.get(f"/v1/decisions/{decide()['decision_id']}").json()
    before = client.get(f"/v1/decisions/{first['decision_id']}").json()
    expected = {row["candidate"]: row["expected"] for row in last["candidates"]}
    assert expected["human"] > before["candidates"][0]["expected"]
    assert last["repeats"] is True
    assert verify(service)["ok"]


@pytest.mark.parametrize("address", ["decision_id", "turn_id", "conversation"])
def test_an_outcome_is_heard_at_each_address(client: TestClient, decide: Decide, address: str) -> None:
    made = decide(conversation="c", message_id="m")
    client.post(f"/v1/decisions/{made['decision_id']}/activate")
    value = {"decision_id": made["decision_id"], "turn_id": made["turn_id"], "conversation": "c"}[address]
    said = client.post("/v1/outcomes", json={address: value, "signal": "rating", "value": 4, "at": 1_700_000_000})
    assert said.status_code == 200
    explained = client.get(f"/v1/decisions/{made['decision_id']}").json()
    assert explained["reward"]["value"] == 0.75
    assert explained["outcomes"][0]["at"] == 1_700_000_000


def test_a_repeated_delivery_changes_nothing_and_another_outcome_under_its_id_is_a_conflict(
    client: TestClient, decide: Decide
) -> None:
    id = decide()["decision_id"]
    body = {"decision_id": id, "signal": "thumb", "value": 1, "event_id": "e1"}
    assert client.post("/v1/outcomes", json=body).json()["duplicate"] is False
    assert client.post("/v1/outcomes", json=body).json() == {"event_id": "e1", "duplicate": True}
    other = client.post("/v1/outcomes", json={**body, "value": 0})
    assert "e1" in problem(other, 409)
    assert len(outcomes(client, id)) == 1


def test_an_outcome_is_corrected_and_taken_back(client: TestClient, decide: Decide) -> None:
    id = decide()["decision_id"]
    client.post("/v1/outcomes", json={"decision_id": id, "signal": "thumb", "value": 0, "event_id": "e1"})
    corrected = client.patch("/v1/outcomes/e1", json={"value": 1, "who": "lead", "why": "slip"})
    assert corrected.json()["duplicate"] is False
    assert client.get(f"/v1/decisions/{id}").json()["reward"]["value"] == 1
    assert client.delete("/v1/outcomes/e1", params={"who": "lead"}).json()["duplicate"] is False
    assert client.delete("/v1/outcomes/e1").json()["duplicate"] is True
    assert client.get(f"/v1/decisions/{id}").json()["reward"] is None
    assert client.patch("/v1/outcomes/e1", json={"value": 2, "who": "lead"}).status_code == 422


def test_a_slate_has_a_decision_for_each_position(client: TestClient, service: Service) -> None:
    candidates = [{"id": f"item{n}", "text": f"Thing number {n}"} for n in range(4)]
    client.post("/v1/loops/shop", json={"candidates": candidates, "slate": {"strength": 0.5}})
    body = {"loop": "shop", "context": {"text": "a gift"}, "k": 3, "conversation": "c9", "message_id": "m9"}
    made = client.post("/v1/decisions", json=body).json()
    chosen = [decision["chosen"] for decision in made["slate"]]
    assert len(set(chosen)) == 3
    for place, decision in enumerate(made["slate"]):
        assert {decision["probabilities"][id] for id in chosen[:place]} <= {0.0}
        assert sum(decision["probabilities"].values()) == pytest.approx(1.0)
        assert service.decision(decision["decision_id"]).body["slate"]["id"] == made["slate_id"]
    bought = {"decision_id": made["slate"][1]["decision_id"], "signal": "bought", "value": 12.5}
    assert client.post("/v1/outcomes", json=bought).status_code == 200
    assert client.get(f"/v1/decisions/{bought['decision_id']}").json()["reward"]["value"] == 1
    assert client.post("/v1/outcomes", json={**bought, "value": -1}).status_code == 422


def test_abstaining_chooses_nothing_and_logs_nothing(client: TestClient, service: Service, decide: Decide) -> None:
    client.post("/v1/loops/shy", json={"threshold": 9.0, "candidates": [{"id": "a", "text": "hello"}]})
    seq = service.log.last_seq()
    made = decide(loop="shy")
    assert (made["decision_id"], made["chosen"], made["loop"]) == (None, None, "shy")
    assert service.log.last_seq() == seq


def test_candidates_with_words_are_added_but_never_changed_unasked(
    client: TestClient, service: Service, decide: Decide
) -> None:
    new = {"id": "invoice", "text": "Invoices are in your account."}
    made = decide(candidates=["track", new])
    assert set(made["probabilities"]) == {"track", "invoice"}
    seq = service.log.last_seq()
    decide(candidates=[new])
    assert service.log.last_seq() == seq + 1  # the decision alone
    body = {"loop": "replies", "context": {"text": "hi"}, "candidates": [{"id": "invoice", "text": "Other words."}]}
    refused = client.post("/v1/decisions", json=body)
    assert "update_candidates" in problem(refused, 409)
    assert client.post("/v1/decisions", json={**body, "update_candidates": True}).status_code == 200
    reply = next(reply for reply in service.overview("replies").candidates if reply.id == "invoice")
    assert (reply.texts, reply.version) == (("Other words.",), 2)


def test_a_loop_is_created_once(client: TestClient, decide: Decide) -> None:
    body = {"policy": "lints", "learner": {"alpha": 0.05}, "candidates": [{"id": "a", "texts": ["hello", "hi"]}]}
    assert client.post("/v1/loops/new", json=body).status_code == 201
    again = client.post("/v1/loops/new", json=body)
    assert again.status_code == 200
    assert again.json()["candidates"][0]["version"] == 1
    assert decide(loop="new")["chosen"] == "a"
    assert client.post("/v1/loops/new", json={"policy": "linucb"}).status_code == 409
    names = [loop["loop"] for loop in client.get("/v1/loops").json()["loops"]]
    assert names == ["new", "replies"]


def test_the_list_pages_backwards(client: TestClient, decide: Decide) -> None:
    made = [decide(seed=n)["decision_id"] for n in range(5)]
    first = client.get("/v1/decisions", params={"limit": 3, "loop": "replies"}).json()
    rest = client.get("/v1/decisions", params={"limit": 3, "before": first["before"]}).json()
    ids = [row["decision_id"] for row in first["decisions"] + rest["decisions"]]
    assert ids == made[::-1]
    assert rest["before"] is None
    assert client.get("/v1/decisions", params={"loop": "nobody"}).json() == {"decisions": [], "before": None}


CONTEXT = {"text": "hello"}
WRONG_DECISIONS: list[tuple[Any, int, str]] = [
    ({}, 422, "loop"),
    ({"loop": "replies"}, 422, "context"),
    ({"loop": "nobody", "context": CONTEXT}, 404, "unknown loop 'nobody'"),
    ({"loop": "replies", "context": {}}, 422, "either text or messages"),
    ({"loop": "replies", "context": {"text": ""}}, 422, "empty"),
    ({"loop": "replies", "context": {"text": " \n"}}, 422, "empty"),
    ({"loop": "replies", "context": {"messages": []}}, 422, "empty"),
    ({"loop": "replies", "context": {"text": 5}}, 422, "context.text"),
    ({"loop": "replies", "context": {**CONTEXT, "colour": "red"}}, 422, "context.colour"),
    ({"loop": "replies", "context": {**CONTEXT, "features": {"a": 2}}}, 422, "'a' must be from 0 to 1"),
    ({"loop": "replies", "context": CONTEXT, "candidates": ["nothing"]}, 404, "unknown candidate 'nothing'"),
    ({"loop": "replies", "context": CONTEXT, "candidates": []}, 422, "candidates"),
    ({"loop": "replies", "context": CONTEXT, "candidates": ["track", "track"]}, 422, "twice"),
    ({"loop": "replies", "context": CONTEXT, "k": 11}, 422, "k"),
    ({"loop": "replies", "context": CONTEXT, "k": 1.5}, 422, "k: must be a whole number"),
    ({"loop": "replies", "context": CONTEXT, "k": True}, 422, "k: must be a whole number"),
    ({"loop": "replies", "context": CONTEXT, "seed": -1}, 422, "seed"),
    ({"loop": "replies", "context": CONTEXT, "message_id": "m"}, 422, "conversation"),
    ({"loop": "replies", "context": CONTEXT, "surprise": 1}, 422, "surprise"),
    ([], 422, "body: must be a JSON object"),
    ([["loop", "replies"]], 422, "body: must be a JSON object"),
]


@pytest.mark.parametrize(("body", "status", "said"), WRONG_DECISIONS)
def test_a_wrong_decision_is_refused_in_one_line(
    client: TestClient, service: Service, body: Any, status: int, said: str
) -> None:
    seq = service.log.last_seq()
    answer = post(client, "/v1/decisions", body)
    assert said in problem(answer, status)
    assert service.log.last_seq() == seq


WRONG_OUTCOMES: list[tuple[dict[str, Any], int, str]] = [
    ({"decision_id": "nope"}, 404, "unknown decision 'nope'"),
    ({"turn_id": "nope"}, 404, "unknown turn 'nope'"),
    ({"conversation": "nope"}, 404, "unknown conversation 'nope'"),
    ({}, 422, "exactly one"),
    ({"decision_id": None, "signal": "wink"}, 422, "unknown signal 'wink'"),
    ({"decision_id": None, "value": 2}, 422, "from 0 (worst) to 1 (best)"),
    ({"decision_id": None, "value": 0.5}, 422, "whole number"),
    ({"decision_id": None, "value": True}, 422, "value: must be a number"),
    ({"decision_id": None, "value": "1"}, 422, "value: must be a number"),
    ({"decision_id": None, "value": 10**400}, 422, "finite"),
    ({"decision_id": None, "at": 1_700_000_000_000}, 422, "unix seconds"),
    ({"decision_id": None, "event_id": ""}, 422, "event_id"),
    ({"decision_id": None, "event_id": "x" * 501}, 422, "event_id"),
    ({"decision_id": None, "event_id": "\ud800"}, 422, "event_id"),
    ({"decision_id": None, "turn_id": "both"}, 422, "exactly one"),
]


@pytest.mark.parametrize(("changes", "status", "said"), WRONG_OUTCOMES)
def test_a_wrong_outcome_is_refused_in_one_line(
    client: TestClient, service: Service, decide: Decide, changes: dict[str, Any], status: int, said: str
) -> None:
    id = decide()["decision_id"]
    body = {"signal": "thumb", "value": 1, **changes}
    if "decision_id" in changes and changes["decision_id"] is None:
        body["decision_id"] = id
    seq = service.log.last_seq()
    answer = post(client, "/v1/outcomes", body)
    assert said in problem(answer, status)
    assert service.log.last_seq() == seq


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(client: TestClient, decide: Decide, value: str) -> None:
    body = f'{{"decision_id": "{decide()["decision_id"]}", "signal": "reward", "value": {value}}}'
    answer = client.post("/v1/outcomes", content=body, headers={"content-type": "application/json"})
    assert problem(answer, 422) == "value: must be a finite number"


@pytest.mark.parametrize("body", ["", "{", "hello", '{"loop": "replies"', "\xff"])
def test_what_is_not_json_is_said_to_be_not_json(client: TestClient, body: str) -> None:
    answer = client.post("/v1/decisions", content=body.encode("latin-1"), headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert "body" in problem(answer, answer.status_code)


def test_a_very_long_message_is_answered(client: TestClient, decide: Decide) -> None:
    made = decide(context={"text": "where is it " * 1_700})
    assert made["chosen"]
    assert len(client.get(f"/v1/decisions/{made['decision_id']}").json()["text"]) <= 4_010


@pytest.mark.parametrize("place", ["text", "feature", "new candidate"])
def test_a_lone_surrogate_is_answered(client: TestClient, service: Service, place: str) -> None:
    body: dict[str, Any] = {"loop": "replies", "context": {"text": "hello"}}
    if place == "text":
        body["context"]["text"] = "hello \ud800"
    elif place == "feature":
        body["context"]["features"] = {"\ud800": 1.0}
    else:
        body["candidates"] = [{"id": "new", "text": "\ud800"}]
    answer = post(client, "/v1/decisions", body)
    assert answer.status_code == (200 if place == "text" else 422), answer.text
    assert verify(service)["ok"]


def test_what_does_not_exist_is_not_found(client: TestClient) -> None:
    for method, path in [
        ("GET", "/v1/decisions/nope"),
        ("POST", "/v1/decisions/nope/activate"),
        ("DELETE", "/v1/outcomes/nope"),
        ("GET", "/v1/nothing"),
    ]:
        assert problem(client.request(method, path), 404)
    refused = client.put("/v1/decisions")
    assert problem(refused, 405)
    assert refused.headers["allow"] == "GET, POST"  # each of them is a route of its own


def test_a_watched_decision_cannot_be_activated(client: TestClient, service: Service) -> None:
    from agent.decision import Situation

    made = service.decide("replies", Situation(["hello"]), live=False)
    assert made is not None
    answer = client.post(f"/v1/decisions/{made.id}/activate")
    assert "only watched" in problem(answer, 422)


def test_a_locked_log_says_try_again_and_a_retry_loses_and_doubles_nothing(
    client: TestClient, decide: Decide, home: Path, service: Service
) -> None:
    id = decide()["decision_id"]
    outcome = {"decision_id": id, "signal": "thumb", "value": 1, "event_id": "e1"}
    decision = {"loop": "replies", "context": CONTEXT}
    seq = service.log.last_seq()
    with locked(home):
        for path, body in [("/v1/outcomes", outcome), ("/v1/decisions", decision)]:
            answer = client.post(path, json=body)
            assert "learning log" in problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/v1/decisions").status_code == 200  # readers never wait
        assert client.get("/healthz").status_code == 503
    assert service.log.last_seq() == seq
    assert client.post("/v1/outcomes", json=outcome).json()["duplicate"] is False
    assert client.post("/v1/outcomes", json=outcome).json()["duplicate"] is True
    assert client.post("/v1/decisions", json=decision).status_code == 200
    assert len(outcomes(client, id)) == 1
    assert verify(service)["ok"]


def test_a_missing_encoder_is_said_to_be_missing(make_service: Callable[..., Service]) -> None:
    from agent.console.app import create_app
    from agent.encoder import Encoder
    from agent.errors import ModelMissing

    class Gone(Encoder):
        def encode(self, texts: Any, *, progress: Any = None) -> Any:
            raise ModelMissing(f"the encoder {self.name!r} cannot be loaded")

    service = make_service()
    service._make_encoder = Gone
    service.configure("replies", LoopSettings(), who="test")
    client = TestClient(create_app(service), base_url="http://localhost")
    body = {"loop": "replies", "context": CONTEXT, "candidates": [{"id": "a", "text": "b"}]}
    answer = client.post("/v1/decisions", json=body)
    assert "cannot be loaded" in problem(answer, 503)
    health = client.get("/healthz")
    assert (health.status_code, health.json()["log"]) == (503, "ok")
    assert "cannot be loaded" in health.json()["encoder"]


def test_health_and_metrics(client: TestClient, decide: Decide, service: Service) -> None:
    id = decide()["decision_id"]
    client.post("/v1/outcomes", json={"decision_id": id, "signal": "thumb", "value": 1})
    health = client.get("/healthz")
    assert (health.status_code, health.json()) == (
        200,
        {"ok": True, "log": "ok", "encoder": "ok", "seq": service.log.last_seq()},
    )
    lines = client.get("/metrics").text.splitlines()
    assert 'rejoinder_events_total{kind="decision"} 1' in lines
    assert 'rejoinder_fold_lag_events{loop="replies"} 2' in lines
    service.catch_up()
    lines = client.get("/metrics").text.splitlines()
    assert 'rejoinder_fold_lag_events{loop="replies"} 0' in lines
    assert 'rejoinder_credits_total{loop="replies"} 1' in lines
    service.log.append([alert(at=1.0)])
    assert 'rejoinder_alerts_total{loop="replies"} 1' in client.get("/metrics").text.splitlines()


def test_a_loop_is_made_with_its_watch_for_drift(client: TestClient) -> None:
    body = {"drift": {"widen": 0.3}, "candidates": [{"id": "a", "text": "Hello."}]}
    made = client.post("/v1/loops/greetings", json=body)
    assert made.json()["settings"]["drift"] == {"sensitivity": 0.01, "widen": 0.3, "widen_for": 200}
    wrong = client.post("/v1/loops/others", json={"drift": {"widen": 2}})
    assert problem(wrong, 422) == "loop 'others': drift: widen must be a number from 0 to below 1; got 2"


def test_an_unforeseen_error_is_one_line_too(client: TestClient, service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(service, "loops", lambda: 1 / 0)
    answer = client.get("/v1/loops")
    assert "division" not in problem(answer, 500)


def test_a_decision_is_explained_further_where_that_is_asked_for(client: TestClient, decide: Decide) -> None:
    before = decide(context={"text": "where is my parcel"})["decision_id"]
    client.post("/v1/outcomes", json={"decision_id": before, "signal": "thumb", "value": 1})
    id = decide(context={"text": "my parcel please"})["decision_id"]
    plain = client.get(f"/v1/decisions/{id}").json()
    asked = {"words": "true", "nearest": 5, "recompute": "true"}
    found = client.get(f"/v1/decisions/{id}", params=asked).json()
    assert plain == {name: value for name, value in found.items() if name not in asked and name != "recomputed"}
    assert found["recomputed"]["repeats_vector"] is True
    assert found["recomputed"]["difference"] <= 1e-9
    assert [word["text"] for word in found["words"]["words"]] == ["my", "parcel", "please"]
    assert [row["decision_id"] for row in found["nearest"]] == [before]
    assert found["nearest"][0]["similarity"] > 0.5
    for wrong in ({"nearest": -1}, {"nearest": 10_000}, {"words": "perhaps"}):
        assert client.get(f"/v1/decisions/{id}", params=wrong).status_code == 422
    assert problem(client.get("/v1/decisions/nobody", params=asked), 404) == "unknown decision 'nobody'"


def test_importance_over_a_loop(client: TestClient, decide: Decide) -> None:
    answer = client.get("/v1/loops/replies/importance")
    assert problem(answer, 404) == "loop 'replies': no decision between two or more candidates yet"
    assert client.get("/v1/loops/nobody/importance").status_code == 404
    for n in range(3):
        made = decide(context={"text": f"where is parcel {n}", "features": {"intent:track": 0.5}})
        client.post("/v1/outcomes", json={"decision_id": made["decision_id"], "signal": "thumb", "value": 1})
    found = client.get("/v1/loops/replies/importance", params={"last": 2, "features": True}).json()
    assert found["decisions"] == 2
    assert sum(row["share"] for row in found["parts"]) == pytest.approx(1.0)
    assert [row["name"] for row in found["features"]] == ["intent:track"]
    assert client.get("/v1/loops/replies/importance", params={"last": 0}).status_code == 422


def mark(client: TestClient, candidate: str, **body: Any) -> Any:
    return client.patch(f"/v1/loops/replies/candidates/{candidate}", json={"who": "lead", **body})


def test_a_candidate_is_blocked_pinned_and_freed(client: TestClient, decide: Decide, service: Service) -> None:
    answer = mark(client, "track", state="blocked", why="out of date")
    assert answer.status_code == 200
    assert (answer.json()["loop"], answer.json()["id"], answer.json()["state"]) == ("replies", "track", "blocked")
    made = decide()
    assert made["probabilities"]["track"] == 0.0
    rows = client.get(f"/v1/decisions/{made['decision_id']}").json()["candidates"]
    assert {row["candidate"]: row["barred"] for row in rows} == {"track": "blocked", "refund": None, "human": None}
    assert mark(client, "human", state="pinned").status_code == 200
    assert decide()["chosen"] == "human"
    refused = client.post("/v1/decisions", json={"loop": "replies", "context": CONTEXT, "candidates": ["track"]})
    assert "none of its 1 candidates is eligible (1 blocked)" in problem(refused, 422)
    for name in ("track", "human"):
        mark(client, name, state="enabled")
    assert min(decide()["probabilities"].values()) > 0.0
    assert verify(service)["ok"]


def test_what_comes_over_http_waits_for_approval_in_a_strict_loop(client: TestClient, decide: Decide) -> None:
    body = {"strict": True, "floor": 0.1, "candidates": [{"id": "a/1", "text": "hello"}, {"id": "b", "text": "hi"}]}
    made = client.post("/v1/loops/strict", json=body)
    assert [candidate["approved"] for candidate in made.json()["candidates"]] == [False, False]
    abstained = decide(loop="strict")
    assert abstained["chosen"] is None
    assert "none of its 2 candidates is eligible (2 not approved)" in abstained["reason"]
    approved = client.patch("/v1/loops/strict/candidates/a/1", json={"approved": True, "who": "lead"})
    assert approved.json()["approved"] is True
    assert decide(loop="strict")["probabilities"] == {"a/1": 1.0, "b": 0.0}
    assert client.post("/v1/loops/strict", json=body).status_code == 200  # the same again takes no approval back
    assert decide(loop="strict")["chosen"] == "a/1"


@pytest.mark.parametrize(
    ("candidate", "body", "status", "said"),
    [
        ("nobody", {"state": "blocked"}, 404, "unknown candidate 'nobody'"),
        ("track", {"state": "banned"}, 422, "no state is called 'banned'"),
        ("track", {}, 422, "a mark gives a state"),
        ("track", {"approved": "yes"}, 422, "approved"),
        ("track", {"state": "blocked", "who": ""}, 422, "who"),
    ],
)
def test_a_wrong_mark_is_refused(
    client: TestClient, service: Service, candidate: str, body: Any, status: int, said: str
) -> None:
    seq = service.log.last_seq()
    answer = mark(client, candidate, **body)
    assert said in problem(answer, status)
    assert service.log.last_seq() == seq


def test_an_apprentice_is_told_what_was_done(client: TestClient, decide: Decide, service: Service) -> None:
    candidates = [{"id": "a", "text": "hello"}, {"id": "b", "text": "hi"}]
    client.post("/v1/loops/watching", json={"apprentice": True, "candidates": candidates})
    made = decide(loop="watching", conversation="c", message_id="m")
    assert made["live"] is False
    assert client.post(f"/v1/decisions/{made['decision_id']}/activate").status_code == 422
    done = {"a": "b", "b": "a"}[made["chosen"]]
    said = client.post(f"/v1/decisions/{made['decision_id']}/observe", json={"candidate": done})
    assert said.json() == {"decision_id": made["decision_id"], "duplicate": False}
    client.post("/v1/outcomes", json={"turn_id": made["turn_id"], "signal": "thumb", "value": 1})
    found = client.get(f"/v1/decisions/{made['decision_id']}").json()
    assert (found["observed"], found["reward"]["value"]) == (done, 1.0)
    assert verify(service)["loops"]["watching"]["credited"] == 1
    wrong = client.post(f"/v1/decisions/{made['decision_id']}/observe", json={"candidate": "c"})
    assert "none of its candidates" in problem(wrong, 422)


def test_abstaining_is_a_candidate_where_the_loop_has_it(client: TestClient, decide: Decide) -> None:
    body = {"threshold": 0.99, "abstain": True, "policy": "greedy", "candidates": [{"id": "a", "text": "hello"}]}
    assert client.post("/v1/loops/shy", json=body).status_code == 201
    made = decide(loop="shy")
    assert made["chosen"] == "abstain"
    assert set(made["probabilities"]) == {"a", "abstain"}
    assert client.post(f"/v1/decisions/{made['decision_id']}/activate").json()["duplicate"] is False


def test_the_dialogue_so_far_is_part_of_a_context(client: TestClient, decide: Decide, service: Service) -> None:
    made = decide(context={"messages": ["hello", "and when?"], "replies": ["Hi, how can I help?", "It was sent."]})
    assert set(service.decision(made["decision_id"]).body["context"]["blocks"]) == {"", "last_reply", "history"}
    body = {"blocks": ["mood"], "candidates": [{"id": "a", "text": "hello"}]}
    answer = client.post("/v1/loops/blocks", json=body)
    assert "blocks must be a list out of last_reply" in problem(answer, 422)
