"""The HTTP API against its own OpenAPI document: whatever that allows, or all but allows, is answered as it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import LOOP

HOST = {"Host": "127.0.0.1"}
Decide = Callable[..., dict[str, Any]]

# 413 is among them: a body too large is turned away before anybody looks at what it holds.
REFUSALS = ["400", "404", "405", "409", "413", "422"]
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
# What a schema cannot say, for it hangs on other values or on what the log holds: a good request may be refused so.
MEANT = (
    r"context: the message to answer is empty",  # the last of several
    r"body: candidates: an id occurs twice",
    r"signal '\w+': value must be ",  # each signal has a range of its own
    r"decision \w+ was not only watched",
    r"event id .*: ids that begin with ",
    r"(flag|tag|untag|comment|reviewed|assigned): (must be|the verdict must be) ",  # each takes something else
    r"from: \S+ comes after to: ",
    r"loop '\w+': (nothing to roll back to|there is no challenger to withdraw)",
    r"loop '\w+': (these settings \(\w+\) are|\w+ is) (in force|staged) already",
    # Each learner has settings of its own.
    r"(loop '\w+'|settings): (\w+: .+ is|\w+ must be|\w+ has no setting|\w+ needs) ",
)

load_all_checks()
ACCEPTED = CHECKS.get_one("positive_data_acceptance")


@pytest.fixture
def there(service: Service, client: TestClient, decide: Decide) -> dict[str, str]:
    """What is there to be named, by the name that the document has for it."""
    decision = decide(conversation="c1", message_id="m1")["decision_id"]
    service.record(signal="thumb", value=1, decision=decision, event_id="click-1")
    return {
        "loop": LOOP,
        "decision_id": decision,
        "event_id": "click-1",
        "candidate": "track",
        "version": service.overview(LOOP).settings.version,
        "key": client.get("/v1/conversations").json()["conversations"][0]["key"],
    }


@pytest.fixture
def document(service: Service, there: dict[str, str]) -> Any:
    """The document of a console with something in it, none of whose callers are told to slow down."""
    app = create_app(service, rate="1000000/s")
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=HOST, config=config)


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_answers_as_its_document_says(case: Any, there: dict[str, str]) -> None:
    good = case.meta.generation.mode.is_positive
    if good:
        aim(case, there)
    answer = case.call(headers=HOST)
    meant = good and answer.status_code == 422 and any(re.match(rule, answer.json()["detail"]) for rule in MEANT)
    case.validate_response(answer, headers=HOST, excluded_checks=[ACCEPTED] if meant else [])


def aim(case: Any, there: dict[str, str]) -> None:
    """Let a good request be about what is there, without which it would get no further than 404."""
    if case.operation.label != "POST /v1/loops/{loop}":  # which makes new ones
        case.path_parameters = {name: there.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if not isinstance(case.body, dict):
        return
    for name in ("loop", "decision_id", "candidate"):
        if case.body.get(name):
            case.body[name] = there[name]
    context = case.body.get("context") or {}
    if context.get("messages"):  # the last is answered, which must say something
        context["messages"][-1] += "where is my parcel"
