"""The recommender: which items of a catalogue to show, several at once.

In two stages: from what was said and which items were liked, the nearest of those that may be shown are retrieved;
among these the loop of the catalogue chooses. Only items that were ever offered there are in the learning log.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agent.candidates import Reply, blend, unit
from agent.decision import Decision, Situation
from agent.encoder import reference
from agent.errors import NoneEligible
from agent.items.catalogue import Catalogue
from agent.items.item import Item
from agent.items.retrieval import APPROXIMATE_FROM, Index
from agent.items.stock import Stock
from agent.items.wishes import Turn, Wishes, wishes
from agent.service import Overview, Service
from agent.settings import LoopSettings

# What is chosen among: enough for the bandit to differ from the retrieval, few enough to score at once.
RETRIEVED = 40
# How much an item that was turned down counts against one that was liked (Rocchio, Relevance feedback, 1971).
_UNLIKE = 0.3
# How much being like one that was pointed at speaks for an item, in things that were asked for by name.
_SIMILAR = 3.0
DEFAULTS = LoopSettings(
    policy="lints",
    learner={
        "alpha": 0.03,
        "parts": "shared",
        "prior_match": 0.2,
        "feature_scale": 0.0,
        "cues": {"popularity": 0.3, "novelty": 0.3, "price": 0.3, "limit": 0.3},
    },
    blocks=(),
    history=0.6,
    wait=1800.0,
    default_reward=0.0,
    default_weight=1.0,
    # What is said of a whole conversation does not say which item was meant.
    signals=dict.fromkeys(
        ("csat", "thanks", "rephrased", "handover", "left", "returned", "resolved_assumed", "resolved_confirmed"), 0.0
    ),
    window=7 * 86_400.0,
)


@dataclass(frozen=True)
class Shown:
    """An item in its place in a slate, and the decision that put it there."""

    item: Item
    decision: Decision


class Recommender:
    """Recommends the items of one catalogue, in the loop `items:<name>`. Safe to use from several threads."""

    def __init__(self, service: Service, catalogue: Catalogue, settings: LoopSettings = DEFAULTS) -> None:
        self.loop = f"items:{catalogue.name}"
        self._service, self._catalogue = service, catalogue
        self._shelved: tuple[Stock, Index | None] | None = None
        service.configure(self.loop, settings, who="catalogue")

    @property
    def stock(self) -> Stock:
        """The items as they are now."""
        return self._current()[0]

    def wishes(self, turns: Sequence[Turn], *, before: Wishes | None = None) -> Wishes:
        """What is wanted after these messages, oldest first; `before` is what was wanted before them."""
        stock = self.stock
        return wishes(turns, stock.shelf.items, stock.vocabulary, before=before)

    def show(
        self,
        situation: Situation,
        wanted: Wishes,
        *,
        k: int | None = None,
        live: bool = True,
        seed: int | None = None,
    ) -> list[Shown]:
        """Choose at most `k` items to show together, the first on top; none where none may be shown.

        Items that were shown before come again only where there are no others.

        Raises:
            LogUnavailable: the decisions cannot be logged.
        """
        (stock, index), overview = self._current(), self._service.overview(self.loop)
        if index is None:
            return []
        ids = self._offered(situation, wanted, stock, index, overview)
        if not ids:
            return []
        self._make_known(ids, stock, overview.settings.encoder)
        said = replace(situation, features={**situation.features, **wanted.likes})
        groups = {id: stock.shelf.items[id].category for id in ids}
        # What a price tells is for the learner to find out.
        cues = {name: (0.0, of) for name, of in stock.cues(ids, wanted).items()}
        if wanted.like:
            cues["similar"] = (_SIMILAR, _likeness(ids, wanted, stock))
        try:
            decisions = self._service.decide_slate(
                self.loop, said, candidates=ids, k=k, groups=groups, cues=cues, live=live, seed=seed
            )
        except NoneEligible:
            return []
        return [Shown(stock.shelf.items[decision.chosen], decision) for decision in decisions]

    def _offered(
        self, situation: Situation, wanted: Wishes, stock: Stock, index: Index, overview: Overview
    ) -> list[str]:
        """The ids to choose among: the nearest of those that may be shown, and the pinned ones."""
        states = {reply.id: reply.state for reply in overview.candidates if reply.id in stock.shelf.places}
        barred = [id for id, state in states.items() if state in ("blocked", "disabled")]
        allowed = stock.allowed(wanted, without=[*barred, *wanted.seen])
        if not bool(allowed.any()):
            allowed = stock.allowed(wanted, without=barred)
        query = self._query(situation, wanted, stock, overview.settings)
        places, _ = index.nearest(query, n=RETRIEVED, allowed=allowed)
        pinned = [id for id, state in states.items() if state == "pinned" and bool(allowed[stock.shelf.places[id]])]
        return list(dict.fromkeys([*(stock.shelf.order[place] for place in places.tolist()), *pinned]))

    def _current(self) -> tuple[Stock, Index | None]:
        """The stock, and the index of its vectors; None of an empty shelf."""
        shelf, known = self._catalogue.shelf(), self._shelved
        if known is None or known[0].shelf is not shelf:
            # Exact at once; of very many items a graph is made beside it, which takes minutes.
            known = self._shelved = (Stock(shelf), Index(shelf.vectors, kind="exact") if shelf.order else None)
            if len(shelf.order) > APPROXIMATE_FROM:
                threading.Thread(target=self._make_graph, args=(known[0],), daemon=True).start()
        return known

    def _make_graph(self, stock: Stock) -> None:
        index = Index(stock.shelf.vectors)
        if self._shelved is not None and self._shelved[0] is stock:
            self._shelved = (stock, index)

    def _query(self, situation: Situation, wanted: Wishes, stock: Stock, settings: LoopSettings) -> Tensor:
        """Where to look for items (d,): what was said, moved towards those that were liked and away from the others."""
        said = list(situation.messages)
        rows = self._service.encoder(settings.encoder).encode(said)
        query = blend(rows, [settings.history ** (len(said) - 1 - age) for age in range(len(said))])
        for ids, weight in ((wanted.like, 1.0), (wanted.dismissed, -_UNLIKE)):
            if vectors := [stock.vector(id).double() for id in ids if id in stock.shelf.places]:
                query = query + weight * torch.stack(vectors).mean(0)
        return unit(query).float()

    def _make_known(self, ids: Sequence[str], stock: Stock, encoder: str) -> None:
        """Have the loop know the items as they are now."""
        items = [stock.shelf.items[id] for id in ids]
        replies = [Reply(item.id, (item.text,), item.cues) for item in items]
        shelved = _Shelved(encoder, stock, ids)
        # A changed description is the same thing still.
        self._service.reconcile(self.loop, replies, who="catalogue", encoder=shelved, inherits=True)


class _Shelved:
    """The encoder of items that are on the shelf: what was embedded once is not embedded again."""

    def __init__(self, name: str, stock: Stock, ids: Sequence[str]) -> None:
        self.name = name
        self._rows = {reference(stock.shelf.items[id].text): stock.vector(id) for id in ids}

    def encode(self, texts: Sequence[str]) -> list[array[float]]:
        return [array("f", self._rows[reference(text)].float().numpy().tobytes()) for text in texts]


def _likeness(ids: Sequence[str], wanted: Wishes, stock: Stock) -> dict[str, float]:
    """The highest cosine of each item with one that others should be like, in [0, 1]."""
    models = [stock.vector(id) for id in wanted.like if id in stock.shelf.places]
    if not models:
        return dict.fromkeys(ids, 0.0)
    rows = torch.stack([stock.vector(id) for id in ids])
    nearest = (rows @ torch.stack(models).T).amax(dim=1).clamp(0.0, 1.0)
    return dict(zip(ids, nearest.tolist(), strict=True))
