"""Overview: how it went in a stretch of days, from the sums by day; of a single day, hour by hour from its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.candidates import ABSTAIN
from agent.database import Row
from agent.review.comparison import fall, standing_out
from agent.review.index import ReviewIndex
from agent.review.sums import Sums

_SUMS = tuple(Sums.__dataclass_fields__)
_SUMMED = ", ".join(f"sum({name}) as {name}" for name in _SUMS)
LEAST_HEARD = 5  # customers of whom one must have heard, before and now, to compare a topic at all


@dataclass(frozen=True)
class Scope:
    """What is looked at: days from `first` to `last` (as `date.toordinal` counts), of a channel and so on or of all."""

    first: int
    last: int
    channel: str = ""
    language: str = ""
    loop: str = ""
    version: str = ""

    @property
    def days(self) -> int:
        """How many days there are."""
        return self.last - self.first + 1

    @property
    def before(self) -> Scope:
        """As many days, those before."""
        return replace(self, first=self.first - self.days, last=self.first - 1)


@dataclass(frozen=True)
class Counts:
    """How many there were: decisions and what became of them, then conversations and how they ended.

    `live` decisions could be sent, `explored` ones of them went not to the best expected. Conversations count where
    they began; in `spoke` of them the customer said how it was.
    """

    decisions: int = 0
    live: int = 0
    explored: int = 0
    abstained: int = 0
    activated: int = 0
    conversations: int = 0
    turns: int = 0
    spoke: int = 0
    handovers: int = 0
    assumed: int = 0
    confirmed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


_OF_DECISIONS = ("decisions", "live", "explored", "abstained", "activated")
_OF_CONVERSATIONS = ("conversations", "turns", "spoke", "handovers", "assumed", "confirmed")


@dataclass(frozen=True)
class Figures:
    """What happened in a stretch of time: what was earned, what was said of it, and counts."""

    reward: Sums = field(default_factory=Sums)
    satisfaction: Sums = field(default_factory=Sums)
    counts: Counts = field(default_factory=Counts)

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.reward + other.reward, self.satisfaction + other.satisfaction, self.counts + other.counts)

    @property
    def exploration(self) -> float | None:
        """The share of live decisions that went not to the best expected."""
        return _share(self.counts.explored, self.counts.live)

    @property
    def abstention(self) -> float | None:
        """The share of decisions in which the answer was left to others."""
        return _share(self.counts.abstained, self.counts.decisions)

    @property
    def feedback(self) -> float | None:
        """The share of conversations in which the customer said how it was."""
        return _share(self.counts.spoke, self.counts.conversations)

    @property
    def handover(self) -> float | None:
        """The share of conversations that people took over."""
        return _share(self.counts.handovers, self.counts.conversations)

    @property
    def assumed(self) -> float | None:
        """The share of conversations that ended as if all was said."""
        return _share(self.counts.assumed, self.counts.conversations)

    @property
    def confirmed(self) -> float | None:
        """The share of conversations in which the customer said that it helped."""
        return _share(self.counts.confirmed, self.counts.conversations)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def span(index: ReviewIndex) -> tuple[int, int] | None:
    """The first and the last day of which there are sums; None where there are none."""
    row = index.row("select min(day) as first, max(day) as last from days indexed by days_together where chosen = ''")
    return None if row is None or row["first"] is None else (row["first"], row["last"])


def by_day(index: ReviewIndex, scope: Scope) -> dict[int, Figures]:
    """The figures of each day on which anything happened, by day."""
    found: dict[int, Figures] = {}

    def add(row: Row, figures: Figures) -> None:
        found[row["day"]] = found.get(row["day"], Figures()) + figures

    where, values = _where(scope, plain=("loop", "model_version"))
    counted = ", ".join(f"sum({name}) as {name}" for name in _OF_DECISIONS)
    sql = f"select day, {counted}, {_SUMMED} from days where chosen = '' and {where} group by day"
    for row in index.rows(sql, values):
        add(row, Figures(reward=Sums.of(row), counts=Counts(**{name: row[name] for name in _OF_DECISIONS})))
    where, values = _where(scope)
    sql = f"select day, {_SUMMED} from signal_days where signal = '' and {where} group by day"
    for row in index.rows(sql, values):
        add(row, Figures(satisfaction=Sums.of(row)))
    counted = ", ".join(f"sum({name}) as {name}" for name in _OF_CONVERSATIONS)
    for row in index.rows(f"select day, {counted} from conversation_days where {where} group by day", values):
        add(row, Figures(counts=Counts(**{name: row[name] for name in _OF_CONVERSATIONS})))
    return found


def total(figures: Mapping[int, Figures]) -> Figures:
    """All of them together."""
    return sum(figures.values(), start=Figures())


def by_signal(index: ReviewIndex, scope: Scope) -> dict[str, Sums]:
    """What each kind of signal said, by its name: the mean is of values scaled to [0, 1]."""
    where, values = _where(scope)
    sql = f"select signal, {_SUMMED} from signal_days where signal != '' and {where} group by signal"
    return {row["signal"]: Sums.of(row) for row in index.rows(sql, values)}


@dataclass(frozen=True)
class Channel:
    """A channel, with how much came over it and how content people were there; "" is the one of no name."""

    name: str
    conversations: int
    satisfaction: Sums


def by_channel(index: ReviewIndex, scope: Scope) -> list[Channel]:
    """The channels, the busiest first."""
    where, values = _where(scope)
    counted = "select channel, sum(conversations) as n from conversation_days"
    busy = {row["channel"]: row["n"] for row in index.rows(f"{counted} where {where} group by channel", values)}
    sql = f"select channel, {_SUMMED} from signal_days where signal = '' and {where} group by channel"
    content = {row["channel"]: Sums.of(row) for row in index.rows(sql, values)}
    found = [Channel(name, busy.get(name, 0), content.get(name, Sums())) for name in busy.keys() | content.keys()]
    return sorted(found, key=lambda channel: (-channel.conversations, channel.name))


@dataclass(frozen=True)
class Reply:
    """A candidate of a loop: how often it could be sent and was, and what it earned."""

    loop: str
    id: str
    live: int
    reward: Sums


def extremes(index: ReviewIndex, scope: Scope, *, most: int = 5) -> tuple[list[Reply], list[Reply]]:
    """The best replies and the worst, no reply in both.

    The best are those that are good even if luck was with them (by the lower end of the interval), the worst those
    that are bad even if it was not (by the upper end): a single thumb makes neither.
    """
    table, where, values = _of_chosen(scope)
    sql = (
        f"select loop, chosen, sum(live) as live, {_SUMMED} from {table} "
        f"where chosen not in ('', ?) and {where} group by loop, chosen"
    )
    replies = [
        Reply(row["loop"], row["chosen"], row["live"], Sums.of(row)) for row in index.rows(sql, (ABSTAIN, *values))
    ]
    known = [(reply.reward.interval, reply) for reply in replies if reply.live]
    rated = [(ends, reply) for ends, reply in known if ends is not None]
    rated.sort(key=lambda one: (-one[0][0], one[1].loop, one[1].id))
    best = [reply for _, reply in rated[: min(most, (len(rated) + 1) // 2)]]
    rest = sorted(rated[len(best) :], key=lambda one: (one[0][1], one[1].loop, one[1].id))
    return best, [reply for _, reply in rest[:most]]


@dataclass(frozen=True)
class Topic:
    """What is asked under an intent: in how many turns, and how content people were, now and before.

    `chance` is how likely such a fall is where nothing has changed (1 where nothing fell or little is known).
    `falling` says that it stands out among all the topics compared.
    """

    intent: str
    asked: int
    now: Sums
    before: Sums
    chance: float
    falling: bool

    @property
    def change(self) -> float | None:
        """By how much satisfaction has grown."""
        return None if self.now.mean is None or self.before.mean is None else self.now.mean - self.before.mean


def topics(index: ReviewIndex, scope: Scope) -> list[Topic]:
    """The topics that came up: those that fall first, then by how likely their fall is by chance, then by how often."""
    now, before = _intents(index, scope), _intents(index, scope.before)
    nothing = (0, Sums())
    chances = {
        intent: fall(said, before.get(intent, nothing)[1])
        for intent, (_, said) in now.items()
        if min(said.clusters, before.get(intent, nothing)[1].clusters) >= LEAST_HEARD
    }
    falling = standing_out(chances)
    found = [
        Topic(intent, asked, said, before.get(intent, nothing)[1], chances.get(intent, 1.0), intent in falling)
        for intent, (asked, said) in now.items()
    ]
    return sorted(found, key=lambda topic: (not topic.falling, topic.chance, -topic.asked, topic.intent))


def _intents(index: ReviewIndex, scope: Scope) -> dict[str, tuple[int, Sums]]:
    where, values = _where(scope)
    every = scope.channel == scope.language == ""
    where += " and channel = '*' and language = '*'" if every else " and channel != '*'"
    sql = f"select intent, sum(asked) as asked, {_SUMMED} from intent_days where {where} group by intent"
    return {row["intent"]: (row["asked"], Sums.of(row)) for row in index.rows(sql, values)}


def _of_chosen(scope: Scope) -> tuple[str, str, tuple[Any, ...]]:
    """Where the sums of candidates are added up already, as far as they are, and the condition on its rows."""
    narrowed = {"channel": scope.channel, "language": scope.language, "model_version": scope.version}
    if sum(bool(value) for value in narrowed.values()) > 1:
        return ("days", *_where(scope, plain=("loop", "model_version")))
    where, values = _where(replace(scope, channel="", language="", version=""), plain=("loop", "model_version"))
    where += "".join(f" and {column} = ?" for column in narrowed)
    return "chosen_days", where, (*values, *(value or "*" for value in narrowed.values()))


def by_hour(index: ReviewIndex, scope: Scope, *, midnight: float) -> dict[int, Figures]:
    """The figures of each hour of a single day, counted from its midnight (unix seconds), by its rows as they are."""
    return _of_rows(index, scope, "cast(({at} - :midnight) / 3600 as integer)", midnight)


def of_day(index: ReviewIndex, scope: Scope) -> Figures:
    """The figures of a single day as a whole, by its rows as they are now; a conversation is one cluster."""
    return _of_rows(index, scope, "0", 0.0).get(0, Figures())


# Which conversations are of a loop and version, or of any.
_KNOWN = (
    "(:loop = '' and :version = '' or exists (select 1 from decisions k where k.conversation = {0} "
    "and :loop in ('', k.loop) and :version in ('', k.model_version){1}))"
)
# An outcome counts for what was decided at its address before it.
_AT = (
    " and k.seq < o.seq and (o.decision is null or k.id = o.decision)"
    " and (o.decision is not null or o.turn is null or k.turn = o.turn)"
)
_EACH = "count(*) as n, coalesce(sum({0}), 0.0) as w, coalesce(sum({0} * {1}), 0.0) as s, count({1}) as f"
_FROM_EACH = (
    "sum(f > 0) as clusters, sum(f) as fed, sum(w) as weight, sum(s) as total, sum(s * s) as square, "
    "sum(s * w) as 'cross', sum(w * w) as weights"
)


def _of_rows(index: ReviewIndex, scope: Scope, slot: str, midnight: float) -> dict[int, Figures]:
    found: dict[int, Figures] = {}
    given: dict[str, Any] = {
        "day": scope.first, "midnight": midnight, "channel": scope.channel, "language": scope.language,
        "loop": scope.loop, "version": scope.version,
    }  # fmt: skip
    same = ":channel in ('', channel) and :language in ('', language)"
    decided = f"""
        select slot, sum(n) as decisions, sum(live) as live, sum(explored) as explored, sum(abstained) as abstained,
            sum(activated) as activated, {_FROM_EACH}
        from (
            select {slot.format(at="at")} as slot,
                {_EACH.format("case when reward is not null then weight end", "reward")},
                sum(live) as live, sum(explored and live) as explored, sum(abstained) as abstained,
                sum(activated) as activated
            from decisions where day = :day and {same} and :loop in ('', loop) and :version in ('', model_version)
            group by 1, conversation, loop, model_version, channel, language
        ) group by slot"""
    told = f"""
        select slot, {_FROM_EACH} from (
            select {slot.format(at="o.at")} as slot, {_EACH.format("1.0", "scaled")}
            from outcomes o join conversations c on c.id = o.conversation
            where o.day = :day and standing and explicit and {same} and {_KNOWN.format("o.conversation", _AT)}
            group by 1, o.conversation
        ) group by slot"""
    began = f"""
        select {slot.format(at="started")} as slot, count(*) as conversations, sum(turns) as turns,
            sum(exists (select 1 from outcomes o where o.conversation = c.id and standing and explicit)) as spoke,
            sum(handed_over) as handovers, sum(resolved is 'assumed') as assumed,
            sum(resolved is 'confirmed') as confirmed
        from conversations c where day = :day and {same} and {_KNOWN.format("c.id", "")} group by 1"""

    def add(row: Row, figures: Figures) -> None:
        found[row["slot"]] = found.get(row["slot"], Figures()) + figures

    for row in index.rows(decided, given):
        add(row, Figures(reward=Sums.of(row), counts=Counts(**{name: row[name] for name in _OF_DECISIONS})))
    for row in index.rows(told, given):
        add(row, Figures(satisfaction=Sums.of(row)))
    for row in index.rows(began, given):
        add(row, Figures(counts=Counts(**{name: row[name] for name in _OF_CONVERSATIONS})))
    return found


def _where(scope: Scope, *, plain: Sequence[str] = ()) -> tuple[str, tuple[Any, ...]]:
    """The condition on rows of sums. Of columns that are `plain` there are no rows of all together to ask for."""
    where, values = ["day between ? and ?"], list[Any]((scope.first, scope.last))
    for column, value in (("channel", scope.channel), ("language", scope.language)):
        if value:
            where.append(f"{column} = ?")
            values.append(value)
    for column, value in (("loop", scope.loop), ("model_version", scope.version)):
        if value or column not in plain:
            where.append(f"{column} = ?")
            values.append(value)
    return " and ".join(where), tuple(values)
