from __future__ import annotations

import csv
import os
import re
import threading
from dataclasses import FrozenInstanceError
from itertools import count

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.encoder import reference
from agent.errors import InvalidInput, SourceUnavailable, Unknown
from agent.items.catalogue import Catalogue, gather, with_bands
from agent.items.item import Item
from agent.items.rows import Problem, Row
from tests.agent.items.test_embeddings import Counting, directions

COLUMNS = ("id", "title", "price", "available", "material")
ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.sampled_from(["Oat mug", "Barn lantern", "Bee house", "", "Bud vase"]),
        st.sampled_from(["4", "9.50", "180", "-1", "", "72"]),
        st.sampled_from(["yes", "no"]),
        st.sampled_from(["wool", "wood|glass", ""]),
    ),
    max_size=10,
)
_times = count(1_500_000_000)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    os.utime(path, (next(_times),) * 2)  # long settled, and another one each time


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.csv"
    write(path, [("a", "Oat mug", "14", "yes", "ceramic"), ("b", "Moor blanket", "95", "no", "wool")])
    return path


@pytest.fixture
def encoder():
    return Counting()


@pytest.fixture
def catalogue(file, encoder, tmp_path, clock):
    return Catalogue("shop", file, encoder=encoder, folder=tmp_path / "kept", clock=clock)


def seen(catalogue):
    """All that a reader sees of it."""
    shelf = catalogue.shelf()
    bands = {id: item.price_band for id, item in shelf.items.items()}
    return dict(shelf.items), bands, shelf.order, shelf.vectors.tolist()


def test_what_loads_is_on_the_shelf_in_the_order_of_the_source(catalogue):
    assert catalogue.shelf().order == []
    report = catalogue.load()
    assert (report.added, report.changed, report.removed, report.unchanged) == (("a", "b"), (), (), 0)
    shelf = catalogue.shelf()
    assert list(shelf.items) == shelf.order == catalogue.order == ["a", "b"]
    assert not shelf.items["b"].available
    assert shelf.vectors.dtype == torch.float32
    assert torch.equal(shelf.vectors, directions([catalogue.items[id].text for id in shelf.order]))
    assert catalogue.vectors[shelf.places["b"]].tolist() == shelf.vectors[1].tolist()
    assert catalogue.text_ref("b") == reference("Moor blanket. material: wool")
    with pytest.raises(Unknown, match="catalogue 'shop' has no item 'c'"):
        catalogue.text_ref("c")


def test_changes_are_applied_and_told_and_only_new_words_are_embedded(catalogue, encoder, file):
    catalogue.load()
    before = catalogue.shelf()
    encoder.embedded.clear()
    write(file, [("c", "Bee house", "25", "yes", "wood"), ("b", "Moor blanket", "89", "yes", "wool")])
    report = catalogue.refresh()
    assert (report.added, report.changed, report.removed, report.unchanged) == (("c",), ("b",), ("a",), 0)
    assert encoder.embedded == ["Bee house. material: wood"]
    assert catalogue.items["b"].price == 89
    assert before.order == ["a", "b"]  # who took the shelf keeps it as it was
    assert before.items["b"].price == 95


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_refreshing_equals_loading_anew_and_embeds_nothing_twice(tmp_path_factory, states):
    folder, encoder = tmp_path_factory.mktemp("shop"), Counting()
    path = folder / "shop.csv"
    write(path, [])
    kept = Catalogue("shop", path, encoder=encoder, folder=folder)
    kept.load()
    for rows in states:
        write(path, rows)
        fresh = Catalogue("shop", path, encoder=Counting(), folder=folder / "fresh")
        before = kept.shelf()
        try:
            loaded = fresh.load()
        except InvalidInput as refused:
            with pytest.raises(InvalidInput, match=re.escape(str(refused))):
                kept.refresh()
            assert kept.shelf() is before
            continue
        report = kept.refresh()
        assert seen(kept) == seen(fresh)
        assert (report.problems, report.warnings) == (loaded.problems, loaded.warnings)
        now = kept.shelf().items
        assert set(report.added) == now.keys() - before.items.keys()
        assert set(report.removed) == before.items.keys() - now.keys()
        assert set(report.changed) == {id for id in now.keys() & before.items.keys() if now[id] != before.items[id]}
        assert report.unchanged == len(now) - len(report.added) - len(report.changed)
    assert len(encoder.embedded) == len(set(encoder.embedded))


