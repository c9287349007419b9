"""Films in chat: does the dialogue so far tell which recommended film will be accepted, and which turned down?

Run with: python -m tests.benchmarks.redial [--folds N] [--seed N] [--cache FOLDER] [--json]

336 dialogues in which one person recommends films to another (ReDial, Li et al. 2018; acts: Cai and Chen 2020). A film
is accepted if the seeker's words until the next recommendation hold the act ACC, turned down if REJ or CRI-F and no
ACC; those neither (only seen, or not known) are left out. A pair is a film accepted and one turned down in one
dialogue. Both are scored from the same words: the dialogue before the first of the two was named, so neither the answer
to either, nor that acceptances come late, can tell. A figure is the share of pairs in which the accepted film
scores higher (ties count half): chance is 0.5. Intervals (95 %) resample dialogues. "named later" is no way to score,
for it knows what came after: it tells how much of a figure may be the order in which people recommend.

That the grid holds a learner with four features only was decided after each feature had been looked at alone, on all
dialogues: a figure of it is somewhat too good. People name first what is nearest to the words and best known, and that
is turned down more often: part of what is learned is this, and no taste.

The context is encoded as the product does, the seeker's last messages with falling weights; a film's text is its title.
A learner knows of other dialogues, never of the pair's own: folds are of dialogues, and settings are chosen on the
training folds. Features of a film: how often others named it, how often they took it, its year, and how like it is to
films that the seeker spoke of with liking so far, and to those turned down so far: by titles, by the words in which
others spoke of them, and by being named in the same dialogues.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import policies
from policies import Candidate, Context, bootstrap, evaluate
from tests.benchmarks.films import Dialogue, Films, Lore, Row, moment, read
from tests.benchmarks.problems import Embeddings, folder

LATER = "named later"
#: what a feature is multiplied by on either side, and the length that both vectors are filled up to.
FEATURE, LENGTH = 0.3, 2.0


PLAIN: dict[str, Callable[[Row], float]] = {
    "similarity": lambda row: float(row.context @ row.title),
    "popularity": lambda row: row.features["named"],
    "acceptance so far": lambda row: row.features["taken"],
}


@dataclass(frozen=True)
class Tried:
    """A learner's settings, which features it sees, and how much of the embeddings (0: none)."""

    policy: str
    settings: Mapping[str, Any]
    embedding: float
    features: tuple[str, ...]


ALL: tuple[str, ...] = ("named", "taken", "year", "no year", "title", "words")
ALL += tuple(f"{name} {kind}" for name in ("liked", "disliked") for kind in ("titles", "words", "near"))
_PRIOR = {"degree": 1, "prior_slope": 0.0, "prior_intercept": 0.6}
GRID = (
    *(
        Tried("lints", {**_PRIOR, "parts": "shared", "ridge": ridge}, e, ALL)
        for e in (0.0, 0.5)
        for ridge in (3.0, 30.0)
    ),
    *(
        Tried("lints", {**_PRIOR, "parts": "shared", "ridge": r}, 0.0, ("named", "taken", "title", "words"))
        for r in (3.0, 30.0)
    ),
    Tried("linucb_hybrid", {**_PRIOR, "ridge": 10.0}, 0.0, ALL),
)


@dataclass(frozen=True, eq=False)
class Asked:
    """A dialogue's pairs, each the accepted film and the one turned down, at the same moment."""

    pairs: list[tuple[Row, Row]]

    def won(self, score: Callable[[Row], float]) -> float:
        """In how many the accepted film scores higher, ties half."""
        gaps = [score(accepted) - score(other) for accepted, other in self.pairs]
        return sum(0.5 if abs(gap) < 1e-12 else float(gap > 0) for gap in gaps)


def taught(films: Films, dialogues: Sequence[Dialogue]) -> list[tuple[Row, bool]]:
    """Every verdict with what was known when the film was recommended; of films, what the other dialogues tell."""
    lore, rows = Lore(dialogues, films.of), list[tuple[Row, bool]]()
    for dialogue in dialogues:
        lore.add(dialogue, films.of, -1)
        rows += [(films.row(moment(dialogue, v.turn), v.film, lore), v.accepted) for v in dialogue.verdicts]
        lore.add(dialogue, films.of)
    return rows


def asked(films: Films, lore: Lore, dialogue: Dialogue) -> Asked:
    """A dialogue's pairs, from what others tell of films."""
    pairs = []
    for accepted, other in dialogue.pairs():
        now = moment(dialogue, min(accepted.turn, other.turn))
        pairs.append((films.row(now, accepted.film, lore), films.row(now, other.film, lore)))
    return Asked(pairs)


