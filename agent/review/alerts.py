"""Alerts: what somebody should look at, each with what it rests on. Words are for who shows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.influence import Held
from agent.log import LearningLog
from agent.mailbox import Mailbox
from agent.review.index import ReviewIndex
from agent.review.overview import Figures, Scope, Topic
from agent.review.rows import day_of

_DAY = 86_400.0
_DAILY = 7  # days in a row with traffic, after which a day without is odd
_REMEMBERED = 28  # days before one, of which its feedback is compared with the median
_FAR, _LEAST_BURST = 6.0, 10  # deviations above the median, and how many at least
_PATIENCE = 600.0  # seconds after which what waits in the mailbox has waited long
_MOST = 5  # of one kind


@dataclass(frozen=True)
class Alert:
    """Something to look at: its `kind`, whether it is bad news, when it was if at one time, and what it rests on.

    Kinds: drift, reward, topic, burst, held, channel, silent, waiting, failed. `about` is a loop, an intent, a channel
    or a reply.
    """

    kind: str
    about: str = ""
    at: float | None = None
    day: int | None = None
    bad: bool = True
    facts: Mapping[str, Any] | None = None


def drifts(log: LearningLog, *, loop: str, since: float, until: float) -> list[Alert]:
    """The latest drift that each loop's detector has raised in a stretch of time."""
    latest = {a.loop: a for a in log.read(kinds=("alert",), loop=loop or None) if since <= a.at < until}
    return [
        Alert("drift", a.loop or "", at=a.at, bad=a.body["after"] < 0, facts=a.body)
        for a in sorted(latest.values(), key=lambda a: -a.seq)
    ]


def reward_drop(now: Figures, before: Figures) -> list[Alert]:
    """That rewards have dropped: their interval lies wholly below the former one."""
    ours, theirs = now.reward.interval, before.reward.interval
    if ours is None or theirs is None or ours[1] >= theirs[0]:
        return []
    return [Alert("reward", facts={"now": now.reward.mean, "before": before.reward.mean})]


def falling(topics: Iterable[Topic]) -> list[Alert]:
    """The topics with which people have become less content."""
    return [
        Alert("topic", topic.intent, facts={"now": topic.now.mean, "before": topic.before.mean})
        for topic in topics
        if topic.falling
    ][:_MOST]


def bursts(index: ReviewIndex, scope: Scope) -> list[Alert]:
    """Days on which far more was said than on most of those before."""
    sql = (
        "select day, sum(fed) as n from signal_days where signal = '' and loop = ? and model_version = ? "
        "and day between ? and ? and ? in ('', channel) and ? in ('', language) group by day"
    )
    first = scope.first - _REMEMBERED
    given = (scope.loop, scope.version, first, scope.last, scope.channel, scope.language)
    heard = {row["day"]: row["n"] for row in index.rows(sql, given)}
    began = min(heard, default=0)
    found = []
    for day in range(max(scope.first, began + _DAILY), scope.last + 1):
        usual = [heard.get(past, 0) for past in range(max(began, day - _REMEMBERED), day)]
        if stands_out(heard.get(day, 0), usual):
            facts = {"count": heard[day], "usual": statistics.median(usual)}
            found.append(Alert("burst", day=day, facts=facts))
    return found[::-1][:_MOST]


def stands_out(count: int, usual: Sequence[int]) -> bool:
    """Whether a count lies far above the median of the usual ones, by how far they scatter around it.

    They scatter at least as much as counts of independent events do.
    """
    middle = statistics.median(usual)
    scatter = 1.4826 * statistics.median(abs(n - middle) for n in usual)
    return count >= _LEAST_BURST and count > middle + _FAR * max(scatter, middle**0.5, 1.0)


def held(bursts: Mapping[str, Sequence[Held]], scope: Scope) -> list[Alert]:
    """The bursts of equal feedback on a reply that a loop's guard damps, of the days that are looked at."""
    found = [
        Alert(
            "held",
            f"{loop}/{burst.candidate}",
            at=burst.at,
            day=day_of(burst.at),
            facts={"value": burst.value, "weight": burst.weight, "counted": burst.counted},
        )
        for loop, each in bursts.items()
        if scope.loop in ("", loop)
        for burst in each
        if burst.at is not None and scope.first <= day_of(burst.at) <= scope.last
    ]
    return sorted(found, key=lambda alert: -(alert.at or 0.0))[:_MOST]


def channels_down(index: ReviewIndex, *, now: float) -> list[Alert]:
    """Channels over which something came every day for a week, and then nothing for a day.

    Where it is so on every channel there is, one alert says that of all together.
    """
    today = day_of(now)
    sql = (
        "select distinct day, channel from days indexed by days_together "
        "where chosen = '' and day >= ? and channel != ''"
    )
    seen: dict[str, set[int]] = {}
    for row in index.rows(sql, (today - 2 * _DAILY,)):
        seen.setdefault(row["channel"], set()).add(row["day"])
    found, alive = [], 0
    for channel, days in sorted(seen.items()):
        last = max(days)
        # They come in the order of time, or nearly.
        sql = "select at from decisions where day = ? and channel = ? order by seq desc limit 1"
        latest = index.row(sql, (last, channel))
        at = float(latest["at"]) if latest else 0.0
        if now - at < _DAY:
            alive += 1
        elif all(last - back in days for back in range(_DAILY)):
            found.append(Alert("channel", channel, at=at, day=last))
    if len(found) > 1 and not alive:
        newest = max(found, key=lambda alert: alert.at or 0.0)
        return [Alert("silent", at=newest.at, day=newest.day)]
    return found


def stuck(mailbox: Mailbox, *, now: float) -> list[Alert]:
    """Channels on which something has waited long to be taken in or sent, or was given up within a week."""
    found = []
    for backlog in mailbox.backlog(since=now - _DAILY * _DAY):
        if backlog.since is not None and now - backlog.since > _PATIENCE:
            found.append(Alert("waiting", backlog.channel, at=backlog.since, facts={"count": backlog.waiting}))
        if backlog.failed:
            found.append(Alert("failed", backlog.channel, facts={"count": backlog.failed}))
    return found