def test_an_unchanged_source_is_not_read(catalogue, file, clock):
    write(file, [("a", "Oat mug", "14", "yes", ""), ("a", "Again", "14", "yes", "")])
    first = catalogue.load()
    shelf = catalogue.shelf()
    os.truncate(file, file.stat().st_size)
    report = catalogue.refresh()
    assert catalogue.shelf() is shelf
    assert (report.added, report.changed, report.removed, report.unchanged) == ((), (), (), 1)
    assert report.problems == first.problems != []
    assert first.at < report.at == catalogue.checked_at


def test_the_same_content_written_again_leaves_the_shelf(catalogue, file, encoder):
    catalogue.load()
    shelf = catalogue.shelf()
    encoder.embedded.clear()
    os.utime(file, (1, 1))
    assert catalogue.refresh().unchanged == 2
    assert catalogue.shelf() is shelf
    assert encoder.embedded == []


def test_new_prices_keep_the_vectors(catalogue, file):
    catalogue.load()
    vectors = catalogue.vectors
    write(file, [("a", "Oat mug", "15", "yes", "ceramic"), ("b", "Moor blanket", "96", "no", "wool")])
    assert catalogue.refresh().changed == ("a", "b")
    assert catalogue.vectors is vectors


def test_restarted_it_embeds_nothing_again(catalogue, file, tmp_path):
    catalogue.load()
    again = Counting()
    other = Catalogue("shop", file, encoder=again, folder=tmp_path / "kept")
    other.load()
    assert seen(other) == seen(catalogue)
    assert again.embedded == []


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda path: path.unlink(), SourceUnavailable),
        (lambda path: path.write_bytes(b""), InvalidInput),
        (lambda path: path.write_bytes(b"id,title\na,\nb,\n"), InvalidInput),
        (lambda path: path.write_bytes(b"name,id,name\n"), InvalidInput),
    ],
)
def test_what_was_loaded_stays_when_the_source_fails(catalogue, file, break_it, error):
    catalogue.load()
    shelf = catalogue.shelf()
    break_it(file)
    with pytest.raises(error):
        catalogue.refresh()
    assert catalogue.shelf() is shelf
    write(file, [("a", "Oat mug", "14", "yes", "ceramic")])
    assert catalogue.refresh().removed == ("b",)


def test_an_encoder_that_fails_leaves_the_shelf_and_the_change_to_come(catalogue, file, encoder):
    catalogue.load()
    shelf = catalogue.shelf()
    write(file, [("c", "Bee house", "25", "yes", "wood")])
    encoder.after = 0
    with pytest.raises(KeyboardInterrupt):
        catalogue.refresh()
    assert catalogue.shelf() is shelf
    encoder.after = None
    assert catalogue.refresh().added == ("c",)


def test_an_empty_shop_is_an_empty_shelf(catalogue, file):
    catalogue.load()
    write(file, [])
    assert catalogue.refresh().removed == ("a", "b")
    assert catalogue.shelf().order == []


def test_every_bad_row_is_named_and_nothing_else_is_lost(tmp_path, encoder):
    path = tmp_path / "shop.csv"
    path.write_bytes(
        b"id,title,price,description\n"
        b"a,Oat mug,14,fine\n"
        b"b,,14,no title\n"
        b"a,Second mug,14,no id of its own\n"
        b"c,Lantern,-44,negative\n"
        b"d,Vase,21,caf\xe9\n"
        b"e,Clock,47," + b"x" * 10_000_000 + b"\n"
        b",Nameless,1,no id\n"
        b"f,Wreath,35,fine\n"
    )
    catalogue = Catalogue("shop", path, encoder=encoder, folder=tmp_path / "kept")
    report = catalogue.load()
    assert report.problems == [
        Problem(3, "title: is missing"),
        Problem(4, "id: 'a' stands in line 2 already"),
        Problem(5, "price: '-44' is negative"),
        Problem(6, "description: is not UTF-8, at character 4 (0xe9)"),
        Problem(8, "id: is missing"),
    ]
    assert report.warnings == [Problem(7, "description: has 10,000,000 characters; cut to 20,000")]
    assert catalogue.order == ["a", "e", "f"]
    assert catalogue.items["a"].title == "Oat mug"
    assert report.as_json()["problems"][0] == {"line": 3, "message": "title: is missing"}
    assert (report.as_json()["added"], report.as_json()["unchanged"]) == (3, 0)


