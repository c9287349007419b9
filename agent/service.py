"""The service: decide, activate, record, catch up. What every channel, command and page goes through.

It appends events and folds them back; nothing is applied to a model that was not read from the log first.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.apprentice import observation
from agent.candidates import ABSTAIN, Reply, marked, new_vectors, version_id
from agent.decision import Decision, Frame, Situation, body_of, frame
from agent.encoder import Encoder
from agent.errors import Conflict, InvalidInput, Unknown
from agent.expiry import EXPIRED, expiries
from agent.identity import Identity
from agent.log import Appended, Event, LearningLog
from agent.model import Model
from agent.redaction import redact
from agent.rewards import signal as signal_named
from agent.safety import limits_of
from agent.settings import LoopSettings
from agent.snapshots import Snapshots

# Folding this many credits takes about a second: more is not worth losing with a process.
SNAPSHOT_EVERY = 2_000
# Ids that events of other kinds are given, so that repeating them is harmless: an outcome may not take one.
_OUR_IDS = ("activated:", "alert:", "candidate:", EXPIRED, "message:", "observed:", "revoked:")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """An accepted outcome: the id it is known by, and whether it had been delivered before."""

    event_id: str
    duplicate: bool


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


class Service:
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
        self.home = home
        self.log = log or LearningLog(home / "learning.db")
        self.identity = Identity(home)
        self._make_encoder = encoder
        self._clock = clock
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
            events = [Event(_id(), "settings", self._clock(), loop=loop, body=body)]
            if settings.abstain:
                abstaining = model.library.changes([Reply(ABSTAIN, (), prior=settings.threshold)])
                events += [reply.event(loop, who=who, at=self._clock()) for reply in abstaining]
            self.log.append(events, blobs=blobs)
            model.catch_up()

    def _asked(self, loop: str, who: str) -> LoopSettings | None:
        """The settings that somebody asked for last."""
        for event in self.log.read(kinds=("settings",), loop=loop, newest_first=True):
            if event.body.get("who") == who:
                return LoopSettings.recorded(event.body)
        return None

    def reconcile(self, loop: str, replies: Iterable[Reply], *, who: str) -> int:
        """Bring the loop's candidates to those offered: new and changed ones are logged. The number that changed.

        Raises:
            InvalidInput: one has the id that stands for abstaining in this loop.
        """
        with self._lock:
            model = self.model(loop)
            replies = list(replies)
            if model.settings.abstain and any(reply.id == ABSTAIN for reply in replies):
                raise InvalidInput(f"loop {loop!r}: the id {ABSTAIN!r} stands for choosing nothing")
            changed = model.library.changes(replies)
            texts = [text for reply in replies for text in reply.texts]
            vectors = new_vectors(self.log, self.encoder(model.settings.encoder), texts)
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

    def mark(
        self, loop: str, id: str, *, state: str | None = None, approved: bool | None = None, who: str, why: str = ""
    ) -> Reply:
        """Give a candidate a state, or approve its latest words, and give it back. No event if nothing changes.

        Raises:
            Unknown: there is no such loop or candidate.
            InvalidInput: there is no such state, or neither was given.
        """
        with self._lock:
            model = self.model(loop)
            reply = model.library.get(id)
            if said := marked(reply, state=state, approved=approved):
                body = {"id": id, "version": reply.version, **said, "who": who, "why": why}
                self._append(Event(_id(), "mark", self._clock(), loop, body=body))
                model.catch_up()
            return model.library.get(id)

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
        as all of an apprentice's are: it cannot be activated, and teaches what was observed in its place.

        Raises:
            InvalidInput: no candidates, or a name among them that the loop does not know.
            NoneEligible: none of the candidates may be chosen.
            LogUnavailable: the decision cannot be logged; then it has not been made.
        """
        with self._lock:
            model, framed = self._frame(loop, situation, candidates)
            settings, seed = model.settings, secrets.randbits(53) if seed is None else seed
            live, now = live and not settings.apprentice, self._clock()
            limits = limits_of(
                settings,
                framed.candidates,
                slack=model.slack,
                seq=model.seq,
                live=live,
                widen=model.drift.widening(),
            )
            choice = model.learner.choose(framed.context, framed.candidates, seed=seed, at=now, limits=limits)
            if framed.best(choice.scores, threshold=settings.least) is None:
                return None
            body = body_of(framed, choice, model.learner, seed=seed, live=live, limits=limits)
            event = self._decision_event(model, situation, body, now)
        # Outside the lock: while the log is busy others wait for the log, not for one another in turn.
        # Not durable: the outcome, which somebody is told was kept, makes the decision durable with it.
        self.log.append([event], vectors=framed.vectors, durable=False)
        return Decision.of(event)

    def recommend(self, loop: str, situation: Situation, *, candidates: Sequence[str] | None = None) -> str | None:
        """The candidate of the highest expected reward, logging nothing: for when the log cannot be written."""
        with self._lock:
            model, framed = self._frame(loop, situation, candidates)
            scores = model.learner.scores(framed.context, framed.candidates, at=self._clock())
            best = framed.best(scores, threshold=model.settings.least)
            return None if best is None else framed.candidates[best].id

    def activate(self, decision_id: str) -> bool:
        """Say that the chosen reply was really sent; False when that was known.

        Raises:
            Unknown: there is no such decision.
            InvalidInput: the decision was only watched, not acted on.
        """
        decision = self.decision(decision_id)
        if not decision.body["live"]:
            raise InvalidInput(f"decision {decision_id} was only watched: it cannot be activated")
        event = Event(f"activated:{decision_id}", "activated", self._clock(), decision.loop, decision=decision_id)
        return not self._append(event, durable=False).duplicate

    def observe(self, decision_id: str, candidate: str) -> bool:
        """Say which candidate was used in a watched decision's place; False when that was known.

        Raises:
            Unknown: there is no such decision.
            InvalidInput: the decision was acted on itself, or it did not choose from this candidate.
        """
        event = observation(self.decision(decision_id), candidate, at=self._clock())
        return not self._append(event, durable=False).duplicate

    def record(
        self,
        *,
        signal: str,
        value: float,
        decision: str | None = None,
        turn: str | None = None,
        conversation: str | None = None,
        event_id: str | None = None,
        source: str = "api",
        actor: str | None = None,
        at: float | None = None,
    ) -> Recorded:
        """Log what somebody's reaction says about a decision, a turn or a conversation (give exactly one).

        The same `event_id` delivered again changes nothing. `conversation` and `actor` are in the clear, as the
        channel names them; `at` is when it happened (unix seconds), now unless given.

        Raises:
            InvalidInput: an unknown signal, a value out of its range, not exactly one address.
            Unknown: nothing was decided there.
            Conflict: the event id was used for another outcome.
            LogUnavailable: not recorded; deliver it again with the same event id.
        """
        signal_named(signal).scaled(value)
        conversation, turn, decision = self._address(conversation=conversation, turn=turn, decision=decision)
        body = {"signal": signal, "value": value, "source": source}
        if actor is not None:
            body["actor"] = self.identity.person(actor)
        id = event_id if event_id is not None else _id()
        if id.startswith(_OUR_IDS):
            raise InvalidInput(f"event id {id!r}: ids that begin with {', '.join(_OUR_IDS)} are the log's own")
        when = self._clock() if at is None else at
        event = Event(id, "outcome", when, None, conversation, turn, decision, body)
        return Recorded(id, self._append(event).duplicate)

    def revoke(self, event_id: str, *, who: str, why: str = "") -> Recorded:
        """Take an outcome back: the model becomes what it would be without it."""
        return self._take_back("revoked", event_id, {"who": who, "why": why})

    def correct(self, event_id: str, *, value: float, who: str, why: str = "") -> Recorded:
        """Replace an outcome's value."""
        signal_named(self._outcome(event_id).body["signal"]).scaled(value)
        return self._take_back("correction", event_id, {"value": value, "who": who, "why": why})

    def hear(self, situation: Situation, *, who: str = "user", part: int = 0) -> bool:
        """Log a message, its words redacted; False when it was there already.

        `part` counts the messages that one side sends in a turn, from 0.
        """
        conversation, turn = self.identity.place(situation.conversation, situation.message_id)
        if conversation is None or turn is None:
            raise InvalidInput("a message needs a conversation and a message id")
        body = {
            "who": who,
            "text": redact(situation.messages[-1]),
            "channel": situation.channel,
            "features": dict(situation.features),
        }
        if situation.person is not None:
            body["person"] = self.identity.person(situation.person)
        id = f"message:{turn}:{who}" + (f":{part}" if part else "")
        event = Event(id, "message", self._clock(), conversation=conversation, turn=turn, body=body)
        return not self._append(event, durable=False).duplicate

    def decision(self, decision_id: str) -> Event:
        """A decision's event.

        Raises:
            Unknown: there is no such decision.
        """
        event = self.log.event(decision_id)
        if event is None or event.kind != "decision":
            raise Unknown(f"unknown decision {decision_id!r}")
        return event

    def turn(self, conversation: str, message_id: str) -> str:
        """The id of the turn that answers this message."""
        return self.identity.turn(conversation, message_id)

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

    def _frame(self, loop: str, situation: Situation, names: Sequence[str] | None) -> tuple[Model, Frame]:
        model = self.model(loop)
        return model, frame(model, self.encoder(model.settings.encoder), situation, names)

    def _decision_event(self, model: Model, situation: Situation, body: dict[str, Any], at: float) -> Event:
        conversation, turn = self.identity.place(situation.conversation, situation.message_id)
        id = _id()
        known: dict[str, Any] = {
            "channel": situation.channel,
            "text": redact(situation.messages[-1]),
            "model_version": model.settings.version,
            "model_seq": model.seq,
        }
        if situation.person is not None:
            known["person"] = self.identity.person(situation.person)
        return Event(id, "decision", at, model.loop, conversation, turn, decision=id, body={**body, **known})

    def _address(self, **given: str | None) -> tuple[str | None, str | None, str | None]:
        """The one address given, as (conversation, turn, decision); something must have been decided there."""
        named = {column: value for column, value in given.items() if value is not None}
        if len(named) != 1:
            raise InvalidInput(f"an outcome is about exactly one of {', '.join(given)}; got {len(named)}")
        ((column, value),) = named.items()
        key = self.identity.conversation(value) if column == "conversation" else value
        if not self.log.decisions(column=column, value=key):
            raise Unknown(f"unknown {column} {value!r}: nothing was decided there")
        found = {**given, column: key}
        return found["conversation"], found["turn"], found["decision"]

    def _outcome(self, event_id: str) -> Event:
        event = self.log.event(event_id)
        if event is None or event.kind != "outcome":
            raise Unknown(f"unknown outcome {event_id!r}")
        return event

    def _take_back(self, kind: str, event_id: str, body: dict[str, Any]) -> Recorded:
        target = self._outcome(event_id)
        # Revoking is final, so its id is the outcome's; corrections may follow one another.
        id = f"{kind}:{event_id}" if kind == "revoked" else _id()
        event = Event(
            id,
            kind,
            self._clock(),
            conversation=target.conversation,
            turn=target.turn,
            decision=target.decision,
            body={"event_id": event_id, **body},
        )
        return Recorded(id, self._append(event).duplicate)

    def _append(self, event: Event, *, durable: bool = True) -> Appended:
        return self.log.append([event], durable=durable)[0]


def _id() -> str:
    return uuid.uuid4().hex
