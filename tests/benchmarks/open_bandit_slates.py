"""Slates of three on a fashion shop's logs: what policies are worth, position by position, told from random slates.

Run with: python -m tests.benchmarks.open_bandit_slates [--seed N] [--json]

Open Bandit data (Saito et al. 2021), campaign "men": 34 items, three positions, 10,000 rows of the policy that draws
evenly and as many of the shop's Thompson sampling (bts). A row is one position of one slate, with the probability of
its item there. Value is clicks per impression at a position; a slate's is their sum, which takes clicks at one
position not to hang on the items at the others.

    random, bts   what each earned when it ran itself
    bts, by DR    its probabilities, from the random log. They changed while it learned: an item's share of a position
                  is the harmonic mean of those logged
    ours, popular learned on half of the random log, judged on the other half, and the other way round: no row judges
                  a policy that learned from it, nor from a row of a shopper with the same four features

Examination is position-based (Richardson et al. 2007): a click takes an item that is looked at, which happens with
probability e_p, the clicks at a position over those at the best (smoothed; of the half learned from), and that pleases.
Intervals (95 %) resample groups of shoppers with the same features.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import policies
from policies import Candidate, Context, bootstrap, evaluate
from tests.benchmarks.problems import folder

ITEMS, POSITIONS, USER_FEATURES = 34, 3, 4
#: clicks and impressions that examination starts from at each position: one click in 200.
PSEUDO_CLICKS, PSEUDO_ROWS = 5.0, 1000.0
#: impressions by which an item's click rate is drawn to that of all.
SHRINK = 500.0
#: seeds over which the chances of positions 2 and 3 are averaged: they hang on what was drawn before.
DRAWS = 32


@dataclass(frozen=True, eq=False)
class Log:
    """n rows: items (n,), positions (n,) from 0, clicks (n,), propensities (n,), groups (n,) of like shoppers."""

    items: Tensor
    positions: Tensor
    clicks: Tensor
    propensities: Tensor
    groups: Tensor
    contexts: Tensor

    @classmethod
    def read(cls, path: Path) -> Log:
        """Read a campaign's file; contexts (g, d) are the groups' features, one-hot, after a constant 1."""
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        users = [tuple(row[f"user_feature_{i}"] for i in range(USER_FEATURES)) for row in rows]
        numbers = {user: number for number, user in enumerate(sorted(set(users)))}
        columns = {
            pair: place for place, pair in enumerate(sorted({pair for user in numbers for pair in enumerate(user)}))
        }
        contexts = torch.zeros(len(numbers), 1 + len(columns), dtype=torch.float64)
        contexts[:, 0] = 1.0
        for user, number in numbers.items():
            contexts[number, [1 + columns[pair] for pair in enumerate(user)]] = 0.5
        return cls(
            torch.tensor([int(row["item_id"]) for row in rows]),
            torch.tensor([int(row["position"]) - 1 for row in rows]),
            torch.tensor([float(row["click"]) for row in rows], dtype=torch.float64),
            torch.tensor([float(row["propensity_score"]) for row in rows], dtype=torch.float64),
            torch.tensor([numbers[user] for user in users]),
            contexts,
        )

    def where(self, rows: Tensor) -> Log:
        """The rows of a mask (n,)."""
        kept = (self.items, self.positions, self.clicks, self.propensities, self.groups)
        return Log(*(column[rows] for column in kept), self.contexts)

    def shares(self) -> Tensor:
        """An item's share of each position (3, 34): the harmonic mean of its propensities there, where it was shown."""
        inverse, times = (
            torch.zeros(POSITIONS, ITEMS, dtype=torch.float64),
            torch.zeros(POSITIONS, ITEMS, dtype=torch.float64),
        )
        inverse.index_put_((self.positions, self.items), 1.0 / self.propensities, accumulate=True)
        times.index_put_((self.positions, self.items), torch.ones_like(self.propensities), accumulate=True)
        return torch.nn.functional.normalize(times / inverse.clamp_min(1.0), p=1, dim=1)


@dataclass(frozen=True, eq=False)
class Clicks:
    """What a log says of clicks: examination (3,) of each position, and relevance (34,) of each item if examined."""

    examination: Tensor
    relevance: Tensor

    @classmethod
    def of(cls, log: Log) -> Clicks:
        """Estimate from a log in which items were drawn evenly at every position: there, clicks differ by e_p alone."""
        shown = torch.bincount(log.positions, minlength=POSITIONS)
        clicked = torch.bincount(log.positions, log.clicks, minlength=POSITIONS)
        rates = (clicked + PSEUDO_CLICKS) / (shown + PSEUDO_ROWS)
        examination = rates / rates.max()
        looked = torch.bincount(log.items, examination[log.positions], minlength=ITEMS)
        pleased = torch.bincount(log.items, log.clicks, minlength=ITEMS)
        rate = float(pleased.sum() / looked.sum())
        return cls(examination, (pleased + SHRINK * rate) / (looked + SHRINK))

    def predictions(self, log: Log) -> Tensor:
        """Clicks expected of each item in each row's position, (n, 34)."""
        return self.examination[log.positions][:, None] * self.relevance


