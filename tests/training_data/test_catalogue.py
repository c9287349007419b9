"""The shipped catalogue is complete, varied and all of one shop; the encoder finds in it what is asked for."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from agent.items.catalogue import Catalogue, Gathered, gather
from agent.encoder import Encoder
from agent.items.feeds import source_of
from agent.items.item import Item

FILE = Path(__file__).resolve().parents[2] / "training_data" / "catalogue.csv"


@cache
def gathered() -> Gathered:
    reading = source_of(FILE).read()
    assert reading is not None
    return gather(reading.rows)


def items() -> list[Item]:
    return list(gathered().items.values())


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_every_row_loads() -> None:
    assert (gathered().problems, gathered().warnings) == ([], [])
    assert len(items()) >= 72


def test_every_category_has_a_choice() -> None:
    counts = Counter(item.category for item in items())
    assert len(counts) >= 8
    assert min(counts.values()) >= 3


def test_prices_reach_from_a_present_to_a_treat() -> None:
    prices = [item.price for item in items() if item.price is not None]
    assert len(prices) == len(items())
    assert {item.currency for item in items()} == {"GBP"}
    assert (min(prices), max(prices)) == (4, 180)
    assert len(set(prices)) > len(prices) / 2


def test_some_are_sold_out_and_some_are_for_adults() -> None:
    assert 1 <= sum(not item.available for item in items()) <= 4
    assert {item.minimum_age for item in items()} == {0, 18}
    for item in items():
        if re.search(r"\b(knife|gin|wine|cider)\b", f"{item.title} {item.description}", re.IGNORECASE):
            assert item.minimum_age == 18, item.id


@pytest.mark.parametrize("material", ["wool", "linen", "ceramic", "wood", "glass"])
def test_materials_can_be_asked_for_and_done_without(material: str) -> None:
    assert 4 <= sum(f"material:{material}" in item.cues for item in items()) < len(items()) / 2


def test_each_is_described_by_cues() -> None:
    for item in items():
        assert {cue.partition(":")[0] for cue in item.cues} == {"category", "material", "colour", "suits"}, item.id


def test_no_two_are_alike_and_each_is_pleasant_to_read() -> None:
    for place, item in enumerate(items()):
        assert 40 <= len(item.description) <= 200, item.id
        assert item.description[0].isupper(), item.id
        assert item.description.endswith("."), item.id
        for other in items()[:place]:
            assert item.title.lower() != other.title.lower()
            mine, theirs = words(item.description), words(other.description)
            assert len(mine & theirs) < 0.5 * min(len(mine), len(theirs)), (item.id, other.id)


def test_addresses_lead_to_nobody() -> None:
    for item in items():
        assert item.image is None or item.image.startswith("https://www.example.com/"), item.id
        assert item.link is not None, item.id
        assert item.link.startswith("https://www.example.com/wrenfold/"), item.id


@pytest.mark.slow
def test_the_encoder_finds_what_is_asked_for(tmp_path: Path) -> None:
    encoder = Encoder()
    catalogue = Catalogue("wrenfold", FILE, encoder=encoder, folder=tmp_path)
    catalogue.load()
    shelf = catalogue.shelf()
    assert shelf.vectors.shape == (len(items()), 384)
    assert shelf.vectors.norm(dim=1).sub(1).abs().max() < 1e-5
    asked = {
        "a warm blanket made of wool": "moor-blanket",
        "something to grind coffee by hand": "coffee-mill",
        "a tent for two people": "ridge-tent",
        "where can birds eat in my garden": "bird-feeder",
        "a lamp for reading in bed": "reading-lamp",
        "a diary for the weather": "weather-journal",
    }
    for question, row in zip(asked, encoder.encode(list(asked)), strict=True):
        scores = shelf.vectors @ shelf.vectors.new_tensor(row)
        best = [shelf.order[place] for place in scores.topk(3).indices.tolist()]
        assert asked[question] in best, (question, best)
