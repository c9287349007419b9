"""Unanswered: the questions that fell through, and why. A question is known by the turn that it opened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.database import Row
from agent.review.index import ReviewIndex

#: why a question is taken to have no answer.
REASONS = ("abstained", "not understood", "default reply", "handed over", "left")
#: replies that say that there is none, and intents of what was not understood. `FALLBACK_VARIABLE` in the environment
#: names other replies, and `INTENTS_VARIABLE` other intents, parted by commas.
FALLBACKS = (
    "utter_default", "utter_please_rephrase", "utter_rephrase", "utter_ask_rephrase", "utter_fallback",
    "utter_out_of_scope", "action_default_fallback",
)  # fmt: skip
INTENTS = ("nlu_fallback", "out_of_scope")
FALLBACK_VARIABLE, INTENTS_VARIABLE = "REJOINDER_FALLBACK_REPLIES", "REJOINDER_FALLBACK_INTENTS"
MOST = 2_000  # questions that are looked at, the latest
_DAY = 86_400.0
# Choosing how something is worded, or an item, answers no question.
_OTHER_LOOPS = "loop <> 'responses' and loop not like 'items:%'"


@dataclass(frozen=True)
class Search:
    """Which questions are asked for: of the last so many days, of a channel (empty: any), for any of some reasons."""

    days: int = 30
    channel: str = ""
    reasons: tuple[str, ...] = REASONS


@dataclass
class Question:
    """One question that fell through. `key` is its turn, or the decision on it where there is no turn.

    `seq` is that of the event that holds its words, `decision` that of the decision on it, if there was one;
    `conversation` is that one's key in the log, and `reasons` why it is here.
    """

    key: str
    text: str
    seq: int
    at: float
    conversation: str
    channel: str
    decision: int | None = None
    loop: str = ""
    reasons: list[str] = field(default_factory=list)


def fallbacks() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The replies and the intents that stand for having no answer, as they are set."""
    return _named(FALLBACK_VARIABLE, FALLBACKS), _named(INTENTS_VARIABLE, INTENTS)


def questions(index: ReviewIndex, search: Search, *, now: float | None = None, most: int = MOST) -> list[Question]:
    """The latest questions without an answer that nobody has seen to, newest first."""
    since = (time.time() if now is None else now) - search.days * _DAY
    found: dict[str, list[str]] = {}
    for reason in REASONS:
        if reason in search.reasons:
            for key in _KEYS[reason](index, since, 2 * most):
                reasons = found.setdefault(key, [])
                if reason not in reasons:
                    reasons.append(reason)
    settled = settled_of(index, found)
    left = {key: reasons for key, reasons in found.items() if key not in settled}
    made = [q for q in _questions(index, left) if search.channel in ("", q.channel) and q.text.strip()]
    return sorted(made, key=lambda question: -question.seq)[:most]


def settled_of(index: ReviewIndex, keys: Iterable[str]) -> set[str]:
    """Those of the questions that somebody has seen to."""
    sql = "select distinct question from json_each(?) cross join settled on question = value where standing"
    return {row["question"] for row in index.rows(sql, (json.dumps(list(keys)),))}


def channels(index: ReviewIndex) -> list[str]:
    """The channels that conversations came by."""
    rows = index.rows(
        "select value from facets f where kind = 'channel' and exists (select 1 from faceted where facet = f.id) "
        "order by value limit 100"
    )
    return [row["value"] for row in rows]


def _abstained(index: ReviewIndex, since: float, most: int) -> list[str]:
    sql = (
        "select coalesce(turn, id) as key from decisions where abstained and live and at >= ? "
        f"and {_OTHER_LOOPS} order by at desc limit ?"
    )
    return [row["key"] for row in index.rows(sql, (since, most))]


def _not_understood(index: ReviewIndex, since: float, most: int) -> list[str]:
    """Messages of an intent that says so; of a decision without a turn, which holds its message, the decision."""
    keys = []
    for intent in fallbacks()[1]:
        sql = "select turn, seq from messages where intent = ? and at >= ? order by at desc limit ?"
        rows = index.rows(sql, (intent, since, most))
        keys += [row["turn"] for row in rows if row["turn"]]
        alone = json.dumps([row["seq"] for row in rows if not row["turn"]])
        sql = "select d.id from json_each(?) j cross join decisions d on d.seq = j.value"
        keys += [row["id"] for row in index.rows(sql, (alone,))]
    return keys


def _by_default(index: ReviewIndex, since: float, most: int) -> list[str]:
    sql = "select turn from messages where action = ? and at >= ? and turn is not null order by at desc limit ?"
    return [row["turn"] for name in fallbacks()[0] for row in index.rows(sql, (name, since, most))]


def _signalled(signal: str, index: ReviewIndex, since: float, most: int) -> list[str]:
    """What the signal is about: a turn, a decision, or the last question of a conversation before it."""
    rows = index.rows(
        """
        select coalesce(o.turn, (select coalesce(d.turn, d.id) from decisions d where d.id = o.decision), (
            select m.turn from messages m where m.conversation = o.conversation and m.who = 'user' and m.at <= o.at
            order by m.at desc, m.seq desc limit 1
        )) as key
        from outcomes o where o.signal = ? and o.at >= ? and o.standing and o.scaled < 0.5 order by o.at desc limit ?
        """,
        (signal, since, most),
    )
    return [row["key"] for row in rows if row["key"]]


_KEYS = {
    "abstained": _abstained,
    "not understood": _not_understood,
    "default reply": _by_default,
    "handed over": lambda *asked: _signalled("handover", *asked),
    "left": lambda *asked: _signalled("left", *asked),
}


def _questions(index: ReviewIndex, reasons: dict[str, list[str]]) -> list[Question]:
    keys = json.dumps(list(reasons))
    said = index.rows(
        "select m.turn as key, m.text, m.seq, m.at, c.key as conversation, c.channel, m.conversation as place "
        "from json_each(?) j cross join messages m on m.turn = j.value and m.who = 'user' "
        "join conversations c on c.id = m.conversation",
        (keys,),
    )
    made = {row["key"]: _question(row, reasons[row["key"]]) for row in sorted(said, key=lambda row: -row["seq"])}
    # The loop that had the question to answer; one for wordings had not.
    for column in ("turn", "id"):
        decided = index.rows(
            f"select d.{column} as key, d.seq as decision, d.loop, d.text, d.seq, d.at, c.key as conversation, "
            f"c.channel from json_each(?) j cross join decisions d on d.{column} = j.value "
            f"join conversations c on c.id = d.conversation where {_OTHER_LOOPS}",
            (keys,),
        )
        for row in decided:
            question = made.setdefault(row["key"], _question(row, reasons[row["key"]]))
            question.decision, question.loop = row["decision"], row["loop"]
    return list(made.values())


def _question(row: Row, reasons: Sequence[str]) -> Question:
    given: dict[str, Any] = {name: row[name] for name in ("key", "text", "seq", "at", "conversation")}
    return Question(**given, channel=row["channel"] or "", reasons=list(reasons))


def _named(variable: str, default: tuple[str, ...]) -> tuple[str, ...]:
    given = os.environ.get(variable)
    return default if given is None else tuple(name.strip() for name in given.split(",") if name.strip())
