"""The service: decide, activate, record, catch up. What every channel, command and page goes through.

It appends events and folds them back; nothing is applied to a model that was not read from the log first.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.bench import Bench, Offered, available
from agent.candidates import ABSTAIN, Encodes, Reply, new_vectors, version_id
from agent.decision import Decision, Frame, Placing, Situation, body_of, frame, slate_bodies
from agent.editing import Editing
from agent.encoder import Encoder
from agent.errors import Conflict, InvalidInput, Unknown
from agent.expiry import expiries
from agent.identity import Identity
from agent.log import Event, LearningLog
from agent.model import Model
from agent.redaction import redact
from agent.reports import new_id
from agent.safety import limits_of
from agent.settings import LoopSettings
from agent.slates import SlateSettings
from agent.snapshots import Snapshots
from policies.safety import Limits

# Folding this many credits takes about a second: more is not worth losing with a process.
SNAPSHOT_EVERY = 2_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overview:
    """A loop as it stands at `seq`: its settings in force, and its candidates in their latest versions."""

    settings: LoopSettings
    candidates: Sequence[Reply]
    seq: int


@dataclass(frozen=True)
class Fold:
    """How far this process has folded a loop (`seq`), and how many credits that applied or had to skip.

    `capped` persons and damped `bursts` are what the guard on influence holds back there.
    """

    seq: int
    credits: int
    skipped: int
    capped: int
    bursts: int


class Service(Editing):
    """One process's access to the learning log and to the models folded from it. Safe to use from several threads.

    Raises:
        LogUnavailable: the log, or the key beside it, cannot be opened.
    """

    def __init__(
        self,
        home: Path,
        *,
        encoder: Callable[[str], Encoder] = Encoder,
        clock: Callable[[], float] = time.time,
        log: LearningLog | None = None,
    ) -> None:
        super().__init__(log or LearningLog(home / "learning.db"), Identity(home), clock)
        self.home = home
        self._make_encoder = encoder
        self._encoders: dict[str, Encoder] = {}
        self._models: dict[str, Model] = {}
        self._lock = threading.RLock()
        self._encoders_lock = threading.Lock()

    # Loops

    def configure(self, loop: str, settings: LoopSettings, *, who: str, blobs: Sequence[bytes] = ()) -> None:
        """Put settings in force for a loop, which begins to exist with its first ones. No event if nothing changes.

        What others have changed since holds for as long as `who` asks for the same as the last time: a restart does
        not undo it. `blobs` are what the settings refer to by hash.
        """
        with self._lock:
            model = self._model(loop)
            model.catch_up()
            if model.exists and settings in (model.settings, self._asked(loop, who)):
                return
            body = {"settings": settings.as_body(), "who": who}
            events = [Event(new_id(), "settings", self._clock(), loop=loop, body=body)]
            if settings.abstain:
                abstaining = model.library.changes([Reply(ABSTAIN, (), prior=settings.threshold)], who=who)
                events += [reply.event(loop, who=who, at=self._clock()) for reply in abstaining]
            self.log.append(events, blobs=blobs)
            model.catch_up()

    def _asked(self, loop: str, who: str) -> LoopSettings | None:
        """The settings that somebody asked for last."""
        for event in self.log.read(kinds=("settings",), loop=loop, newest_first=True):
            if event.body.get("who") == who:
                return LoopSettings.recorded(event.body)
        return None

    def reconcile(
        self,
        loop: str,
        replies: Iterable[Reply],
        *,
        who: str,
        encoder: Encodes | None = None,
        inherits: bool = False,
    ) -> int:
        """Bring the loop's candidates to those offered: new and changed ones are logged. The number that changed.

        What people have edited since holds for as long as `who` offers the same as the last time. `encoder` knows the
        embeddings of their texts, where somebody has them already. New words begin at what the old ones' rewards make
        expect, as uncertain as if none had come; with `inherits`, all that was learned holds for them.

        Raises:
            InvalidInput: one has the id that stands for abstaining in this loop.
        """
        with self._lock:
            model = self.model(loop)
            replies = list(replies)
            if model.settings.abstain and any(reply.id == ABSTAIN for reply in replies):
                raise InvalidInput(f"loop {loop!r}: the id {ABSTAIN!r} stands for choosing nothing")
            changed = model.library.changes(replies, who=who, inherits=inherits)
            texts = [text for reply in replies for text in reply.meant]
            vectors = new_vectors(self.log, encoder or self.encoder(model.settings.encoder), texts)
            if not changed and not vectors:
                return 0
            events = [reply.event(loop, who=who, at=self._clock()) for reply in changed]
            try:
                self.log.append(events, vectors=vectors)
            except Conflict:
                # Another process reconciled at the same moment; what it logged holds until the next start.
                _log.warning("loop %s: candidates were changed by another process at the same time", loop)
            model.catch_up()
            return len(changed)

    def loops(self) -> list[str]:
        """The loops there are."""
        return sorted({event.loop for event in self.log.read(kinds=("settings",)) if event.loop})

    def model(self, loop: str) -> Model:
        """A loop's model, caught up with the log. Hold no reference to it across threads.

        Raises:
            Unknown: there is no such loop.
        """
        with self._lock:
            model = self._model(loop)
            model.catch_up()
            if not model.exists:
                raise Unknown(f"unknown loop {loop!r}; known are {', '.join(self.loops()) or 'none yet'}")
            model.drift.announce(self.log)
            if model.folded >= SNAPSHOT_EVERY:
                model.save()
            return model

    def overview(self, loop: str) -> Overview:
        """A loop's settings and candidates, caught up with the log.

        Raises:
            Unknown: there is no such loop.
        """
        with self._lock:
            model = self.model(loop)
            return Overview(model.settings, model.library.all(), model.seq)

    def folds(self) -> dict[str, Fold]:
        """How far each loop that this process has used is folded. Neither waits nor catches up."""
        used = [model for model in list(self._models.values()) if model.exists]
        return {m.loop: Fold(m.seq, m.credits, m.skipped, *m.ledger.influence.held) for m in used}

    def bench(self, loop: str) -> Bench:
        """The loop's model in force, apart from this service, with what may be chosen now.

        Raises:
            Unknown: there is no such loop.
        """
        with self._lock:
            now, model = self._clock(), self.model(loop)
            settings = model.settings
            words = [reply for reply in model.library.all() if reply.id != ABSTAIN or settings.abstain]
            replies = available(words, strict=settings.strict, at=now)
            offered = [Offered(reply, model.offer(reply.id), model.examples(reply)) for reply in replies]
            return Bench(loop, settings.encoder, offered, model.learner.clone(), now)

    def reply(self, loop: str, id: str, version: int) -> Reply | None:
        """A candidate's words as they were in a version, from the log alone; None if it holds no such version."""
        event = self.log.event(version_id(loop, id, version))
        return None if event is None else Reply.of(event)

    def catch_up(self) -> None:
        """Fold what other processes have appended, in every loop that this one has used."""
        for loop in list(self._models):
            self.model(loop)

    def expire(self) -> int:
        """Log which decisions have waited in vain for feedback, in every loop that this process uses; how many.

        Raises:
            LogUnavailable: not logged; the next call finds them again.
        """
        with self._lock:
            events: list[Event] = []
            for model in list(self._models.values()):
                model.catch_up()
                if model.exists:
                    events += expiries(model, now=self._clock())
        if not events:
            return 0
        return sum(not appended.duplicate for appended in self.log.append(events, durable=False))

    # The path of a decision

    def decide(
        self,
        loop: str,
        situation: Situation,
        *,
        candidates: Sequence[str] | None = None,
        live: bool = True,
        seed: int | None = None,
    ) -> Decision | None:
        """Choose among the candidates (all of the loop's unless named) and log the choice; None when abstaining.

        A loop abstains when no eligible candidate's expected reward reaches its threshold; where abstaining is a
        candidate (settings `abstain`), it is chosen like any other. `live=False` marks a decision that is only watched,
        as all of an apprentice's are: it cannot be activated, and teaches what was observed in its place; so it is
        logged even where the loop would have abstained.

        Raises:
            InvalidInput: no candidates, or a name among them that the loop does not know.
            NoneEligible: none of the candidates may be chosen.
            LogUnavailable: the decision cannot be logged; then it has not been made.
        """
        with self._lock:
            now = self._clock()
            model, framed = self._frame(loop, situation, candidates, at=now)
            settings, seed = model.settings, secrets.randbits(53) if seed is None else seed
            live = live and not settings.apprentice
            limits = _limits(model, framed, live=live)
            choice = model.learner.choose(framed.context, framed.candidates, seed=seed, at=now, limits=limits)
            abstained = framed.best(choice.scores, threshold=settings.least) is None
            if abstained and live:
                return None
            body = body_of(framed, choice, model.learner, seed=seed, live=live, limits=limits)
            body["abstained"] = abstained
            event = self._decision_event(model, situation, body, now)
        # Outside the lock: while the log is busy others wait for the log, not for one another in turn.
        # Not durable: the outcome, which somebody is told was kept, makes the decision durable with it.
        self.log.append([event], vectors=framed.vectors, durable=False)
        return Decision.of(event)

    def decide_slate(
        self,
        loop: str,
        situation: Situation,
        *,
        candidates: Sequence[str] | None = None,
        k: int | None = None,
        groups: Mapping[str, str] | None = None,
        cues: Mapping[str, tuple[float, Mapping[str, float]]] | None = None,
        live: bool = True,
        seed: int | None = None,
    ) -> list[Decision]:
        """Choose several different candidates to be shown at once, and log a decision for each position from the top.

        `k` is how many, the loop's own number unless given; fewer where no more are eligible, or where the loop's
        settings `slate` allow no more of a group. `groups` are the candidates' by id. `cues` are named numbers of the
        candidates by id that hold for this slate alone, each with how much it speaks for them. A loop's threshold does
        not hold: whoever asks for several wants to choose.

        Raises: as `decide`.
        """
        with self._lock:
            now = self._clock()
            model, framed = self._frame(loop, situation, candidates, at=now, several=True)
            settings, seed = SlateSettings.of(model.settings.slate), secrets.randbits(53) if seed is None else seed
            live = live and not model.settings.apprentice
            ids = [candidate.id for candidate in framed.candidates]
            learned = model.settings.learner.get("cues", ())
            framed = framed.with_cues({**settings.cues(ids, model.ledger.earned, learned=learned), **(cues or {})})
            pinned = [model.library.get(id).state == "pinned" for id in ids]
            layout = settings.layout([(groups or {}).get(id) for id in ids], pinned)
            limits, k = _limits(model, framed, live=live), k or settings.k
            place = Placing(layout, k, limits, settings.looked_at)
            bodies = slate_bodies(framed, model.learner, place, seed=seed, at=now, live=live)
            events = [self._decision_event(model, situation, body, now) for body in bodies]
        self.log.append(events, vectors=framed.vectors, durable=False)
        return [Decision.of(event) for event in events]

    def recommend(self, loop: str, situation: Situation, *, candidates: Sequence[str] | None = None) -> str | None:
        """The candidate of the highest expected reward, logging nothing: for when the log cannot be written."""
        with self._lock:
            now = self._clock()
            model, framed = self._frame(loop, situation, candidates, at=now)
            scores = model.learner.scores(framed.context, framed.candidates, at=now)
            best = framed.best(scores, threshold=model.settings.least)
            return None if best is None else framed.candidates[best].id

    def snapshots(self, loop: str) -> Snapshots:
        """Where the folds of a loop are kept."""
        return Snapshots(self.home, loop)

    def encoder(self, name: str) -> Encoder:
        """The encoder of this name, loaded once a process."""
        with self._encoders_lock:
            if name not in self._encoders:
                self._encoders[name] = self._make_encoder(name)
            return self._encoders[name]

    def close(self) -> None:
        """Keep what was folded as snapshots and let go of the log."""
        with self._lock:
            for model in self._models.values():
                model.drift.announce(self.log)
                if model.folded:
                    model.save()
            self.log.close()

    def _model(self, loop: str) -> Model:
        if loop not in self._models:
            self._models[loop] = Model(self.log, loop, snapshots=self.snapshots(loop))
        return self._models[loop]

    def _frame(
        self, loop: str, situation: Situation, names: Sequence[str] | None, *, at: float, several: bool = False
    ) -> tuple[Model, Frame]:
        model = self.model(loop)
        return model, frame(model, self.encoder(model.settings.encoder), situation, names, at=at, several=several)

    def _decision_event(self, model: Model, situation: Situation, body: dict[str, Any], at: float) -> Event:
        conversation, turn = self.identity.place(situation.conversation, situation.message_id)
        id = new_id()
        known: dict[str, Any] = {
            "channel": situation.channel,
            "text": redact(situation.messages[-1]),
            "model_version": model.settings.version,
            "model_seq": model.seq,
        }
        if situation.person is not None:
            known["person"] = self.identity.person(situation.person)
        return Event(id, "decision", at, model.loop, conversation, turn, decision=id, body={**body, **known})


def _limits(model: Model, framed: Frame, *, live: bool) -> Limits | None:
    return limits_of(
        model.settings,
        framed.candidates,
        slack=model.slack,
        seq=model.seq,
        live=live,
        widen=model.drift.widening(),
    )
