"""The catalogue: the items of a shop with their embeddings, loaded from a source and kept up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agent.encoder import Encoder, reference
from agent.errors import InvalidInput, Unknown
from agent.items.embeddings import Embeddings, Progress
from agent.items.feeds import Mark, source_of
from agent.items.item import Item, read_item
from agent.items.rows import Problem, Row

_TOLD = 5_000  # rows between two words on progress
_FEWEST_PRICES = 3  # different ones: fewer have no low, middle and high


@dataclass(frozen=True, eq=False)
class Shelf:
    """A catalogue as it was at one time: it never changes.

    `items` by id, all of them, unavailable ones too; `order` their ids as the source has them; `vectors` (n, d)
    float32, unit length, the embeddings of `Item.text` in that order.
    """

    items: Mapping[str, Item]
    order: list[str]
    vectors: Tensor

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The row of each id in `vectors`. Made when first asked for."""
        return {id: place for place, id in enumerate(self.order)}


@dataclass(frozen=True)
class Gathered:
    """What rows amount to: items by id in their order, rows that are lost and why, and what was put right in others."""

    items: dict[str, Item]
    problems: list[Problem]
    warnings: list[Problem]


@dataclass(frozen=True)
class Report:
    """What loading changed: ids that were added, changed and removed, and how many are as they were.

    `problems` are rows that are not there, `warnings` what was put right in rows that are, each with its line.
    `problems` and `warnings` of a source that was not read, because nothing had changed, are those of the last reading.
    """

    at: float
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object: counts, and lines with what is wrong."""
        counts = {name: len(getattr(self, name)) for name in ("added", "changed", "removed")}
        lines = {name: [problem._asdict() for problem in getattr(self, name)] for name in ("problems", "warnings")}
        return {"at": self.at, **counts, "unchanged": self.unchanged, **lines}


class Catalogue:
    """A named catalogue. Its shelf may be taken from any thread while another loads or refreshes it."""

    def __init__(
        self,
        name: str,
        source: str | Path,
        *,
        encoder: Encoder,
        folder: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.source = source_of(source)
        self._clock = clock
        self._embeddings = Embeddings(folder, encoder)
        self._mark: Mark | None = None
        self._report = Report(at=0.0)
        self._shelf = Shelf({}, [], torch.empty(0, 0))
        self._loading = threading.Lock()  # one loads at a time
        self._swapping = threading.Lock()

    def shelf(self) -> Shelf:
        """The items as they are now; empty before the first load."""
        with self._swapping:
            return self._shelf

    @property
    def items(self) -> Mapping[str, Item]:
        """The items by id, as they are now."""
        return self.shelf().items

    @property
    def order(self) -> list[str]:
        """The ids in the order of the source, as it is now."""
        return self.shelf().order

    @property
    def vectors(self) -> Tensor:
        """Embeddings (n, d) float32 in that order. Whoever needs more than one of these takes the `shelf()`."""
        return self.shelf().vectors

    @property
    def checked_at(self) -> float:
        """When the source was last read, or found unchanged; 0.0 before that."""
        with self._swapping:
            return self._report.at

    def text_ref(self, id: str) -> str:
        """The reference of an item's embedded text.

        Raises:
            Unknown: there is no such item now.
        """
        item = self.items.get(id)
        if item is None:
            raise Unknown(f"catalogue {self.name!r} has no item {id!r}")
        return reference(item.text)

    def load(self, *, progress: Progress = lambda *_: None) -> Report:
        """Read the source, whether or not it has changed, and put what it holds on the shelf.

        `progress` is called with a stage ("rows", "embedding"), how many are done, and how many there are (of rows,
        which are not counted before, how many are done).

        Raises:
            SourceUnavailable: the source cannot be read now.
            InvalidInput: it is nothing that rows can be read from, or has rows, but none that is an item.
            ModelMissing: the encoder is not installed.
            All of these leave the shelf as it was.
        """
        with self._loading:
            return self._update(None, progress)

    def refresh(self, *, progress: Progress = lambda *_: None) -> Report:
        """Load what has changed. Costs a look at the file, or one conditional request, where nothing has.

        Raises:
            As `load` does.
        """
        with self._loading:
            return self._update(self._mark, progress)

    def _update(self, unless: Mark | None, progress: Progress) -> Report:
        at = self._clock()
        reading = self.source.read(unless=unless)
        old = self.shelf()
        if reading is None:
            last = self._report
            report = Report(at, unchanged=len(old.order), problems=last.problems, warnings=last.warnings)
            self._swap(old, report)
            return report
        found = gather(reading.rows, known=old.items, progress=progress)
        if found.problems and not found.items:
            line, message = found.problems[0]
            raise InvalidInput(f"catalogue {self.name!r}: no row is an item; line {line}: {message}")
        items = with_bands(found.items)
        order = list(items)
        if order == old.order and all(items[id] is old.items[id] for id in order):
            shelf = old
        else:
            shelf = Shelf(items, order, self._embeddings.of(_Texts(items, order), progress=progress))
        report = _compared(old, shelf, found, at)
        self._swap(shelf, report)
        self._mark = reading.mark or None
        return report

    def _swap(self, shelf: Shelf, report: Report) -> None:
        with self._swapping:
            self._shelf, self._report = shelf, report


class _Texts(Sequence[str]):
    """The texts of items in an order, each made when it is asked for: a million of them need not lie in memory."""

    def __init__(self, items: Mapping[str, Item], order: list[str]) -> None:
        self._items = items
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: Any) -> Any:
        return self._items[self._order[place]].text


def gather(
    rows: Iterable[Row | Problem],
    *,
    known: Mapping[str, Item] | None = None,
    progress: Progress = lambda *_: None,
) -> Gathered:
    """Read the rows as items. Of rows of one id the first counts; an item `known` as it is stays the same object."""
    known = known or {}
    items: dict[str, Item] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        if number % _TOLD == 0:
            progress("rows", number, number)
        if isinstance(row, Problem):
            problems.append(row)
            continue
        try:
            item, said = read_item(row.values)
        except InvalidInput as error:
            problems.append(Problem(row.line, str(error)))
            continue
        if item.id in lines:
            problems.append(Problem(row.line, f"id: {item.id!r} stands in line {lines[item.id]} already"))
            continue
        lines[item.id] = row.line
        warnings.extend(Problem(row.line, warning) for warning in said)
        same = known.get(item.id)
        items[item.id] = same if same is not None and same == item else item
    return Gathered(items, problems, warnings)


def with_bands(items: Mapping[str, Item]) -> dict[str, Item]:
    """The items, each with where its price stands among those in its currency: in the low, middle or high third."""
    prices: dict[str, list[float]] = {}
    for item in items.values():
        if item.price is not None:
            prices.setdefault(item.currency, []).append(item.price)
    edges: dict[str, tuple[float, float]] = {}
    for currency, found in prices.items():
        if len(set(found)) >= _FEWEST_PRICES:
            edges[currency] = _edges(sorted(found))
    return {id: _banded(item, edges) for id, item in items.items()}


def _edges(prices: Sequence[float]) -> tuple[float, float]:
    """The greatest low price and the least high one, of prices in ascending order of which three differ at least."""
    low, high = prices[(len(prices) - 1) // 3], prices[2 * len(prices) // 3]
    if low == high:  # a price that most have is middling, unless none is lower or none is higher
        low = max((price for price in prices if price < high), default=low)
        high = min((price for price in prices if price > high), default=high)
    return low, high


def _banded(item: Item, edges: Mapping[str, tuple[float, float]]) -> Item:
    band = ""
    if item.price is not None and item.currency in edges:
        low, high = edges[item.currency]
        band = "low" if item.price <= low else "high" if item.price >= high else "middle"
    return item if item.price_band == band else replace(item, price_band=band)


def _compared(old: Shelf, new: Shelf, found: Gathered, at: float) -> Report:
    added = tuple(id for id in new.order if id not in old.items)
    changed = tuple(id for id in new.order if id in old.items and new.items[id] != old.items[id])
    removed = tuple(id for id in old.order if id not in new.items)
    unchanged = len(new.order) - len(added) - len(changed)
    return Report(at, added, changed, removed, unchanged, found.problems, found.warnings)
