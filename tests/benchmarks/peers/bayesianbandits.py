"""bayesianbandits: Bayesian linear regressions, one per arm, or one for all that reads how message and reply match."""

from __future__ import annotations

import numpy as np
from bayesianbandits import (
    Arm,
    ContextualAgent,
    FunctionArmFeaturizer,
    LipschitzContextualAgent,
    NormalRegressor,
    ThompsonSampling,
    UpperConfidenceBound,
)

from tests.benchmarks.peers.game import Seen, main


class Agent:
    """Learners of precision `ridge` over each weight and of noise variance alpha^2.

    parts: "disjoint" (a learner per arm, over the context) or "shared" (one learner, over the arm's cosines and its
    own intercept).
    """

    def __init__(
        self, seen: Seen, seed: int, *, policy: str, alpha: float, ridge: float = 1.0, parts: str = "disjoint"
    ) -> None:
        self._contexts, self._cosines = seen.contexts.astype(np.float64), seen.cosines.astype(np.float64)
        k = self._cosines.shape[1]
        self._shared = parts == "shared"
        made = {"thompson": ThompsonSampling, "ucb": UpperConfidenceBound}[policy]()
        beta = alpha**-2
        learner = NormalRegressor(alpha=ridge * beta, beta=beta)
        if self._shared:
            arms = [Arm(number) for number in range(k)]
            featurizer = FunctionArmFeaturizer(self._features)
            self._agent = LipschitzContextualAgent(arms, made, featurizer, learner, random_seed=seed)
        else:
            arms = [Arm(number, learner=NormalRegressor(alpha=ridge * beta, beta=beta)) for number in range(k)]
            self._agent = ContextualAgent(arms, made, random_seed=seed)
        self._means = np.zeros((k, self._contexts.shape[1]))

    def choose(self, row: int) -> int:
        (choice,) = self._agent.pull(self._input(row))
        return int(choice)

    def learn(self, row: int, choice: int, reward: float) -> None:
        self._agent.select_for_update(choice).update(self._input(row), np.array([reward]))
        if not self._shared:
            self._means[choice] = self._agent.arm_to_update.learner.coef_

    def best(self, row: int) -> int:
        if self._shared:
            tokens = list(range(len(self._means)))
            return int(np.argmax(self._features(self._input(row), tokens)[0].T @ self._agent.learner.coef_))
        return int(np.argmax(self._means @ self._contexts[row]))

    def _input(self, row: int) -> np.ndarray:
        return np.array([[row]]) if self._shared else self._contexts[row : row + 1]

    def _features(self, rows: np.ndarray, tokens: list[int]) -> np.ndarray:
        """Cosines and a one-hot intercept, (n, c + k, arms): what an arm's features are is the user's to say."""
        k = self._cosines.shape[1]
        return np.stack([np.vstack([self._cosines[int(row)].T, np.eye(k)])[:, tokens] for (row,) in rows])


if __name__ == "__main__":
    main(Agent)
