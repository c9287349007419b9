"""Retrieval: the items nearest to a query among very many, before a learner chooses from those few.

Exact is one matrix product over all vectors, which is as fast as memory can be read (4 n d bytes: 1.5 GB for 1,000,000
items of 384 numbers). Past APPROXIMATE_FROM items a graph of neighbours (HNSW: Malkov and Yashunin 2018, by usearch,
the extra `index`) is searched instead, which reads a few thousand vectors and misses some of the nearest.

Either way what is found is compared anew in float64, so that cosines are exact, and an exact answer hangs on neither
threads, blocks nor device: the true nearest, of equally near ones those of the lowest indices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from agent.errors import InvalidInput

#: items past which kind="auto" searches a graph: an exact answer takes 45 ms of one core there (384 numbers each).
APPROXIMATE_FROM = 200_000
#: how many are fetched from the graph for each one asked for: the nearest by coarse numbers are not quite the nearest.
OVERFETCH = 4
#: more than this many are never fetched from the graph: where filters leave so few, comparing those is faster.
MOST_FETCHED = 4096
#: numbers held at a time, of products or of copies of vectors.
_BLOCK = 2**22
#: below this share of rows allowed, they are copied out and compared alone.
_SPARSE = 0.25
_KINDS = ("auto", "exact", "approximate")
_log = logging.getLogger(__name__)


class Index:
    """Unit vectors (N, d) that can be asked for those nearest to another.

    vectors: float32 (N, d), each row of length 1; kept, not copied, where it is on the device already, and not to be
    changed. device: where they are compared. kind: "exact"; "approximate" (a graph in main memory: building it takes
    about a millisecond of one core per item, searching it 5 ms among 200,000); or "auto", approximate
    past APPROXIMATE_FROM items on the CPU. Where the extra is missing, a line in the log says so; answers are exact.

    Raises:
        InvalidInput: for another kind, or rows that are not unit vectors.
    """

    def __init__(self, vectors: Tensor, *, device: str | torch.device = "cpu", kind: str = "auto") -> None:
        if kind not in _KINDS:
            raise InvalidInput(f"index: kind {kind!r} is none of {', '.join(_KINDS)}")
        _check_units(vectors)
        self.vectors = vectors.detach().to(device, torch.float32).contiguous()
        self._graph = _graph(self.vectors) if self._wants_graph(kind) else None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def kind(self) -> str:
        """How answers are found: "exact" or "approximate"."""
        return "exact" if self._graph is None else "approximate"

    def nearest(self, query: Tensor, *, n: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find the n items nearest to a query (d,), or to each of m queries (m, d), nearest first.

        allowed: (N,) bool, which items may be found; None for all. A query may have any length but 0.

        Returns:
            indices (n,) int64 and cosines (n,) float64, or (m, n) each; fewer than n where fewer are allowed.

        Raises:
            InvalidInput: for shapes that do not fit, numbers that are not finite, or n < 1.
        """
        if n != int(n) or n < 1:
            raise InvalidInput(f"nearest: n {n!r} is not a whole number from 1 on")
        queries, allowed = self._queries(query), self._allowed(allowed)
        count = len(self) if allowed is None else int(allowed.sum())
        n = min(int(n), count)
        if n == 0:
            none = torch.zeros(*query.shape[:-1], 0, dtype=torch.int64, device=self.vectors.device)
            return none, none.double()
        found = [self._ranked(*pair, n) for pair in zip(queries, self._places(queries, n, allowed, count), strict=True)]
        indices, cosines = (torch.stack(part) for part in zip(*found, strict=True))
        return (indices[0], cosines[0]) if query.dim() == 1 else (indices, cosines)

    def _places(self, queries: Tensor, n: int, allowed: Tensor | None, count: int) -> list[Tensor]:
        """Indices of a few items for each query, ascending: at least n, the nearest (or most of them) among them."""
        fetched = -(-OVERFETCH * n * len(self) // count)
        if self._graph is None or fetched > MOST_FETCHED:
            return self._scan(queries, n, allowed, count)
        places = [
            self._permitted(torch.from_numpy(keys.astype("int64")).to(queries.device), allowed)
            for keys in _searched(self._graph, queries, min(fetched, len(self)))
        ]
        short = [i for i, some in enumerate(places) if len(some) < n]
        if short:
            for i, some in zip(short, self._scan(queries[short], n, allowed, count), strict=True):
                places[i] = some
        return places

    def _permitted(self, places: Tensor, allowed: Tensor | None) -> Tensor:
        places = torch.sort(places[places < len(self)]).values
        return places if allowed is None else places[allowed[places]]

    def _scan(self, queries: Tensor, n: int, allowed: Tensor | None, count: int) -> list[Tensor]:
        """Compare every item allowed, block by block in float32, and keep all that may be among the n nearest."""
        # A product of unit vectors (d,) in float32 is off by no more than about d / 2^24, in whatever order it sums.
        slack = 2.0 * (queries.shape[1] + 8) / 2**24
        some, best = queries.float(), torch.full((len(queries), n), -torch.inf, device=queries.device)
        kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in queries]
        for places, products in self._products(some, allowed, count):
            top = products.topk(min(n, products.shape[1]), dim=1).values
            best = torch.cat([best, top], dim=1).topk(n, dim=1).values
            for i, bar in enumerate((best[:, -1] - slack).tolist()):
                near = (products[i] >= bar).nonzero().squeeze(1)
                kept[i].append((places[near], products[i][near]))
        bars = (best[:, -1] - slack).tolist()
        return [
            torch.cat([places[products >= bar] for places, products in blocks])
            for bar, blocks in zip(bars, kept, strict=True)
        ]

    def _products(self, queries: Tensor, allowed: Tensor | None, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of indices (b,) and products (m, b) with the queries; -inf where not allowed."""
        every = torch.arange(len(self), device=self.vectors.device)
        if allowed is not None and count < _SPARSE * len(self):
            few = every[allowed]
            for block in _blocks(len(few), max(self.vectors.shape[1], len(queries))):
                yield few[block], queries @ self.vectors[few[block]].T
            return
        for block in _blocks(len(self), len(queries)):
            products = (self.vectors[block] @ queries.T).T.contiguous()  # in this order the vectors are read once
            yield every[block], products if allowed is None else products.masked_fill_(~allowed[block], -torch.inf)

    def _ranked(self, query: Tensor, places: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The n nearest among some, by cosines in float64: each row's sum alone, so that equal rows are equal."""
        blocks = (self.vectors[places[block]].double() for block in _blocks(len(places), len(query)))
        cosines = torch.cat([(rows * query).sum(dim=1) for rows in blocks])
        order = torch.sort(cosines, descending=True, stable=True).indices[:n]
        return places[order], cosines[order]

    def _queries(self, query: Tensor) -> Tensor:
        d = self.vectors.shape[1]
        if query.dim() not in (1, 2) or query.shape[-1] != d or not query.numel():
            raise InvalidInput(f"nearest: a query of shape {tuple(query.shape)}, expected ({d},) or (m, {d})")
        rows = query.detach().to(self.vectors.device, torch.float64).reshape(-1, d)
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        if not bool((lengths.isfinite() & (lengths > 0.0)).all()):
            raise InvalidInput("nearest: a query has no direction (its length is 0, or not finite)")
        units: Tensor = rows / lengths
        return units

    def _allowed(self, allowed: Tensor | None) -> Tensor | None:
        if allowed is None:
            return None
        if allowed.dtype != torch.bool or allowed.shape != (len(self),):
            raise InvalidInput(
                f"nearest: allowed is {allowed.dtype} {tuple(allowed.shape)}, expected bool ({len(self)},)"
            )
        return allowed.to(self.vectors.device)

    def _wants_graph(self, kind: str) -> bool:
        if kind == "exact" or (kind == "auto" and (len(self) <= APPROXIMATE_FROM or self.vectors.is_cuda)):
            return False
        if find_spec("usearch") is None:
            _log.warning(
                "usearch is not installed: the nearest of %d items are found exactly, in more time (the extra: index)",
                len(self),
            )
            return False
        return True


def _graph(vectors: Tensor) -> Any:
    """Build the graph over vectors (N, d), kept there as whole numbers in [-127, 127]."""
    from usearch.index import Index as Graph

    graph = Graph(ndim=vectors.shape[1], metric="ip", dtype="i8", connectivity=16, expansion_add=64)
    keys = torch.arange(len(vectors)).numpy()
    graph.add(keys, vectors.cpu().numpy(), threads=torch.get_num_threads())
    return graph


def _searched(graph: Any, queries: Tensor, count: int) -> list[Any]:
    """The keys of about `count` nearest in the graph, for each of the queries (m, d)."""
    rows = queries.float().cpu().numpy()
    return [graph.search(row, count, threads=1).keys for row in rows]


def _check_units(vectors: Tensor) -> None:
    if vectors.dim() != 2 or not vectors.shape[1] or not vectors.is_floating_point():
        raise InvalidInput(f"index: {vectors.dtype} {tuple(vectors.shape)}, expected vectors of floats (N, d)")
    for block in _blocks(*vectors.shape):
        unit = (torch.linalg.vector_norm(vectors[block], dim=1) - 1.0).abs() < 1e-3
        if not bool(unit.all()):
            raise InvalidInput(f"index: row {block.start + int((~unit).nonzero()[0])} is not of length 1")


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows of that width, at most _BLOCK numbers each (but at least one row)."""
    size = max(_BLOCK // width, 1)
    return (slice(start, start + size) for start in range(0, rows, size))