class Ranker:
    """A learner that has been told verdicts, once, in their order."""

    def __init__(self, tried: Tried, rows: Sequence[tuple[Row, bool]]) -> None:
        self._tried, self._learner = tried, policies.create(tried.policy, **tried.settings)
        for row, accepted in rows:
            self._learner.learn(*self._seen(row), float(accepted))

    def score(self, row: Row) -> float:
        """The chance that the film is accepted."""
        context, candidate = self._seen(row)
        return float(self._learner.scores(context, [candidate]).mean[0])

    def _seen(self, row: Row) -> tuple[Context, Candidate]:
        numbers = FEATURE * np.array([row.features[name] for name in self._tried.features])
        scale = self._tried.embedding
        said = np.concatenate([scale * row.context, FEATURE * np.ones(len(numbers))])
        item = np.concatenate([scale * row.title, numbers])
        # Lengths must not hang on the features: what is missing to a fixed one is put where the other has nothing.
        room = np.array([math.sqrt(max(LENGTH**2 - float(item @ item), 0.0)), 0.0])
        other = np.array([0.0, math.sqrt(max(LENGTH**2 - float(said @ said), 0.0))])
        return Context(np.concatenate([said, other])), Candidate(row.film, np.concatenate([item, room]))


def chosen(films: Films, dialogues: Sequence[Dialogue], *, folds: int = 3) -> Tried:
    """The settings that rank best within the training dialogues, by folds of their own."""
    shares = dict.fromkeys(range(len(GRID)), 0.0)
    for fold in range(folds):
        train = [d for i, d in enumerate(dialogues) if i % folds != fold]
        rows, lore = taught(films, train), Lore(train, films.of)
        tests = [asked(films, lore, d) for d in dialogues[fold::folds]]
        for number, tried in enumerate(GRID):
            ranker = Ranker(tried, rows)
            shares[number] += sum(test.won(ranker.score) for test in tests)
    return GRID[max(shares, key=shares.__getitem__)]


def measure(dialogues: Sequence[Dialogue], films: Films, *, folds: int, seed: int) -> dict[str, np.ndarray]:
    """Pairs won (dialogues,) by each way to score, and "pairs" (dialogues,)."""
    order = np.random.default_rng(seed).permutation(len(dialogues))
    found: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(dialogues)))
    for fold in range(folds):
        test = order[fold::folds].tolist()
        train = [dialogues[i] for i in order.tolist() if i not in set(test)]
        lore, tried = Lore(train, films.of), chosen(films, train)
        told = f"{tried.policy} {dict(tried.settings)}, embedding {tried.embedding:g}, {len(tried.features)} features"
        print(f"fold {fold}: {told}", file=sys.stderr)
        scores = {**PLAIN, "ours": Ranker(tried, taught(films, train)).score}
        for i in test:
            pairs = asked(films, lore, dialogues[i])
            found["pairs"][i] = len(pairs.pairs)
            found[LATER][i] = sum(0.5 if a.turn == b.turn else float(a.turn > b.turn) for a, b in dialogues[i].pairs())
            for name, score in scores.items():
                found[name][i] = pairs.won(score)
    return dict(found)


@dataclass(frozen=True)
class Figure:
    """The share of pairs won and its interval; `above` by how much more than plain similarity, with its interval."""

    scored_by: str
    share: float
    low: float
    high: float
    above: tuple[float, float, float]
    dialogues: int
    pairs: int


def figures(found: Mapping[str, np.ndarray]) -> list[Figure]:
    """A figure for each way to score; chance is 0.5 of every pair."""
    pairs = found["pairs"]
    some = pairs > 0
    bottom = torch.from_numpy(pairs[some])
    ways = {"chance": 0.5 * pairs, **{name: values for name, values in found.items() if name != "pairs"}}
    rows = []
    for name, values in ways.items():
        share = _interval(values[some], bottom) if name != "chance" else (0.5, 0.5, 0.5)
        same = name == "similarity"
        above = (0.0, 0.0, 0.0) if same else _interval((values - ways["similarity"])[some], bottom)
        rows.append(Figure(name, *share, above, int(some.sum()), int(pairs.sum())))
    return rows


def _interval(values: np.ndarray, bottom: torch.Tensor) -> tuple[float, float, float]:
    top = torch.from_numpy(values)
    low, high = bootstrap.interval(top, bottom, level=0.95, resamples=evaluate.RESAMPLES, seed=0)
    return float(top.sum() / bottom.sum()), low, high


def load(cache: Path | None = None) -> tuple[list[Dialogue], Films]:
    """The dialogues, and the embeddings of everything in them."""
    dialogues, titles = read(folder() / "redial/umap2020_IARD_Cai.json")
    texts = sorted({t.text for d in dialogues for t in d.turns} | set(titles.values()) | {"hello"})
    with Embeddings(Path(tempfile.gettempdir()) if cache is None else cache) as embeddings:
        vectors = dict(zip(texts, embeddings.encode(texts).astype(np.float64), strict=True))
    return dialogues, Films(titles, vectors)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--cache", type=Path, help="folder of embeddings (default: the system's for scratch files)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dialogues, films = load(given.cache)
    rows = figures(measure(dialogues, films, folds=given.folds, seed=given.seed))
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    table = Table(title=f"Accepted above turned down: {rows[0].pairs} pairs in {rows[0].dialogues} dialogues")
    for column in ("scored by", "share of pairs", "interval", "above similarity"):
        table.add_column(column)
    for row in rows:
        above = "{:+.3f} ({:+.3f} to {:+.3f})".format(*row.above)
        table.add_row(row.scored_by, f"{row.share:.3f}", f"{row.low:.3f} to {row.high:.3f}", above)
    Console().print(table)


if __name__ == "__main__":
    main()
