"""The pages on policies, and the HTTP API on versions: staged, promoted, rolled back, and looked back at."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from agent.console.app import create_app
from agent.console.figures import MOST, Figures, bucket
from agent.console.versions import differences, flat, given, typed
from agent.errors import InvalidInput, Unknown
from agent.service import Service
from agent.settings import LoopSettings
from agent.standing import standing_of
from tests.console.conftest import LOOP, problem
from tests.console.visitors import browser, logged_in, with_key

PATH = f"/policies/{LOOP}"
API = f"/v1/loops/{LOOP}/versions"
Decide = Callable[..., dict[str, Any]]


def seen(service: Service) -> int:
    return standing_of(service.log, LOOP).seq


def step(client: TestClient, what: str, **fields: Any) -> Response:
    return client.post(f"{PATH}/{what}", data={"why": "to try", **fields}, follow_redirects=False)


def stage(client: TestClient, service: Service, **fields: Any) -> Response:
    return step(client, "stage", **{"settings": "alpha=0.7", "percent": "25", "seen": seen(service), **fields})


def undo(client: TestClient, service: Service) -> Response:
    return client.post(f"{PATH}/undo", data={"seq": seen(service)}, follow_redirects=False)


def worked_out(client: TestClient, path: str, **headers: str) -> str:
    """A part of a page once its figures are there."""
    for _ in range(60):
        answer = client.get(path, headers={"HX-Request": "true", **headers})
        assert answer.status_code == 200, answer.text
        if "hx-trigger" not in answer.text:
            return html.unescape(answer.text)
    raise AssertionError(f"{path}: still being worked out")


def converse(decide: Decide, client: TestClient, n: int) -> list[str]:
    """Decisions with feedback: the first candidate is liked, the others are not."""
    ids = []
    for i in range(n):
        made = decide(context={"text": f"where is my parcel {i % 5}"}, seed=i, conversation=f"c{i}")
        good = int(made["chosen"] == "refund")
        told = {"decision_id": made["decision_id"], "signal": "thumb", "value": good}
        assert client.post("/v1/outcomes", json=told).status_code == 200
        ids.append(made["decision_id"])
    return ids


def test_an_admin_stages_promotes_and_rolls_back_and_each_is_in_the_log(app, service: Service) -> None:
    first = service.standing(LOOP).champion
    admin = logged_in(app, "admin")
    assert stage(admin, service, policy="lints", settings="alpha=0.1\n\n ridge = 2 ").status_code == 303
    standing = service.standing(LOOP)
    challenger = standing.challenger
    assert challenger is not None
    assert (challenger.policy, challenger.learner["alpha"], challenger.learner["ridge"]) == ("lints", 0.1, 2)
    assert standing.share == 0.25
    page = admin.get(PATH).text
    assert challenger.version in page
    assert "to try" in page
    assert step(admin, "share", percent="40,5 %", seen=seen(service)).status_code == 303
    assert service.standing(LOOP).share == pytest.approx(0.405)
    assert step(admin, "promote", version=challenger.version, seen=seen(service)).status_code == 303
    assert service.standing(LOOP).champion == challenger
    assert step(admin, "roll-back", seen=seen(service)).status_code == 303
    assert service.standing(LOOP).champion == first
    bodies = [event.body for event in service.log.read(kinds=("model",))]
    assert [(body["action"], body["who"], body["why"]) for body in bodies] == [
        (action, "admin", "to try") for action in ("stage", "stage", "promote", "roll_back")
    ]


def test_every_step_is_undone_to_what_was_before(app, service: Service) -> None:
    admin = logged_in(app, "admin")

    def now() -> tuple[Any, ...]:
        standing = service.standing(LOOP)
        return standing.champion, standing.challenger, standing.share, standing.past

    other = typed("alpha=0.7", "", base=service.standing(LOOP).champion or LoopSettings()).version
    for what, fields in (
        ("stage", {"settings": "alpha=0.7", "percent": "25"}),
        ("share", {"percent": "50"}),
        ("promote", {"version": other}),
        ("withdraw", {}),
        ("roll-back", {}),
    ):
        if what == "roll-back":
            assert step(admin, "promote", version=other, seen=seen(service)).status_code == 303
        before = now()
        assert step(admin, what, **fields, seen=seen(service)).status_code == 303, what
        assert now() != before
        assert undo(admin, service).status_code == 303
        assert now() == before, what
        if what in ("stage", "share"):
            assert step(admin, what, **fields, seen=seen(service)).status_code == 303
    # What came from the settings of the assistant is changed there.
    service.configure(LOOP, LoopSettings(policy="greedy"), who="config")
    before = now()
    assert undo(admin, service).status_code == 303
    assert "cannot be undone here" in html.unescape(admin.get(PATH).text)
    assert now() == before


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_is_no_admin_looks_and_changes_nothing(app, service: Service, role: str) -> None:
    client = logged_in(app, role)
    assert client.get("/policies").status_code == 200
    page = client.get(PATH).text
    assert f"{PATH}/stage" not in page
    last = service.log.last_seq()
    for what in ("stage", "share", "promote", "roll-back", "withdraw", "undo"):
        assert step(client, what, settings="alpha=0.7", percent="10", version="x", seq=1).status_code == 403
    assert service.log.last_seq() == last
    assert f"{PATH}/stage" in logged_in(app, "admin").get(PATH).text


def test_who_decided_on_what_is_no_longer_so_is_told_and_keeps_what_was_typed(app, service: Service) -> None:
    admin, before = logged_in(app, "admin"), seen(service)
    assert stage(admin, service).status_code == 303
    answer = stage(admin, service, settings="alpha=0.9", percent="33", why="mine <b>", seen=before)
    assert answer.status_code == 409
    page = html.unescape(answer.text)
    assert "Somebody else was first" in page
    assert "The last step was by admin" in page
    for kept in ("alpha=0.9", 'value="33"', 'value="mine <b>"'):
        assert kept in page
    assert "mine <b>" not in answer.text
    assert f'name="seen" value="{seen(service)}"' in page
    assert undo(admin, service).status_code == 303
    assert admin.post(f"{PATH}/undo", data={"seq": before}, follow_redirects=False).status_code == 303
    assert "changed by somebody else" in admin.get(PATH).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"settings": "alpha"}, "settings takes NAME=VALUE; got 'alpha'"),
        ({"settings": "alpah=1"}, "alpah"),
        ({"settings": "alpha=-1"}, "alpha"),
        ({"settings": "alpha=NaN"}, "alpha"),
        ({"settings": "prior_slope=Infinity"}, "prior_slope"),
        ({"settings": "threshold=NaN"}, "threshold"),
        ({"settings": "blocks=5"}, "settings"),
        ({"settings": 'signals={"nod": 1}'}, "nod"),
        ({"settings": 'baseline="\\ud800"'}, "UTF-8"),
        ({"settings": "scales=" + "[" * 9_000}, "scales"),
        ({"settings": "adopted=abc"}, "'adopted' is not given here"),
        ({"settings": 'device="cuda"'}, "'device' is not given here"),
        ({"settings": "encoder=other"}, "encodes by"),
        ({"settings": "learner={}"}, "learner"),
        ({"settings": ""}, "in force already"),
        ({"policy": "nonsense", "settings": ""}, "nonsense"),
        ({"percent": "101"}, "a number from 0 to 100"),
        ({"percent": "nan"}, "a number from 0 to 100"),
        ({"percent": ""}, "a number from 0 to 100"),
        ({"why": "  "}, "Say why"),
    ],
)
def test_bad_settings_are_said_in_one_line_and_nothing_is_logged(app, service: Service, fields, said: str) -> None:
    admin, last = logged_in(app, "admin"), service.log.last_seq()
    answer = stage(admin, service, **fields)
    assert answer.status_code == 422, answer.text[:500]
    shown = [html.unescape(part.split("</p>")[0]) for part in answer.text.split('<p class="error" role="alert">')[1:]]
    assert len(shown) == 1
    assert said in shown[0]
    assert len(shown[0].splitlines()) == 1
    assert service.log.last_seq() == last


def test_the_list_says_what_each_version_decided_and_earned(
    client: TestClient, service: Service, decide: Decide
) -> None:
    converse(decide, client, 12)
    assert stage(client, service).status_code == 303
    converse(decide, client, 12)
    client.get("/policies")
    client.app.state.index.renew()  # type: ignore[attr-defined]
    page = html.unescape(client.get("/policies").text)
    for version in service.versions(LOOP):
        assert version.version in page
        assert f'data-label="Decisions">{version.decisions}<' in page
    assert "25.0%" in page


@pytest.mark.parametrize("view", ["learning", "changes", "as-of"])
def test_the_past_of_a_loop_nobody_used_and_of_none(client: TestClient, service: Service, view: str) -> None:
    assert client.get(f"/policies/nobody/{view}").status_code == 404
    assert client.get(f"{PATH}/{view}").status_code == 200
    assert "cannot be worked out" not in worked_out(client, f"{PATH}/{view}")


def test_the_past_of_a_loop_is_shown(client: TestClient, service: Service, decide: Decide) -> None:
    ids = converse(decide, client, 30)
    curve = worked_out(client, f"{PATH}/learning")
    assert "data-chart" in curve
    # A frame that asks is answered by the page as a whole, with what has been worked out.
    assert "data-chart" in client.get(f"{PATH}/learning").text
    found = worked_out(client, f"{PATH}/changes?days=7")
    assert "Nothing moved" in found  # the loop began within the period: there is no before
    places = worked_out(client, f"{PATH}/as-of")
    assert 'id="place"' in places
    first, last = (place.split('"')[0] for place in (places.split('<option value="')[i] for i in (1, -1)))
    then = worked_out(client, f"{PATH}/as-of?seq={first}", **{"HX-Target": "stood"})
    assert 'id="place"' not in then
    assert then != worked_out(client, f"{PATH}/as-of?seq={last}", **{"HX-Target": "stood"})
    # Any number finds the nearest place, and costs no fold of its own.
    assert worked_out(client, f"{PATH}/as-of?seq={2**61}", **{"HX-Target": "stood"})
    assert client.get(f"{PATH}/as-of?seq={2**62}").status_code == 422
    assert f"/decisions/{ids[0]}/what-if" in client.get(f"/decisions/{ids[0]}").text


def test_what_moved_is_told_with_its_evidence(make_service: Callable[..., Service]) -> None:
    week = 7 * 86_400.0
    now = [time.time() - 2 * week]
    service = make_service(clock=lambda: now[0])
    service.configure(LOOP, LoopSettings(policy="greedy"), who="test")
    with TestClient(create_app(service), base_url="http://127.0.0.1:8000") as client:
        both = [{"id": "one", "text": "Your parcel is late."}, {"id": "two", "text": "Your parcel is <here>."}]
        context = {"text": "where is my <parcel>"}
        decided = []
        for i in range(12):
            now[0] += week / 8 if i < 6 else week / 10
            body = {"loop": LOOP, "context": context, "conversation": f"c{i}", "candidates": both}
            made = client.post("/v1/decisions", json=body).json()
            decided.append(made["decision_id"])
            told = {"decision_id": made["decision_id"], "signal": "thumb", "value": int(i < 6)}
            assert client.post("/v1/outcomes", json=told).status_code == 200
        page = worked_out(client, f"{PATH}/changes?days=7&until={int(now[0]) + 60}")
        raw = client.get(f"{PATH}/changes?days=7&until={int(now[0]) + 60}").text
    assert "Moved it by" in page
    assert any(f'href="/decisions/{id}"' in page for id in decided[6:])
    assert "<parcel>" not in raw


def test_what_another_version_would_have_said_stands_beside_what_was(
    client: TestClient, service: Service, decide: Decide
) -> None:
    ids = converse(decide, client, 10)
    own = service.decision(ids[-1]).body["model_version"]
    alone = worked_out(client, f"/decisions/{ids[-1]}/what-if")
    assert "Side by side" in alone
    assert stage(client, service, policy="greedy", settings="epsilon=0").status_code == 303
    challenger = service.standing(LOOP).challenger
    assert challenger is not None
    page = worked_out(client, f"/decisions/{ids[-1]}/what-if")  # the other one is looked at by itself
    assert "Probability by greedy" in page
    assert worked_out(client, f"/decisions/{ids[-1]}/what-if?version={own}") == alone
    assert client.get(f"/decisions/{ids[-1]}/what-if?version=none").status_code == 404
    assert client.get("/decisions/nothing/what-if").status_code == 404


def test_the_api_stages_promotes_rolls_back_and_withdraws(app, service: Service) -> None:
    admin, reader = with_key(app, "admin"), with_key(app, "read")
    found = reader.get(API).json()
    assert [version["role"] for version in found["versions"]] == ["champion"]
    assert found["seq"] == seen(service)
    body = {"policy": "lints", "settings": {"alpha": 0.2}, "share": 0.3, "why": "try", "seen": found["seq"]}
    assert problem(reader.post(API, json=body), 403)
    staged = admin.post(API, json=body).json()
    assert (staged["share"], staged["champion"]) == (0.3, found["champion"])
    assert "somebody else" in problem(admin.post(API, json={**body, "share": 0.4}), 409)
    assert admin.post(API, json={"share": 0.5}).json() == {**staged, "share": 0.5, "seq": seen(service)}
    promoted = admin.post(f"{API}/{staged['challenger']}/promote", json={"why": "better"}).json()
    assert (promoted["champion"], promoted["challenger"]) == (staged["challenger"], None)
    assert "in force already" in problem(admin.post(f"{API}/{promoted['champion']}/promote", json={}), 422)
    assert "no version" in problem(admin.post(f"{API}/nothing/promote", json={}), 404)
    assert admin.post(f"{API}/roll-back", json={"seen": promoted["seq"]}).json()["champion"] == found["champion"]
    assert "roll back to" in problem(admin.post(f"{API}/roll-back", json={}), 422)
    assert "no challenger" in problem(admin.delete(f"{API}/challenger"), 422)
    admin.post(API, json={"settings": {"alpha": 0.9}, "share": 0})
    assert admin.delete(f"{API}/challenger", params={"why": "no"}).json()["challenger"] is None
    versions = reader.get(API).json()["versions"]
    assert len(versions) == 3
    assert {version["who"] for version in versions} == {"api (key:for admin)"}
    unknown = {"share": 0.1, "settings": {"alpah": 1}}
    for wrong in ({"share": 2}, unknown, {"share": 0.1, "seen": True}, {"share": "1"}, {}):
        problem(admin.post(API, json=wrong), 422)
    assert problem(admin.post("/v1/loops/nobody/versions", json={"share": 0.1}), 404)
    assert problem(browser(app).get(API), 401)


def test_settings_by_name_tell_exactly_what_differs() -> None:
    base = LoopSettings(policy="linucb")
    other = given({"alpha": 0.9, "signals": {"thumb": 0.5}, "floor": 0.01}, None, base=base)
    assert {d.name: d.value for d in differences(other, base)} == {
        "alpha": "0.9",
        "signals.thumb": "0.5",
        "floor": "0.01",
    }
    assert differences(base, base) == []
    greedy = given({}, "greedy", base=base)
    gone = {d.name: (d.value, d.champions) for d in differences(greedy, base)}
    assert gone == {"policy": ('"greedy"', '"linucb"'), "alpha": ("", dict(flat(base.as_body()))["alpha"])}


def test_figures_are_worked_out_once_beside_who_asks_and_again_after_a_failure() -> None:
    figures, go, calls = Figures(), threading.Event(), []

    def work() -> int:
        calls.append(1)
        go.wait(10)
        return 7

    try:
        assert figures.asked("a", work, patience=0.01) is None
        assert figures.asked("a", work, patience=0.01) is None
        go.set()
        assert figures.asked("a", work, patience=10) == 7
        assert len(calls) == 1

        def fail() -> int:
            calls.append(2)
            raise Unknown("nothing")

        for number in (2, 3):
            with pytest.raises(Unknown):
                figures.asked("b", fail, patience=10)
            assert len(calls) == number
        for i in range(MOST):
            assert figures.asked(i, lambda: 1, patience=10) == 1
        assert figures.asked("a", work, patience=10) == 7
        assert len(calls) == 4
    finally:
        figures.close()


def test_a_figure_stays_while_the_log_grows_by_little() -> None:
    for seq in range(1, 60_000, 7):
        kept = bucket(seq)
        assert kept <= seq < max(kept * 1.05, kept + 1)
        assert bucket(kept) == kept


def test_a_setting_that_is_not_given_here_is_named() -> None:
    with pytest.raises(InvalidInput, match="adopted"):
        given({"adopted": "abc"}, None, base=LoopSettings())
