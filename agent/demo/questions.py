"""Questions: what the simulated customers ask, in English and German, out of templates, slots and slips of the pen."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.demo.shop import mapping
from agent.errors import InvalidInput

LANGUAGES = ("en", "de")
_WORDS = Path(__file__).parent / "words"
# Distinct texts of a kind: enough to look real, few enough that all are encoded in seconds.
_POOL = {"en": 22, "de": 7}
_AGAIN = {"en": 3, "de": 1}
_TYPOS, _LOWER, _OPENED = 0.1, 0.3, 0.08


@dataclass(frozen=True)
class Kind:
    """A kind of question.

    `share` is how often it is asked, against the others; `guesses` what the NLU understands, with its confidence.
    `answers` are replies with the chance that they satisfy; without any, the assistant has none. `upset`: whoever asks
    is angry. `templates` are sentences by language.
    """

    name: str
    share: float
    guesses: Mapping[str, float]
    answers: Mapping[str, float] = field(default_factory=dict)
    upset: bool = False
    templates: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """The reply that satisfies most."""
        return max(self.answers, key=self.answers.__getitem__) if self.answers else None


@dataclass(frozen=True)
class Pool:
    """What customers of one language say of one kind: questions, and the same put in other words."""

    questions: Sequence[str]
    again: Sequence[str]

    def draw(self, rng: random.Random) -> str:
        """A question; the first ones are asked most."""
        return self.questions[int(len(self.questions) * rng.random() ** 1.4)]


class Questions:
    """All kinds of questions, with the texts in which they are asked: the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.kinds = kinds()
        self.sayings: Mapping[str, Any] = mapping(_WORDS / "sayings.yml")
        slots = mapping(_WORDS / "slots.yml")
        self._pools: dict[tuple[str, str], Pool] = {}
        for kind in self.kinds.values():
            for language in LANGUAGES:
                rng = random.Random(f"{seed}/{kind.name}/{language}")
                self._pools[kind.name, language] = _pool(kind, language, slots, self.sayings, rng)

    def pool(self, kind: Kind, language: str) -> Pool:
        """What is said of a kind in a language."""
        return self._pools[kind.name, language]

    def said(self, what: str, language: str, rng: random.Random) -> str:
        """One of the sayings of a sort, such as `thanks`."""
        return str(rng.choice(self.sayings[language][what]))

    def texts(self) -> list[str]:
        """Every text that a customer may write, so that all can be encoded at once."""
        found = [text for pool in self._pools.values() for text in (*pool.questions, *pool.again)]
        for language in LANGUAGES:
            for what in ("thanks", "solved", "human", "recommend", "cheaper"):
                found += self.sayings[language][what]
        return list(dict.fromkeys(found))


def kinds() -> dict[str, Kind]:
    """The kinds of questions, by name: those with a reply, then those without.

    Raises:
        InvalidInput: a file of words cannot be read.
    """
    answered = {name: _kind(name, given) for name, given in mapping(_WORDS / "kinds.yml").items()}
    unanswered = {name: _kind(name, given) for name, given in mapping(_WORDS / "unanswered.yml").items()}
    return {**answered, **unanswered}


def german() -> dict[str, str]:
    """The German wordings that are added to some replies, by the reply's topic."""
    return {name: str(text) for name, text in mapping(_WORDS / "wordings_de.yml").items()}


def _kind(name: str, given: Mapping[str, Any]) -> Kind:
    intent = given.get("intent")
    guesses = given.get("mistaken") or ({intent: 0.72} if intent else {"nlu_fallback": 0.3})
    try:
        return Kind(
            name=name,
            share=float(given["share"]),
            guesses=dict(guesses),
            answers=dict(given.get("answers") or {}),
            upset=bool(given.get("upset")),
            templates={language: list(given[language]) for language in LANGUAGES},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the words of the demonstration: {name} lacks or misspells {error}") from error


def _pool(kind: Kind, language: str, slots: Mapping[str, Any], sayings: Mapping[str, Any], rng: random.Random) -> Pool:
    templates, wanted = kind.templates[language], _POOL[language]
    found: dict[str, None] = {}
    for attempt in range(wanted * 4):
        if len(found) >= wanted:
            break
        text = _filled(templates[attempt % len(templates)], slots[language], rng)
        found[_written(text, sayings[language]["opening"], rng)] = None
    questions = list(found)
    again = [rng.choice(sayings[language]["again"]) + text for text in questions[: _AGAIN[language]]]
    return Pool(questions, again)


def _filled(template: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    text = re.sub(r"\{(\w+)\}", lambda slot: str(rng.choice(slots[slot[1]])), template)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _written(text: str, openings: Sequence[str], rng: random.Random) -> str:
    """A sentence as somebody types it: capitals and marks or not, a greeting before it, a slip of the pen."""
    style = rng.random()
    if style > _LOWER:
        text = text[0].upper() + text[1:]
        text += "" if text[-1] in "?!" else rng.choice(("?", ".", "!", "")) if style > 0.6 else ""
    if rng.random() < _OPENED:
        text = f"{rng.choice(openings)} {text}"
    return _slip(text, rng) if rng.random() < _TYPOS else text


def _slip(text: str, rng: random.Random) -> str:
    """The text with two letters of a word the wrong way round, or one of them missing."""
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    swapped = text[at + 1] + text[at] if rng.random() < 0.5 else text[at + 1]
    return text[:at] + swapped + text[at + 2 :]
