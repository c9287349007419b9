"""A shop and its shoppers, simulated: numpy and nothing of ours, so that peers play in processes of their own.

1,000 items in 12 categories. An item's vector (d,) is what a text encoder would give: unit, near its category's centre
(cosine of two items of a category about 0.67, of others about 0). It has a price and a novelty in [-1, 1], known to
all, and a quality that nobody knows.

A shopper needs something of one category and says so, not exactly; has a budget in [-1, 1], of which a feature tells
something; and has a taste, a direction of which nothing is said. A visit is four slates of three. An item that is
looked at pleases with the probability sigmoid(bias + 6 need.item + 3 taste.item + quality + 0.5 novelty
- (1 - budget) price). A click: the item is looked at, which at position p = 1, 2, 3 happens with probability
e_p = (1 / p)^eta, and pleases (position-based model: Richardson et al. 2007). What a shopper clicked joins the context
of the rest of the visit.

Candidates of a slate are the 40 items nearest to what was said. Every player meets the same shoppers, who have the same
luck: item i at a position is clicked by the same uniform draw whoever shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

ITEMS, CATEGORIES, DIMENSION = 1000, 12, 64
RETRIEVED, POSITIONS, SLATES_A_VISIT = 40, 3, 4
#: visits that go on at the same time, in turns: a player that learns in batches learns after each such round.
AT_ONCE = 50
ETA = 1.0
BIAS, NEED, TASTE, BUDGET = -6.0, 6.0, 3.0, 1.0


@dataclass(frozen=True)
class World:
    """What a run is made of: its seed, how many slates, and the strength of position bias (eta >= 0)."""

    seed: int
    slates: int
    eta: float = ETA
    items: int = ITEMS
    dimension: int = DIMENSION
    retrieved: int = RETRIEVED

    @property
    def examination(self) -> np.ndarray:
        """The probability (3,) that each position is looked at."""
        return (1.0 / np.arange(1, POSITIONS + 1)) ** self.eta


class Shop:
    """The items: vectors (n, d), category, price and novelty (n,), and the hidden quality (n,)."""

    def __init__(self, world: World) -> None:
        draws = np.random.default_rng([world.seed, 1])
        centres = unit(draws.normal(size=(CATEGORIES, world.dimension)))
        self.category = draws.integers(CATEGORIES, size=world.items)
        self.vectors = unit(centres[self.category] + 0.7 * unit(draws.normal(size=(world.items, world.dimension))))
        self.price, self.novelty = draws.uniform(-1.0, 1.0, size=(2, world.items))
        self.quality = draws.normal(scale=0.8, size=world.items)


@dataclass(eq=False)
class Visit:
    """One shopper in the shop. What a player may know: context (d,), budget, and retrieved (m,) item numbers.

    The rest is the shopper's own, and `play` alone asks for it.
    """

    context: np.ndarray
    budget: float
    retrieved: np.ndarray
    pleasing: np.ndarray = field(repr=False)
    luck: np.ndarray = field(repr=False)


class Shopper:
    """Comes with a need, a budget and a taste; remembers what was clicked in this visit."""

    def __init__(self, shop: Shop, world: World, number: int) -> None:
        draws = np.random.default_rng([world.seed, 2, number])
        d = world.dimension
        wanted = shop.vectors[draws.integers(world.items)]
        self._need = unit(wanted + 0.5 * unit(draws.normal(size=d)))
        self._said = unit(self._need + 0.8 * unit(draws.normal(size=d)))
        taste, budget = unit(draws.normal(size=d)), draws.uniform(-1.0, 1.0)
        logit = BIAS + NEED * shop.vectors @ self._need + TASTE * shop.vectors @ taste
        logit += shop.quality + 0.5 * shop.novelty - BUDGET * (1.0 - budget) * shop.price
        self._pleasing = 1.0 / (1.0 + np.exp(-logit))
        self._hint = float(np.clip(budget + draws.normal(scale=0.5), -1.5, 1.5))
        self._shop, self._retrieved, self._draws = shop, world.retrieved, draws
        self._liked = np.zeros(d)
        self._open = np.ones(world.items, dtype=bool)

    def visit(self) -> Visit:
        """The next slate's occasion; what was clicked already is not offered again."""
        context = unit(self._said + 0.3 * self._liked)
        near = np.where(self._open, self._shop.vectors @ context, -2.0)
        some = np.argpartition(-near, self._retrieved)[: self._retrieved]
        some = some[np.argsort(-near[some])]
        luck = self._draws.uniform(size=(2, POSITIONS, len(near)))
        return Visit(context, self._hint, some, self._pleasing, luck)

    def clicked(self, items: np.ndarray) -> None:
        """Take in what was clicked in the last slate."""
        self._liked += self._shop.vectors[items].sum(axis=0)
        self._open[items] = False


class Player(Protocol):
    """Fills slates. `batch`: whether it takes the visits of a round together, and learns after them."""

    batch: bool

    def choose(self, visits: list[Visit]) -> list[list[int]]:
        """Three different retrieved items for each visit, the first position first."""

    def learn(self, visits: list[Visit], slates: list[list[int]], clicks: np.ndarray) -> None:
        """Take in the clicks (visits, 3), 0 or 1, on what was last chosen."""


def play(player: Player, shop: Shop, world: World) -> dict[str, Any]:
    """Play so many slates: lists of clicks and of clicks expected ((slates, 3) each), and items shown (slates, 3).

    Where the player says what it expects of retrieved items once looked at (`relevance(visit)`), also how far off that
    is in the last fifth of the slates ("relevance_error": root of the mean square).
    """
    examination = world.examination
    clicks, expected, shown, errors = [], [], [], []
    done, arrived = 0, 0
    while done < world.slates:
        shoppers = [Shopper(shop, world, arrived + number) for number in range(AT_ONCE)]
        arrived += AT_ONCE
        for _ in range(SLATES_A_VISIT):
            visits = [shopper.visit() for shopper in shoppers[: world.slates - done]]
            for some in [visits] if player.batch else [[visit] for visit in visits]:
                slates = player.choose(some)
                happened = np.array([_clicks(v, s, examination) for v, s in zip(some, slates, strict=True)])
                player.learn(some, slates, happened)
                clicks.extend(happened)
                shown.extend(slates)
                expected.extend(examination * v.pleasing[s] for v, s in zip(some, slates, strict=True))
            for shopper, slate, happened in zip(shoppers, shown[done:], clicks[done:], strict=False):
                shopper.clicked(np.array(slate)[happened > 0])
            if hasattr(player, "relevance") and done >= 0.8 * world.slates:
                errors += [np.square(player.relevance(v) - v.pleasing[v.retrieved]).mean() for v in visits[::5]]
            done += len(visits)
            if done >= world.slates:
                break
    result = {
        "clicks": np.array(clicks).tolist(),
        "expected": np.array(expected).tolist(),
        "shown": np.array(shown).tolist(),
    }
    return {**result, "relevance_error": float(np.sqrt(np.mean(errors))) if errors else None}


def _clicks(visit: Visit, slate: list[int], examination: np.ndarray) -> np.ndarray:
    """0 or 1 for each position (3,): looked at, and pleasing."""
    if len(set(slate)) != POSITIONS or not set(slate) <= set(visit.retrieved.tolist()):
        raise ValueError(f"slate {slate}: not {POSITIONS} different retrieved items")
    places = range(POSITIONS)
    looked = visit.luck[0, places, slate] < examination
    return (looked & (visit.luck[1, places, slate] < visit.pleasing[slate])).astype(float)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (…, d) at length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
