"""Vowpal Wabbit: `--cb_explore_adf`, a linear model per candidate over the context, and the cosine as a feature."""

from __future__ import annotations

import numpy as np
import vowpalwabbit
from vowpalwabbit import LabelType

from tests.benchmarks.peers.game import Seen, main


class Wabbit:
    """Namespaces: s is the context; a the candidate, its number and cosines. Crossed by `-q sa`.

    Cosines in a namespace of their own, not crossed, earn far less (curekart: 0.13, not 0.54).
    """

    def __init__(self, seen: Seen, seed: int, *, options: str) -> None:
        self._workspace = vowpalwabbit.Workspace(
            f"--cb_explore_adf --cb_type mtr -q sa {options} --random_seed {seed} --quiet"
        )
        self._draws = np.random.default_rng(seed)
        self._shared = [f"shared |s {features}" for features in _features(seen.contexts)]
        self._actions = [
            [f"|a id={number} {features}" for number, features in enumerate(_features(row))] for row in seen.cosines
        ]

    def choose(self, row: int) -> int:
        self._examples = self._parse(row)
        probabilities = np.array(self._workspace.predict(self._examples))
        choice = int(self._draws.choice(len(probabilities), p=probabilities / probabilities.sum()))
        self._propensity = probabilities[choice]
        return choice

    def learn(self, row: int, choice: int, reward: float) -> None:  # `row` was just chosen for
        self._examples[choice + 1].set_label_string(f"{choice}:{-reward:g}:{self._propensity:g}")
        self._workspace.learn(self._examples)
        self._workspace.finish_example(self._examples)

    def best(self, row: int) -> int:
        examples = self._parse(row)
        probabilities = self._workspace.predict(examples)
        self._workspace.finish_example(examples)
        return int(np.argmax(probabilities))

    def _parse(self, row: int) -> list[vowpalwabbit.Example]:
        return self._workspace.parse([self._shared[row], *self._actions[row]], LabelType.CONTEXTUAL_BANDIT)


def _features(rows: np.ndarray) -> list[str]:
    """Rows as features, named by their column: of fixed digits, for an encoder's dead coordinate (1e-33) squares to 0
    in float32, and then `--coin` answers NaN.
    """
    form = " ".join(f"{column}:%.6f" for column in range(rows.shape[1]))
    return [form % tuple(row) for row in rows.tolist()]


if __name__ == "__main__":
    main(Wabbit)
