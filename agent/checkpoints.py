"""Checkpoints: a learner as it was at some places of the ledger, so that a refold need not begin at the beginning."""

from __future__ import annotations

from agent.ledger import Place
from policies.base import Learner

#: rewards learned between two checkpoints: learning as many again takes some hundredths of a second.
EVERY = 256
#: how many are kept; a change further back refolds everything.
KEEP = 4


class Checkpoints:
    """Copies of one learner, of which none knows a reward beyond its place. For learners that are not additive."""

    def __init__(self) -> None:
        self._kept: list[tuple[Place, Learner]] = []
        self._since = 0

    def learned(self, learner: Learner, place: Place) -> None:
        """Note that the learner has learned the reward at this place, and keep a copy every so often."""
        self._since += 1
        if self._since >= EVERY:
            self.keep(learner, place)

    def keep(self, learner: Learner, place: Place) -> None:
        """Keep a copy of the learner as it is after this place."""
        self._kept = [*self._kept, (place, learner.clone())][-KEEP:]
        self._since = 0

    def before(self, place: Place) -> tuple[Place, Learner] | None:
        """The latest copy that knows nothing of this place or beyond, and its own place. Later ones are forgotten."""
        self._kept = [(kept, learner) for kept, learner in self._kept if kept < place]
        self._since = 0
        if not self._kept:
            return None
        kept, learner = self._kept[-1]
        return kept, learner.clone()
