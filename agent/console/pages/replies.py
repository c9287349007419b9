"""Replies: what each earned and where; and writing, editing, switching and scheduling them."""

from __future__ import annotations

import time
from datetime import date, datetime
from datetime import time as daytime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.bench import Preview
from agent.bench import preview as previewed
from agent.candidates import CONSOLE, STATES, Reply
from agent.console.access import require
from agent.console.api import LoopName, service_of
from agent.console.formats import moment
from agent.console.index import index_of, later_of
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.rendering import render
from agent.console.times import moment_of
from agent.errors import Conflict, InvalidInput, ModelMissing, Unknown
from agent.review import contexts
from agent.review import replies as review
from agent.review.replies import PERIODS, Figures, Span, Topic
from agent.service import Service

ROWS = 50  # a page of the list
SORTS = ("shown", "best", "worst", "rising", "falling", "feedback", "name")
LONGEST = 12_000  # characters of a field
router = APIRouter(prefix="/replies", include_in_schema=False)
Viewer = Annotated[Visitor, Depends(require("viewer"))]
Reviewer = Annotated[Visitor, Depends(require("reviewer"))]
Text = Annotated[str, Form(max_length=LONGEST)]
Name = Annotated[str, Form(min_length=1, max_length=200)]
Lines = Annotated[str, Form(max_length=200_000)]


