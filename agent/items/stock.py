"""The stock: a shelf of items in columns, so that which may be shown is asked of all of them at once."""

from __future__ import annotations

import math
from collections.abc import Collection
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

    def vector(self, id: str) -> Tensor:
        """An item's embedding (d,)."""
        row: Tensor = self.shelf.vectors[self.shelf.places[id]]
        return row
