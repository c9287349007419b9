"""The HTTP API against its own OpenAPI document: whatever that allows, or all but allows, is answered as it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from agent.console.app import create_app
from agent.service import Service
from tests.console.conftest import LOOP

HOST = {"Host": "127.0.0.1"}
Decide = Callable[..., dict[str, Any]]


@pytest.fixture
def document(service: Service, decide: Decide) -> Any:
    """The document of a console with something in it, none of whose callers are told to slow down."""
    decide()
    app = create_app(service, rate="1000000/s")
    return schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=HOST)


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_answers_as_its_document_says(case: Any) -> None:
    if case.meta.generation.mode.is_positive:
        case.path_parameters = {k: LOOP if k == "loop" else v for k, v in (case.path_parameters or {}).items()}
    import time, collections
    t=time.time()
    r = case.call(headers=HOST)
    t=time.time()-t
    with open("/tmp/w/openapi-calls.txt","a") as f: f.write(f"{t:.3f} {case.meta.generation.mode.value} {case.meta.phase.name.value} {r.status_code} {case.operation.label} {r.text[:400] if r.status_code>=400 else ''!r}\n")
    try:
        case.validate_response(r, headers=HOST)
    except Exception as e:
        with open("/tmp/w/openapi-fails.txt","a") as f: f.write(case.operation.label+"\n"+str(e)+"\n=====\n")
