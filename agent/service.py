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

from agent.arms import Arm
from agent.bench import Bench, Offered, available
from agent.candidates import ABSTAIN, Encodes, Reply, new_vectors, version_id
from agent.decision import Decision, Frame, Placing, Situation, body_of, frame, slate_bodies
from agent.drift import DriftSettings
from agent.editing import Editing
from agent.encoder import Encoder
from agent.errors import Conflict, InvalidInput
from agent.expiry import expiries
from agent.identity import Identity
from agent.influence import Held
from agent.log import Event, LearningLog
from agent.model import Model, context_of
from agent.redaction import redact
from agent.reports import new_id
from agent.safety import limits_of
from agent.settings import LoopSettings
from agent.slates import SlateSettings, cued
from agent.versions import Versions
from policies.safety import Limits

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


class Service(Versions, Editing):
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
        super().__init__(log or LearningLog(home / "learning.db"), Identity(home), clock, home)
        self._make_encoder = encoder
        self._encoders: dict[str, Encoder] = {}
        self._encoders_lock = threading.Lock()

    # Loops

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

    def overview(self, loop: str) -> Overview:
        """A loop's settings and candidates, caught up with the log. Waits for no model.

        Raises:
            Unknown: there is no such loop.
        """
        seq = self.log.last_seq()
        with self._library(loop) as library:
            return Overview(self.settings(loop), library.all(), seq)

    def folds(self) -> dict[str, Fold]:
        """How far each loop that this process has used is folded. Neither waits nor catches up."""
        return {m.loop: Fold(m.seq, m.credits, m.skipped, *m.ledger.influence.held) for m in self._used()}

    def bursts(self) -> dict[str, list[Held]]:
        """The bursts of equal feedback that are damped in each loop that this process has used. Does not wait."""
        return {model.loop: model.ledger.influence.bursts() for model in self._used()}

    def _used(self) -> list[Model]:
        """The champions that this process has begun to fold."""
        return [arms.used for arms in list(self._arms.values()) if arms.used.begun]

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
        for loop in list(self._arms):
            with self._lock:
                self.model(loop)
                if (challenger := self._of(loop).challenger()) is not None:
                    self._kept(challenger)

    def expire(self) -> int:
        """Log which decisions have waited in vain for feedback, in every loop that this process uses; how many.

        Raises:
            LogUnavailable: not logged; the next call finds them again.
        """
        with self._lock:
            events: list[Event] = []
            for arms in list(self._arms.values()):
                models = [arms.champion(), arms.challenger()]
                # What a challenger waits for counts only where the champion waits for nothing.
                waits = (model for model in models if model and model.exists and model.settings.rules.default)
                if (model := next(waits, None)) is not None:
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
        seed = secrets.randbits(53) if seed is None else seed
        with self._lock:
            now = self._clock()
            arm, framed = self._frame(loop, situation, candidates, at=now, seed=seed)
            model, settings = arm.model, arm.model.settings
            live = live and not settings.apprentice
            limits = _limits(model, framed, live=live)
            choice = model.learner.choose(framed.context, framed.candidates, seed=seed, at=now, limits=limits)
            abstained = framed.best(choice.scores, threshold=settings.least) is None
            if abstained and live:
                return None
            body = body_of(framed, choice, model.learner, seed=seed, live=live, limits=limits)
            body["abstained"] = abstained
            event = self._decision_event(arm, situation, body, now)
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
        seed = secrets.randbits(53) if seed is None else seed
        with self._lock:
            now = self._clock()
            arm, framed = self._frame(loop, situation, candidates, at=now, seed=seed, several=True)
            model, settings = arm.model, SlateSettings.of(arm.model.settings.slate)
            live = live and not model.settings.apprentice
            ids = [candidate.id for candidate in framed.candidates]
            learned = model.settings.learner.get("cues", ())
            framed = framed.with_cues({**settings.cues(ids, model.ledger.earned, learned=learned), **(cues or {})})
            pinned = [model.library.get(id).state == "pinned" for id in ids]
            layout = settings.layout([(groups or {}).get(id) for id in ids], pinned)
            limits, k = _limits(model, framed, live=live), k or settings.k
            place = Placing(layout, k, limits, settings.looked_at)
            bodies = slate_bodies(framed, model.learner, place, seed=seed, at=now, live=live)
            events = [self._decision_event(arm, situation, body, now) for body in bodies]
        self.log.append(events, vectors=framed.vectors, durable=False)
        return [Decision.of(event) for event in events]

    def recommend(self, loop: str, situation: Situation, *, candidates: Sequence[str] | None = None) -> str | None:
        """The candidate of the highest expected reward, logging nothing: for when the log cannot be written."""
        with self._lock:
            now = self._clock()
            arm, framed = self._frame(loop, situation, candidates, at=now)
            model = arm.model
            scores = model.learner.scores(framed.context, framed.candidates, at=now)
            best = framed.best(scores, threshold=model.settings.least)
            return None if best is None else framed.candidates[best].id

    def expected(self, decision: Event) -> float | None:
        """What the chosen candidate of a past decision is expected to earn in its context by all that is known now.

        None where that cannot be said: the loop has another encoder now, or the log no such candidate.
        """
        with self._lock:
            model, body = self.model(decision.loop or ""), decision.body
            try:
                context = context_of(decision, self.log, encoder=model.settings.encoder)
                candidate = model.offer(body["chosen"], version=body["versions"][body["index"]])
            except InvalidInput:
                return None
            own = {name: [values[body["index"]]] for name, values in body.get("cues", {}).items()}
            return float(model.learner.scores(context, cued([candidate], own), at=self._clock()).mean[0])

    def encoder(self, name: str) -> Encoder:
        """The encoder of this name, loaded once a process."""
        with self._encoders_lock:
            if name not in self._encoders:
                self._encoders[name] = self._make_encoder(name)
            return self._encoders[name]

    def close(self) -> None:
        """Keep what was folded as snapshots and let go of the log."""
        with self._lock:
            for model in (model for arms in self._arms.values() for model in arms):
                model.drift.announce(self.log)
                if model.folded:
                    model.save()
            self.log.close()

    def _frame(
        self,
        loop: str,
        situation: Situation,
        names: Sequence[str] | None,
        *,
        at: float,
        seed: int | None = None,
        several: bool = False,
    ) -> tuple[Arm, Frame]:
        """Who answers, and what is chosen among. Where no conversation is named, the seed decides who."""
        unit = self.identity.place(situation.conversation, None)[0] or (None if seed is None else str(seed))
        arm = self._of(loop).answering(unit)
        if not arm.model.exists:
            self.model(loop)  # which says so
        self._kept(arm.model)
        encoder = self.encoder(arm.model.settings.encoder)
        return arm, frame(arm.model, encoder, situation, names, at=at, several=several)

    def _decision_event(self, arm: Arm, situation: Situation, body: dict[str, Any], at: float) -> Event:
        conversation, turn = self.identity.place(situation.conversation, situation.message_id)
        id, model = new_id(), arm.model
        known: dict[str, Any] = {
            "channel": situation.channel,
            "text": redact(situation.messages[-1]),
            "model_version": model.settings.version,
            "model_seq": model.seq,
            "arm": arm.name,
            "share": arm.share,
        }
        if situation.person is not None:
            known["person"] = self.identity.person(situation.person)
        if arm.unit is not None and conversation is None:
            known["assigned_by"] = arm.unit
        return Event(id, "decision", at, model.loop, conversation, turn, decision=id, body={**body, **known})


def _limits(model: Model, framed: Frame, *, live: bool) -> Limits | None:
    return limits_of(
        model.settings,
        framed.candidates,
        slack=model.slack,
        seq=model.seq,
        live=live,
        widen=model.drift.widening(DriftSettings.of(model.settings.drift)),
    )
