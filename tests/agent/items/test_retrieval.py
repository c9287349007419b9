"""Laws of retrieval: exact is the truth whatever the blocks, the graph finds most of it, filters hold in both."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.items import retrieval
from agent.items.retrieval import Index
from tests.benchmarks.retrieval import world

laws = settings(max_examples=40, deadline=None, derandomize=True)


def units(n, d, seed):
    drawn = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def truth(vectors, query, n, allowed=None):
    """By numpy, in float64: the nearest, of equally near ones those of the lowest indices."""
    rows, query = vectors.numpy().astype("float64"), query.numpy().astype("float64")
    cosines = (rows * (query / np.linalg.norm(query))).sum(axis=1)
    order = np.argsort(-cosines.round(12), kind="stable")
    kept = [i for i in order.tolist() if allowed is None or allowed[i]][:n]
    return kept, cosines[kept]


@pytest.fixture(scope="module")
def graph():
    """A graph over 3,000 items in clusters, their vectors, and queries."""
    pytest.importorskip("usearch", reason="the extra `index` is not installed")
    vectors, queries = world(3000, 40, seed=1)
    index = Index(vectors, kind="approximate")
    assert index.kind == "approximate"
    return index, vectors, queries


@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), items=st.integers(1, 50), copies=st.booleans(), data=st.data())
@laws
def test_exact_is_the_truth_whatever_the_blocks(seed, n, items, copies, data):
    vectors = units(items, 6, seed)
    if copies:  # ties
        vectors = vectors[torch.randint(items, (items,), generator=torch.Generator().manual_seed(seed)) // 4]
    queries = units(3, 6, seed + 1) * 7.0
    chosen = data.draw(st.none() | st.lists(st.booleans(), min_size=items, max_size=items))
    allowed = None if chosen is None else torch.tensor(chosen)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for block in (1, 7, 64, 2**22):
            patch.setattr(retrieval, "_BLOCK", block)
            index = Index(vectors, kind="exact")
            indices, cosines = index.nearest(queries, n=n, allowed=allowed)
            assert torch.equal(index.nearest(queries[1], n=n, allowed=allowed)[0], indices[1])
            found.append((indices, cosines))
    for query, indices, cosines in zip(queries, *found[0], strict=True):
        expected, values = truth(vectors, query, n, chosen)
        assert indices.tolist() == expected
        assert cosines.tolist() == pytest.approx(values.tolist(), abs=1e-12)
    assert all(torch.equal(found[0][0], other) and torch.equal(found[0][1], same) for other, same in found)


def test_what_float32_cannot_tell_apart_is_still_ordered():
    vectors = torch.nn.functional.normalize(units(1, 384, 0) + 3e-6 * units(2000, 384, 1), dim=1)
    query = units(1, 384, 0)[0] + units(1, 384, 2)[0]
    expected, _ = truth(vectors, query, 50)
    assert (vectors @ query).topk(50).indices.tolist() != expected  # what float32 makes of it
    assert Index(vectors).nearest(query, n=50)[0].tolist() == expected


def test_equal_ones_come_by_index_wherever_they_are():
    vectors = units(1, 384, 0).expand(5001, -1).contiguous()
    indices, cosines = Index(vectors).nearest(units(1, 384, 1)[0], n=300)
    assert indices.tolist() == list(range(300))
    assert len(set(cosines.tolist())) == 1


def test_the_vectors_are_not_copied():
    vectors = units(10, 4, 0)
    assert Index(vectors).vectors.data_ptr() == vectors.data_ptr()


def test_the_graph_finds_most_and_ranks_them_exactly(graph):
    index, vectors, queries = graph
    exact = Index(vectors, kind="exact")
    indices, cosines = index.nearest(queries, n=100)
    true, _ = exact.nearest(queries, n=100)
    shares = [len({*a.tolist()} & {*b.tolist()}) / 100 for a, b in zip(indices, true, strict=True)]
    assert sum(shares) / len(shares) >= 0.9
    assert indices.shape == (40, 100)
    assert 0 <= int(indices.min()) <= int(indices.max()) < 3000
    for row, query, found in zip(indices, queries, cosines, strict=True):
        assert len(set(row.tolist())) == 100
        values = (vectors[row].double() * torch.nn.functional.normalize(query.double(), dim=0)).sum(dim=1)
        torch.testing.assert_close(found, values, rtol=0, atol=1e-12)
        assert found.tolist() == sorted(found.tolist(), reverse=True)
    assert torch.equal(index.nearest(queries, n=100)[0], indices)
    assert torch.equal(index.nearest(queries[3], n=100)[0], indices[3])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01, 0.0004])
def test_filters_hold_in_the_graph(graph, share):
    index, vectors, queries = graph
    allowed = torch.rand(3000, generator=torch.Generator().manual_seed(2)) < share
    allowed[5] = True
    indices, _ = index.nearest(queries, n=30, allowed=allowed)
    assert indices.shape[1] == min(30, int(allowed.sum()))
    assert bool(allowed[indices].all())
    true, _ = Index(vectors, kind="exact").nearest(queries, n=30, allowed=allowed)
    shares = [len({*a.tolist()} & {*b.tolist()}) / len(b) for a, b in zip(indices, true, strict=True)]
    assert sum(shares) / len(shares) >= 0.9


def test_where_the_graph_returns_too_few_the_answer_is_exact(graph):
    index, vectors, queries = graph
    # All that is near is out: of what the graph fetches, nothing is left, though half of the items are allowed.
    far = Index(vectors, kind="exact").nearest(queries[0], n=3000)[0][1500:]
    allowed = torch.zeros(3000, dtype=torch.bool)
    allowed[far] = True
    assert index.nearest(queries[0], n=50, allowed=allowed)[0].tolist() == far[:50].tolist()
    indices, _ = index.nearest(queries, n=50, allowed=allowed)
    assert indices[0].tolist() == far[:50].tolist()
    assert bool(allowed[indices].all())


def test_none_allowed_is_an_empty_answer():
    index, nobody = Index(units(5, 3, 0)), torch.zeros(5, dtype=torch.bool)
    assert index.nearest(units(1, 3, 1)[0], n=2, allowed=nobody)[0].shape == (0,)
    assert index.nearest(units(2, 3, 1), n=2, allowed=nobody)[1].shape == (2, 0)
    assert Index(torch.zeros(0, 3)).nearest(units(1, 3, 1)[0], n=2)[0].shape == (0,)


def test_without_the_extra_answers_are_exact_and_a_line_says_so(monkeypatch, caplog):
    monkeypatch.setattr(retrieval, "find_spec", lambda name: None)
    vectors = units(20, 4, 0)
    with caplog.at_level(logging.WARNING, logger="agent.items.retrieval"):
        index = Index(vectors, kind="approximate")
        assert index.kind == "exact"
        assert len(caplog.messages) == 1
        assert "usearch is not installed" in caplog.messages[0]
        index.nearest(vectors[3], n=2)
        monkeypatch.setattr(retrieval, "APPROXIMATE_FROM", 20)
        assert Index(vectors).kind == "exact"  # not past it: no graph is wanted
        assert len(caplog.messages) == 1
        monkeypatch.setattr(retrieval, "APPROXIMATE_FROM", 19)
        assert Index(vectors).kind == "exact"
        assert len(caplog.messages) == 2
    assert index.nearest(vectors[3], n=1)[0].tolist() == [3]


def test_auto_takes_the_graph_past_the_size_alone(graph, monkeypatch):
    vectors = units(20, 4, 0)
    monkeypatch.setattr(retrieval, "APPROXIMATE_FROM", 20)
    assert Index(vectors).kind == "exact"
    monkeypatch.setattr(retrieval, "APPROXIMATE_FROM", 19)
    assert Index(vectors).kind == "approximate"
    assert Index(vectors, kind="exact").kind == "exact"


@pytest.mark.parametrize(
    ("vectors", "kind", "message"),
    [
        (torch.ones(3), "exact", "expected vectors"),
        (torch.ones(3, 1, dtype=torch.int64), "exact", "expected vectors"),
        (torch.ones(3, 2), "exact", "row 0 is not of length 1"),
        (torch.tensor([[1.0, 0.0], [1.0, float("nan")]]), "exact", "row 1 is not"),
        (torch.ones(3, 1), "near", "none of auto, exact, approximate"),
    ],
)
def test_what_is_no_index_is_refused(vectors, kind, message):
    with pytest.raises(InvalidInput, match=message):
        Index(vectors, kind=kind)


@pytest.mark.parametrize(
    ("query", "given", "message"),
    [
        (torch.ones(3), {}, "shape"),
        (torch.ones(1, 1, 2), {}, "shape"),
        (torch.ones(0, 2), {}, "shape"),
        (torch.zeros(2), {}, "no direction"),
        (torch.tensor([1.0, float("inf")]), {}, "no direction"),
        (torch.ones(2), {"n": 0}, "n 0"),
        (torch.ones(2), {"n": 1.5}, "n 1.5"),
        (torch.ones(2), {"allowed": torch.ones(4)}, "allowed"),
        (torch.ones(2), {"allowed": torch.ones(3, dtype=torch.bool)}, "allowed"),
    ],
)
def test_questions_that_mean_nothing_are_refused(query, given, message):
    with pytest.raises(InvalidInput, match=message):
        Index(units(4, 2, 0)).nearest(query, **{"n": 1, **given})
