"""Versions as the review index knows them: how much each decided, and what that earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.review.index import ReviewIndex
from agent.review.sums import Sums


@dataclass(frozen=True)
class Record:
    """What a model version did in a loop: its decisions, those that were not only watched, and the rewards' sums."""

    decisions: int = 0
    live: int = 0
    sums: Sums = field(default_factory=Sums)


def records(index: ReviewIndex, loop: str) -> dict[str, Record]:
    """The record of each model version of a loop, as the sums of days have it. Grows with days, not with decisions."""
    sql = (
        "select model_version, sum(decisions) as decisions, sum(live) as live, sum(clusters) as clusters, "
        "sum(fed) as fed, sum(weight) as weight, sum(total) as total, sum(square) as square, sum(cross) as cross, "
        "sum(weights) as weights from days where loop = ? and chosen = '' group by model_version"
    )
    return {
        row["model_version"]: Record(int(row["decisions"]), int(row["live"]), Sums.of(row))
        for row in index.rows(sql, (loop,))
    }


def conversations_of(index: ReviewIndex, decisions: Sequence[str]) -> dict[str, str]:
    """The key of the conversation that each of these decisions belongs to, as far as the index has come."""
    found = {}
    for id in decisions:
        row = index.row(
            "select c.key from decisions d join conversations c on c.id = d.conversation where d.id = ?", (id,)
        )
        if row is not None:
            found[id] = str(row["key"])
    return found
