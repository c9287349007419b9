"""The latest decisions, and one decision taken apart."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from agent.console.access import require
from agent.console.api import EventId, service_of
from agent.console.reasons import reasons_of
from agent.console.rendering import render
from agent.console.views import alerts_of, detail_of, page_of

ROWS = 25  # a page of the list
ALERT_SECONDS = 7 * 86_400.0  # how long an alert stands on the first page
LIKELIEST = 10  # candidates shown before the rest, which opens on demand

router = APIRouter(include_in_schema=False, dependencies=[Depends(require("viewer"))])


@router.get("/decisions")
def latest(
    request: Request,
    loop: str = "",
    before: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
    after: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
) -> HTMLResponse:
    """The decisions, newest first."""
    service = service_of(request)
    after = None if before is not None else after
    page = page_of(service, loop=loop or None, limit=ROWS, before=before, after=after)
    first = before is None and page.newer is None
    alerts = alerts_of(service, loop=loop or None, since=time.time() - ALERT_SECONDS) if first else []
    return render(
        request, "decisions/list.html", page=page, loop=loop, loops=service.loops(), first=first, alerts=alerts
    )


@router.get("/decisions/{decision_id}")
def decision(request: Request, decision_id: EventId) -> HTMLResponse:
    """One decision: what could have been said, why this was, and what it earned."""
    detail = detail_of(service_of(request), decision_id)
    return render(request, "decisions/decision.html", d=detail.explanation, detail=detail, likeliest=LIKELIEST)


@router.get("/decisions/{decision_id}/why")
def reasons(request: Request, decision_id: EventId) -> HTMLResponse:
    """What a decision's page leaves to this one, since the log is folded for it: the words, and what came before."""
    found = reasons_of(service_of(request), decision_id)
    return render(request, "decisions/why.html", d=found.explanation, reasons=found)
