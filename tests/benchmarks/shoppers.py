"""Simulated shoppers: what slates of three earn, by our learners, by popularity, by chance, and by Mab2Rec.

Run with: python -m tests.benchmarks.shoppers [--slates N] [--seeds N] [--player NAME ...] [--study NAME] [--json]

The shop, its shoppers and their position-biased clicks are those of `peers/shop.py`: hidden preferences, the same
shoppers and the same luck for every player. A click rate is clicks expected per slate of three given who came and
what was shown (the luck of the clicks left out), over the slates after the last mark (1,000, 5,000, 20,000) up to the
next; its 95 % interval resamples visits, over all seeds.

A player of ours sees of a candidate its vector, popularity so far, novelty and price, and of a shopper what was said,
what was clicked in this visit, and a hint of the budget. Position handling, where e is how often a position is looked
at and r the click probability expected of the item when it was shown, if looked at (clipped to [0.01, 0.99]):

    posterior   a click teaches 1; none teaches 0 with weight e (1 - r) / (1 - e r), the probability that the item
                was looked at: the E-step of the position-based model (Wang et al. 2018)
    ignored     a click teaches 1, none teaches 0, both with weight 1
    scaled      the click over e, with weight e (unbiased whatever r: Lagree, Vernade and Cappe 2016 use its like)

Settings of all players, Mab2Rec's too, were tried on the world of seed 100, which is not reported.

Studies: `learners` compares players; `positions` the three ways above; `diversity` strengths of MMR (Carbonell and
Goldstein 1998), with the mean of 1 - cosine over the pairs of a slate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import policies
from agent.rewards import looked_at
from policies import Candidate, Choice, Context, bootstrap, evaluate
from policies.types import Scores
from tests.benchmarks.peers import roster
from tests.benchmarks.peers.shop import POSITIONS, SLATES_A_VISIT, Player, Shop, Visit, World, play
from tests.benchmarks.problems import ROOT

MARKS = (1_000, 5_000, 20_000)
#: what a numbered feature is multiplied by on either side, to be of the size of an embedding's coordinates.
FEATURE = 0.3
#: shows by which an item's click rate is drawn to that of all.
SHRINK = 20.0


@dataclass(frozen=True)
class Kind:
    """A player by name: `maker` and its settings."""

    maker: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class Drawn:
    """A slate by chance, or the three nearest to what was said."""

    batch = False

    def __init__(self, shop: Shop, world: World, *, nearest: bool = False) -> None:
        self._nearest, self._draws = nearest, np.random.default_rng([world.seed, 3])

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        if self._nearest:
            return [visit.retrieved[:POSITIONS].tolist() for visit in visits]
        return [self._draws.choice(visit.retrieved, POSITIONS, replace=False).tolist() for visit in visits]

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        pass


class Counts:
    """Clicks and looks of each item so far: `rate` (n,) is clicks per look, drawn to that of all."""

    def __init__(self, items: int) -> None:
        self._clicks, self._looks = np.zeros(items), np.zeros(items)

    def add(self, items: Sequence[int], clicks: np.ndarray, looks: np.ndarray) -> None:
        """Take in what a slate earned; looks (3,) are how likely each was looked at."""
        self._clicks[list(items)] += clicks
        self._looks[list(items)] += looks

    def overall(self) -> float:
        """Clicks per look of all items."""
        return float((self._clicks.sum() + 1.0) / (self._looks.sum() + 5.0))

    def looks(self, items: np.ndarray) -> np.ndarray:
        """How often these items (m,) were looked at."""
        return self._looks[items]

    def rate(self, items: np.ndarray) -> np.ndarray:
        """Clicks per look of these items (m,)."""
        return (self._clicks[items] + SHRINK * self.overall()) / (self._looks[items] + SHRINK)


class Popular:
    """The three retrieved items with the most clicks per look; of ties, the nearest first. One show in 20 is a draw."""

    batch = False

    def __init__(self, shop: Shop, world: World, *, epsilon: float = 0.05) -> None:
        self._counts, self._examination = Counts(world.items), world.examination
        self._epsilon, self._draws = epsilon, np.random.default_rng([world.seed, 4])

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        slates = []
        for visit in visits:
            slate = visit.retrieved[np.argsort(-self._counts.rate(visit.retrieved), kind="stable")]
            for place in np.flatnonzero(self._draws.uniform(size=POSITIONS) < self._epsilon):
                other = self._draws.integers(POSITIONS, len(slate))
                slate[[place, other]] = slate[[other, place]]
            slates.append(slate[:POSITIONS].tolist())
        return slates

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        for slate, clicked in zip(slates, clicks, strict=True):
            self._counts.add(slate, clicked, np.maximum(self._examination, clicked))


class Best:
    """Knows what pleases: what nobody can earn more than."""

    batch = False

    def __init__(self, shop: Shop, world: World) -> None:
        pass

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        return [v.retrieved[np.argsort(-v.pleasing[v.retrieved])[:POSITIONS]].tolist() for v in visits]

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        pass


class Ours:
    """A learner of `policies`. Features are coordinates of both vectors, so that what they tell is learned."""

    batch = False

    def __init__(
        self,
        shop: Shop,
        world: World,
        *,
        policy: str,
        handling: str = "posterior",
        diversity: float = 0.0,
        cues: Mapping[str, float] | None = None,
        **settings: Any,
    ) -> None:
        self._shop, self._seed, self._examination = shop, world.seed, world.examination
        self._handling, self._diversity, self._cues = handling, diversity, cues is not None
        self._learner = policies.create(
            policy, **{"degree": 1, "prior_slope": 0.5, "prior_intercept": -0.1, "cues": cues or {}, **settings}
        )
        self._counts, self._number = Counts(world.items), 0
        fixed = FEATURE * np.stack([np.zeros(world.items), shop.novelty, shop.price, shop.price], axis=1)
        self._items = np.concatenate([shop.vectors, fixed], axis=1)
        self._popularity = world.dimension  # the column that changes
        self._last: tuple[Context, list[Candidate], tuple[Choice, ...]]

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        (visit,) = visits
        context, candidates = self._seen(visit)
        self._number += 1
        near = torch.from_numpy(self._shop.vectors[visit.retrieved])
        slate = slate_of(
            self._learner,
            context,
            candidates,
            seed=f"{self._seed}/{self._number}",
            vectors=near,
            strength=self._diversity,
        )
        self._last = context, candidates, slate
        return [visit.retrieved[[choice.index for choice in slate]].tolist()]

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        context, candidates, slate = self._last
        rates = [_relevance(choice) for choice in slate]
        taught = [
            teaching(c, e, r, self._handling) for c, e, r in zip(clicks[0], self._examination, rates, strict=True)
        ]
        for choice, (value, weight) in zip(slate, taught, strict=True):
            self._learner.learn(context, candidates[choice.index], value, weight=weight)
        self._counts.add(slates[0], clicks[0], np.array([1.0 if self._handling == "ignored" else w for _, w in taught]))

    def relevance(self, visit: Visit) -> np.ndarray:
        """The click probability expected of each retrieved item, if looked at."""
        return self._learner.scores(*self._seen(visit)).mean.clamp(0.0, 1.0).numpy()

    def _seen(self, visit: Visit) -> tuple[Context, list[Candidate]]:
        rows = self._items[visit.retrieved]
        popularity = self._counts.rate(visit.retrieved) / self._counts.overall() - 1.0
        rows[:, self._popularity] = FEATURE * np.clip(popularity, -1.0, 2.0)
        said = np.concatenate([visit.context, FEATURE * np.array([1.0, 1.0, 1.0, visit.budget])])
        if self._cues:  # as the product has them: beside the vectors
            novelty = 1.0 / np.sqrt(1.0 + self._counts.looks(visit.retrieved))
            popularity = np.clip(self._counts.rate(visit.retrieved) / self._counts.overall() - 1.0, -1.0, 2.0)
            price = self._shop.price[visit.retrieved]
            columns = {"popularity": popularity, "novelty": novelty, "price": price, "budget": price * visit.budget}
            named = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            plain = torch.from_numpy(self._shop.vectors[visit.retrieved])
            offered = zip(visit.retrieved.tolist(), plain, named, strict=True)
            return Context(torch.from_numpy(visit.context)), [Candidate(str(i), row, cue) for i, row, cue in offered]
        candidates = [
            Candidate(str(i), row) for i, row in zip(visit.retrieved.tolist(), torch.from_numpy(rows), strict=True)
        ]
        return Context(torch.from_numpy(said)), candidates


def teaching(click: float, examination: float, relevance: float, handling: str) -> tuple[float, float]:
    """What a shown item's click, or none, teaches: a value and its weight."""
    if handling == "ignored":
        return click, 1.0
    if handling == "scaled":
        return click / examination, examination
    return (1.0, 1.0) if click else (0.0, looked_at(examination, relevance))


