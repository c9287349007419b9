"""The stock: a shelf of items in columns, so that which may be shown is asked of all of them at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cached_property

import torch
from torch import Tensor

from agent.items.catalogue import Shelf
from agent.items.critiques import Vocabulary
from agent.items.wishes import Wishes


class Stock:
    """The items of one shelf (n), in its order. Immutable: a changed shelf is another stock."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        items = [shelf.items[id] for id in shelf.order]
        self._available = torch.tensor([item.available for item in items], dtype=torch.bool)
        prices = [math.nan if item.price is None else item.price for item in items]
        self._prices = torch.tensor(prices, dtype=torch.float64)  # so that a price equals itself
        self._ages = torch.tensor([item.minimum_age for item in items], dtype=torch.int16)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words for what the items are."""
        return Vocabulary(self._cues)

    @cached_property
    def _cues(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, id in enumerate(self.shelf.order):
            for cue in self.shelf.items[id].cues:
                found.setdefault(cue, []).append(place)
        return found

    def allowed(self, wanted: Wishes, *, without: Collection[str] = ()) -> Tensor:
        """Which items may be shown (n,) bool: `Wishes.allow` of each, but for those of the ids `without`."""
        allowed = self._available & (self._ages <= (wanted.age if wanted.age is not None else math.inf))
        if wanted.lowest > 0.0 or wanted.highest < math.inf:  # a price that nobody knows is in no bounds
            allowed &= (self._prices >= wanted.lowest) & (self._prices <= wanted.highest)
        places = [place for cue in wanted.dislikes for place in self._cues.get(cue, ())]
        places += [self.shelf.places[id] for id in (*wanted.dismissed, *without) if id in self.shelf.places]
        allowed[places] = False
        return allowed

    def cues(self, ids: Sequence[str], wanted: Wishes) -> dict[str, dict[str, float]]:
        """What the prices of items say, by id: "price", from -1 (the cheapest of the shop) to 1, and "limit".

        That is how near a price comes to the highest that was named, in [0, 1]. Both are 0 of a price nobody knows.
        """
        price, limit = dict.fromkeys(ids, 0.0), dict.fromkeys(ids, 0.0)
        for id in ids:
            place = self.shelf.places[id]
            own = float(self._prices[place])
            if not math.isnan(own):
                price[id] = float(self._standing[place])
                limit[id] = 0.0 if wanted.highest in (0.0, math.inf) else min(own / wanted.highest, 1.0)
        return {"price": price, "limit": limit}

    @cached_property
    def _standing(self) -> Tensor:
        """How many items are cheaper, less how many are dearer, as a share of all with a price (n,)."""
        known = self._prices[~self._prices.isnan()].sort().values
        if not len(known):
            return torch.zeros(len(self._prices))
        below, upto = (torch.searchsorted(known, self._prices, right=right) for right in (False, True))
        return (below + upto - len(known)) / len(known)

    def vector(self, id: str) -> Tensor:
        """An item's embedding (d,)."""
        row: Tensor = self.shelf.vectors[self.shelf.places[id]]
        return row