@router.get("")
def listed(
    request: Request,
    _visitor: Viewer,
    loop: Annotated[str, Query(max_length=100)] = "",
    q: Annotated[str, Query(max_length=500)] = "",
    state: Annotated[str, Query(max_length=40)] = "",
    period: Annotated[str, Query(max_length=10)] = "30d",
    sort: Annotated[str, Query(max_length=20)] = "shown",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Every candidate of a loop, as it stands, with what it earned of late."""
    service, index = service_of(request), index_of(request)
    loops = ordered(service.loops())
    if loop and loop not in loops:
        raise Unknown(f"unknown loop {loop!r}")
    loop = loop or next(iter(loops), "")
    period, sort = period if period in PERIODS else "30d", sort if sort in SORTS else "shown"
    asked = {"loop": loop, "q": q, "state": state, "period": period, "sort": sort}
    if not loop:
        return render(request, "replies/list.html", loops=[], asked=asked, rows=[], total=0, page=1, pages=1, states=())
    found = review.figures(index, loop, _span(request, loop, period))
    rows = [Line(reply, found.get(reply.id, Figures())) for reply in service.overview(loop).candidates]
    rows = [row for row in rows if row.fits(q, state)]
    rows.sort(key=_ORDERS[sort])
    pages = max(1, -(-len(rows) // ROWS))
    page = min(page, pages)
    shown = rows[(page - 1) * ROWS : page * ROWS]
    values: dict[str, Any] = {"rows": shown, "total": len(rows), "page": page, "pages": pages}
    values["states"] = (*STATES, *Line.TIMED)
    return render(request, "replies/list.html", loops=loops, asked=asked, **values)


class Line:
    """One candidate in the list: its words, how it stands now, and what it earned."""

    TIMED = ("not yet", "no longer", "not approved")

    def __init__(self, reply: Reply, figures: Figures) -> None:
        self.reply, self.figures = reply, figures
        self.states = states_of(reply)

    def fits(self, q: str, state: str) -> bool:
        """Whether its words, questions or id hold every word of `q`, and it is in the state (empty: any)."""
        said = " ".join((self.reply.id, *self.reply.meant)).casefold()
        return all(word in said for word in q.casefold().split()) and (not state or state in self.states)


def states_of(reply: Reply) -> list[str]:
    """How a reply stands now: its state, whether it is out of its time, and whether it waits for approval."""
    found = [reply.state]
    if reply.since is not None and time.time() < reply.since:
        found.append("not yet")
    if reply.until is not None and time.time() >= reply.until:
        found.append("no longer")
    return found if reply.approved else [*found, "not approved"]


def _last(value: float | None, sign: float) -> tuple[bool, float]:
    """Unknown values come last, whichever way round the known ones go."""
    return value is None, sign * (value or 0.0)


_ORDERS: dict[str, Any] = {
    "shown": lambda row: (-row.figures.shown, row.reply.id),
    "best": lambda row: (*_last(row.figures.sums.mean, -1.0), row.reply.id),
    "worst": lambda row: (*_last(row.figures.sums.mean, 1.0), row.reply.id),
    "rising": lambda row: (*_last(row.figures.trend, -1.0), row.reply.id),
    "falling": lambda row: (*_last(row.figures.trend, 1.0), row.reply.id),
    "feedback": lambda row: (-row.figures.sums.fed, row.reply.id),
    "name": lambda row: row.reply.id,
}


@router.get("/new")
def new(request: Request, _visitor: Reviewer, loop: Annotated[str, Query(max_length=100)] = "") -> Response:
    """The form for a wholly new reply."""
    loops = writable(service_of(request))
    if loop and loop not in loops:
        raise Unknown(f"unknown loop {loop!r}")
    return _new(request, loop=loop)


@router.post("/new")
def write(
    request: Request,
    visitor: Reviewer,
    loop: Name,
    text: Annotated[list[str], Form()],
    examples: Lines = "",
    why: Text = "",
    do: Text = "write",
) -> Response:
    """Write it; or show what it would change, and write nothing."""
    service, texts, asked = service_of(request), _given(text), lines_of(examples)
    given: dict[str, Any] = {"loop": loop, "texts": texts, "examples": asked, "why": why}
    try:
        if do == "preview":
            return _new(request, **given, preview=preview_of(service, loop, None, texts, asked))
        reply = service.write(loop, texts=texts, examples=asked, who=visitor.name, why=why)
    except (InvalidInput, ModelMissing) as error:
        status = 404 if isinstance(error, Unknown) else 409 if isinstance(error, Conflict) else 422
        return _new(request, **given, error=str(error), status=status)
    said = _("Reply written: the bot may give it from now on. Undo switches it off; its words stay.")
    undo: dict[str, Any] = {"loop": loop, "id": reply.id, "state": "disabled"}
    return tell(RedirectResponse(path_of(loop, reply.id), 303), said, undo="/replies/state", **undo)


@router.post("/edit")
def edit(
    request: Request,
    visitor: Reviewer,
    loop: Name,
    id: Name,
    version: Annotated[int, Form(ge=0)],
    text: Annotated[list[str], Form()],
    examples: Lines = "",
    typo: Annotated[bool, Form()] = False,
    why: Text = "",
    do: Text = "save",
) -> Response:
    """Give a candidate other words as a new version; or show what they would change."""
    service, texts, asked = service_of(request), _given(text), lines_of(examples)
    given: dict[str, Any] = {"texts": texts, "examples": asked, "typo": typo, "why": why}
    try:
        if do == "preview":
            return _one(request, loop, id, **given, preview=preview_of(service, loop, id, texts, asked, typo=typo))
        before = service.history(loop, id)[0].reply.version
        reply = service.edit(
            loop, id, texts, examples=asked, who=visitor.name, typo=typo, why=why, version_seen=version
        )
    except Conflict as error:
        return _one(request, loop, id, **given, error=str(error), conflict=True, status=409)
    except (InvalidInput, ModelMissing) as error:
        if isinstance(error, Unknown):
            raise
        return _one(request, loop, id, **given, error=str(error), status=422)
    back = RedirectResponse(path_of(loop, id), 303)
    if reply.version == before:
        return tell(back, _("Nothing was changed: these are its words already."))
    said = _("New version kept; the old one stays below. Undo writes the old words again, as a further version.")
    undo: dict[str, Any] = {"loop": loop, "id": id, "version": str(before), "seen": str(reply.version)}
    return tell(back, said, undo="/replies/restore", **undo)


@router.post("/restore")
def restore(
    request: Request,
    visitor: Reviewer,
    loop: Name,
    id: Name,
    version: Annotated[int, Form(ge=0)],
    seen: Annotated[int, Form(ge=0)],
) -> Response:
    """Write the words of an earlier version again: what was learned of them holds again."""
    service = service_of(request)
    old = next((v.reply for v in service.history(loop, id) if v.reply.version == version), None)
    if old is None:
        raise Unknown(f"unknown candidate {id!r} version {version}")
    why = f"the words of version {version} again"
    reply = service.edit(loop, id, old.texts, examples=old.examples, who=visitor.name, why=why, version_seen=seen)
    said = _("The words of version %(old)s are in force again, as version %(new)s.")
    undo: dict[str, Any] = {"loop": loop, "id": id, "version": str(seen), "seen": str(reply.version)}
    back = RedirectResponse(path_of(loop, id), 303)
    return tell(back, said % {"old": version, "new": reply.version}, undo="/replies/restore", **undo)


@router.post("/state")
def state(request: Request, visitor: Reviewer, loop: Name, id: Name, state: Name, why: Text = "") -> Response:
    """Enable, disable, pin or block a candidate."""
    service = service_of(request)
    former = service.history(loop, id)[0].reply.state
    service.mark(loop, id, state=state, who=visitor.name, why=why)
    said = {
        "enabled": _("Enabled: it may be chosen again."),
        "disabled": _("Disabled: it is not chosen any more."),
        "pinned": _("Pinned: where it may be chosen, only pinned ones are."),
        "blocked": _("Blocked: it is never chosen."),
    }[state]
    back = RedirectResponse(path_of(loop, id), 303)
    return tell(back, said, undo="/replies/state", loop=loop, id=id, state=former)


@router.post("/approve")
def approve(
    request: Request, visitor: Reviewer, loop: Name, id: Name, approved: Annotated[bool, Form()] = True
) -> Response:
    """Let strict loops use a candidate's latest words, or no longer."""
    service_of(request).mark(loop, id, approved=approved, who=visitor.name)
    said = _("Approved.") if approved else _("Approval taken back.")
    undo: dict[str, Any] = {"loop": loop, "id": id, "approved": "false" if approved else "true"}
    return tell(RedirectResponse(path_of(loop, id), 303), said, undo="/replies/approve", **undo)


@router.post("/schedule")
def schedule(request: Request, visitor: Reviewer, loop: Name, id: Name, since: Text = "", until: Text = "") -> Response:
    """Say from when and until when a candidate may be chosen; empty: without end."""
    service = service_of(request)
    former = service.history(loop, id)[0].reply
    try:
        begins, ends = moment_of(since), moment_of(until)
        service.schedule(loop, id, since=begins, until=ends, who=visitor.name)
    except InvalidInput as error:
        if isinstance(error, Unknown):
            raise
        return _one(request, loop, id, times_error=str(error), since=since, until=until, status=422)
    undo: dict[str, Any] = {"loop": loop, "id": id, "since": written(former.since), "until": written(former.until)}
    back = RedirectResponse(path_of(loop, id), 303)
    return tell(back, _("Times kept."), undo="/replies/schedule", **undo)


@router.get("/{loop}/{candidate:path}")
def one(
    request: Request,
    _visitor: Viewer,
    loop: LoopName,
    candidate: str,
    period: Annotated[str, Query(max_length=10)] = "90d",
) -> Response:
    """One candidate: its words, what they earned, where it wins and loses, and what can be done about it."""
    return _one(request, loop, candidate, period=period)


def _one(request: Request, loop: str, id: str, *, period: str = "90d", status: int = 200, **given: Any) -> Response:
    """A candidate's page; `given` is what somebody has just written there, and what came of it."""
    service, index = service_of(request), index_of(request)
    history = service.history(loop, id)
    reply = history[0].reply
    period = period if period in PERIODS else "90d"
    span = _span(request, loop, period)
    wordings = _wordings(service, loop, id)
    values = {
        "loop": loop,
        "reply": reply,
        "states": states_of(reply),
        "history": history,
        "period": period,
        "noon": noon,
        "figures": review.figures(index, loop, span).get(id, Figures()),
        "versions": review.by_version(index, loop, id),
        "stretches": review.over_time(index, loop, id, span),
        "topics": _topics(request, loop, id, span),
        "questions": review.questions(index, loop, id),
        "wordings": wordings,
        "editable": not loop.startswith("items:") and reply.prior is None,
        "by_console": reply.origin == CONSOLE,
        "since": written(reply.since)[:16],
        "until": written(reply.until)[:16],
    }
    form = {"texts": reply.texts, "examples": reply.examples, "typo": False, "why": "", "preview": None, "error": ""}
    rest = {"conflict": False, "times_error": ""}
    return render(request, "replies/reply.html", status=status, **{**values, **form, **rest, **given})


def _topics(request: Request, loop: str, id: str, span: Span) -> list[Topic]:
    """How it did by intent; where hardly any is known, by clusters of what was asked, once they are made."""
    service, index = service_of(request), index_of(request)
    found = review.topics(index, loop, id, span)
    named = sum(topic.shown for topic in found if topic.name)
    if not found or 2 * named >= sum(topic.shown for topic in found):
        return found

    def make() -> list[contexts.Given]:
        return contexts.given(index, service.log, loop, encoder=service.settings(loop).encoder)

    made = later_of(request).get(("contexts", loop), index.seq, make)
    return found if made is None else contexts.topics(made.value, id)


def _new(
    request: Request,
    *,
    loop: str = "",
    texts: Any = (),
    examples: Any = (),
    why: str = "",
    preview: Preview | None = None,
    error: str = "",
    status: int = 200,
) -> Response:
    loops = writable(service_of(request))
    values = {"loops": loops, "loop": loop or next(iter(loops), ""), "texts": texts, "examples": examples, "why": why}
    return render(request, "replies/new.html", status=status, **values, preview=preview, error=error)


def preview_of(
    service: Service, loop: str, id: str | None, texts: list[str], examples: list[str], *, typo: bool = False
) -> Preview:
    """What the words would change over the latest questions, by the model in force."""
    draft = service.draft(loop, texts, id=id, examples=examples, typo=typo)
    bench = service.bench(loop)
    return previewed(bench, draft, service.log, service.encoder(bench.encoder))


def writable(service: Service) -> list[str]:
    """The loops for which people can write wholly new replies: not those of wordings, nor of items."""
    return [loop for loop in ordered(service.loops()) if loop != "responses" and not loop.startswith("items:")]


def ordered(loops: list[str]) -> list[str]:
    """Loops as they are shown: whole replies first, then their wordings, items last."""
    return sorted(loops, key=lambda loop: (loop.startswith("items:"), loop == "responses", loop != "actions", loop))


def path_of(loop: str, id: str) -> str:
    """The page of a candidate."""
    return f"/replies/{quote(loop, safe=':')}/{quote(id)}"


def lines_of(text: str) -> list[str]:
    """The lines that say something."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def written(at: float | None) -> str:
    """A time as a browser's field for it has it; empty for none."""
    return "" if at is None else moment(at).replace(tzinfo=None).isoformat(timespec="auto")


def noon(day: int) -> float:
    """Midday of a day counted as `date.toordinal` does, in unix seconds: on a curve, its place."""
    return datetime.combine(date.fromordinal(day), daytime(12)).astimezone().timestamp()


def _given(texts: list[str]) -> list[str]:
    return [text.replace("\r\n", "\n").strip() for text in texts if text.strip()]


def _span(request: Request, loop: str, period: str) -> Span:
    oldest = review.oldest(index_of(request), loop) if PERIODS[period] is None else None
    return Span.of(period, today=moment(time.time()).date(), oldest=oldest)


def _wordings(service: Service, loop: str, id: str) -> list[Reply]:
    """The wordings of a reply, which are candidates of a loop of their own."""
    if loop == "responses" or "responses" not in service.loops():
        return []
    return [reply for reply in service.overview("responses").candidates if reply.id.startswith(f"{id}/")]
