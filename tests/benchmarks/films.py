"""Dialogues about films (ReDial): what was recommended and how it was taken, and what words tell of a film."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent import decision
from agent.decision import Situation
from agent.settings import LoopSettings
from policies.features import VECTOR

MENTION = re.compile(r"@(\d+)\s*<([^>]*)>")
YEAR = re.compile(r"\((\d{4})\)")
RECOMMENDS, ACCEPTS, TURNS_DOWN = {"REC-S", "REC-E"}, {"ACC"}, {"REJ", "CRI-F"}
LIKES = {"PRO", "SEE", "IQU", "ACC", "CRI-C"}  # what seekers say when they name films they like
SETTINGS = LoopSettings(history=0.5)


@dataclass(frozen=True)
class Turn:
    """Who spoke, the words with titles in place of references, the films named, and the acts."""

    seeker: bool
    text: str
    films: tuple[str, ...]
    acts: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """A film, the turn in which it was first recommended, and whether it was accepted or turned down."""

    film: str
    turn: int
    accepted: bool


@dataclass(frozen=True)
class Dialogue:
    """A dialogue's turns, and the verdicts on what was recommended in it."""

    turns: tuple[Turn, ...]
    verdicts: tuple[Verdict, ...]

    def pairs(self) -> list[tuple[Verdict, Verdict]]:
        """Accepted and turned down."""
        return [(a, b) for a in self.verdicts for b in self.verdicts if a.accepted and not b.accepted]


def read(path: Path) -> tuple[list[Dialogue], dict[str, str]]:
    """The dialogues, and every film's title as it was first written."""
    titles: dict[str, str] = {}
    dialogues = []
    for found in json.loads(path.read_text(encoding="utf-8")).values():
        turns = []
        for said in found["dialogue_info"].values():
            text = said["utterance_text"]
            for film, title in MENTION.findall(text):
                titles.setdefault(film, " ".join(title.split()))
            films = tuple(dict.fromkeys(film for film, _ in MENTION.findall(text)))
            plain = " ".join(MENTION.sub(lambda m: f"{m[2]}", text).split())
            turns.append(Turn(said["role"] == "seeker", plain, films, frozenset(said["sub-intent/action"])))
        dialogues.append(Dialogue(tuple(turns), tuple(verdicts(turns))))
    return dialogues, titles


def verdicts(turns: Sequence[Turn]) -> list[Verdict]:
    """What became of each film that was recommended and not spoken of before."""
    named: set[str] = set()
    pending: list[tuple[str, int]] = []
    heard: set[str] = set()
    found = []
    for number, turn in enumerate([*turns, Turn(False, "", ("",), frozenset(RECOMMENDS))]):
        new = [film for film in turn.films if film not in named]
        named.update(new)
        if turn.seeker:
            heard |= turn.acts
        elif new and turn.acts & RECOMMENDS:
            if heard & (ACCEPTS | TURNS_DOWN):
                found += [Verdict(film, at, bool(heard & ACCEPTS)) for film, at in pending]
            pending, heard = [(film, number) for film in new], set()
    return found


@dataclass(frozen=True)
class Moment:
    """What is known before a turn: the context's texts with weights, films liked so far, and films turned down."""

    said: tuple[tuple[str, float], ...]
    liked: tuple[str, ...]
    disliked: tuple[str, ...]


def moment(dialogue: Dialogue, turn: int) -> Moment:
    """The dialogue up to a turn, that turn not included."""
    before = dialogue.turns[:turn]
    messages = [t.text for t in before if t.seeker and t.text] or ["hello"]
    replies = [t.text for t in before if not t.seeker and t.text]
    said = decision._blocks(Situation(tuple(messages), tuple(replies)), SETTINGS)[VECTOR]
    disliked = {f for t in before if t.seeker and t.acts & TURNS_DOWN for f in t.films}
    last: tuple[str, ...] = ()
    liked: dict[str, None] = {}
    for t in before:
        if not t.seeker:
            last = t.films or last
        elif t.acts & TURNS_DOWN:
            disliked.update(last)
        elif t.acts & LIKES:
            liked.update(dict.fromkeys((*t.films, *(last if t.acts & {"SEE", "ACC"} else ()))))
    return Moment(tuple(said), tuple(f for f in liked if f not in disliked), tuple(sorted(disliked)))


