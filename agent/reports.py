"""Reports: what came of decisions, as events: what was sent or observed, what was said, what people made of it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.annotations import annotated
from agent.apprentice import observation
from agent.decision import Situation
from agent.errors import Conflict, InvalidInput, Unknown
from agent.expiry import EXPIRED
from agent.identity import Identity
from agent.log import REVOCABLE, Appended, Event, LearningLog
from agent.redaction import redact
from agent.rewards import signal as signal_named
from agent.rewards import taken_back
from agent.standing import PREFIX as STANDING

MOST_SETTLED = 5_000
# Ids that events of other kinds are given, so that repeating them is harmless: an outcome may not take one.
_OUR_IDS = ("activated:", "alert:", "candidate:", EXPIRED, "message:", "observed:", "revoked:", STANDING)


@dataclass(frozen=True)
class Recorded:
    """An accepted outcome: the id it is known by, and whether it had been delivered before."""

    event_id: str
    duplicate: bool


class Reports:
    """Takes reports on decisions and appends them to the learning log. Safe to use from several threads."""

    def __init__(self, log: LearningLog, identity: Identity, clock: Callable[[], float]) -> None:
        self.log, self.identity, self._clock = log, identity, clock

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
        return not self.append(event, durable=False).duplicate

    def observe(self, decision_id: str, candidate: str) -> bool:
        """Say which candidate was used in a watched decision's place; False when that was known.

        Raises:
            Unknown: there is no such decision.
            InvalidInput: the decision was acted on itself, or it did not choose from this candidate.
        """
        event = observation(self.decision(decision_id), candidate, at=self._clock())
        return not self.append(event, durable=False).duplicate

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
        comment: str | None = None,
        at: float | None = None,
        who: str | None = None,
        why: str = "",
    ) -> Recorded:
        """Log what somebody's reaction says about a decision, a turn or a conversation (give exactly one).

        The same `event_id` delivered again changes nothing. `conversation` and `actor` are in the clear, as the
        channel names them; `comment` is what they said of it, kept redacted; `at` is when it happened (unix seconds),
        now unless given. Where a reviewer says it in the customer's place, `who` is their name, and `why` their reason.

        Raises:
            InvalidInput: an unknown signal, a value out of its range, not exactly one address.
            Unknown: nothing was decided there.
            Conflict: the event id was used for another outcome.
            LogUnavailable: not recorded; deliver it again with the same event id.
        """
        signal_named(signal).scaled(value)
        conversation, turn, decision = self._address(conversation=conversation, turn=turn, decision=decision)
        body: dict[str, Any] = {"signal": signal, "value": value, "source": source}
        if actor is not None:
            body["actor"] = self.identity.person(actor)
        if comment and comment.strip():
            body["comment"] = redact(comment.strip())
        if who is not None:
            body |= {"who": who, "why": why}
        id = event_id if event_id is not None else new_id()
        if id.startswith(_OUR_IDS):
            raise InvalidInput(f"event id {id!r}: ids that begin with {', '.join(_OUR_IDS)} are the log's own")
        when = self._clock() if at is None else at
        event = Event(id, "outcome", when, None, conversation, turn, decision, body)
        return Recorded(id, self.append(event).duplicate)

    def revoke(self, event_id: str, *, who: str, why: str = "") -> Recorded:
        """Take back what somebody said or changed: all becomes what it would be without it. Undo is this, too.

        Of an outcome the model forgets it; a correction gives way to the value before; what was taken back stands again
        once its own revocation is. What is taken back already stays so: a duplicate.

        Raises:
            Unknown: there is no such event.
            InvalidInput: it is of a kind that nobody takes back.
        """
        target = self.log.event(event_id)
        if target is None:
            raise Unknown(f"unknown outcome or change {event_id!r}")
        if target.kind not in REVOCABLE:
            raise InvalidInput(f"event {event_id!r} is a {target.kind}: only {', '.join(REVOCABLE)} can be taken back")
        id = f"revoked:{event_id}"
        if self.log.event(id) is not None:
            if event_id in taken_back(self.changes(target)):
                return Recorded(id, duplicate=True)
            id = new_id()  # it was put back in the meantime
        return self._change(target, "revoked", {"event_id": event_id, "who": who, "why": why}, id=id)

    def correct(
        self, event_id: str, *, value: float, who: str, why: str = "", seen: Sequence[str] | None = None
    ) -> Recorded:
        """Replace an outcome's value. `seen` are the ids of its `changes` that `who` knows of.

        Raises:
            Unknown: there is no such outcome.
            InvalidInput: the value is out of the signal's range.
            Conflict: somebody has changed it since; the message says who.
        """
        target = self._outcome(event_id)
        signal_named(target.body["signal"]).scaled(value)
        body = {"event_id": event_id, "value": value, "who": who, "why": why}
        if seen is None:
            return self._change(target, "correction", body)
        # Of several who have seen the same, the first gets the id that follows from it: nobody comes in between.
        known = "\n".join([event_id, *sorted(seen)])
        id = f"correction:{hashlib.sha256(known.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        try:
            if not [e for e in self.changes(target) if e.id not in (*seen, id)]:
                return self._change(target, "correction", body, id=id)
        except Conflict:
            pass
        unseen = [e for e in self.changes(target) if e.id not in seen]
        raise Conflict(f"outcome {event_id!r} was changed by {unseen[-1].body['who']!r} in the meantime")

    def changes(self, event: Event) -> list[Event]:
        """What people changed about an event, oldest first: corrections, takings back, and what took those back."""
        about, found = {event.id}, list[Event]()
        for change in self.log.beside(event, ("correction", "revoked")):
            if change.body["event_id"] in about:
                about.add(change.id)
                found.append(change)
        return found

    def annotate(
        self,
        what: str,
        value: str | bool | None = None,
        *,
        who: str,
        conversation: str | None = None,
        turn: str | None = None,
        decision: str | None = None,
        event_id: str | None = None,
    ) -> Recorded:
        """Note what a reviewer says about a conversation, a turn of it, or a decision that is of none.

        Give exactly one, as the log names it. `what` is one of `ANNOTATIONS`; what `value` is for each of them stands
        there.

        Raises:
            InvalidInput: no such annotation, a value that it does not take, or not exactly one address.
            Unknown: nothing was decided or said there.
        """
        body = {"what": what, "value": annotated(what, value), "who": who}
        given = {"conversation": conversation, "turn": turn, "decision": decision}
        named = [(column, key) for column, key in given.items() if key is not None]
        if len(named) != 1:
            raise InvalidInput(f"an annotation is about exactly one of {', '.join(given)}; got {len(named)}")
        if not self.log.knows(*named[0]):
            raise Unknown(f"unknown {named[0][0]} {named[0][1]!r}: nothing was said there")
        id = event_id or new_id()
        return Recorded(
            id, self.append(Event(id, "annotation", self._clock(), None, conversation, turn, decision, body)).duplicate
        )

    def annotate_all(
        self, what: str, value: str | bool | None, places: Mapping[str, tuple[str, str]], *, who: str
    ) -> None:
        """Note the same about many, in one transaction.

        `places` are, by the id of the event that says so, the column ("conversation" or "decision") and the key of what
        it is about, which must be in the log. The same ids again change nothing.

        Raises:
            InvalidInput: no such annotation, or a value that it does not take.
        """
        body, at = {"what": what, "value": annotated(what, value), "who": who}, self._clock()
        events = []
        for id, (column, key) in places.items():
            conversation, decision = (key, None) if column == "conversation" else (None, key)
            events.append(Event(id, "annotation", at, None, conversation, None, decision, body))
        self.log.append(events)

    def revoke_all(self, event_ids: Sequence[str], *, who: str, why: str = "") -> None:
        """Take back many annotations, in one transaction; what is taken back already stays so.

        Raises:
            Unknown: there is no such event.
        """
        events = []
        for event_id in event_ids:
            target = self.log.event(event_id)
            if target is None:
                raise Unknown(f"unknown change {event_id!r}")
            if event_id not in taken_back(self.changes(target)):
                id = f"revoked:{event_id}" if self.log.event(f"revoked:{event_id}") is None else new_id()
                address = (target.conversation, target.turn, target.decision)
                body = {"event_id": event_id, "who": who, "why": why}
                events.append(Event(id, "revoked", self._clock(), None, *address, body))
        self.log.append(events)

    def settle(self, questions: Sequence[str], *, who: str, answer: str | None = None) -> Recorded:
        """Note that questions which fell through were seen to: answered from now on by `answer`, or dismissed (None).

        A question is named by the turn that it opened or, where there is none, by the decision on it; `answer` is a
        loop and a candidate of it, as in `actions/utter_refund`. Taking it back (`revoke`) opens them all again.

        Raises:
            InvalidInput: no questions, or more than `MOST_SETTLED`.
        """
        asked = list(dict.fromkeys(questions))
        if not 1 <= len(asked) <= MOST_SETTLED:
            raise InvalidInput(f"from 1 to {MOST_SETTLED} questions are settled at once; got {len(asked)}")
        id = new_id()
        body = {"what": "dismissed" if answer is None else "answered", "value": answer or "", "who": who}
        # An address of its own, by which whoever takes it back finds it: the questions are of many conversations.
        event = Event(id, "annotation", self._clock(), conversation=f"settled:{id}", body={**body, "questions": asked})
        return Recorded(id, self.append(event).duplicate)

    def hear(self, situation: Situation, *, who: str = "user", part: int = 0, at: float | None = None) -> bool:
        """Log a message, its words redacted; False when it was there already.

        `part` counts the messages that one side sends in a turn, from 0; `at` is when it was said (unix seconds), now
        unless given.
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
        when = self._clock() if at is None else at
        event = Event(id, "message", when, conversation=conversation, turn=turn, body=body)
        return not self.append(event, durable=False).duplicate

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

    def append(self, event: Event, *, durable: bool = True) -> Appended:
        """Append one event; `durable` waits for the disk."""
        return self.log.append([event], durable=durable)[0]

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

    def _change(self, target: Event, kind: str, body: dict[str, Any], *, id: str | None = None) -> Recorded:
        """Append what somebody changes about an event, at the address of that."""
        id, address = id or new_id(), (target.conversation, target.turn, target.decision)
        return Recorded(id, self.append(Event(id, kind, self._clock(), None, *address, body)).duplicate)


def new_id() -> str:
    """An id that no other event has."""
    return uuid.uuid4().hex