def slate_of(
    learner: policies.Learner,
    context: Context,
    candidates: Sequence[Candidate],
    *,
    seed: str,
    vectors: torch.Tensor,
    strength: float,
) -> tuple[Choice, ...]:
    """Three choices, position after position, each score less `strength` times the largest cosine to those above."""
    if not strength:
        return learner.choose_slate(context, candidates, k=POSITIONS, seed=seed)
    scores, slate = learner.scores(context, candidates), []
    open_ = [True] * len(candidates)
    nearest = torch.zeros(len(candidates), dtype=torch.float64)
    for position in range(POSITIONS):
        spread = Scores({**scores.parts, "diversity": -strength * nearest}, scores.deviation, scores.covariance)
        probabilities = learner.distribution(spread, open_)
        index = policies.draw(probabilities, f"{seed}/{position}")
        slate.append(Choice(index, float(probabilities[index]), probabilities, scores))
        open_[index] = False
        cosines = vectors @ vectors[index]
        nearest = cosines if position == 0 else torch.maximum(nearest, cosines)
    return tuple(slate)


def _relevance(choice: Choice) -> float:
    return float(choice.scores.mean[choice.index])


MAKERS = {"drawn": Drawn, "popular": Popular, "best": Best, "ours": Ours}
SHARED = {"parts": "shared"}
KINDS: dict[str, Kind] = {
    "random": Kind("drawn"),
    "similarity": Kind("drawn", {"nearest": True}),
    "popularity": Kind("popular"),
    "lints cues": Kind(
        "ours",
        {
            "policy": "lints",
            **SHARED,
            "alpha": 0.1,
            "cues": dict.fromkeys(("popularity", "novelty", "price", "budget"), 0.3),
        },
    ),
    "lints vectors": Kind("ours", {"policy": "lints", **SHARED, "alpha": 0.1, "cues": {}}),
    "lints shared": Kind("ours", {"policy": "lints", **SHARED, "alpha": 0.1}),
    "linucb shared": Kind("ours", {"policy": "linucb", **SHARED, "alpha": 0.4}),
    "linucb_hybrid": Kind("ours", {"policy": "linucb_hybrid", "alpha": 0.1}),
    "lints hybrid": Kind("ours", {"policy": "lints", "parts": "hybrid", "alpha": 0.03}),
    "mab2rec linucb": Kind("mab2rec", {"policy": "LinUCB", "alpha": 0.1}),
    "mab2rec lints": Kind("mab2rec", {"policy": "LinTS", "alpha": 0.03}),
    "best": Kind("best"),
}
HANDLINGS = ("posterior", "ignored", "scaled")
STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
STUDIES: dict[str, dict[str, Kind]] = {
    "learners": KINDS,
    "positions": {h: Kind("ours", {**KINDS["linucb shared"].settings, "handling": h}) for h in HANDLINGS},
    "diversity": {f"mmr {s:g}": Kind("ours", {**KINDS["linucb shared"].settings, "diversity": s}) for s in STRENGTHS},
}


