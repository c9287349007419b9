"""Operations: who did what, whether all is well, and what programs can ask for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from agent.access.visitor import Visitor
from agent.console.access import door_of, require
from agent.console.api import service_of
from agent.console.health import findings, loading_of
from agent.console.index import index_of
from agent.console.language import gettext as _
from agent.console.reference import reference
from agent.console.rendering import render
from agent.mailbox import Mailbox
from agent.review import trail
from agent.review.index import ReviewIndex
from agent.service import Service

router = APIRouter(include_in_schema=False)
ROWS = 50  # a page of the trail
PATIENCE = 0.1  # seconds that the page waits for an encoder to load: it can say that one is being loaded
_WEEK = 7 * 86_400.0
Viewer = Annotated[Visitor, Depends(require("viewer"))]
Text = Annotated[str, Query(max_length=500)]


def tabs_for(visitor: Visitor) -> list[tuple[str, str]]:
    """The pages of the section that somebody may see."""
    found = [("/operations", _("Audit log")), ("/operations/health", _("Health")), ("/docs", _("HTTP API"))]
    if visitor.may("admin"):
        found.insert(1, ("/people", _("Users and keys")))
    return found


@router.get("/operations")
def audit_log(request: Request, visitor: Viewer, who: Text = "", kind: Text = "", before: Text = "") -> HTMLResponse:
    """Who did what, the latest first; who logged in, and what was done to users and keys, is for admins."""
    index = index_of(request)
    audit = door_of(request).audit if visitor.may("admin") else None
    page = trail.page(index, audit, who=who, kind=kind, before=before or None, limit=ROWS)
    asked = {name: value for name, value in (("who", who), ("kind", kind)) if value}
    return render(
        request,
        "operations/audit.html",
        tabs=tabs_for(visitor),
        page=page,
        who=who,
        kind=kind,
        people=trail.people(index, audit),
        kinds=trail.kinds(index, audit),
        older=f"/operations?{urlencode({**asked, 'before': page.older})}" if page.older else None,
        latest=f"/operations?{urlencode(asked)}" if before else None,
        all_of_it=audit is not None,
    )


@router.get("/operations/health")
def health(request: Request, visitor: Viewer) -> HTMLResponse:
    """Whether all is well, how much there is, and how far everything has come."""
    service, index = service_of(request), index_of(request)
    last, now = service.log.last_seq(), time.time()
    return render(
        request,
        "operations/health.html",
        tabs=tabs_for(visitor),
        findings=findings(request, patience=PATIENCE),
        loading=loading_of(request).under_way,
        last=last,
        index=_index(index),
        kinds=index.rows("select kind, events, last from kinds order by events desc, kind"),
        folds=[(loop, fold, max(0, last - fold.seq)) for loop, fold in sorted(service.folds().items())],
        backlog=Mailbox(service.log).backlog(since=now - _WEEK),
        files=list(_files(service)),
        disk=shutil.disk_usage(service.home),
    )


@router.get("/docs")
def docs(request: Request, visitor: Viewer) -> HTMLResponse:
    """The HTTP API: every call, what it takes and answers, and the scope it needs."""
    found = reference(request.app, base=str(request.base_url).rstrip("/"))
    return render(request, "operations/docs.html", tabs=tabs_for(visitor), found=found)


def _index(index: ReviewIndex) -> dict[str, Any]:
    stale = index.row("select count(*) as n from stale_days")
    return {"seq": index.seq, "share": index.share, "behind": index.behind(), "stale": stale["n"] if stale else 0}


def _files(service: Service) -> Iterator[tuple[str, int]]:
    """What lies in the home folder: the databases with what stands beside them, and the snapshots; in bytes."""
    home = service.home
    for name in (service.log.path.name, "review.db", "access.db"):
        yield name, sum(_size(path) for path in home.glob(f"{name}*"))
    yield "snapshots/", sum(_size(path) for path in (home / "snapshots").rglob("*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone by now
        return 0
