"""The pages that people read: the latest decisions, and one decision taken apart. Rendered here, no script needed."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.console.api import EventId, LoopName, service_of
from agent.console.reasons import reasons_of
from agent.console.views import alerts_of, detail_of, page_of
from agent.drift import described
from agent.importance import WINDOW, importance

HERE = Path(__file__).parent
ROWS = 25  # a page of the list
ALERT_SECONDS = 7 * 86_400.0  # how long an alert stands on the first page
LIKELIEST = 10  # candidates shown before the rest, which opens on demand
FOLDED = 200  # decisions of which named features are told apart: each is folded up to

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)


@router.get("/")
def latest(
    request: Request,
    loop: str = "",
    before: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
    after: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
) -> str:
    """The decisions, newest first."""
    service = service_of(request)
    after = None if before is not None else after
    page = page_of(service, loop=loop or None, limit=ROWS, before=before, after=after)
    first = before is None and page.newer is None
    alerts = alerts_of(service, loop=loop or None, since=time.time() - ALERT_SECONDS) if first else []
    return render("decisions.html", page=page, loop=loop, loops=service.loops(), first=first, alerts=alerts)


@router.get("/decisions/{decision_id}")
def decision(request: Request, decision_id: EventId) -> str:
    """One decision: what could have been said, why this was, and what it earned."""
    detail = detail_of(service_of(request), decision_id)
    return render("decision.html", d=detail.explanation, detail=detail, likeliest=LIKELIEST)


@router.get("/decisions/{decision_id}/why")
def reasons(request: Request, decision_id: EventId) -> str:
    """What a decision's page leaves to this one, since the log is folded for it: the words, and what came before."""
    found = reasons_of(service_of(request), decision_id)
    return render("why.html", d=found.explanation, reasons=found)


@router.get("/loops/{loop}/importance")
def weights(request: Request, loop: LoopName, features: bool = False) -> str:
    """What set the candidates of a loop apart."""
    service = service_of(request)
    last = FOLDED if features else WINDOW
    found = importance(service.log, loop, last=last, features=features, snapshots=service.snapshots(loop))
    return render("importance.html", found=found, by_feature=features)


def render(template: str, **values: Any) -> str:
    """A page of the templates folder, filled in; every value is escaped."""
    return _templates.get_template(template).render(**values)


def _moment(at: float) -> datetime:
    """A unix time on this machine's clock, which the console's reader sits at; far-off times are cut."""
    return datetime.fromtimestamp(min(max(at, 0.0), 32_503_680_000.0)).astimezone()


def _day(at: float) -> str:
    moment = _moment(at)
    if moment.date() == _moment(time.time()).date():
        return "today"
    return f"{moment.day} {moment:%b %Y}"


def _clock(at: float) -> str:
    return f"{_moment(at):%H:%M:%S}"


def _iso(at: float) -> str:
    return _moment(at).isoformat(timespec="seconds")


def _percent(share: float) -> str:
    """A probability as people read it; a small one never looks like zero, nor a large one like certainty."""
    if 0.0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1.0:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if share not in (0.0, 1.0) else f"{100 * share:.0f} %"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "\N{MINUS SIGN}")


def _slight(number: float) -> str:
    return f"{number:+.2f}".replace("-", "\N{MINUS SIGN}")


def _share(number: float) -> str:
    return f"{100 * number:.1f} %".replace("-", "\N{MINUS SIGN}")


def _plain(number: float) -> str:
    return f"{number:.3f}".replace("-", "\N{MINUS SIGN}")


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(
    described=described,
    day=_day,
    clock=_clock,
    iso=_iso,
    percent=_percent,
    share=_share,
    signed=_signed,
    slight=_slight,
    plain=_plain,
    short="{:g}".format,
)
