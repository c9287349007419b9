"""A loop's past: how it learned, what changed, how it stood, what decided; and what another version would have said.

The log is folded for these, which takes seconds: their pages come at once, and the figures when they are worked out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from agent.asof import AsOf, as_of, learning_curve, positions
from agent.changes import Changes, changes
from agent.console.access import require
from agent.console.api import EventId, LoopName, service_of
from agent.console.figures import bucket, figures_of
from agent.console.index import index_of
from agent.console.rendering import render
from agent.console.versions import Difference, differences, version_of
from agent.console.views import detail_of
from agent.errors import RejoinderError
from agent.importance import WINDOW, importance
from agent.past import time_of
from agent.review.versions import conversations_of
from agent.service import Service
from agent.whatif import what_if

SOON, PATIENT = 0.15, 2.0  # seconds that a page waits for a figure, and that a part of one does
PERIODS = (1, 7, 30, 90)  # days
MOVERS = 20  # replies listed of those that moved
ROWS = 50  # candidates listed of a loop as it stood
FOLDED = 200  # decisions of which named features are told apart: each is folded up to
_STILL = 0.0005  # less is shown as nothing
_DAY, _HOUR = 86_400.0, 3_600.0

router = APIRouter(include_in_schema=False, dependencies=[Depends(require("viewer"))])


@router.get("/policies/{loop}/learning")
def learning(request: Request, loop: LoopName) -> Response:
    """What the loop's decisions earned over time."""
    service = _service(request, loop)
    upto = bucket(service.log.last_seq())
    asked = _Asked(request)
    curve = asked.of(("learning", loop, upto), lambda: learning_curve(service, loop, upto=upto))
    return asked.page("learning", loop_name=loop, curve=curve)


@router.get("/policies/{loop}/changes")
def changed(
    request: Request,
    loop: LoopName,
    days: Annotated[int, Query(ge=1, le=3_660)] = 7,
    until: Annotated[int | None, Query(ge=0, lt=10**11)] = None,
) -> Response:
    """Which replies gained or lost in a period, and on what evidence. It ends now, or `until` (unix seconds)."""
    service = _service(request, loop)
    end = time.time() if until is None else float(until)
    key = ("changes", loop, bucket(service.log.last_seq()), days, end // _HOUR)
    asked = _Asked(request)
    found = asked.of(key, lambda: changes(service, loop, since=end - days * _DAY, until=end))
    moved = [change for change in found.candidates if abs(change.gained) >= _STILL] if found else []
    return asked.page(
        "changes",
        loop_name=loop,
        days=days,
        until=until,
        periods=PERIODS,
        found=found,
        moved=moved[:MOVERS],
        others=len(moved) - len(moved[:MOVERS]),
        conversations=_conversations(request, found),
    )


@router.get("/policies/{loop}/as-of")
def stood(request: Request, loop: LoopName, seq: Annotated[int | None, Query(ge=0, lt=2**62)] = None) -> Response:
    """The loop as it stood at one of some places in its past, the one nearest to `seq`; the last unless given."""
    service = _service(request, loop)
    asked = _Asked(request)
    places = asked.of(("places", loop, bucket(service.log.last_seq())), lambda: _places(service, loop))
    chosen, found = None, None
    if places:
        chosen = places[-1][0] if seq is None else min((place for place, _at in places), key=lambda p: abs(p - seq))
        found = asked.of(("as of", loop, chosen), lambda: as_of(service, loop, seqs=[chosen])[0])
    return asked.page(
        "as_of",
        loop_name=loop,
        places=places,
        chosen=chosen,
        found=found,
        rows=_known(found),
        differs=_differs(service, loop, found),
    )


@router.get("/policies/{loop}/importance")
def weights(request: Request, loop: LoopName, features: bool = False) -> Response:
    """What set the candidates of a loop apart; with `features` of each named feature as well."""
    service = _service(request, loop)
    last = FOLDED if features else WINDOW
    key = ("importance", loop, bucket(service.log.last_seq()), features)
    asked = _Asked(request)
    found = asked.of(
        key, lambda: importance(service.log, loop, last=last, features=features, snapshots=service.snapshots(loop))
    )
    return asked.page("importance", loop_name=loop, found=found, by_feature=features)


@router.get("/decisions/{decision_id}/what-if")
def otherwise(request: Request, decision_id: EventId, version: Annotated[str, Query(max_length=100)] = "") -> Response:
    """What another version would have said in a decision's place, knowing what was known then."""
    service = service_of(request)
    decision = service.decision(decision_id)
    loop = decision.loop or ""
    known = service.versions(loop, counted=False)
    own = decision.body["model_version"]
    names = list(dict.fromkeys(one.version for one in known))
    chosen = version or next((name for name in names if name != own), own)
    settings = version_of(service, loop, chosen).settings
    asked = _Asked(request)
    found = asked.of(("what if", decision_id, chosen), lambda: what_if(service, decision, settings))
    return asked.page(
        "what_if",
        loop_name=loop,
        detail=detail_of(service, decision_id),
        versions={name: next(one for one in known if one.version == name) for name in names},
        chosen=chosen,
        own=own,
        found=found,
        others={} if found is None else _by_candidate(found),
    )


class _Asked:
    """A request for figures: for how long it waits, and what became of them."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._fragment = "hx-request" in request.headers
        self._trouble = ""

    def of(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """A figure; None while it is being worked out, or where it cannot be, which the page then says."""
        try:
            patience = PATIENT if self._fragment else SOON
            return figures_of(self._request).asked(key, work, patience=patience)
        except RejoinderError as error:
            self._trouble = str(error)
            return None

    def page(self, name: str, **values: Any) -> Response:
        """The page, or the part of it that htmx asked for: the figures, or those of a place that was slid to."""
        inner = self._request.headers.get("hx-target") == "stood"
        part = f"policies/{name}_place.html" if inner and name == "as_of" else f"policies/{name}_figures.html"
        template = part if self._fragment else f"policies/{name}.html"
        return render(self._request, template, trouble=self._trouble, **values)


def _service(request: Request, loop: str) -> Service:
    service = service_of(request)
    service.settings(loop)  # there must be such a loop
    return service


def _places(service: Service, loop: str) -> list[tuple[int, float]]:
    """Places on the slider: the `seq` and time of each."""
    return [(seq, time_of(service.log, seq)) for seq in positions(service, loop)]


def _known(found: AsOf | None) -> list[Any]:
    """The candidates, those expected to earn most first."""
    if found is None:
        return []
    first = sorted(found.candidates, key=lambda one: (one.expected is None, -(one.expected or 0.0), one.id))
    return first[:ROWS]


def _differs(service: Service, loop: str, found: AsOf | None) -> list[Difference]:
    """Where the settings then were others than the champion's now."""
    return [] if found is None else differences(found.settings, service.settings(loop))


def _conversations(request: Request, found: Changes | None) -> dict[str, str]:
    """The conversations of the evidence, where there is a page for them."""
    if found is None or all(section.path != "/conversations" for section in request.app.state.sections):
        return {}
    ids = [clue.decision_id for change in found.candidates for clue in change.evidence]
    return conversations_of(index_of(request), ids)


def _by_candidate(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What the other version gives each candidate."""
    rows = zip(found["candidates"], found["probabilities"], found["scores"], found["deviation"], strict=True)
    return {id: {"probability": p, "expected": score, "deviation": deviation} for id, p, score, deviation in rows}
