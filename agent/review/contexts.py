"""Contexts: what was asked, told apart by meaning where no intent tells it; how each reply did on which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.encoder import reference
from agent.log import LearningLog
from agent.review.clusters import clusters
from agent.review.index import ReviewIndex
from agent.review.replies import Topic, topics_of
from agent.review.sums import Sums

MOST = 1_500  # decisions that are looked at, the latest of a loop
_DISTANCE = 0.65  # topics are wider than questions that one reply answers


@dataclass(frozen=True)
class Given:
    """What was said in a cluster of questions: the name of that, the candidate, and what it earned."""

    name: str
    chosen: str
    conversation: int
    shown: int
    reward: float | None
    weight: float


def given(index: ReviewIndex, log: LearningLog, loop: str, *, encoder: str) -> list[Given]:
    """The latest decisions of a loop in clusters of what was asked, each named by its most central question.

    What the log holds no embedding of is left out.
    """
    rows = index.rows(
        "select text, chosen, conversation, activated, reward, weight from decisions where loop = ? and live "
        "order by seq desc limit ?",
        (loop, MOST),
    )
    texts = sorted({row["text"] for row in rows if row["text"]})
    vectors = log.vectors([reference(text) for text in texts], encoder=encoder)
    known = {text: vectors[reference(text)] for text in texts if reference(text) in vectors}
    names = {text: cluster.medoid for cluster in clusters(known, distance=_DISTANCE) for text in cluster.texts}
    return [
        Given(
            names[row["text"]],
            row["chosen"],
            row["conversation"],
            row["activated"],
            row["reward"],
            row["weight"] or 0.0,
        )
        for row in rows
        if row["text"] in names
    ]


def topics(found: Sequence[Given], id: str) -> list[Topic]:
    """How a candidate did on each cluster of questions, against all others there."""
    grouped: dict[tuple[str, bool, int], list[Given]] = {}
    for one in found:
        grouped.setdefault((one.name, one.chosen == id, one.conversation), []).append(one)
    rows = [(name, mine, sum(one.shown for one in some), _sums(some)) for (name, mine, _), some in grouped.items()]
    return topics_of(rows)


def _sums(some: Sequence[Given]) -> Sums:
    """The sums of one conversation's rewards, which are one cluster."""
    rewarded = [(one.reward, one.weight) for one in some if one.reward is not None]
    if not rewarded:
        return Sums()
    weight, total = sum(w for _, w in rewarded), sum(r * w for r, w in rewarded)
    return Sums(1, len(rewarded), weight, total, total * total, total * weight, weight * weight)
