"""The overview: how it goes, what stands out, and the way to the conversations behind each figure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from agent.console.access import require
from agent.console.api import service_of
from agent.console.formats import moment
from agent.console.index import index_of
from agent.console.language import gettext as _
from agent.console.period import NAMES, Period, iso, midnight, period_of
from agent.console.rendering import render
from agent.console.signals import called
from agent.mailbox import Mailbox
from agent.review import alerts, overview
from agent.review.comparison import Difference, difference
from agent.review.conversations import facets
from agent.review.index import ReviewIndex
from agent.review.overview import Figures
from agent.review.sums import Sums
from agent.service import Service

router = APIRouter(include_in_schema=False, dependencies=[Depends(require("viewer"))])
TOPICS = 10  # shown before the rest, which opens on demand
_POINTS = 120  # of a curve: more days than these are drawn by the week, and then by four weeks
_STEPS = (1, 7, 28)
SAID = (("said", "good"), ("said", "bad"))


@router.get("/")
def overview_page(request: Request) -> HTMLResponse:
    """How it went, and what to look at."""
    index, service = index_of(request), service_of(request)
    span = overview.span(index)
    period = period_of(request, span)
    if span is None:
        return render(request, "overview/start.html", arriving=_arriving(index))
    scope = period.scope
    figures = _figures(index, period)
    best, worst = overview.extremes(index, scope)
    topics = overview.topics(index, scope)
    return render(
        request,
        "overview/page.html",
        period=period,
        presets=[(_here(period, name), _(words)) for name, words in NAMES.items()],
        current=_here(period, period.name),
        options={kind: facets(index, kind) for kind in ("channel", "language", "loop", "version")},
        tiles=_tiles(period, figures),
        charts=_charts(period, figures),
        figures=figures,
        best=best,
        worst=worst,
        topics=topics,
        shown=TOPICS,
        signals=sorted(overview.by_signal(index, scope).items(), key=lambda item: -item[1].fed),
        channels=overview.by_channel(index, scope),
        alerts=_alerts(service, index, period, figures, topics),
        midnight=midnight,
        iso=iso,
        called=called,
    )


def _arriving(index: ReviewIndex) -> bool:
    """Whether there is something to add up soon."""
    return index.behind() > 0 or index.row("select 1 from decisions limit 1") is not None


@dataclass(frozen=True)
class _Parts:
    """The figures of a period: of all its days, of those before, and of each point of its curves (by unix time)."""

    now: Figures
    before: Figures
    points: Mapping[float, Figures]
    spans: Mapping[float, tuple[int, int]]  # the days of each point
    hourly: bool


def _figures(index: ReviewIndex, period: Period) -> _Parts:
    scope = period.scope
    before = overview.by_day(index, scope.before)
    if scope.days == 1:
        start = midnight(scope.first)
        hours = overview.by_hour(index, scope, midnight=start)
        upto = time.time() if scope.first == period.today else midnight(scope.first + 1)
        times = [start + 3_600.0 * slot for slot in range(max(1, round((upto - start) / 3_600 + 0.5)))]
        points = {at: hours.get(slot, Figures()) for slot, at in enumerate(times) if at < midnight(scope.first + 1)}
        spans = dict.fromkeys(points, (scope.first, scope.first))
        return _Parts(overview.of_day(index, scope), overview.total(before), points, spans, True)
    days = overview.by_day(index, scope)
    step = next((step for step in _STEPS if scope.days <= step * _POINTS), _STEPS[-1])
    points, spans = {}, {}
    for first in range(scope.first, scope.last + 1, step):
        last = min(first + step - 1, scope.last)
        at = midnight(first)
        spans[at] = (first, last)
        points[at] = sum((days[day] for day in range(first, last + 1) if day in days), start=Figures())
    return _Parts(overview.total(days), overview.total(before), points, spans, False)


@dataclass(frozen=True)
class Tile:
    """A figure at the top: its value in `unit`, its interval, what it was before, and where it leads."""

    label: str
    value: float | None
    unit: str
    href: str
    interval: tuple[float, float] | None = None
    change: Difference | None = None
    before: float | None = None
    part: int | None = None  # of `whole`, where it is a share
    whole: int | None = None
    of: str = ""

    @property
    def kind(self) -> str:
        """Good or bad, where there is no doubt that it has moved."""
        if self.change is None or not self.change.clear:
            return ""
        return "good" if self.change.value > 0 else "bad"


def _tiles(period: Period, parts: _Parts) -> list[Tile]:
    now, before = parts.now, parts.before
    counts = now.counts

    def to(*facets: tuple[str, str]) -> str:
        return period.conversations(None, None, *facets)

    def mean(label: str, unit: str, ours: Sums, theirs: Sums, href: str) -> Tile:
        return Tile(label, ours.mean, unit, href, ours.interval, difference(ours, theirs))

    def share(label: str, name: str, part: int, whole: int, of: str, *facets: tuple[str, str]) -> Tile:
        was = getattr(before, name)
        return Tile(label, getattr(now, name), "percent", to(*facets), before=was, part=part, whole=whole, of=of)

    talks, decided = "conversations", "decisions"
    confirmed = ("outcome", "resolved_confirmed good")
    return [
        mean(_("Satisfaction"), "percent", now.satisfaction, before.satisfaction, to(*SAID)),
        mean(_("Mean reward"), "score", now.reward, before.reward, to()),
        Tile(_("Conversations"), counts.conversations, "number", to(), before=before.counts.conversations),
        Tile(_("Decisions"), counts.decisions, "number", to(), before=before.counts.decisions),
        share(_("Feedback"), "feedback", counts.spoke, counts.conversations, talks, *SAID),
        share(_("Exploration"), "exploration", counts.explored, counts.live, decided, ("was", "explored")),
        share(_("Handed over"), "handover", counts.handovers, counts.conversations, talks, ("was", "handed over")),
        share(_("Abstained"), "abstention", counts.abstained, counts.decisions, decided, ("was", "abstained")),
        share(_("Resolved, confirmed"), "confirmed", counts.confirmed, counts.conversations, talks, confirmed),
        share(
            _("Resolved, assumed"),
            "assumed",
            counts.assumed,
            counts.conversations,
            talks,
            ("signal", "resolved_assumed"),
            ("not", ":".join(confirmed)),
        ),
    ]


def _charts(period: Period, parts: _Parts) -> dict[str, Any]:
    """What the macro `chart` draws: times, and series by what they are of."""
    times, points = list(parts.points), list(parts.points.values())

    def hrefs(*facets: tuple[str, str]) -> list[str]:
        def hour(at: float) -> Sequence[tuple[str, str]]:
            return [("hour", f"{moment(at).hour:02d}")] if parts.hourly else []

        return [period.conversations(*parts.spans[at], *facets, *hour(at)) for at in times]

    def mean(name: str, sums: Sequence[Sums], links: list[str]) -> dict[str, Any]:
        ends = [each.interval or (None, None) for each in sums]
        low, high = [end[0] for end in ends], [end[1] for end in ends]
        return {"name": name, "values": [each.mean for each in sums], "low": low, "high": high, "hrefs": links}

    def line(name: str, values: Sequence[float | None], links: list[str], **look: Any) -> dict[str, Any]:
        return {"name": name, "values": list(values), "hrefs": links, **look}

    said, counts = hrefs(*SAID), [point.counts for point in points]
    return {
        "times": times,
        "by": "hour" if parts.hourly else "day",
        "reward": [mean(_("Reward"), [point.reward for point in points], hrefs())],
        "satisfaction": [mean(_("Satisfaction"), [point.satisfaction for point in points], said)],
        "amounts": [
            line(_("Decisions"), [each.decisions for each in counts], hrefs()),
            line(_("Feedback"), [point.satisfaction.fed for point in points], said, colour="fair", dashed=True),
        ],
        "shares": [
            line(_("Exploration"), [point.exploration for point in points], hrefs(("was", "explored"))),
            line(
                _("Handed over"),
                [point.handover for point in points],
                hrefs(("was", "handed over")),
                colour="bad",
                dashed=True,
            ),
        ],
    }


def _alerts(
    service: Service,
    index: ReviewIndex,
    period: Period,
    parts: _Parts,
    topics: Sequence[overview.Topic],
) -> list[alerts.Alert]:
    now, scope = time.time(), period.scope
    ends = {"since": midnight(scope.first), "until": midnight(scope.last + 1)}
    found = alerts.drifts(service.log, loop=scope.loop, **ends)
    found += alerts.reward_drop(parts.now, parts.before)
    found += alerts.falling(topics)
    found += alerts.bursts(index, scope)
    found += alerts.held(service.bursts(), scope)
    if scope.last >= period.today:  # what is wrong now
        found += alerts.channels_down(index, now=now)
        found += alerts.stuck(Mailbox(service.log), now=now)
    return [alert for alert in found if not scope.channel or alert.kind != "channel" or alert.about == scope.channel]


def _here(period: Period, name: str) -> str:
    changes = {"when": name, "from": "", "to": ""}
    return f"/?{urlencode(period.pairs(**changes))}"
