"""Reply choice on real data: Rejoinder's learners and their peers, on the same embeddings in the same orders.

Run with: python -m tests.benchmarks.replies [--problem NAME ...] [--policy NAME[:SETTING=VALUE,...] ...] [--peers]
          [--peer NAME ...] [--seeds N] [--rounds N] [--cache FOLDER] [--out FILE.json]

A learner sees a context, chooses, and learns what its own choice earned; nothing looks ahead. Test accuracy is the
share of test rows where the candidate it then expects most of is right, before any feedback (zero-shot) and after.
Decisions per second of processor time include learning, but not encoding.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import policies
from policies import Candidate, Context, Learner
from tests.benchmarks import problems
from tests.benchmarks.peers import roster
from tests.benchmarks.problems import Problem


@dataclass(frozen=True)
class Played:
    """What a player earned on a problem, in the order of a seed. Shares are in [0, 1], None where there is no test."""

    problem: str
    player: str
    settings: Mapping[str, Any]
    seed: int
    rounds: int
    average_reward: float
    last_half_average_reward: float
    zero_shot_accuracy: float | None
    test_accuracy: float | None
    seconds: float


def play(problem: Problem, name: str, settings: Mapping[str, Any], *, seed: int, rounds: int | None = None) -> Played:
    """One of our learners through the engine, drawing as `rejoinder simulate` does."""
    learner = policies.create(name, **settings)
    candidates = [
        Candidate(id, vector) for id, vector in zip(problem.candidates, _tensor(problem.vectors), strict=True)
    ]
    contexts, tests, order = _contexts(problem), _tests(problem), problem.order(seed, rounds)
    zero_shot = _accuracy(learner, tests, problem.test_answers, candidates)
    rewards = []
    start = time.process_time()
    for number, row in enumerate(order.tolist(), 1):
        draw = random.Random(f"{seed}/{number}").getrandbits(53)
        choice = learner.choose(contexts[row], candidates, seed=draw)
        rewards.append(float(choice.index == problem.answers[row]))
        learner.learn(contexts[row], candidates[choice.index], rewards[-1], offer=choice.offer(candidates))
    seconds = time.process_time() - start
    return Played(
        problem=problem.name,
        player=name,
        settings=settings,
        seed=seed,
        rounds=len(rewards),
        average_reward=statistics.fmean(rewards),
        last_half_average_reward=statistics.fmean(rewards[len(rewards) // 2 :]),
        zero_shot_accuracy=zero_shot,
        test_accuracy=_accuracy(learner, tests, problem.test_answers, candidates),
        seconds=seconds,
    )


def play_peer(problem: Problem, name: str, *, seed: int, rounds: int | None = None) -> Played:
    """One peer, in its own process. It plays no more rounds than it is fast enough for."""
    peer = roster.PEERS[name]
    limit = min(rounds or problem.rounds, peer.rounds or problem.rounds)
    result = roster.play(problem, peer, seed=seed, order=problem.order(seed, limit))
    return Played(
        problem=problem.name,
        player=name,
        settings=peer.settings,
        seed=seed,
        rounds=limit,
        zero_shot_accuracy=None,
        **result,
    )


def _contexts(problem: Problem) -> list[Context]:
    blocks = {name: _tensor(rows) for name, rows in problem.blocks.items()}
    vectors = _tensor(problem.contexts)
    return [Context(v, blocks={name: rows[i] for name, rows in blocks.items()}) for i, v in enumerate(vectors)]


def _tests(problem: Problem) -> list[Context]:
    return [] if problem.test_contexts is None else [Context(vector) for vector in _tensor(problem.test_contexts)]


def _tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows).to(torch.float64)


def _accuracy(
    learner: Learner, contexts: Sequence[Context], answers: np.ndarray | None, candidates: Sequence[Candidate]
) -> float | None:
    if answers is None:
        return None
    right = [
        int(learner.scores(context, candidates).mean.argmax()) == answer
        for context, answer in zip(contexts, answers.tolist(), strict=True)
    ]
    return statistics.fmean(right)


def table(results: Sequence[Played]) -> Table:
    """Means over seeds, a row a problem and player."""
    found = Table(title="Reply choice: means over seeds")
    for column in ("problem", "player", "rounds", "seeds", "average", "each seed", "last half"):
        found.add_column(column)
    for column in ("zero-shot", "test", "decisions/s"):
        found.add_column(column, justify="right")
    groups: dict[tuple[str, str, str], list[Played]] = {}
    for played in results:
        groups.setdefault((played.problem, played.player, json.dumps(played.settings)), []).append(played)
    for (problem, player, settings), group in groups.items():
        found.add_row(
            problem,
            player if settings == "{}" or player in roster.PEERS else f"{player} {settings}",
            str(group[0].rounds),
            str(len(group)),
            _mean([played.average_reward for played in group]),
            " ".join(f"{played.average_reward:.3f}" for played in group),
            _mean([played.last_half_average_reward for played in group]),
            _mean([played.zero_shot_accuracy for played in group]),
            _mean([played.test_accuracy for played in group]),
            f"{sum(played.rounds for played in group) / sum(played.seconds for played in group):.0f}",
        )
    return found


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3f}" if known else ""


def named(text: str) -> tuple[str, dict[str, Any]]:
    """A policy and its settings, written `name` or `name:setting=value,setting=value`; a value is JSON or a word.

    Raises:
        ValueError: no policy is called that, or a setting has no value.
    """
    name, _, rest = text.partition(":")
    if name not in policies.NAMES:
        raise ValueError(f"no policy is called {name!r}; there are {', '.join(policies.NAMES)}")
    settings = {}
    for part in filter(None, rest.split(",")):
        setting, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{text!r}: {part!r} is not SETTING=VALUE")
        try:
            settings[setting] = json.loads(value)
        except json.JSONDecodeError:
            settings[setting] = value
    policies.create(name, **settings)
    return name, settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", nargs="+", action="extend", choices=problems.NAMES, metavar="NAME")
    parser.add_argument("--policy", nargs="+", action="extend", type=named, metavar="NAME[:SETTING=VALUE,...]")
    parser.add_argument("--peers", action="store_true", help="all peers, where no --peer is named")
    parser.add_argument("--peer", nargs="+", action="extend", choices=tuple(roster.PEERS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="how many orders: seeds 0, 1, ...")
    parser.add_argument("--rounds", type=int, help="fewer or more than a problem has")
    parser.add_argument("--cache", type=Path, help="folder of embeddings (default: the system's for scratch files)")
    parser.add_argument("--out", type=Path, help="write every result as JSON here, after each one")
    return parser.parse_args()


def _games(
    problem: Problem,
    ours: Sequence[tuple[str, Mapping[str, Any]]],
    others: Sequence[str],
    *,
    seed: int,
    rounds: int | None,
) -> Iterator[Played]:
    for name, settings in ours:
        yield play(problem, name, settings, seed=seed, rounds=rounds)
    for name in others:
        yield play_peer(problem, name, seed=seed, rounds=rounds)


def main() -> None:
    """Play and print. Where only peers are named, only peers play."""
    given = _arguments()
    torch.set_num_threads(1)  # as the peers: decisions are too small to share
    others = given.peer or (tuple(roster.PEERS) if given.peers else ())
    ours = given.policy or ([] if given.peer else [(name, {}) for name in policies.NAMES])
    results: list[Played] = []
    for problem in problems.load(given.problem or problems.NAMES, cache=given.cache):
        for seed in range(given.seeds):
            for played in _games(problem, ours, others, seed=seed, rounds=given.rounds):
                results.append(played)
                print(json.dumps(asdict(played)), file=sys.stderr, flush=True)
                if given.out:
                    given.out.write_text(json.dumps([asdict(p) for p in results], indent=1), encoding="utf-8")
    Console().print(table(results))


if __name__ == "__main__":
    main()
