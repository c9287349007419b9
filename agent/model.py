"""The model of a loop: a fold of the learning log, up to a `seq`.

Nothing but events goes in: no clock, no settings file, no randomness. So a restart, a copy and a look at last
Tuesday are one operation: take a snapshot, fold the rest.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Mapping, Sequence

import policies
from agent.candidates import Library, blend, candidate
from agent.errors import InvalidInput, Unknown
from agent.log import EVIDENCE, Event, LearningLog
from agent.rewards import earned
from agent.settings import LoopSettings
from agent.snapshots import Snapshots
from policies.base import Learner
from policies.features import VECTOR
from policies.types import Candidate, Context, Reward
from policies.types import InvalidInput as Refused

_FOLDED = (*EVIDENCE, "candidate", "settings")
_log = logging.getLogger(__name__)


class Model:
    """One loop's candidates and learner, as they stand at `seq`.

    Not safe to use from several threads at once: the service holds a lock around it.
    """

    def __init__(self, log: LearningLog, loop: str, *, snapshots: Snapshots | None = None) -> None:
        self.loop = loop
        self.seq = 0
        self.folded = 0  # credits applied since the last snapshot: what losing the process would cost
        self.credits = 0  # credits applied since this process began to fold
        self.skipped = 0  # credits that this model cannot learn from: made with another encoder
        self.library = Library()
        self._settings: LoopSettings | None = None
        self._learner: Learner | None = None
        self._log = log
        self._snapshots = snapshots
        self._offered: dict[tuple[str, int], Candidate] = {}

    @property
    def exists(self) -> bool:
        """Whether the loop has settings, which it begins with."""
        return self._settings is not None

    @property
    def settings(self) -> LoopSettings:
        """The settings in force.

        Raises:
            Unknown: the loop has none yet, that is, it does not exist.
        """
        if self._settings is None:
            raise Unknown(f"unknown loop {self.loop!r}")
        return self._settings

    @property
    def learner(self) -> Learner:
        """The learner, as taught so far."""
        if self._learner is None:
            raise Unknown(f"unknown loop {self.loop!r}")
        return self._learner

    def catch_up(self, upto: int | None = None) -> int:
        """Fold what the log has gained, up to `seq` `upto`; the number of credits that changed the learner."""
        upto = self._log.last_seq() if upto is None else upto
        if upto <= self.seq:
            return 0
        before = self.folded
        events = list(self._log.read(after=self.seq, upto=upto, kinds=_FOLDED, loop=self.loop))
        if settings := [event for event in events if event.kind == "settings"]:
            current = LoopSettings(**settings[-1].body["settings"])
            changed = self._settings is None or current.version != self._settings.version
            self._settings = current
            if changed:
                self._restart(upto)
                events = list(self._log.read(after=self.seq, upto=upto, kinds=_FOLDED, loop=self.loop))
        for event in events:
            self._fold(event)
        self.seq = upto
        return self.folded - before

    def save(self) -> None:
        """Keep the fold as a snapshot, so that the next process starts from here."""
        if self._snapshots is not None and self._learner is not None:
            self._snapshots.save(self.settings.version, self.seq, self._learner.state_dict())
            self.folded = 0

    def offer(self, id: str, *, version: int | None = None) -> Candidate:
        """A candidate as the learner sees it, in its latest version unless another is asked for.

        Raises:
            Unknown: the loop has no such candidate.
        """
        reply = self.library.get(id, version)
        known = self._offered.get((id, reply.version))
        if known is None:
            vectors = self._log.vectors(reply.refs, encoder=self.settings.encoder)
            known = candidate(reply, vectors)
            if len(vectors) == len(set(reply.refs)):  # else it is yet to be encoded
                self._offered[id, reply.version] = known
        return known

    def _restart(self, upto: int) -> None:
        """Begin again under the settings now in force: from the newest snapshot made under them, else from nothing."""
        self._learner = policies.create(self.settings.policy, **self.settings.learner)
        self._offered.clear()
        self.library = Library()
        self.folded = self.credits = self.skipped = self.seq = 0
        kept = self._snapshots.newest(self.settings.version, upto) if self._snapshots is not None else None
        if kept is None:
            return
        try:
            self._learner.load_state_dict(kept.state)
        except Refused as error:
            _log.warning("loop %s: its snapshot is of another version (%s); folding from nothing", self.loop, error)
            return
        self.seq = kept.seq
        for event in self._log.read(upto=self.seq, kinds=("candidate",), loop=self.loop):
            self.library.apply(event)

    def _fold(self, event: Event) -> None:
        if event.kind == "candidate":
            self.library.apply(event)
        elif event.kind in EVIDENCE and self._learner is not None:
            for decision in self._log.addressed(event):
                if decision.loop == self.loop:
                    self._credit(decision, event)

    def _credit(self, decision: Event, event: Event) -> None:
        """Replace what the learner believes the decision earned before the event by what it earned with it."""
        evidence = self._log.evidence(decision, upto=event.seq)
        old = earned([e for e in evidence if e.seq < event.seq])
        new = earned(evidence)
        if old != new:
            self._revise(decision, old, new, at=event.at)

    def _revise(self, decision: Event, old: Reward | None, new: Reward | None, *, at: float) -> None:
        body = decision.body
        try:
            context = context_of(decision, self._log, encoder=self.settings.encoder)
            index = body["index"]
            chosen = self.offer(body["candidates"][index], version=body["versions"][index])
            self.learner.revise(context, chosen, old=old, new=new, at=at)
        except (InvalidInput, Refused) as error:
            # The fold must go on: one decision that this model cannot learn from is counted, not fatal.
            self.skipped += 1
            _log.warning("loop %s: decision %s teaches nothing: %s", self.loop, decision.id, error)
        else:
            self.folded += 1
            self.credits += 1


def context_of(decision: Event, log: LearningLog, *, encoder: str) -> Context:
    """The context a decision was made in, from the log: the same numbers as then, to the bit.

    Raises:
        InvalidInput: the log holds no embedding of it by this encoder.
    """
    blocks = blocks_of(decision)
    refs = [ref for block in blocks.values() for ref, _ in block]
    vectors = log.vectors(refs, encoder=encoder)
    if missing := [ref for ref in refs if ref not in vectors]:
        raise InvalidInput(f"no embedding of text {missing[0]} by the encoder {encoder!r} in the log")
    return context_from(vectors, blocks, decision.body["context"]["features"])


def blocks_of(decision: Event) -> dict[str, list[tuple[str, float]]]:
    """The texts (by their hash) of each block of a decision's context, each with its weight."""
    context = decision.body["context"]
    blocks = context["blocks"] if "blocks" in context else {VECTOR: context["refs"]}  # until 0.1 there was one block
    return {name: [(ref, weight) for ref, weight in refs] for name, refs in blocks.items()}


def context_from(
    vectors: Mapping[str, array[float]],
    blocks: Mapping[str, Sequence[tuple[str, float]]],
    features: Mapping[str, float],
) -> Context:
    """A context out of embeddings (d floats each) by hash, the weighted texts of each block, and named features."""
    blended = {
        name: blend([vectors[ref] for ref, _ in refs], [weight for _, weight in refs]) for name, refs in blocks.items()
    }
    return Context(vector=blended.pop(VECTOR), features=features, blocks=blended)
