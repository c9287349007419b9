"""Reasons: what stands behind a decision, as its second page shows it. Here the model is folded as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import ModelMissing
from agent.explain import why
from agent.service import Service

NEAREST = 8
_FAINT = 0.1  # of the strongest effect: what is weaker says little, and stays unmarked
_LEVELS = 3
_STRONG = 0.05  # the strongest word of a message in which no word says much is not shown as a strong one


@dataclass(frozen=True)
class Piece:
    """A piece of a message: a word with its effect, or what stands between words. `shade` is "for-1" to "against-3"."""

    text: str
    effect: float | None = None
    shade: str = ""


@dataclass(frozen=True)
class Reasons:
    """One decision with what its words did; `trouble` says why that is not known, where it is not."""

    explanation: Mapping[str, Any]
    pieces: Sequence[Piece]
    trouble: str = ""


def reasons_of(service: Service, decision_id: str) -> Reasons:
    """Words, the nearest past decisions, and whether the vector comes out again.

    Raises:
        Unknown: there is no such decision.
        InvalidInput: the log does not hold what was said in it.
    """
    event = service.decision(decision_id)
    try:
        found = why(service, event, words=True, nearest=NEAREST, recompute=True)
    except ModelMissing as error:
        return Reasons(why(service, event, nearest=NEAREST, recompute=True), [], trouble=str(error))
    return Reasons(found, list(pieces(found["words"])))


def pieces(words: Mapping[str, Any]) -> Iterator[Piece]:
    """A message cut into its words and what stands between them."""
    text, end = words["text"], 0
    strongest = max([_STRONG, *(abs(word["effect"]) for word in words["words"])])
    for word in words["words"]:
        if word["start"] > end:
            yield Piece(text[end : word["start"]])
        yield Piece(word["text"], word["effect"], _shade(word["effect"], strongest))
        end = word["end"]
    if text[end:]:
        yield Piece(text[end:])


def _shade(effect: float, strongest: float) -> str:
    if abs(effect) < _FAINT * strongest:
        return ""
    level = min(_LEVELS, 1 + int(_LEVELS * abs(effect) / strongest))
    return f"{'for' if effect > 0 else 'against'}-{level}"
