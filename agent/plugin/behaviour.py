"""Behaviour: what a customer's next message says about the reply before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.encoder import DEFAULT_ENCODER
from agent.errors import InvalidInput
from agent.plugin.runtime import encoder


@dataclass(frozen=True)
class Utterance:
    """A user message as it counts here: its words, the intent understood, when it came (unix seconds)."""

    text: str
    intent: str | None
    at: float


@dataclass(frozen=True)
class Behaviour:
    """Which messages thank, say that it helped, ask for a person, or ask the same again; and what silence says.

    `thanks_intents`, `resolved_intents`, `handover_intents`, `fallback_intents` are names of intents. A message
    rephrases the one before it when it comes within `rephrased_within` seconds, their embeddings' cosine is at least
    `rephrased_similarity`, and its intent is the same or a fallback. Where it comes later, but within `returned_within`
    seconds, somebody came back with the same problem. A conversation has ended when nothing was said for `left_after`
    seconds; in the middle, if the last message was not understood or one of the bot's `asking` actions (names or
    patterns) waits for an answer. Which signals count, and how much, each loop's `signals` say.
    """

    thanks_intents: Sequence[str] = ("thanks", "thank", "thank_you", "thankyou")
    resolved_intents: Sequence[str] = ("solved", "resolved", "problem_solved", "that_helped")
    handover_intents: Sequence[str] = ("speak_to_human", "human_handoff", "handoff", "handover", "talk_to_human")
    fallback_intents: Sequence[str] = ("nlu_fallback", "out_of_scope")
    rephrased_similarity: float = 0.7
    rephrased_within: float = 300.0
    returned_within: float = 3 * 86_400.0
    left_after: float = 1_800.0
    asking: Sequence[str] = ("utter_ask_*",)
    encoder: str = DEFAULT_ENCODER

    def __post_init__(self) -> None:
        for name in ("thanks_intents", "resolved_intents", "handover_intents", "fallback_intents", "asking"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(intent, str) for intent in given):
                raise InvalidInput(f"event_broker in endpoints.yml: {name} must be a list of names; got {given!r}")
        for name in ("rephrased_similarity", "rephrased_within", "returned_within", "left_after"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise InvalidInput(f"event_broker in endpoints.yml: {name} must be a number; got {given!r}")

    def signals(self, before: Utterance, now: Utterance) -> list[tuple[str, float]]:
        """The signals, with their values, that a message gives about the reply to the one before it."""
        for intents, signal in (
            (self.thanks_intents, "thanks"),
            (self.resolved_intents, "resolved_confirmed"),
            (self.handover_intents, "handover"),
        ):
            if now.intent in intents:
                return [(signal, 1.0)]
        return [("rephrased", 1.0)] if self._repeats(before, now, 0.0, self.rephrased_within) else []

    def came_back(self, before: Utterance, now: Utterance) -> bool:
        """Whether somebody has come back with the problem of an earlier message."""
        return self._repeats(before, now, self.rephrased_within, self.returned_within)

    def _repeats(self, before: Utterance, now: Utterance, least: float, most: float) -> bool:
        """Whether the same is asked again, between so many seconds later."""
        same = now.intent in (before.intent, *self.fallback_intents)
        typed = not (before.text.startswith("/") or now.text.startswith("/"))
        if not (least <= now.at - before.at <= most and same and typed):
            return False
        one, other = encoder(self.encoder).encode([before.text, now.text])
        return math.fsum(a * b for a, b in zip(one, other, strict=True)) >= self.rephrased_similarity
