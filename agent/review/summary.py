"""The summary of a conversation: what its row and its facets say, from the rows that are about it.

It is made anew whenever one of them changes, so that nothing hangs on the order in which things came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.database import Connection, Row
from agent.review.rows import day_of, hour_of

_SATISFIED = 0.5  # what is scaled to as much or more is a good word
# How much each reason to look at a conversation weighs in the order of the review queue; each is in [0, 1].
_WEIGHTS = {"dissatisfied": 1.0, "disagreeing": 0.8, "handed over": 0.5, "uncertain": 0.3}
Facet = tuple[str, str]


@dataclass
class Summary:
    """The columns of `conversations` that are derived, and the facets that it is found by."""

    columns: dict[str, Any]
    facets: set[Facet] = field(default_factory=set)


def summarise(
    decisions: Sequence[Row], outcomes: Sequence[Row], messages: Sequence[Row], annotations: Sequence[Row]
) -> Summary:
    """The summary of a conversation by the rows about it, each kind in the order of `seq`."""
    standing = [outcome for outcome in outcomes if outcome["standing"]]
    noted = [annotation for annotation in annotations if annotation["standing"]]
    times = [row["at"] for row in (*decisions, *messages)] or [row["at"] for row in (*outcomes, *annotations)]
    asked = [row for row in messages if row["who"] == "user"]
    rewards = [(row["reward"], row["weight"]) for row in decisions if row["reward"] is not None]
    weight = sum(w for _, w in rewards)
    live = [row for row in decisions if row["live"]]
    told = {row["signal"] for row in standing if row["value"] > 0.0}
    columns: dict[str, Any] = {
        "day": day_of(min(times)),
        "started": min(times),
        "last": max(times),
        "channel": _last(decisions, "channel") or _last(messages, "channel"),
        "language": _last(decisions, "language"),
        "opening": asked[0]["text"] if asked else decisions[0]["text"] if decisions else "",
        "turns": len({row["turn"] or row["seq"] for row in (asked or decisions)}),
        "decisions": len(decisions),
        "outcomes": len(standing),
        "reward": sum(r * w for r, w in rewards) / weight if weight > 0.0 else None,
        "worst": min((r for r, _ in rewards), default=None),
        "uncertainty": max((row["deviation"] for row in live), default=None),
        "handed_over": int("handover" in told),
        "resolved": next((how for how in ("confirmed", "assumed") if f"resolved_{how}" in told), None),
        **_reviewed(noted),
    }
    facets = {
        *_of_decisions(decisions),
        *_of_outcomes(standing),
        *([("was", "handed over")] if columns["handed_over"] else []),
        *_of_annotations(noted, columns),
        ("hour", f"{hour_of(columns['started']):02d}"),
    }
    facets |= {(kind, columns[kind]) for kind in ("channel", "language") if columns[kind]}
    columns["disagreeing"] = int(("was", "disagreeing") in facets)
    # Whoever has been looked at need not be looked at again; the others the more speaks for it.
    useful = 0.0 if columns["verdict"] else sum(_WEIGHTS[name] * value for name, value in reasons(columns).items())
    return Summary({**columns, "priority": useful}, {f for f in facets if f[1]})


def _last(rows: Sequence[Row], column: str) -> str | None:
    return next((row[column] for row in reversed(rows) if row[column]), None)


def _reviewed(noted: Sequence[Row]) -> dict[str, Any]:
    """Flag, verdict and assignment as they stand: the latest word holds."""
    latest = {row["what"]: row["value"] for row in noted}
    return {
        "flagged": int(latest.get("flag") == "1"),
        "verdict": latest.get("reviewed"),
        "assigned": latest.get("assigned") or None,
    }


def tags_of(noted: Sequence[Row]) -> list[str]:
    """The tags that stand, in the order they were put."""
    tags: dict[str, None] = {}
    for row in noted:
        if row["what"] == "tag":
            tags[row["value"]] = None
        elif row["what"] == "untag":
            tags.pop(row["value"], None)
    return list(tags)


def _of_decisions(decisions: Sequence[Row]) -> set[Facet]:
    found: set[Facet] = set()
    for row in decisions:
        found |= {("loop", row["loop"]), ("version", row["model_version"])}
        if row["intent"]:
            found.add(("intent", row["intent"]))
        if row["abstained"]:
            found.add(("was", "abstained"))
        elif row["live"]:
            found.add(("reply", f"{row['loop']}/{row['chosen']}"))
            if row["explored"]:
                found.add(("was", "explored"))
        else:
            found.add(("was", "watched"))
    return found


def _of_outcomes(standing: Sequence[Row]) -> set[Facet]:
    found: set[Facet] = set()
    for row in standing:
        found.add(("signal", row["signal"]))
        if row["explicit"]:
            found.add(("said", "good" if row["scaled"] >= _SATISFIED else "bad"))
            found.add(("outcome", f"{row['signal']} {'good' if row['scaled'] >= _SATISFIED else 'bad'}"))
        if row["corrected"]:
            found.add(("was", "corrected"))
        if row["comment"]:
            found.add(("was", "commented by the customer"))
    said = {value for kind, value in found if kind == "said"}
    if len(said) == 2:
        found.add(("was", "disagreeing"))
    return found


def _of_annotations(noted: Sequence[Row], columns: dict[str, Any]) -> set[Facet]:
    found = {("tag", tag) for tag in tags_of(noted)}
    if columns["flagged"]:
        found.add(("was", "flagged"))
    if columns["verdict"]:
        found |= {("was", "reviewed"), ("verdict", columns["verdict"])}
    found |= {("reviewer", row["who"]) for row in noted if row["what"] == "reviewed"}
    if columns["assigned"]:
        found.add(("assigned", columns["assigned"]))
    if any(row["what"] == "comment" for row in noted):
        found.add(("was", "discussed"))
    return found


def reasons(conversation: Row | dict[str, Any]) -> dict[str, float]:
    """What speaks for looking at a conversation, each in [0, 1]; what does not speak for it is left out."""
    worst, uncertainty = conversation["worst"], conversation["uncertainty"]
    found = {
        "dissatisfied": 0.0 if worst is None else max(0.0, 1.0 - 2.0 * worst),
        "disagreeing": float(conversation["disagreeing"]),
        "handed over": float(conversation["handed_over"]),
        "uncertain": 0.0 if uncertainty is None else min(1.0, uncertainty),
    }
    return {name: value for name, value in found.items() if value > 0.0}


def write(db: Connection, conversation: int, names: dict[Facet, int]) -> set[int]:
    """Bring a conversation's row and facets in line with the rows about it; the days whose sums may differ by that.

    `names` are the facets known by now.
    """
    rows = [
        db.execute(f"select * from {table} where conversation = ? order by seq", (conversation,)).fetchall()
        for table in ("decisions", "outcomes", "messages", "annotations")
    ]
    if not any(rows):
        return set()
    made = summarise(*rows)
    counted = ("day", "channel", "language")
    was = db.execute(f"select {', '.join(counted)} from conversations where id = ?", (conversation,)).fetchone()
    assigned = ", ".join(f"{column} = :{column}" for column in made.columns)
    db.execute(f"update conversations set {assigned} where id = :id", {**made.columns, "id": conversation})
    before = {row[0] for row in db.execute("select facet from faceted where conversation = ?", (conversation,))}
    now = {_facet(db, facet, names) for facet in made.facets}
    for facet in before - now:
        db.execute("delete from faceted where facet = ? and conversation = ?", (facet, conversation))
    db.executemany("insert into faceted (facet, conversation) values (?, ?)", [(f, conversation) for f in now - before])
    days = {int(made.columns["day"])}
    if any(was[name] != made.columns[name] for name in counted):  # all that was counted elsewhere moves along
        days |= {row["day"] for table in rows[:2] for row in table} | ({was["day"]} if was["day"] else set())
    return days


def _facet(db: Connection, facet: Facet, names: dict[Facet, int]) -> int:
    if facet not in names:
        db.execute("insert or ignore into facets (kind, value) values (?, ?)", facet)
        (names[facet],) = db.execute("select id from facets where kind = ? and value = ?", facet).fetchone()
    return names[facet]
