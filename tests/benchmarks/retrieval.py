"""Recommending from a million items: the nearest to a query, exactly and by a graph, then a slate of those found.

Run with: python -m tests.benchmarks.retrieval [--items N] [--part NAME]... [--json]

Vectors are synthetic, from a seed: a common direction, a cluster for every 100 items, and both clusters and items vary
along directions whose variance falls as (j + 8)^-1.5, with the shares that MiniLM's embeddings of banking77 have by its
labels (a common part of length 0.46; half of what varies lies within clusters, of about 80 effective dimensions).
Queries are further items of the same clusters. The floor of an exact answer is one reading of all vectors: the time
that torch takes for their sum.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import policies
from agent.items.retrieval import Index
from policies import Candidate, Context, Layout

DIMENSION, PER_CLUSTER, FOUND, POSITIONS = 384, 100, 100, 5
COMMON, VARIANCE = 0.46, 0.4
LEARNERS = [(name, parts) for name in ("linucb_hybrid", "lints") for parts in ("shared", "hybrid")]


def world(items: int, queries: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors of items (n, d) and of queries (m, d), float32."""
    drawn = torch.Generator().manual_seed(seed)

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, DIMENSION, generator=drawn)

    falling = torch.nn.functional.normalize((torch.arange(DIMENSION) + 8.0) ** -0.75, dim=0) * VARIANCE**0.5
    turn = torch.linalg.qr(normal(DIMENSION)).Q
    common = torch.nn.functional.normalize(normal(1)) * COMMON
    centres = common + normal(max(items // PER_CLUSTER, 1)) * falling
    vectors = torch.empty(items + queries, DIMENSION)
    for block in vectors.split(2**16):
        cluster = torch.randint(len(centres), (len(block),), generator=drawn)
        block.copy_(torch.nn.functional.normalize((centres[cluster] + normal(len(block)) * falling) @ turn))
    return vectors[:items], vectors[items:]


def timed(act: Callable[[int], object], times: int) -> dict[str, float]:
    """Milliseconds of an act that is given its number; the first two, which load and warm, do not count.

    cpu_ms is the median of what all threads worked: it tells where the machine is shared with others.
    """
    taken, worked = [], []
    for number in range(times + 2):
        begin, before = time.perf_counter(), time.process_time()
        act(number)
        taken.append(1000 * (time.perf_counter() - begin))
        worked.append(1000 * (time.process_time() - before))
    cuts = statistics.quantiles(taken[2:], n=100, method="inclusive")
    return {
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "cpu_ms": round(statistics.median(worked[2:]), 2),
    }


def memory_mb() -> int:
    """What the process holds in memory now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def exact(vectors: Tensor, queries: Tensor, times: int) -> dict[str, Any]:
    """One query at a time, sixteen at a time, beside the floor."""
    index, size = Index(vectors, kind="exact"), vectors.numel() * 4 / 1e9
    floor = timed(lambda _: vectors.sum(), times)
    one = timed(lambda i: index.nearest(queries[i % len(queries)], n=FOUND), times)
    many = timed(lambda _: index.nearest(queries[:16], n=FOUND), max(times // 8, 3))
    some = torch.arange(len(vectors)) % 10 > 0
    filtered = timed(lambda i: index.nearest(queries[i % len(queries)], n=FOUND, allowed=some), times)
    return {
        **one,
        "gb": round(size, 3),
        "gb_per_s": round(1000 * size / one["p50_ms"], 1),
        "floor_p50_ms": floor["p50_ms"],
        "floor_gb_per_s": round(1000 * size / floor["p50_ms"], 1),
        "ratio_to_floor": round(one["p50_ms"] / floor["p50_ms"], 2),
        "ratio_to_floor_in_cpu_time": round(one["cpu_ms"] / floor["cpu_ms"], 2),
        "nine_tenths_allowed": filtered,
        "per_query_of_16": {"p50_ms": round(many["p50_ms"] / 16, 2), "cpu_ms": round(many["cpu_ms"] / 16, 2)},
    }


def approximate(vectors: Tensor, queries: Tensor, times: int) -> dict[str, Any]:
    """The graph: how long it takes to build and to search, and how many of the true nearest it finds."""
    before, begin = memory_mb(), time.perf_counter()
    index = Index(vectors, kind="approximate")
    if index.kind != "approximate":
        return {"missing": "usearch is not installed"}
    built = time.perf_counter() - begin
    times = 5 * times  # each is short
    took = timed(lambda i: index.nearest(queries[i % len(queries)], n=FOUND), times)
    some = torch.arange(len(vectors)) % 2 > 0
    filtered = timed(lambda i: index.nearest(queries[i % len(queries)], n=FOUND, allowed=some), times)
    truth = Index(vectors, kind="exact")
    return {
        **took,
        "recall": _recall(index, truth, queries, None),
        "half_allowed": {**filtered, "recall": _recall(index, truth, queries, some)},
        "build_s": round(built, 1),
        "graph_mb": memory_mb() - before,
    }


def _recall(index: Index, truth: Index, queries: Tensor, allowed: Tensor | None) -> float:
    found = index.nearest(queries, n=FOUND, allowed=allowed)[0]
    true = truth.nearest(queries, n=FOUND, allowed=allowed)[0]
    shares = [len({*a.tolist()} & {*b.tolist()}) / FOUND for a, b in zip(found, true, strict=True)]
    return round(statistics.fmean(shares), 4)


def slates(vectors: Tensor, queries: Tensor, times: int) -> dict[str, Any]:
    """Choose a slate of those found, with diversity and rules, after 200 rewards; other candidates each time."""
    index = Index(vectors, kind="exact")
    offers = []
    for query in queries[: times + 2]:
        places, _ = index.nearest(query, n=FOUND)
        offers.append((Context(query), [Candidate(str(i), vectors[i]) for i in places.tolist()]))
    layout = Layout("mmr", 0.3, groups=[str(i % 12) for i in range(FOUND)], most=2)
    found = {}
    for name, parts in LEARNERS:
        learner = policies.create(name, parts=parts)
        for number in range(200):
            context, candidates = offers[number % len(offers)]
            learner.learn(context, candidates[number % 40], float(number % 3 == 0))

        def choose(i: int, learner: policies.Learner = learner, layout: Layout | None = layout) -> None:
            context, candidates = offers[i]
            learner.choose_slate(context, candidates, k=POSITIONS, seed=i, layout=layout)

        plain = timed(lambda i, choose=choose: choose(i, layout=None), times)  # type: ignore[misc]
        found[f"{name} {parts}"] = {**timed(choose, times), "without_layout_p50_ms": plain["p50_ms"]}
    return found


def by_size(vectors: Tensor, queries: Tensor, times: int) -> dict[str, Any]:
    """How long an exact answer takes among fewer items, in milliseconds."""
    found = {}
    for size in (50_000, 100_000, 200_000, 400_000):
        if size < len(vectors):
            index = Index(vectors[:size], kind="exact")
            found[str(size)] = timed(lambda i, index=index: index.nearest(queries[i], n=FOUND), times)  # type: ignore[misc]
    return found


PARTS = {"exact": exact, "by_size": by_size, "slate": slates, "approximate": approximate}


def measure(items: int, parts: Sequence[str], *, times: int = 40) -> dict[str, Any]:
    """Some parts of it; each is told on stderr as it is known."""
    start = memory_mb()
    vectors, queries = world(items, 202)
    figures: dict[str, Any] = {"items": items, "dimension": DIMENSION, "threads": torch.get_num_threads()}
    figures["memory_mb"] = {"before": start, "with_vectors": memory_mb()}
    for name in parts:
        figures[name] = PARTS[name](vectors, queries, times)
        figures["memory_mb"][f"after_{name}"] = memory_mb()
        print(f"{name:12} {figures[name]} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="some parts only: the graph takes minutes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.items, given.part or list(PARTS))
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:12} {value}")


if __name__ == "__main__":
    main()
