"""A thread: one conversation as it was, each turn with what was decided in it, what came of that, and the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.database import Row
from agent.review.conversations import conversation
from agent.review.index import ReviewIndex
from agent.review.summary import tags_of


@dataclass
class Turn:
    """What was said in a turn, and rows of `decisions`, `outcomes` and `annotations` that are about it.

    `id` is None where the log names no turn: then it has one decision.
    """

    id: str | None
    asked: list[Row] = field(default_factory=list)
    said: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    annotations: list[Row] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called in addresses."""
        return self.id or (
            self.decisions[0]["id"] if self.decisions else f"seq{self.asked[0]['seq'] if self.asked else 0}"
        )


@dataclass(frozen=True)
class Thread:
    """A conversation: its row, its turns in order, and what is about the whole of it.

    `changes` are rows of `actions`: what people did; `gone` are the ids of those that were taken back.
    """

    row: Row
    turns: Sequence[Turn]
    outcomes: Sequence[Row]
    annotations: Sequence[Row]
    tags: Sequence[str]
    changes: Sequence[Row]
    gone: frozenset[str]


def thread(index: ReviewIndex, key: str) -> Thread:
    """A conversation by its key.

    Raises:
        Unknown: there is none of this key.
    """
    row = conversation(index, key)
    about = {
        table: index.rows(f"select * from {table} where conversation = ? order by {order}", (row["id"],))
        for table, order in (("messages", "at, seq"), ("decisions", "seq"), ("outcomes", "seq"), ("annotations", "seq"))
    }
    turns: dict[object, Turn] = {}
    # A decision of no turn is one of its own, and the words that it answers came with it.
    for said in about["messages"]:
        turn = turns.setdefault(said["turn"] or said["seq"], Turn(said["turn"]))
        (turn.asked if said["who"] == "user" else turn.said).append(said)
    of_decision: dict[str, Turn] = {}
    for decision in about["decisions"]:
        turn = turns.setdefault(decision["turn"] or decision["seq"], Turn(decision["turn"]))
        turn.decisions.append(decision)
        of_decision[decision["id"]] = turn
    whole: dict[str, list[Row]] = {"outcomes": [], "annotations": []}
    for outcome in about["outcomes"]:
        found = of_decision.get(outcome["decision"]) or turns.get(outcome["turn"])
        (found.outcomes if found else whole["outcomes"]).append(outcome)
    for note in about["annotations"]:
        found = turns.get(note["turn"])
        (found.annotations if found else whole["annotations"]).append(note)
    standing = [note for note in about["annotations"] if note["standing"]]
    changes = index.rows("select * from actions where conversation = ? order by seq", (row["id"],))
    gone: set[str] = set()
    for change in reversed(changes):  # as `agent.rewards.taken_back` has it
        if change["kind"] == "revoked" and change["id"] not in gone:
            gone.add(change["about"])
    about_all = whole["outcomes"], whole["annotations"], tags_of(standing)
    return Thread(row, list(turns.values()), *about_all, changes, frozenset(gone))