Target = Callable[[Log, Clicks, Log], Tensor]


def popular(_: Log, clicks: Clicks, judged: Log) -> Tensor:
    """The three items most clicked, in that order: (n, 34)."""
    best = clicks.relevance.topk(POSITIONS).indices
    return torch.eye(ITEMS, dtype=torch.float64)[best[judged.positions]]


def ours(learned: Log, clicks: Clicks, judged: Log, *, alpha: float = 0.068, seed: int = 0) -> Tensor:
    """Thompson sampling, an own model per item over the shopper's features, that starts from the rate of all: (n, 34).

    A click teaches 1; none teaches 0 with the probability that the item was looked at (`weight_unclicked`). alpha is
    the deviation of a click, ridge its variance over that of items' rates: what is known of such shops, not tuned.
    """
    rate = float(clicks.relevance.mean())
    learner = policies.create("lints", degree=1, alpha=alpha, ridge=SHRINK)
    candidates = [Candidate(str(item), prior=rate) for item in range(ITEMS)]
    contexts = [Context(row) for row in learned.contexts]
    for item, position, click, group in zip(
        learned.items.tolist(),
        learned.positions.tolist(),
        learned.clicks.tolist(),
        learned.groups.tolist(),
        strict=True,
    ):
        weight = 1.0 if click else weight_unclicked(float(clicks.examination[position]), rate)
        learner.learn(contexts[group], candidates[item], click, weight=weight)
    table = torch.zeros(len(contexts), POSITIONS, ITEMS, dtype=torch.float64)
    for group in judged.groups.unique().tolist():
        for number in range(DRAWS):
            slate = learner.choose_slate(contexts[group], candidates, k=POSITIONS, seed=f"{seed}/{group}/{number}")
            table[group] += torch.stack([choice.probabilities for choice in slate]) / DRAWS
    return table[judged.groups, judged.positions]


def weight_unclicked(examination: float, relevance: float) -> float:
    """The probability that an item was looked at, given that it was not clicked (Wang et al. 2018, E-step)."""
    r = min(max(relevance, 0.01), 0.99)
    return examination * (1.0 - r) / (1.0 - examination * r)


@dataclass(frozen=True)
class Value:
    """Clicks per impression at a position, or of a slate ("all"), and their interval; `effective` rows of `n`.

    above_random: DR's difference to the policy that draws evenly, on the same rows, with its interval; None where the
    policy was not judged by the random log, or is random.
    """

    policy: str
    position: str
    value: float
    low: float
    high: float
    effective: float
    n: int
    above_random: tuple[float, float, float] | None = None
    refused: str | None = None


def seen(name: str, log: Log) -> list[Value]:
    """What a policy earned in its own log."""
    values = []
    for position, rows, scale in _parts(log):
        some = log.where(rows)
        value, low, high = _interval(some.clicks * scale[rows], some.groups)
        values.append(Value(f"{name} (its own log)", position, value, low, high, len(some.clicks), len(some.clicks)))
    return values


def judged(name: str, log: Log, target: Tensor, predictions: Tensor) -> list[Value]:
    """What a policy of probabilities (n, 34) would have earned, by DR from the random log."""
    even = torch.full_like(target, 1.0 / ITEMS)
    values = []
    for position, rows, scale in _parts(log):
        some, weight = log.where(rows), scale[rows]
        found = evaluate.dr(
            actions=some.items,
            rewards=some.clicks * weight,
            propensities=some.propensities,
            target_probabilities=target[rows],
            predictions=predictions[rows] * weight[:, None],
            clusters=some.groups,
        )
        gain = (target - even)[rows]
        index = some.items[:, None]
        residual = some.clicks - predictions[rows].gather(1, index).squeeze(1)
        terms = (gain * predictions[rows]).sum(dim=1) + gain.gather(1, index).squeeze(1) / some.propensities * residual
        above = _interval(terms * weight, some.groups) if bool(gain.any()) else None
        numbers = (found.value, found.low, found.high, found.effective_sample_size, found.n)
        values.append(Value(f"{name} (DR)", position, *numbers, above, found.refused))
    return values


