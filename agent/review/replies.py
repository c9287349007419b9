"""Replies: how often each was shown and what it earned, by version, by topic and over time. Read from sums of days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.database import Row
from agent.review.index import ReviewIndex
from agent.review.sums import Sums

#: stretches of time, and how many days each has; None: all there is.
PERIODS: dict[str, int | None] = {"7d": 7, "30d": 30, "90d": 90, "all": None}
BUCKETS = 10  # of a curve that is drawn small
_SUMS = ", ".join(f"sum({name}) as {name}" for name in Sums.__dataclass_fields__)
_EVERYWHERE = "chosen_days where channel = '*' and language = '*' and model_version = '*'"
NOTHING = Sums()
_ASKED = 400  # decisions of a candidate, the latest, whose questions are told


@dataclass(frozen=True)
class Span:
    """Days, the first and the last included, as `date.toordinal` counts them."""

    first: int
    last: int

    @property
    def days(self) -> int:
        """How many there are."""
        return self.last - self.first + 1

    @property
    def before(self) -> Span:
        """As many days before these."""
        return Span(self.first - self.days, self.first - 1)

    @classmethod
    def of(cls, period: str, *, today: date, oldest: int | None = None) -> Span:
        """The days of one of `PERIODS` up to today; `oldest` is the first of all."""
        last, days = today.toordinal(), PERIODS[period]
        return cls(last - days + 1 if days else min(oldest or last, last), last)


@dataclass(frozen=True)
class Figures:
    """Of a candidate in a span: how often it was shown, its share of all that was, and what it earned.

    `before` is what it earned in as many days before; `curve` its mean reward in each of `BUCKETS` stretches.
    """

    shown: int = 0
    share: float = 0.0
    sums: Sums = NOTHING
    before: Sums = NOTHING
    curve: Sequence[float | None] = ()

    @property
    def trend(self) -> float | None:
        """By how much the mean reward differs from that of the days before."""
        now, then = self.sums.mean, self.before.mean
        return None if now is None or then is None else now - then


def oldest(index: ReviewIndex, loop: str) -> int | None:
    """The first day on which anything was decided in a loop."""
    # The plus keeps SQLite to the table's own order, by day: the first row that fits is the answer.
    row = index.row("select day from days where +loop = ? order by day limit 1", (loop,))
    return None if row is None else int(row["day"])


def figures(index: ReviewIndex, loop: str, span: Span) -> dict[str, Figures]:
    """What became of each candidate of a loop, by id; of those never shown there is nothing."""
    before, size = span.before, math.ceil(span.days / BUCKETS)
    rows = index.rows(
        f"select chosen, day < ? as earlier, (day - ?) / ? as bucket, sum(activated) as activated, {_SUMS} "
        f"from {_EVERYWHERE} and day between ? and ? and loop = ? group by chosen, earlier, bucket",
        (span.first, span.first, size, before.first, span.last, loop),
    )
    total = sum(row["activated"] for row in rows if not row["earlier"])
    made = {row["chosen"]: _Adding() for row in rows}
    for row in rows:
        made[row["chosen"]].add(row)
    buckets = math.ceil(span.days / size)
    return {id: adding.done(total, buckets) for id, adding in made.items()}


@dataclass
class _Adding:
    shown: int = 0
    sums: Sums = NOTHING
    before: Sums = NOTHING
    means: dict[int, float | None] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        some = Sums.of(row)
        if row["earlier"]:
            self.before += some
        else:
            self.shown += row["activated"]
            self.sums += some
            self.means[row["bucket"]] = some.mean

    def done(self, total: int, buckets: int) -> Figures:
        curve = [self.means.get(bucket) for bucket in range(buckets)]
        return Figures(self.shown, self.shown / total if total else 0.0, self.sums, self.before, curve)


@dataclass(frozen=True)
class Stretch:
    """Some days of a candidate's: the first, how often it was shown, and what it earned."""

    day: int
    shown: int
    sums: Sums


def over_time(index: ReviewIndex, loop: str, id: str, span: Span, *, most: int = 30) -> list[Stretch]:
    """A candidate's days in at most about `most` stretches of equal length, those without it included."""
    size = math.ceil(span.days / most)
    rows = index.rows(
        f"select (day - ?) / ? as bucket, sum(activated) as activated, {_SUMS} from {_EVERYWHERE} "
        "and loop = ? and chosen = ? and day between ? and ? group by bucket",
        (span.first, size, loop, id, span.first, span.last),
    )
    found = {row["bucket"]: row for row in rows}
    made = []
    for bucket in range(math.ceil(span.days / size)):
        row = found.get(bucket)
        shown, sums = (0, NOTHING) if row is None else (row["activated"], Sums.of(row))
        made.append(Stretch(span.first + bucket * size, shown, sums))
    return made


