"""The model of a loop: a fold of the learning log, up to a `seq`.

Nothing but events goes in: no clock, no settings file, no randomness. So a restart, a copy and a look at last
Tuesday are one operation: take a snapshot, fold the rest.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Mapping, Sequence

from safetensors.torch import load
from torch import Tensor

import policies
from agent.apprentice import taught
from agent.candidates import ABSTAIN, LIBRARY, Library, Reply, blend, candidate, stacked
from agent.checkpoints import Checkpoints
from agent.drift import Drift
from agent.encoder import reference
from agent.errors import InvalidInput, Unknown
from agent.ledger import START, Change, Ledger, Place, claim_of, credit_of
from agent.log import EVIDENCE, Event, LearningLog
from agent.rewards import activated
from agent.safety import Slack
from agent.settings import LoopSettings
from agent.slates import cued
from agent.snapshots import Snapshots
from agent.standing import CHAMPION, GOVERNING, Standing
from policies.base import Learner
from policies.features import VECTOR
from policies.types import Candidate, Context, Offer, Reward
from policies.types import InvalidInput as Refused

_FOLDED = (*EVIDENCE, *LIBRARY, *GOVERNING)
_STRETCH = 20_000  # places in the log that are read at once: a year of it would fill the memory
# Decisions read while folding and kept at hand for teaching: one has a few thousand numbers.
_AT_HAND = 256
_LEARNER = "learner."  # what the names of a learner's tensors begin with in a snapshot
_log = logging.getLogger(__name__)


class Model:
    """One loop's candidates, ledger and learner, as they stand at `seq`.

    It folds under the champion's settings in force at `seq`, or under `settings`, whoever is in force: the same log
    folds under any. `standing` says who is.

    The ledger follows the events; the learner follows the ledger. One that is additive is told what changed. Another
    learns the rewards in the order of their places, each as it stands in the end: where one changes that has been
    learned, it goes back to before that.

    Not safe to use from several threads at once: the service holds a lock around it.
    """

    def __init__(
        self,
        log: LearningLog,
        loop: str,
        *,
        snapshots: Snapshots | None = None,
        settings: LoopSettings | None = None,
    ) -> None:
        self.loop = loop
        self.standing = Standing()
        self.seq = 0
        self.folded = 0  # credits applied since the last snapshot: what losing the process would cost
        self.credits = 0  # credits applied since this process began to fold
        self.skipped = 0  # credits that this model cannot learn from: made with another encoder
        self.library = Library()
        self.drift = Drift(loop)
        self.slack = Slack(log, loop)
        self._settings = self._fixed = settings
        self._learner: Learner | None = None
        self._ledger: Ledger | None = None
        self._checkpoints = Checkpoints()
        self._learned: Place = START  # how far a learner that is not additive has learned
        self._log = log
        self._snapshots = snapshots
        self._offered: dict[tuple[str, int, bool], Candidate] = {}
        self._examples: dict[tuple[str, int], Tensor] = {}
        self._at_hand: dict[str, Event] = {}

    @property
    def exists(self) -> bool:
        """Whether there are settings to fold under; a loop begins with its first ones."""
        return self._settings is not None

    @property
    def begun(self) -> bool:
        """Whether anything is there that was folded: with settings given, a model exists before that."""
        return self._ledger is not None

    @property
    def settings(self) -> LoopSettings:
        """The settings that it folds under.

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

    @property
    def ledger(self) -> Ledger:
        """What each decision has earned, and what of that counts."""
        if self._ledger is None:
            raise Unknown(f"unknown loop {self.loop!r}")
        return self._ledger

    def catch_up(self, upto: int | None = None) -> int:
        """Fold what the log has gained, up to `seq` `upto`; the number of credits that changed the learner."""
        upto = self._log.last_seq() if upto is None else upto
        if upto <= self.seq:
            return 0
        before = self.folded
        governing = list(self._log.read(after=self.seq, upto=upto, kinds=GOVERNING, loop=self.loop))
        if (governing or self._learner is None) and self._settle(governing):
            self._restart(upto)
        for begin in range(self.seq, upto, _STRETCH):
            end = min(begin + _STRETCH, upto)
            for event in self._log.read(after=begin, upto=end, kinds=_FOLDED, loop=self.loop):
                self._fold(event)
        if self._learner is not None:
            self._teach()
        self.seq = upto
        return self.folded - before

    def govern(self, settings: LoopSettings) -> None:
        """Fold on under other settings that fold alike: of the same model version, with other limits, say."""
        assert settings.version == self.settings.version, "another version is another fold"
        self._settings = self._fixed = settings

    def save(self) -> None:
        """Keep the fold as a snapshot, so that the next process starts from here."""
        # A snapshot says nothing of alerts: those found must be in the log before it stands for what came before.
        if self._snapshots is not None and self._learner is not None and not self.drift.alerts:
            state = {f"{_LEARNER}{name}": tensor for name, tensor in self._learner.state_dict().items()}
            state |= {"ledger": self.ledger.state(), **self.drift.state_dict()}
            self._snapshots.save(self.settings.version, self.seq, state)
            self.folded = 0

    def offer(self, id: str, *, version: int | None = None, eligible: bool = True) -> Candidate:
        """A candidate as the learner sees it, in its latest version unless another is asked for.

        Raises:
            Unknown: the loop has no such candidate.
        """
        reply = self.library.get(id, version)
        known = self._offered.get((id, reply.version, eligible))
        if known is None:
            vectors = self._log.vectors(reply.refs, encoder=self.settings.encoder)
            known = candidate(reply, vectors, eligible=eligible)
            if len(vectors) == len(set(reply.refs)):  # else it is yet to be encoded
                self._offered[id, reply.version, eligible] = known
        return known

    def examples(self, reply: Reply) -> Tensor | None:
        """The embeddings (n, d) of the questions that a reply was written for, as far as there are any."""
        place = reply.id, reply.version
        if reply.examples and place not in self._examples:
            refs = [reference(text) for text in reply.examples]
            vectors = self._log.vectors(refs, encoder=self.settings.encoder)
            if len(vectors) < len(set(refs)):  # they are yet to be encoded
                return None
            self._examples[place] = stacked([vectors[ref] for ref in refs])
        return self._examples.get(place)

    def _settle(self, governing: Sequence[Event]) -> bool:
        """Take the settings to fold under after these events; whether they ask for another fold than there is."""
        current = self._fixed or self.standing.after_all(governing).champion
        if current is None:
            return False
        changed = self._learner is None or current.version != self.settings.version
        self._settings = current
        return changed

    def _restart(self, upto: int) -> None:
        """Begin again under the settings now in force: from the newest snapshot made under them, else from nothing."""
        self._begin()
        kept = self._snapshots.newest(self.settings.version, upto) if self._snapshots is not None else None
        if kept is None:
            return
        try:
            self._resume(kept.state)
        except (InvalidInput, Refused) as error:
            _log.warning("loop %s: its snapshot is of another version (%s); folding from nothing", self.loop, error)
            self._begin()
            return
        self.seq = kept.seq
        for event in self._log.read(upto=self.seq, kinds=(*LIBRARY, *GOVERNING), loop=self.loop):
            if event.kind in LIBRARY:
                self.library.apply(event)
            else:
                self.standing = self.standing.after(event)

    def _begin(self) -> None:
        self._learner = self.untrained()
        self._ledger = Ledger(self.settings.guard)
        self._checkpoints, self._learned = Checkpoints(), START
        self._offered.clear()
        self._examples.clear()
        self.library, self.drift, self.standing = Library(), Drift(self.loop), Standing()
        self.folded = self.credits = self.skipped = self.seq = 0

    def _resume(self, state: Mapping[str, Tensor]) -> None:
        if "ledger" not in state:
            raise InvalidInput("it has no ledger")
        mine = {name.removeprefix(_LEARNER): tensor for name, tensor in state.items() if name.startswith(_LEARNER)}
        self.learner.load_state_dict(mine)
        self.drift.load_state_dict(state)
        self._ledger = Ledger.from_state(state["ledger"], self.settings.guard)
        if not self.learner.additive:
            self._learned = self.ledger.last
            self._checkpoints.keep(self.learner, self._learned)

    def untrained(self) -> Learner:
        """A learner that has learned nothing from this log, but may have begun from what another one knew."""
        settings = self.settings
        learner = policies.create(settings.policy, **settings.learner)
        if settings.adopted is not None:
            learner.adopt(load(self._log.blob(settings.adopted)), strength=settings.adopted_strength)
        return learner

    def _fold(self, event: Event) -> None:
        if event.kind in LIBRARY:
            self.library.apply(event)
        elif event.kind in GOVERNING:
            champion, self.standing = self.standing.champion, self.standing.after(event)
            if self.standing.champion is not champion:
                self.drift.configure(event)
        elif event.kind in EVIDENCE and self._learner is not None:
            for decision in self._log.addressed(event):
                if decision.loop == self.loop:
                    self._credit(decision, event)
            self.drift.settle(event)

    def _credit(self, decision: Event, event: Event) -> None:
        """Enter what the decision has earned by the event into the ledger."""
        evidence, rules = self._log.evidence(decision, upto=event.seq), self.settings.rules
        index = taught(decision, evidence)
        reward = None if index is None else credit_of(self._log, decision, evidence, rules)
        # What was done in a watched decision's place was not what it expected anything of; a default nobody gave.
        if (
            reward is not None
            and reward.at is not None
            and decision.body["live"]
            # The loop is watched for the champion: a challenger that is wrong of itself is no change out there.
            and decision.body.get("arm", CHAMPION) == CHAMPION
            and not self.ledger.knows(decision.id)
        ):
            self.drift.credit(decision, reward)
        claim = None if index is None or reward is None else claim_of(decision, index, reward)
        self.ledger.credit(decision, claim, seq=event.seq)
        self.ledger.wait(decision, reward is None and rules.default is not None and activated(evidence))
        if len(self._at_hand) < _AT_HAND:
            self._at_hand[decision.id] = decision

    def _teach(self) -> None:
        """Bring the learner in line with the ledger."""
        changes = self.ledger.changes()
        if self.learner.additive:
            for change in changes:
                self._tell(change.decision, old=change.old, new=change.new)
        elif changes:
            self._relearn(changes)
        refused = sum(self.ledger.told.get(change.decision) != change.new for change in changes)
        self.skipped += refused
        self.folded += len(changes) - refused
        self.credits += len(changes) - refused
        self._at_hand.clear()

    def _relearn(self, changes: list[Change]) -> None:
        """Learn all rewards beyond the last that still stands as it was learned."""
        first = changes[0].place
        if first <= self._learned:
            self._learned, self._learner = self._checkpoints.before(first) or (START, self.untrained())
        for change in changes:
            self.ledger.tell(change.decision, None)
        for place, id in self.ledger.after(self._learned):
            self._tell(id, old=None, new=self.ledger.reward(id))
            self._learned = place
            self._checkpoints.learned(self.learner, place)

    def _tell(self, id: str, *, old: Reward | None, new: Reward | None) -> None:
        try:
            self._revise(self._at_hand.get(id) or self._log.event(id), old, new)
        except (InvalidInput, Refused) as error:
            # The fold must go on: one decision that this model cannot learn from is counted, not fatal.
            _log.warning("loop %s: decision %s teaches nothing: %s", self.loop, id, error)
            self.ledger.tell(id, old)
        else:
            self.ledger.tell(id, new)

    def _revise(self, decision: Event | None, old: Reward | None, new: Reward | None) -> None:
        assert decision is not None, "a decision that was credited is in the log"
        context, chosen, offer = self.lesson(decision)
        # Evidence dates from the choice, however late it comes: a learner that forgets discounts it by that age.
        self.learner.revise(context, chosen, old=old, new=new, at=decision.at, offer=offer)

    def lesson(self, decision: Event) -> tuple[Context, Candidate, Offer | None]:
        """What a decision teaches about: its context, the candidate, and what that was chosen among if it matters.

        Raises:
            InvalidInput: the log holds no embedding of its context by this model's encoder.
        """
        body = decision.body
        context = context_of(decision, self._log, encoder=self.settings.encoder)
        index = taught(decision, () if body["live"] else self._log.evidence(decision))
        assert index is not None, "a decision that was credited teaches of a candidate"
        candidate = self.offer(body["candidates"][index], version=body["versions"][index])
        if cues := body.get("cues"):
            (candidate,) = cued([candidate], {name: [values[index]] for name, values in cues.items()})
        # What was observed in a watched decision's place was not drawn: it has neither propensity nor rivals.
        offer = self._offer_of(decision) if self.learner.needs_offer and body["live"] else None
        return context, candidate, offer

    def _offer_of(self, decision: Event) -> Offer:
        """What the decision was made among, as it was offered then, and the others by what was expected of them."""
        body = decision.body
        offered = []
        for id, version, eligible in zip(body["candidates"], body["versions"], body["eligible"], strict=True):
            offered.append(self.offer(id, version=version, eligible=eligible))
        expected = [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]
        offered = cued(offered, body.get("cues", {}))
        others = [i for i, eligible in enumerate(body["eligible"]) if eligible and i != body["index"]]
        # Abstaining rivals none: whoever answers then may give any of the replies.
        others = [i for i in others if ABSTAIN not in (body["chosen"], offered[i].id)]
        others.sort(key=lambda i: -expected[i])
        return Offer(offered, body["propensity"], [offered[i] for i in others])


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
