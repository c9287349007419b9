"""Mab2Rec: MABWiser's LinUCB and LinTS as recommenders, a ridge regression per item over the shopper's context.

    python -m tests.benchmarks.peers.mab2rec '{"seed": 0, "slates": 1000}' '{"policy": "LinUCB", "alpha": 0.5}'

Its arms have no features of their own. What was not retrieved is excluded, as its own example does. It learns and
recommends in batches of the visits of a round (50): its LinTS takes a singular value decomposition per item each time
it is asked. A click is a reward of 1, a shown item without a click one of 0; position is none of its notions.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from mab2rec import BanditRecommender, LearningPolicy

from tests.benchmarks.peers.shop import POSITIONS, Shop, Visit, World, play


class Recommender:
    """Before it has learned it cannot recommend: the first round is a draw."""

    batch = True

    def __init__(self, shop: Shop, seed: int, *, policy: str, alpha: float, ridge: float = 1.0) -> None:
        self._items = list(range(len(shop.price)))
        made = getattr(LearningPolicy, policy)(alpha=alpha, l2_lambda=ridge)
        self._recommender = BanditRecommender(made, top_k=POSITIONS, seed=seed)
        self._recommender.set_arms(self._items)
        self._draws = np.random.default_rng(seed)
        self._learned = False

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        if not self._learned:
            return [self._draws.choice(v.retrieved, POSITIONS, replace=False).tolist() for v in visits]
        excluded = [sorted(set(self._items) - set(visit.retrieved.tolist())) for visit in visits]
        found = self._recommender.recommend(_contexts(visits), excluded_arms=excluded)
        return [list(map(int, slate)) for slate in (found if len(visits) > 1 else [found])]

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        learn = self._recommender.partial_fit if self._learned else self._recommender.fit
        contexts = np.repeat(_contexts(visits), POSITIONS, axis=0)
        learn(np.array(slates).reshape(-1).tolist(), clicks.reshape(-1).tolist(), contexts)
        self._learned = True


def _contexts(visits: list[Visit]) -> np.ndarray:
    """Context, budget and a constant for the intercept: (n, d + 2)."""
    return np.array([[*visit.context, visit.budget, 1.0] for visit in visits])


def main() -> None:
    world, settings = World(**json.loads(sys.argv[1])), json.loads(sys.argv[2])
    shop = Shop(world)
    start = time.process_time()
    result = play(Recommender(shop, world.seed, **settings), shop, world)
    print(json.dumps({**result, "seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