def test_a_catalogue_of_which_nothing_loads_names_the_first_reason(tmp_path, encoder):
    path = tmp_path / "shop.jsonl"
    path.write_text('{"id": 1}\n{"id": 2}\n')
    with pytest.raises(InvalidInput, match=r"^catalogue 'shop': no row is an item; line 1: title: is missing$"):
        Catalogue("shop", path, encoder=encoder, folder=tmp_path / "kept").load()


def test_progress_is_told(tmp_path, encoder):
    path = tmp_path / "shop.csv"
    write(path, [(str(i), f"Item {i}", "", "", "") for i in range(5_001)])
    said = []
    Catalogue("shop", path, encoder=encoder, folder=tmp_path).load(progress=lambda *what: said.append(what))
    assert said[0] == ("rows", 5_000, 5_000)
    assert said[-1] == ("embedding", 5_001, 5_001)


def test_readers_see_one_state_or_another_while_it_is_refreshed(catalogue, file):
    states = [
        [("a", f"Mug {n}", "14", "yes", ""), *[(f"x{i}", f"Pot {n}", "9", "yes", "") for i in range(n)]]
        for n in range(9)
    ]
    expected = {tuple(title for _, title, *_ in rows) for rows in states}
    write(file, states[0])
    catalogue.load()
    ended, wrong = threading.Event(), []

    def look():
        while not ended.is_set():
            shelf = catalogue.shelf()
            titles = tuple(shelf.items[id].title for id in shelf.order)
            if titles not in expected or not torch.equal(shelf.vectors, directions(titles)):
                wrong.append(titles)

    # Words without a material: the text is the title.
    reader = threading.Thread(target=look)
    reader.start()
    for rows in states * 3:
        write(file, rows)
        catalogue.refresh()
    ended.set()
    reader.join()
    assert wrong == []


def test_a_shelf_does_not_change(catalogue):
    with pytest.raises(FrozenInstanceError):
        catalogue.shelf().order = []


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=12), st.floats(0.01, 100))
@example([0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0], 1.0)
@example([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0], 1.0)
@example([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0], 1.0)
def test_bands_follow_prices_whatever_they_are_counted_in(prices, factor):
    def bands(scale):
        items = [Item(str(i), "t", price=None if p is None else p * scale) for i, p in enumerate(prices)]
        return [item.price_band for item in with_bands({item.id: item for item in items}).values()]

    found = bands(1.0)
    ranks = {"low": 0, "middle": 1, "high": 2}
    priced = sorted((price, ranks.get(band)) for price, band in zip(prices, found, strict=True) if price is not None)
    assert (
        all((band == "") == (price is None) for price, band in zip(prices, found, strict=True))
        or len(set(prices) - {None}) < 3
    )
    if len(set(prices) - {None}) >= 3:
        assert [rank for _, rank in priced] == sorted(rank for _, rank in priced)
        assert {priced[0][1], priced[-1][1]} == {0, 2}
        scaled = {price * factor for price in prices if price is not None}
        if len(scaled) == len(set(prices) - {None}):
            assert bands(factor) == found


def test_prices_of_two_currencies_are_not_compared():
    items = {
        f"{c}{p}": Item(f"{c}{p}", "t", price=p, currency=c)
        for c, scale in (("GBP", 1), ("JPY", 200))
        for p in (scale, 2 * scale, 3 * scale)
    }
    assert [item.price_band for item in with_bands(items).values()] == ["low", "middle", "high"] * 2


def test_what_is_known_stays_the_same_object():
    known = {"a": Item("a", "Oat mug", price_band="low")}
    found = gather([Row(1, {"id": "a", "title": "Oat mug"}), Row(2, {"id": "b", "title": "Pot"})], known=known)
    assert found.items["a"] is known["a"]
