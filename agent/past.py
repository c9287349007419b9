"""A loop's past: which event was the last at a time, which decisions were made, and the model as it was then."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agent.errors import InvalidInput
from agent.ledger import Ledger
from agent.log import Event, LearningLog
from agent.means import Said
from agent.model import Model, context_of
from agent.moment import Moments
from agent.service import Service
from agent.settings import LoopSettings
from agent.snapshots import Milestones
from policies.types import Context

CONTEXTS = 24  # of a sample: the mean over them is off by about a fifth of how much expectations vary between contexts
# Candidates of which expectations are worked out; a catalogue has very many, of which few are ever shown.
MOST_CANDIDATES = 200
# Learning so many rewards takes some tenths of a second: a milestone spares the next who looks back that.
_WORTH_KEEPING = 400
_STEP = 4_000  # events


class Past:
    """The models of a loop at earlier times, asked for in order of `seq`. Each folds on from the one before.

    They start from milestones and leave some, so that looking back a second time costs less. The service's own models
    are not touched.
    """

    def __init__(self, service: Service, loop: str) -> None:
        self.log, self.loop = service.log, loop
        self._milestones = Milestones(service.home, loop)
        self._moments = Moments(service.log, loop, snapshots=self._milestones)

    def model(self, seq: int, settings: LoopSettings) -> Model:
        """The model under these settings, folded up to a `seq` no earlier than the last asked for under them."""
        model = self._moments.model(settings)
        assert model.seq <= seq, "a model cannot be unfolded"
        if model.seq == 0 and (begun := self._milestones.before(settings.version, seq)):
            model.catch_up(begun)
        while model.seq < seq:
            # In steps, so that whoever looks back to somewhere on the way finds a milestone there.
            model.catch_up(min(seq, model.seq + _STEP))
            if model.folded >= _WORTH_KEEPING:
                model.drift.announce(self.log)
                model.save()
        return model


def decisions_of(log: LearningLog, loop: str, *, after: int = 0, upto: int | None = None) -> list[int]:
    """`seq` of a loop's decisions with `after < seq <= upto`, ascending."""
    sql = "select seq from events where kind = 'decision' and loop = ? and seq > ? and seq <= ? order by seq"
    return [int(seq) for (seq,) in log.rows(sql, (loop, after, 2**62 if upto is None else upto))]


def time_of(log: LearningLog, seq: int) -> float:
    """When the event at a `seq`, or the last before it, happened (unix seconds); 0 in an empty log."""
    found = log.rows("select at from events where seq <= ? order by seq desc limit 1", (seq,))
    return float(found[0][0]) if found else 0.0


def seq_at(log: LearningLog, loop: str, at: float) -> int:
    """`seq` of the last event by a time (unix seconds); 0 where all came later.

    Decisions are logged as they are made, so their times ascend, and say where in the log a time is; what else was
    logged between two of them is told apart by its own time.
    """
    seqs = decisions_of(log, loop)
    place = bisect_right(seqs, at, key=lambda seq: time_of(log, seq)) if seqs else 0
    last, following = seqs[place - 1] if place else 0, seqs[place] if place < len(seqs) else 2**62
    found = log.rows("select max(seq) from events where seq > ? and seq < ? and at <= ?", (last, following, at))
    return max(last, int(found[0][0] or 0))


def spread(seqs: Sequence[int], n: int) -> list[int]:
    """At most n of them, evenly."""
    number = min(n, len(seqs))
    return [seqs[(2 * i + 1) * len(seqs) // (2 * number)] for i in range(number)]


def event_at(log: LearningLog, seq: int) -> Event:
    """The event at a `seq`."""
    return next(log.read(after=seq - 1, upto=seq))


def said_in(ledger: Ledger) -> dict[str, tuple[str, int, Said]]:
    """What people made of decisions, by their ids: the candidate, the decision's `seq`, and the reward.

    Defaults, which nobody gave, are none.
    """
    return {
        id: (claim.candidate, ledger.made(id), Said(claim.earned.value, claim.earned.weight, claim.person))
        for id, claim in ledger.influence.claims.items()
        if claim.earned.at is not None
    }


@dataclass(frozen=True, eq=False)
class Sample:
    """Contexts that stand for what customers ask, to compare models on: the same for each of them."""

    contexts: tuple[Context, ...]

    @classmethod
    def of(cls, log: LearningLog, seqs: Sequence[int], *, encoder: str, n: int = CONTEXTS) -> Sample:
        """The contexts of n of the decisions at `seqs`, evenly; one without an embedding by the encoder is left out."""
        found = (_context(event_at(log, seq), log, encoder) for seq in spread(seqs, n))
        return cls(tuple(context for context in found if context is not None))

    def expected(self, model: Model, ids: Sequence[str], *, at: float) -> dict[str, tuple[float, float]]:
        """What a model expects candidates to earn at a time, and how unsure it is of it: means over the contexts."""
        if not self.contexts or not ids:
            return {}
        offered = [model.offer(id) for id in ids]
        scores = [model.learner.scores(context, offered, at=at) for context in self.contexts]
        means = torch.stack([found.mean for found in scores]).mean(0).tolist()
        deviations = torch.stack([found.deviation for found in scores]).mean(0).tolist()
        return dict(zip(ids, zip(means, deviations, strict=True), strict=True))


def _context(decision: Event, log: LearningLog, encoder: str) -> Context | None:
    try:
        return context_of(decision, log, encoder=encoder)
    except InvalidInput:
        return None


def shown_most(model: Model) -> list[str]:
    """The candidates of a loop, those with most feedback where there are very many."""
    ids = [reply.id for reply in model.library.all()]
    return sorted(ids, key=lambda id: -model.ledger.earned(id)[0])[:MOST_CANDIDATES]