def _parts(log: Log) -> list[tuple[str, Tensor, Tensor]]:
    """Each position's rows, and all rows weighted so that their mean is the sum of the positions' means."""
    shown = torch.bincount(log.positions, minlength=POSITIONS)
    ones = torch.ones_like(log.clicks)
    alone = [(str(p + 1), log.positions == p, ones) for p in range(POSITIONS)]
    return [*alone, ("all", torch.ones_like(log.positions, dtype=torch.bool), len(ones) / shown[log.positions])]


def _interval(terms: Tensor, groups: Tensor) -> tuple[float, float, float]:
    """The mean of terms (n,), and its interval by groups (n,)."""
    units = groups.unique(return_inverse=True)[1]
    sums = torch.zeros(int(units.max()) + 1, dtype=torch.float64).index_add_(0, units, terms)
    rows = torch.bincount(units).to(torch.float64)
    low, high = bootstrap.interval(sums, rows, level=0.95, resamples=evaluate.RESAMPLES, seed=0)
    return float(terms.mean()), low, high


def crossed(log: Log, targets: Mapping[str, Target], *, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Each policy's probabilities (n, 34) in rows it did not learn from, and clicks predicted for those (n, 34)."""
    generator = torch.Generator().manual_seed(seed)
    half = (torch.randperm(len(log.contexts), generator=generator) % 2)[log.groups]
    found = {name: torch.zeros(len(half), ITEMS, dtype=torch.float64) for name in targets}
    predictions = torch.zeros(len(half), ITEMS, dtype=torch.float64)
    for fold in (0, 1):
        rows = half == fold
        learned, judge = log.where(~rows), log.where(rows)
        clicks = Clicks.of(learned)
        predictions[rows] = clicks.predictions(judge)
        for name, target in targets.items():
            found[name][rows] = target(learned, clicks, judge)
    return found, predictions


def measure(random_log: Log, bts_log: Log, *, seed: int = 0) -> list[Value]:
    """Every policy's value at each position and in all."""
    targets, predictions = crossed(random_log, {"ours": ours, "popular": popular}, seed=seed)
    targets["bts"] = bts_log.shares()[random_log.positions]
    targets["random"] = torch.full_like(predictions, 1.0 / ITEMS)
    values = [*seen("random", random_log), *seen("bts", bts_log)]
    for name in ("random", "bts", "ours", "popular"):
        values += judged(name, random_log, targets[name], predictions)
    return values


def conclusion(random_log: Log, bts_log: Log, values: list[Value]) -> list[str]:
    """What the intervals allow to say of whole slates, policy by policy."""
    gains = [("bts (its own log)", _ahead(bts_log, random_log))]
    gains += [(v.policy, v.above_random) for v in values if v.position == "all" and v.above_random]
    said = []
    for name, (gain, low, high) in gains:
        apart = "more than" if low > 0 else "less than" if high < 0 else "not told apart from"
        said.append(f"{name}: {apart} random ({gain:+.4f}, {low:+.4f} to {high:+.4f} clicks a slate)")
    return said


def _ahead(one: Log, other: Log) -> tuple[float, float, float]:
    """How many clicks a slate more one log's policy earned than another's, each in its own log."""
    terms, gain = [], 0.0
    for log, sign in ((one, 1.0), (other, -1.0)):
        scaled = log.clicks * _parts(log)[-1][2]
        gain += sign * float(scaled.mean())
        # Around its own log's mean: which log a row is of is not drawn.
        terms.append(sign * (scaled - scaled.mean()) / len(scaled))
    joined = torch.cat(terms)
    _, low, high = _interval(joined * len(joined), torch.cat([one.groups, other.groups + len(one.contexts)]))
    return gain, gain + low, gain + high


def table(values: list[Value]) -> Table:
    """A row a policy and position."""
    found = Table(title="Clicks per impression, 95 % intervals")
    for column in ("policy", "position", "value", "interval", "above random", "effective rows"):
        found.add_column(column)
    for v in values:
        above = "" if v.above_random is None else "{:+.4f} ({:+.4f} to {:+.4f})".format(*v.above_random)
        span = v.refused or f"{v.low:.4f} to {v.high:.4f}"
        found.add_row(v.policy, v.position, f"{v.value:.4f}", span, above, f"{v.effective:.0f} of {v.n}")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logs = [Log.read(folder() / f"open_bandit/{policy}/men/men.csv") for policy in ("random", "bts")]
    values = measure(*logs, seed=given.seed)
    said = conclusion(*logs, values)
    if given.json:
        result: dict[str, Any] = {"values": [asdict(value) for value in values], "conclusion": said}
        print(json.dumps(result))
        return
    Console().print(table(values))
    print("\n".join(said))


if __name__ == "__main__":
    main()
