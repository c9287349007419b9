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
    """Which messages thank, ask for a person, or ask the same again in other words.

    `thanks_intents`, `handover_intents`, `fallback_intents` are names of intents. A message rephrases the one before
    it when it comes within `rephrased_within` seconds, their embeddings' cosine is at least `rephrased_similarity`,
    and its intent is the same or a fallback.
    """

    thanks_intents: Sequence[str] = ("thanks", "thank", "thank_you", "thankyou")
    handover_intents: Sequence[str] = ("speak_to_human", "human_handoff", "handoff", "handover", "talk_to_human")
    fallback_intents: Sequence[str] = ("nlu_fallback", "out_of_scope")
    rephrased_similarity: float = 0.7
    rephrased_within: float = 300.0
    encoder: str = DEFAULT_ENCODER

    def __post_init__(self) -> None:
        for name in ("thanks_intents", "handover_intents", "fallback_intents"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(intent, str) for intent in given):
                raise InvalidInput(f"event_broker in endpoints.yml: {name} must be a list of intents; got {given!r}")
        for name in ("rephrased_similarity", "rephrased_within"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise InvalidInput(f"event_broker in endpoints.yml: {name} must be a number; got {given!r}")

    def signals(self, before: Utterance, now: Utterance) -> list[tuple[str, float]]:
        """The signals, with their values, that a message gives about the reply to the one before it."""
        if now.intent in self.thanks_intents:
            return [("thanks", 1.0)]
        if now.intent in self.handover_intents:
            return [("handover", 1.0)]
        return [("rephrased", 1.0)] if self._rephrases(before, now) else []

    def _rephrases(self, before: Utterance, now: Utterance) -> bool:
        in_time = 0.0 <= now.at - before.at <= self.rephrased_within
        same = now.intent in (before.intent, *self.fallback_intents)
        typed = not (before.text.startswith("/") or now.text.startswith("/"))
        if not (in_time and same and typed):
            return False
        one, other = encoder(self.encoder).encode([before.text, now.text])
        return math.fsum(a * b for a, b in zip(one, other, strict=True)) >= self.rephrased_similarity
