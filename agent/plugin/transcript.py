"""The transcript: Rasa's events in their order, as messages, activations and signals in the learning log."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from agent.candidates import ABSTAIN
from agent.decision import Situation
from agent.errors import InvalidInput, Unknown
from agent.log import Event
from agent.plugin.behaviour import Behaviour, Utterance
from agent.plugin.runtime import ACTIONS, runtime
from agent.silence import assumed, likeliest_intent

_KEY = "rejoinder"
# Conversations of which the latest turn is remembered.
_REMEMBERED = 10_000
# So many messages back (the bot's too), a new one is compared with what was said.
_COMPARED = 20
# What Rasa does between turns: it answers nobody.
_SILENT = ("action_listen", "action_session_start", "action_restart", "action_back")


@dataclass(frozen=True)
class _Turn:
    """The latest turn of a conversation: the message that opened it, and how many the bot has sent since."""

    sender: str
    message_id: str
    channel: str | None
    said: Utterance
    sent: int = 0


class Transcript:
    """Writes events to the learning log, each as often as it comes: what is there already stays as it is.

    Only what Rasa reports as carried out is activated, so a choice that lost against another policy's teaches
    nothing. What was done where the policy only watched is observed, and teaches that; what was done where it chose to
    abstain activates the abstaining. Not safe to use from several threads.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._turns: OrderedDict[str, _Turn] = OrderedDict()

    def add(self, event: Mapping[str, Any]) -> None:
        """Write what an event of Rasa's (its dictionary, with the `sender_id`) tells.

        Raises:
            LogUnavailable: not written, or in part; add it again.
        """
        kind = event.get("event")
        if kind == "user":
            self._user(event)
        elif kind == "bot":
            self._bot(event)
        elif kind == "action":
            decision = ((event.get("metadata") or {}).get(_KEY) or {}).get("decision_id")
            self._activate(decision)
            if decision is None and event.get("name") not in _SILENT:
                self._witness(event["sender_id"], event.get("name"))

    def _user(self, event: Mapping[str, Any]) -> None:
        parse = event.get("parse_data") or {}
        intent = (parse.get("intent") or {}).get("name")
        text, message_id = event.get("text"), event.get("message_id")
        if not text or not message_id or (event.get("metadata") or {}).get("is_external"):
            return
        turn = _Turn(
            sender=event["sender_id"],
            message_id=message_id,
            channel=event.get("input_channel"),
            said=Utterance(text, intent, float(event.get("timestamp") or 0.0)),
        )
        ranking = [guess for guess in parse.get("intent_ranking") or [] if guess.get("name")][:5]
        features = {f"intent:{guess['name']}": float(guess.get("confidence") or 0.0) for guess in ranking}
        earlier = self._earlier(turn)
        runtime().service().hear(_situation(turn, text, features), at=turn.said.at or None)
        if earlier:
            self._signal(earlier, turn)
        self._turns[turn.sender] = turn
        self._turns.move_to_end(turn.sender)
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)

    def _bot(self, event: Mapping[str, Any]) -> None:
        metadata = event.get("metadata") or {}
        # The wording's decision alone: the action's is activated by what was carried out, below.
        origin = metadata.get(_KEY) or {}
        self._activate(origin.get("wording_id"))
        for item in origin.get("items") or ():
            self._activate(item["decision_id"])
        if watched := origin.get("watched"):
            self._observe(watched["decision_id"], watched["candidate"])
        turn = self._turns.get(event["sender_id"])
        if turn is not None and event.get("text"):
            action = metadata.get("utter_action")
            features = {f"action:{action}": 1.0} if action else {}
            situation, at = _situation(turn, event["text"], features), float(event.get("timestamp") or 0.0) or None
            runtime().service().hear(situation, who="bot", part=turn.sent, at=at)
            self._turns[turn.sender] = replace(turn, sent=turn.sent + 1)

    def _activate(self, decision: str | None) -> None:
        if decision:
            with suppress(InvalidInput):  # of another home, or forgotten since
                runtime().service().activate(decision)

    def _observe(self, decision: str, candidate: str) -> None:
        with suppress(InvalidInput):  # as above; or something that was no candidate
            runtime().service().observe(decision, candidate)

    def _witness(self, sender: str, action: str | None) -> None:
        """What another policy does in a turn, beside what was decided on it."""
        turn, service = self._turns.get(sender), runtime().service()
        if turn is None or action is None:
            return
        for decision in service.log.decisions(column="turn", value=service.turn(turn.sender, turn.message_id)):
            if decision.loop != ACTIONS:
                continue
            if not decision.body["live"]:
                self._observe(decision.id, action)
            elif decision.body["chosen"] == ABSTAIN:
                self._activate(decision.id)

    def _earlier(self, turn: _Turn) -> list[tuple[str, Utterance]]:
        """What was said before in the conversation, with the turns that it opened, oldest first."""
        service = runtime().service()
        now = service.turn(turn.sender, turn.message_id)
        heard = service.log.messages(service.identity.conversation(turn.sender), limit=_COMPARED)
        return [
            (event.turn, _utterance(event))
            for event in heard
            if event.turn and event.turn != now and event.body["who"] == "user"
        ]

    def _signal(self, earlier: list[tuple[str, Utterance]], now: _Turn) -> None:
        """Record what the new message says about the reply before it, or about one of long before."""
        about, before = earlier[-1]
        for signal, value in self._behaviour.signals(before, now.said):
            self._record(signal, value, about, now)
        for turn, said in reversed(earlier):
            if self._behaviour.came_back(said, now.said):
                self._record("returned", 1.0, turn, now)
                with suppress(Unknown):  # not assumed, or in no decision's turn
                    runtime().service().revoke(assumed(turn), who="behaviour", why="came back with the same problem")
                break

    def _record(self, signal: str, value: float, about: str, now: _Turn) -> None:
        service = runtime().service()
        with suppress(Unknown):  # nothing was decided in that turn
            service.record(
                signal=signal,
                value=value,
                turn=about,
                event_id=f"{signal}:{service.turn(now.sender, now.message_id)}",
                source="behaviour",
                actor=now.sender,
                at=now.said.at or None,
            )


def _utterance(event: Event) -> Utterance:
    return Utterance(event.body["text"], likeliest_intent(event.body.get("features") or {}), event.at)


def _situation(turn: _Turn, text: str, features: dict[str, float]) -> Situation:
    return Situation(
        messages=[text],
        conversation=turn.sender,
        person=turn.sender,
        message_id=turn.message_id,
        channel=turn.channel,
        features=features,
    )