@dataclass(frozen=True)
class Played:
    """One player in one world: clicks expected (slates,) per slate and diversity (slates,) of each."""

    player: str
    world: World
    clicks: list[float]
    diversity: list[float]
    relevance_error: float | None
    seconds: float


def run(name: str, kind: Kind, world: World) -> Played:
    """Play one player through one world, a peer in a process of its own."""
    shop = Shop(world)
    if kind.maker == "mab2rec":
        result = _peer(kind, world)
    else:
        start = time.process_time()
        player: Player = MAKERS[kind.maker](shop, world, **kind.settings)
        result = {**play(player, shop, world), "seconds": time.process_time() - start}
    vectors = shop.vectors[np.array(result["shown"])]
    apart = [1.0 - (vectors[:, i] * vectors[:, j]).sum(axis=1) for i, j in combinations(range(POSITIONS), 2)]
    clicks = np.array(result["expected"]).sum(axis=1).tolist()
    diversity = np.mean(apart, axis=0).tolist()
    return Played(name, world, clicks, diversity, result["relevance_error"], result["seconds"])


def _peer(kind: Kind, world: World) -> dict[str, Any]:
    """Raises RuntimeError where the peer fails; the message ends with what it said."""
    ran = subprocess.run(
        [
            roster.python(kind.maker),
            "-m",
            "tests.benchmarks.peers.mab2rec",
            *map(json.dumps, (asdict(world), kind.settings)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"mab2rec {dict(kind.settings)} failed: {ran.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def figures(played: Sequence[Played]) -> dict[str, Any]:
    """A player's click rate and diversity between marks, over its seeds, with intervals."""
    marks = [mark for mark in MARKS if mark <= played[0].world.slates] or [played[0].world.slates]
    found: dict[str, Any] = {"player": played[0].player, "seeds": len(played)}
    for start, mark in zip([0, *marks], marks, strict=False):
        found[f"clicks at {mark}"] = _interval([p.clicks[start:mark] for p in played])
        found[f"each seed at {mark}"] = [float(np.mean(p.clicks[start:mark])) for p in played]
        found[f"diversity at {mark}"] = _interval([p.diversity[start:mark] for p in played])
    errors = [p.relevance_error for p in played if p.relevance_error is not None]
    found["relevance error"] = float(np.mean(errors)) if errors else None
    found["slates per second"] = sum(len(p.clicks) for p in played) / sum(p.seconds for p in played)
    return found


def against(played: Sequence[Played], base: Sequence[Played]) -> tuple[float, float, float]:
    """Clicks a slate more than another player's, before the same shoppers, after the last mark but one."""
    marks = [0, *(mark for mark in MARKS if mark < played[0].world.slates)]
    pairs = zip(played, base, strict=True)
    return _interval([(np.array(p.clicks) - np.array(b.clicks))[marks[-1] :].tolist() for p, b in pairs])


def _interval(runs: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The mean over slates, and its interval by rounds of visits: the slates of a visit are SLATES_A_VISIT apart."""
    block = 50 * SLATES_A_VISIT  # who is in the shop at one time
    sums, sizes = [], []
    for values in runs:
        for start in range(0, len(values), block):
            some = np.array(values[start : start + block])
            visits = np.arange(len(some)) % 50
            sums.extend(np.bincount(visits, some).tolist())
            sizes.extend(np.bincount(visits).tolist())
    top, bottom = torch.tensor(sums, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64)
    low, high = bootstrap.interval(top, bottom, level=0.95, resamples=evaluate.RESAMPLES, seed=0)
    return float(top.sum() / bottom.sum()), low, high


def table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A row a player."""
    found = Table(title=f"Shoppers, {title}: clicks a slate of three; 95 % intervals")
    columns = [name for name in rows[0] if not name.startswith(("each", "diversity at"))]
    last = [name for name in rows[0] if name.startswith("diversity at")][-1]
    for name in (*columns, last):
        found.add_column(name)
    for row in rows:
        found.add_row(*(_cell(row.get(name)) for name in (*columns, last)))
    return found


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return "{:.3f} ({:.3f} to {:.3f})".format(*value)
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def study(kinds: Mapping[str, Kind], worlds: Sequence[World], *, base: str) -> Iterator[dict[str, Any]]:
    """Figures of each player, with the difference to the player called `base`, which plays first."""
    first: list[Played] = []
    for name in (base, *(name for name in kinds if name != base)):
        played = [run(name, kinds[name], world) for world in worlds]
        first = first or played
        more = {} if name == base else {f"more than {base}": against(played, first)}
        yield {**figures(played), **more}


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=tuple(STUDIES), default="learners")
    parser.add_argument("--player", nargs="+", help="some of the study's players")
    parser.add_argument("--slates", type=int, default=MARKS[-1])
    parser.add_argument("--seeds", type=int, default=3, help="worlds: seeds 0, 1, ...")
    parser.add_argument("--eta", type=float, default=World(0, 0).eta, help="strength of position bias")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {
        name: kind for name, kind in STUDIES[given.study].items() if name in (given.player or STUDIES[given.study])
    }
    if not kinds:
        parser.error(f"--player: the study has {', '.join(STUDIES[given.study])}")
    worlds = [World(seed, given.slates, eta=given.eta) for seed in range(given.seeds)]
    base = "popularity" if "popularity" in kinds else next(iter(kinds))
    rows = []
    for row in study(kinds, worlds, base=base):
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    print(json.dumps(rows)) if given.json else Console().print(table(rows, given.study))


if __name__ == "__main__":
    main()