class Lore:
    """What some dialogues tell of films: how often each was named and taken, with which others, and in what words."""

    def __init__(self, dialogues: Iterable[Dialogue], vector_of: Callable[[str], np.ndarray]) -> None:
        self.named: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.judged: Counter[str] = Counter()
        self.together: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.words: dict[str, np.ndarray] = {}
        for dialogue in dialogues:
            self.add(dialogue, vector_of)

    def add(self, dialogue: Dialogue, vector_of: Callable[[str], np.ndarray], sign: int = 1) -> None:
        """Take in one dialogue; or out again, with sign -1."""
        films = sorted({film for turn in dialogue.turns for film in turn.films})
        for film in films:
            self.named[film] += sign
            for other in films:
                if other != film:
                    self.together[film][other] += sign
        for verdict in dialogue.verdicts:
            self.judged[verdict.film] += sign
            self.taken[verdict.film] += sign * verdict.accepted
        for turn in dialogue.turns:
            for film in turn.films:
                self.words[film] = self.words.get(film, 0.0) + sign * vector_of(turn.text)

    def rate(self, film: str) -> float:
        """The share of its verdicts that took it, less that of all, drawn to 0 by four verdicts."""
        everywhere = sum(self.taken.values()) / max(sum(self.judged.values()), 1)
        return (self.taken[film] - everywhere * self.judged[film]) / (self.judged[film] + 4.0)

    def near(self, one: str, other: str) -> float:
        """How often two films are named in the same dialogues: a cosine."""
        return self.together[one][other] / math.sqrt(max(self.named[one], 1) * max(self.named[other], 1))

    def alike(self, one: str, other: str) -> float:
        """The cosine of the words in which they were spoken of; 0 where nobody did."""
        if not (self.named[one] and self.named[other]):
            return 0.0
        return float(_unit(self.words[one]) @ _unit(self.words[other]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


@dataclass(frozen=True, eq=False)
class Row:
    """A film at a moment: the context's vector and the title's, (d,) each, and the film's features."""

    film: str
    context: np.ndarray
    title: np.ndarray
    features: Mapping[str, float]


@dataclass(eq=False)
class Films:
    """Titles and the embeddings of all texts: what turns words into vectors and features."""

    titles: Mapping[str, str]
    vectors: Mapping[str, np.ndarray]

    def of(self, text: str) -> np.ndarray:
        """The unit vector (d,) of a text."""
        return self.vectors[text]

    def title(self, film: str) -> np.ndarray:
        """That of a film's title."""
        return self.vectors[self.titles[film]]

    def context(self, now: Moment) -> np.ndarray:
        """The context's vector (d,)."""
        return _unit(sum(weight * self.of(text) for text, weight in now.said))

    def row(self, now: Moment, film: str, lore: Lore) -> Row:
        """A film at a moment, by what some dialogues tell of films."""
        context = self.context(now)
        return Row(film, context, self.title(film), self._features(context, now, film, lore))

    def _features(self, context: np.ndarray, now: Moment, film: str, lore: Lore) -> dict[str, float]:
        """Numbers of about the size of 1."""
        year = YEAR.search(self.titles[film])
        spoken = _unit(lore.words[film]) if lore.named[film] > 0 else np.zeros_like(context)
        found = {
            "named": math.log1p(lore.named[film]) - 1.0,
            "taken": 4.0 * lore.rate(film),
            "year": (float(year[1]) - 2005.0) / 12.0 if year else 0.0,
            "no year": float(year is None),
            "title": 3.0 * float(context @ self.title(film)),
            "words": 3.0 * float(context @ spoken),
        }
        for name, others in (("liked", now.liked), ("disliked", now.disliked)):
            pairs = {
                "titles": [2.0 * float(self.title(film) @ self.title(o)) for o in others],
                "words": [2.0 * lore.alike(film, o) for o in others],
                "near": [5.0 * lore.near(film, o) for o in others],
            }
            found |= {f"{name} {kind}": float(np.mean(values)) if values else 0.0 for kind, values in pairs.items()}
        return found
