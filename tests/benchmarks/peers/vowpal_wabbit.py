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
        self._shared = ["shared |s " + _features(context) for context in seen.contexts]
        self._actions = [
            [f"|a id={number} {_features(cosines)}" for number, cosines in enumerate(row)] for row in seen.cosines
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


def _features(values: np.ndarray) -> str:
    # Never with an exponent: Vowpal Wabbit 9.11.9 reads some of those as values that make `--coin` answer NaN.
    return " ".join(f"{number}:{value:.6f}" for number, value in enumerate(values))


if __name__ == "__main__":
    main(Wabbit)
