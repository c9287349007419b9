"""The problems that learners are compared on: real data, encoded once, as arrays.

All of them are reply choice: candidates = labels, reward 1 where the label chosen is the right one, else 0.

    banking77               10,003 questions to a bank, 77 intents
    curekart, sofmattress   questions to two shops' bots (hint3), those that nothing fits left out
    star/<task>             picks of a reply by people in a dialogue; 12 tasks

A star pick lists a few `options`, the likeliest first, among them the one picked: neither their order nor which they
are is used, every label seen in a task is a candidate of all its picks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from agent import simulation
from agent.encoder import Encoder
from agent.simulation import Question, read_questions

ROOT = Path(__file__).resolve().parents[2]
HINT3 = ("curekart", "sofmattress")
NOTHING_FITS = "NO_NODES_DETECTED"
STAR = (
    "apartment_schedule",
    "bank_balance",
    "doctor_schedule",
    "hotel_book",
    "party_plan",
    "plane_search",
    "restaurant_book",
    "ride_book",
    "ride_change",
    "spaceship_life_support",
    "trip_directions",
    "weather",
)
NAMES = ("banking77", *HINT3, *(f"star/{task}" for task in STAR))
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem: n contexts and k candidates in d dimensions, and which candidate is right in each context.

    contexts: (n, d) float32 unit vectors of the message to answer; blocks: further ones (n, d) by name, zero where
    there is none. candidates: k ids; vectors: (k, d). answers: (n,) indices. test_contexts (m, d) and test_answers
    (m,) where the problem has test rows. rounds: how many are played; past n, in a further pass.
    """

    name: str
    contexts: np.ndarray
    candidates: tuple[str, ...]
    vectors: np.ndarray
    answers: np.ndarray
    rounds: int
    blocks: Mapping[str, np.ndarray] = field(default_factory=dict)
    test_contexts: np.ndarray | None = None
    test_answers: np.ndarray | None = None

    def order(self, seed: int, rounds: int | None = None) -> np.ndarray:
        """The rows played (rounds,), drawn from the seed as `rejoinder simulate` draws them."""
        return np.array(simulation._order(range(len(self.answers)), rounds or self.rounds, seed))


def folder() -> Path:
    """The data sets: beside the repository, or where `REJOINDER_DATA` says."""
    return Path(os.environ.get("REJOINDER_DATA", ROOT.parent / "shared" / "data"))


def load(names: Iterable[str] = NAMES, *, cache: Path | None = None) -> list[Problem]:
    """The named problems; their texts are encoded once, and kept in `cache` (the system's folder for scratch files).

    Raises:
        ValueError: no problem is called that.
        InvalidInput: a file of the data cannot be read.
    """
    with Embeddings(Path(tempfile.gettempdir()) if cache is None else cache) as embeddings:
        return [_problem(name, embeddings.encode) for name in names]


def _problem(name: str, encode: Encode) -> Problem:
    if name not in NAMES:
        raise ValueError(f"no problem is called {name!r}; there are {', '.join(NAMES)}")
    if name in HINT3:
        train, test = (
            read_questions(folder() / f"hint3/{part}/{name}.csv", none_label=NOTHING_FITS) for part in ("train", "test")
        )
        return _questions(name, train, test, len(train), encode)
    if name == "banking77":
        train, test = (read_questions(folder() / f"banking77/{part}.csv") for part in ("train", "test"))
        return _questions(name, train, test, 10_000, encode)
    return _picks(name, encode)


def _questions(name: str, train: Sequence[Question], test: Sequence[Question], rounds: int, encode: Encode) -> Problem:
    index = {label: number for number, label in enumerate(dict.fromkeys(question.label for question in train))}
    in_scope = [question for question in test if question.label in index]
    return Problem(
        name=name,
        contexts=encode([question.text for question in train]),
        candidates=tuple(index),
        vectors=encode([simulation._text_of(label, None) for label in index]),
        answers=np.array([index[question.label] for question in train]),
        rounds=rounds,
        test_contexts=encode([question.text for question in in_scope]),
        test_answers=np.array([index[question.label] for question in in_scope]),
    )


def _picks(name: str, encode: Encode) -> Problem:
    task = name.removeprefix("star/")
    with gzip.open(folder() / "star/picks.jsonl.gz", "rt", encoding="utf-8") as lines:
        picks = [pick for pick in map(json.loads, lines) if pick["task"] == task]
    texts = json.loads((folder() / "star/label_to_text.json").read_text(encoding="utf-8"))
    labels = sorted({label for pick in picks for label in pick["options"]})  # an order that tells nothing
    index = {label: number for number, label in enumerate(labels)}
    turns = [_turns(pick) for pick in picks]
    return Problem(
        name=name,
        contexts=_encoded([message for message, _, _ in turns], encode),
        candidates=tuple(labels),
        vectors=encode([simulation._text_of(label, texts) for label in labels]),
        answers=np.array([index[pick["options"][pick["chosen"]]] for pick in picks]),
        rounds=len(picks),
        blocks={
            "last_reply": _encoded([reply for _, reply, _ in turns], encode),
            "history": _encoded([earlier for _, _, earlier in turns], encode),
        },
    )


def _turns(pick: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The user's last message, what was last said or looked up for them, and the turns before; each may be none."""
    earlier = list(pick["history"])
    last: dict[bool, list[str]] = {True: [], False: []}
    for ours in last:
        found = next((turn for turn in reversed(earlier) if (turn[0] != "User") == ours), None)
        if found is not None:
            earlier.remove(found)
            last[ours] = [found[1]]
    return last[False], last[True], [text for _, text in earlier]


def _encoded(turns: Sequence[Sequence[str]], encode: Encode) -> np.ndarray:
    """The sum of the texts' embeddings, of length 1, or 0 where there is no text: (n, d)."""
    texts = list(dict.fromkeys(text for some in turns for text in some))
    at, vectors = {text: row for row, text in enumerate(texts)}, encode(texts)
    rows = np.stack([vectors[[at[text] for text in some]].sum(axis=0) for some in turns])
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


class Embeddings:
    """Texts' embeddings, kept in one .npz file; used as a context, which writes back those that were missing."""

    def __init__(self, folder: Path) -> None:
        self._encoder = Encoder(keep=10**6)
        self._path = folder / f"rejoinder-benchmark-{self._encoder.name}.npz"
        self._kept: dict[str, np.ndarray] = {}
        self._new = False

    def __enter__(self) -> Self:
        if self._path.is_file():
            with np.load(self._path) as kept:
                self._kept = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
        return self

    def __exit__(self, *_: object) -> None:
        if self._new:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside = self._path.with_suffix(f".{os.getpid()}.npz")
            np.savez(aside, keys=np.array(list(self._kept)), vectors=np.stack(list(self._kept.values())))
            aside.replace(self._path)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of n texts: (n, d) float32."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._kept}
        if missing:
            rows = self._encoder.encode(list(missing.values()))
            self._kept.update(zip(missing, (np.array(row, dtype=np.float32) for row in rows), strict=True))
            self._new = True
        return np.stack([self._kept[key] for key in keys])
