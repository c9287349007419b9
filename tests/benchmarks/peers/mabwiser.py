"""MABWiser: LinUCB and LinTS, a ridge regression per arm; its arms have no features of their own."""

from __future__ import annotations

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from tests.benchmarks.peers.game import Seen, main


class Mab:
    """Arms are candidates' numbers. With `cosines`, a context is followed by its cosines with all k candidates.

    It cannot choose before it has learned: the first choice is a draw.
    """

    def __init__(
        self, seen: Seen, seed: int, *, policy: str, alpha: float, ridge: float = 1.0, cosines: bool = False
    ) -> None:
        n, k, _ = seen.cosines.shape
        joined = np.concatenate([seen.contexts, seen.cosines.reshape(n, -1)], axis=1) if cosines else seen.contexts
        self._contexts = joined.astype(np.float64)
        made = getattr(LearningPolicy, policy)(alpha=alpha, l2_lambda=ridge)
        self._mab = MAB(list(range(k)), made, seed=seed)
        self._means = np.zeros((k, self._contexts.shape[1]))
        self._first: int | None = int(np.random.default_rng(seed).integers(k))

    def choose(self, row: int) -> int:
        if self._first is not None:
            return self._first
        return int(self._mab.predict(self._contexts[row : row + 1]))

    def learn(self, row: int, choice: int, reward: float) -> None:
        learn = self._mab.fit if self._first is not None else self._mab.partial_fit
        self._first = None
        learn([choice], [reward], self._contexts[row : row + 1])
        self._means[choice] = self._mab._imp.arm_to_model[choice].beta

    def best(self, row: int) -> int:
        return int(np.argmax(self._means @ self._contexts[row]))


if __name__ == "__main__":
    main(Mab)
