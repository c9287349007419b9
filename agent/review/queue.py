"""The review queue: which conversations are worth a person's time, most useful first, and how far people have come.

Most useful are those where customers were dissatisfied or disagree with one another, that were handed over to people,
or where the model was unsure. Some are drawn at random, whatever speaks for them: only they tell how good the bot is
on the whole. Some were reviewed by somebody else already: where two look, it shows how far they agree.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.database import Row
from agent.errors import InvalidInput
from agent.review.conversations import COUNTED
from agent.review.index import ReviewIndex
from agent.review.summary import reasons

#: which part of the queue one may work through.
PARTS = ("useful", "dissatisfied", "disagreeing", "handed over", "uncertain", "new", "control", "second", "mine")
_CONTROL, _NEW, _SECOND = 8, 5, 11  # of so many in the queue, one is of that part
_TELLING = 0.3  # a weaker reason is not worth a word
_RARE = 30  # conversations up to which a reply is new
_WEEK, _QUARTER = 7 * 86_400.0, 90 * 86_400.0
# Of each part, what must hold, and the order. All but "second" leave out what somebody has reviewed.
_ASKED = {
    "useful": ("c.priority > 0", "c.priority desc, c.id desc"),
    "dissatisfied": ("c.worst < 0.5", "c.worst, c.id"),
    "disagreeing": ("c.disagreeing", "c.id desc"),
    "handed over": ("c.handed_over", "c.id desc"),
    "uncertain": ("c.uncertainty > 0", "c.uncertainty desc, c.id desc"),
    "control": ("1", "c.lot"),
    "second": ("c.verdict is not null", "c.lot"),
    "mine": ("c.assigned = :who", "c.id desc"),
}


@dataclass(frozen=True)
class Item:
    """A conversation to review: its row, the part of the queue it comes from, and what speaks for looking at it."""

    row: Row
    part: str
    reasons: Sequence[str]


@dataclass(frozen=True)
class Progress:
    """How far people have come. `left` is counted up to `COUNTED` and one more; the others are of the last week."""

    left: int
    today: int
    by_reviewer: Sequence[tuple[str, int]]
    verdicts: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Agreement:
    """Two reviewers who looked at the same `conversations`: the share of equal verdicts, and Cohen's (1960) kappa.

    Kappa is None where both gave one and the same verdict throughout: then nothing can be told from chance.
    """

    one: str
    other: str
    conversations: int
    share: float
    kappa: float | None


def upcoming(index: ReviewIndex, who: str, *, part: str = "useful", limit: int = 25) -> list[Item]:
    """The next conversations for somebody to review, of one part; the useful mixed with a few of the others.

    Nobody is shown what they have reviewed already, nor what is assigned to somebody else.

    Raises:
        InvalidInput: there is no such part.
    """
    if part not in PARTS:
        raise InvalidInput(f"part: must be one of {', '.join(PARTS)}; got {part[:40]!r}")
    found = _part(index, who, part, limit)
    if part != "useful":
        return found
    others = {"control": _CONTROL, "new": _NEW, "second": _SECOND}
    waiting = {name: _part(index, who, name, limit // every + 1) for name, every in others.items()}
    mixed: dict[int, Item] = {}
    for item in found:
        for name, every in others.items():
            if len(mixed) % every == every - 1:
                extra = next((other for other in waiting[name] if other.row["id"] not in mixed), None)
                if extra is not None:
                    mixed[extra.row["id"]] = extra
        mixed.setdefault(item.row["id"], item)
    rest = [item for name in ("new", "control") for item in waiting[name]]
    return [*mixed.values(), *(item for item in rest if item.row["id"] not in mixed)][:limit]


def _part(index: ReviewIndex, who: str, part: str, limit: int) -> list[Item]:
    mine = (
        "not exists (select 1 from faceted f join facets n on n.id = f.facet where n.kind = 'reviewer' "
        "and n.value = :who and f.conversation = c.id)"
    )
    free = "1" if part == "mine" else "(c.assigned is null or c.assigned = :who)"
    values = {"who": who, "limit": limit}
    if part == "new":
        source = f"({_NEW_ONES}) s cross join conversations c on c.id = s.conversation"
        condition, order = "c.verdict is null", "c.id desc"
        values["rare"] = _RARE
    else:
        source, (condition, order) = "conversations c", _ASKED[part]
        if part != "second":
            condition += " and c.verdict is null"
    sql = f"select c.* from {source} where {condition} and {free} and {mine} order by {order} limit :limit"
    return [Item(row, part, _telling(row)) for row in index.rows(sql, values)]


def _telling(row: Row) -> list[str]:
    return [name for name, strength in reasons(row).items() if strength >= _TELLING]


_NEW_ONES = (
    "select distinct conversation from faceted where facet in (select f.id from facets f where f.kind = 'reply' and "
    "(select count(*) from (select 1 from faceted where facet = f.id limit :rare)) < :rare)"
)


def progress(index: ReviewIndex, who: str, *, now: float | None = None) -> Progress:
    """How far somebody, and all of them, have come."""
    now = time.time() if now is None else now
    midnight = datetime.fromtimestamp(now).astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    left = index.row(
        "select count(*) as n from (select 1 from conversations where priority > 0 limit ?)", (COUNTED + 1,)
    )
    rows = index.rows(
        "select who, value, at from annotations where what = 'reviewed' and standing and at >= ?", (now - _WEEK,)
    )
    return Progress(
        left=left["n"] if left else 0,
        today=sum(row["who"] == who and row["at"] >= midnight for row in rows),
        by_reviewer=Counter(row["who"] for row in rows).most_common(),
        verdicts=Counter(row["value"] for row in rows).most_common(),
    )


def agreements(index: ReviewIndex, *, now: float | None = None) -> list[Agreement]:
    """How far each two reviewers agree on what both have looked at, over the last 90 days; the most in common first."""
    since = (time.time() if now is None else now) - _QUARTER
    rows = index.rows(
        "select conversation, who, value from annotations where what = 'reviewed' and standing and at >= ? "
        "order by seq",
        (since,),
    )
    verdicts: dict[int, dict[str, str]] = {}
    for row in rows:  # the latest word of each holds
        verdicts.setdefault(row["conversation"], {})[row["who"]] = row["value"]
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for given in verdicts.values():
        names = sorted(given)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                pairs.setdefault((one, other), []).append((given[one], given[other]))
    found = [Agreement(*names, len(pair), *_agreement(pair)) for names, pair in pairs.items()]
    return sorted(found, key=lambda agreement: (-agreement.conversations, agreement.one, agreement.other))


def _agreement(pairs: Sequence[tuple[str, str]]) -> tuple[float, float | None]:
    share = sum(one == other for one, other in pairs) / len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(first[verdict] * second[verdict] for verdict in first) / len(pairs) ** 2
    return share, None if chance == 1.0 else (share - chance) / (1.0 - chance)