def by_version(index: ReviewIndex, loop: str, id: str) -> dict[int, Figures]:
    """What each version of a candidate's words earned, over all time."""
    rows = index.rows(
        f"select version, sum(activated) as activated, {_SUMS} from reply_days where loop = ? and chosen = ? "
        "group by version",
        (loop, id),
    )
    total = sum(row["activated"] for row in rows)
    return {
        row["version"]: Figures(row["activated"], row["activated"] / total if total else 0.0, Sums.of(row))
        for row in rows
    }


@dataclass(frozen=True)
class Topic:
    """Questions of one kind: how a candidate did on them, against all others together.

    `share` is how often it was the one chosen there.
    """

    name: str
    shown: int
    share: float
    mine: Sums
    others: Sums

    @property
    def difference(self) -> tuple[float, float, float] | None:
        """By how much the candidate's mean reward is above that of the others, and the 95 % interval of that.

        Newcombe's (1998, method 10), from the intervals of both means; None where one of them is unknown.
        """
        if self.mine.mean is None or self.others.mean is None:
            return None
        return difference(self.mine, self.others)

    @property
    def verdict(self) -> str:
        """`wins`, `loses`, `even` where neither is sure, or `unknown`."""
        found = self.difference
        if found is None:
            return "unknown"
        low, _, high = found
        return "wins" if low > 0.0 else "loses" if high < 0.0 else "even"


def difference(mine: Sums, others: Sums) -> tuple[float, float, float]:
    """The difference of two means (low, value, high), both of which are known."""
    p, q = mine.mean, others.mean
    first, second = mine.interval, others.interval
    if p is None or q is None or first is None or second is None:
        raise ValueError("a difference is of two known means")
    down, up = math.hypot(p - first[0], second[1] - q), math.hypot(first[1] - p, q - second[0])
    return p - q - down, p - q, p - q + up


def topics(index: ReviewIndex, loop: str, id: str, span: Span) -> list[Topic]:
    """How a candidate did by intent, the most frequent first; decisions of no intent are the topic without a name."""
    mine, together = (_by_intent(index, loop, chosen, span) for chosen in (id, ""))
    rows = []
    for intent, (shown, sums) in mine.items():
        all_shown, all_sums = together[intent]
        rows += [(intent, True, shown, sums), (intent, False, all_shown - shown, all_sums - sums)]
    return topics_of(rows)


def _by_intent(index: ReviewIndex, loop: str, chosen: str, span: Span) -> dict[str, tuple[int, Sums]]:
    """How often a candidate was shown on each intent, and what it earned; all candidates where it has no name."""
    rows = index.rows(
        f"select intent, sum(activated) as activated, {_SUMS} from reply_days "
        "where loop = ? and chosen = ? and day between ? and ? group by intent",
        (loop, chosen, span.first, span.last),
    )
    return {row["intent"]: (row["activated"], Sums.of(row)) for row in rows}


def topics_of(rows: Sequence[tuple[str, bool, int, Sums]]) -> list[Topic]:
    """Topics out of rows of a name, whether it is the candidate's, how often shown, and what was earned."""
    names = dict.fromkeys(name for name, mine, _, _ in rows if mine)
    found = []
    for name in names:
        mine, others = ([row for row in rows if row[0] == name and row[1] is own] for own in (True, False))
        shown, other = (sum(row[2] for row in some) for some in (mine, others))
        sums = [sum((row[3] for row in some), NOTHING) for some in (mine, others)]
        found.append(Topic(name, shown, shown / (shown + other) if shown + other else 0.0, *sums))
    return sorted(found, key=lambda topic: (-topic.shown, topic.name))


@dataclass(frozen=True)
class Question:
    """A question that a candidate answered: how often of late, what it earned, and the latest conversation with it."""

    text: str
    times: int
    reward: float | None
    conversation: str
    at: float


def questions(index: ReviewIndex, loop: str, id: str, *, limit: int = 12) -> list[Question]:
    """What a candidate answered of late, the most frequent first: of its latest decisions, some hundred."""
    rows = index.rows(
        "select d.text, d.reward, d.at, c.key from decisions d join conversations c on c.id = d.conversation "
        "where d.loop = ? and d.chosen = ? and d.live order by d.seq desc limit ?",
        (loop, id, _ASKED),
    )
    same: dict[str, list[Any]] = {}
    for row in rows:
        same.setdefault(" ".join(row["text"].lower().split()), []).append(row)
    found = []
    for group in same.values():
        rewards = [row["reward"] for row in group if row["reward"] is not None]
        mean = sum(rewards) / len(rewards) if rewards else None
        found.append(Question(group[0]["text"], len(group), mean, group[0]["key"], group[0]["at"]))
    return sorted(found, key=lambda question: (-question.times, -question.at))[:limit]
