"""The bench: a loop's model in force, apart from the service, to try on it what is not in the log."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from agent import examples
from agent.candidates import ABSTAIN, Reply, barred, candidate, stacked
from agent.encoder import Encoder, reference
from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.model import blocks_of, context_from
from agent.slates import cued
from policies.base import Learner
from policies.features import VECTOR
from policies.types import Candidate, Context, Scores

_DECISIONS = 60  # the latest, which other words are tried on


@dataclass(frozen=True)
class Offered:
    """A reply as the learner sees it, and the embeddings (n, d) of the questions that it was written for, if any."""

    reply: Reply
    candidate: Candidate
    examples: torch.Tensor | None = None


@dataclass(frozen=True)
class Bench:
    """What there is to choose from now, and a copy of the learner. What is done here, nobody sees.

    `offered` are the replies that may be chosen `at` a time (unix seconds).
    """

    loop: str
    encoder: str
    offered: Sequence[Offered]
    learner: Learner
    at: float

    def nearest(self, context: Context, message: array[float] | None = None) -> tuple[Reply, float] | None:
        """The reply of the highest expected reward in a context, and that; None where there are none."""
        words = [one for one in self.offered if one.reply.id != ABSTAIN]
        if not words:
            return None
        means = self._scores(context, words, message).mean.tolist()
        best = max(range(len(means)), key=means.__getitem__)
        return words[best].reply, means[best]

    def likeliest(self, context: Context, sets: Sequence[Sequence[Offered]], message: array[float] | None) -> list[str]:
        """The ids of the replies that would most likely be chosen, among each of several sets."""
        union = list({id(one): one for offered in sets for one in offered}.values())
        place = {id(one): i for i, one in enumerate(union)}
        scores, found = self._scores(context, union, message), []
        for offered in sets:
            some = scores.select(torch.tensor([place[id(one)] for one in offered]))
            chances = self.learner.distribution(some, [True] * len(offered)).tolist()
            found.append(offered[max(range(len(chances)), key=chances.__getitem__)].reply.id)
        return found

    def _scores(self, context: Context, offered: Sequence[Offered], message: array[float] | None) -> Scores:
        candidates = [one.candidate for one in offered]
        like = _likeness(offered, message)
        if any(like):
            context = replace(context, features={**context.features, examples.CUE: 1.0})
            candidates = cued(candidates, {examples.CUE: like})
        return self.learner.scores(context, candidates, at=self.at)


@dataclass(frozen=True)
class Change:
    """A question on which another reply than before would be the likeliest: `was` and `now` are their ids."""

    text: str
    decision: str
    was: str
    now: str


@dataclass(frozen=True)
class Preview:
    """What words that are not in force yet would change, over so many of the latest questions.

    `before` and `after` say how often the reply is the likeliest without and with them.
    """

    looked_at: int
    before: int
    after: int
    changes: Sequence[Change]


def preview(bench: Bench, draft: Reply, log: LearningLog, encoder: Encoder, *, most: int = _DECISIONS) -> Preview:
    """Try a reply's words on the latest decisions of the loop, with the model in force.

    A draft of a candidate that is there stands in its place, where it was offered; a new one is offered everywhere.

    Raises:
        ModelMissing: the words are new, and the encoder is not installed.
    """
    drafted = offer(draft, encoder)
    there = any(one.reply.id == draft.id for one in bench.offered)
    looked_at, before, after, changes = 0, 0, 0, list[Change]()
    for decision, context, message in _contexts(log, bench, most):
        names = set(decision.body["candidates"])
        old = [one for one in bench.offered if one.reply.id in names]
        if not old or (there and draft.id not in names):
            continue
        kept = [one for one in old if one.reply.id != draft.id]
        was, now = bench.likeliest(context, [old, [*kept, drafted]], message)
        looked_at, before, after = looked_at + 1, before + (was == draft.id), after + (now == draft.id)
        if was != now:
            changes.append(Change(decision.body.get("text", ""), decision.id, was, now))
    return Preview(looked_at, before, after, changes)


def offer(reply: Reply, encoder: Encoder) -> Offered:
    """A reply whose words may be in no log."""
    vectors = dict(zip(reply.refs, encoder.encode(reply.meant), strict=True))
    asked = [vectors[reference(text)] for text in reply.examples]
    # Beside the version in force, it needs a name of its own; what is learned of it goes by its lineage.
    drafted = replace(candidate(reply, vectors), id=f"{reply.id}\x1fdraft", lineage=reply.lineage or (reply.id,))
    return Offered(reply, drafted, stacked(asked) if asked else None)


def available(replies: Sequence[Reply], *, strict: bool, at: float) -> list[Reply]:
    """Those that may be chosen at a time; where some are pinned, those alone."""
    why = barred(replies, strict=strict, at=at)
    return [reply for reply, reason in zip(replies, why, strict=True) if reason is None]


def _contexts(log: LearningLog, bench: Bench, most: int) -> list[tuple[Event, Context, array[float] | None]]:
    """The latest decisions with the contexts that they were made in, and the embedding of the message itself."""
    found = [
        event
        for event in log.read(kinds=("decision",), loop=bench.loop, newest_first=True, limit=most)
        if not event.body.get("slate")
    ]
    blocks = [blocks_of(event) for event in found]
    refs = {ref for block in blocks for texts in block.values() for ref, _ in texts}
    vectors = log.vectors(refs, encoder=bench.encoder)
    made: list[tuple[Event, Context, array[float] | None]] = []
    for event, block in zip(found, blocks, strict=True):
        if all(ref in vectors for texts in block.values() for ref, _ in texts):
            context = context_from(vectors, block, event.body["context"]["features"])
            made.append((event, context, vectors[block[VECTOR][0][0]]))
    return made


def _likeness(offered: Sequence[Offered], message: array[float] | None) -> list[float]:
    if message is None:
        return [0.0] * len(offered)
    vector = stacked([message])[0]
    return [0.0 if one.examples is None else examples.likeness(vector, one.examples) for one in offered]


def context_of_message(vector: array[float]) -> Context:
    """The context of a message of which nothing is known but its words."""
    if not vector:
        raise InvalidInput("an embedding needs numbers")
    return Context(stacked([vector])[0])
