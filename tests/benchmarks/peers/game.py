"""The game every peer plays, in a process and an environment of its own: numpy, the peer, and nothing of ours.

    python -m tests.benchmarks.peers.<peer> PROBLEM.npz '{"setting": value}'

The answer is one JSON object on stdout. A player is shown a context, chooses, and learns what its own choice earned:
the right answers stay here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Seen:
    """What a player may know: contexts (n, d), those of test rows last, and c cosines with each candidate (n, k, c)."""

    contexts: np.ndarray
    cosines: np.ndarray


class Player(Protocol):
    """Plays by row numbers of what it has seen."""

    def choose(self, row: int) -> int:
        """The candidate it plays in that context."""

    def learn(self, row: int, choice: int, reward: float) -> None:
        """Take in what its choice earned."""

    def best(self, row: int) -> int:
        """The candidate it expects most of; it learns nothing."""


def play(player: Player, order: np.ndarray, answers: np.ndarray, first_test_row: int) -> dict[str, Any]:
    """Play the rows in that order, then answer the test rows; rewards stay with the game until they are earned."""
    rewards = []
    start = time.process_time()
    for row in order.tolist():
        choice = player.choose(row)
        rewards.append(float(choice == answers[row]))
        player.learn(row, choice, rewards[-1])
    seconds = time.process_time() - start
    tested = range(first_test_row, len(answers))
    right = [player.best(row) == answers[row] for row in tested]
    return {
        "average_reward": float(np.mean(rewards)),
        "last_half_average_reward": float(np.mean(rewards[len(rewards) // 2 :])),
        "test_accuracy": float(np.mean(right)) if right else None,
        "seconds": seconds,
    }


def main(make: Callable[..., Player]) -> None:
    """Play what the command line names; `make(seen, seed, **settings)` is the player."""
    path, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    with np.load(path) as given:
        seen = Seen(given["contexts"], given["cosines"])
        player = make(seen, int(given["seed"]), **settings)
        result = play(player, given["order"], given["answers"], int(given["first_test_row"]))
    print(json.dumps(result))
