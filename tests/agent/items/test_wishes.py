"""Wishes: what is wanted after some messages, and that a whole shelf is asked as each item is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.items.catalogue import Shelf, with_bands
from agent.items.critiques import Vocabulary, read
from agent.items.item import Item
from agent.items.stock import Stock
from agent.items.wishes import Turn, Wishes, pointed_at, wishes


def item(id, price, material="wood", category="Kitchen", **other):
    return Item(id, id.title(), category=category, price=price, attributes={"material": material}, **other)


ITEMS = {
    each.id: each
    for each in (
        item("mug", 8.0, "ceramic"), item("bowl", 12.5, "wood"), item("rug", 90.0, "wool", "Home"),
        item("throw", 60.0, "wool", "Home"), item("knife", 40.0, "steel", minimum_age=18),
        item("vase", 25.0, "glass", "Home"),
        item("gift", None, "paper", "Home"), item("lamp", 45.0, "glass", "Home", available=False),
    )
}  # fmt: skip


def shelf_of(items):
    vectors = torch.zeros(len(items), 2)
    vectors[:, 0] = 1.0
    return Shelf(items, list(items), vectors)


STOCK = Stock(shelf_of(with_bands(ITEMS)))
ALL = ("mug", "bowl", "rug")


def after(*turns, before=None, items=ITEMS):
    said = [turn if isinstance(turn, Turn) else Turn(turn) for turn in turns]
    return wishes(said, items, STOCK.vocabulary, before=before)


def allowed(wanted, items=ITEMS):
    return {id for id, each in items.items() if wanted.allow(each)}


def test_nothing_said_is_nothing_barred_but_what_cannot_be_had():
    assert after() == Wishes()
    assert allowed(Wishes()) == set(ITEMS) - {"lamp"}
    assert after("hello", "how are you") == Wishes()


def test_later_words_win():
    assert after("under 30", "under 50").highest == 50.0
    assert (after("over 40", "under 30").lowest, after("over 40", "under 30").highest) == (0.0, 30.0)
    assert (after("under 30", "over 40").lowest, after("under 30", "over 40").highest) == (40.0, math.inf)
    assert (after("over 10", "under 30").lowest, after("over 10", "under 30").highest) == (10.0, 30.0)
    assert after("under 30", "any price") == Wishes()
    assert after("for a 6 year old", "for a 9 year old").age == 9
    assert after("for a 6 year old", "under 30").age == 6


def test_what_was_not_wanted_can_be_wanted_after_all():
    against = after("not wool")
    assert against.dislikes == {"material:wool"}
    assert allowed(against) == allowed(Wishes()) - {"rug", "throw"}
    changed = after("not wool", "wool after all")
    assert (changed.dislikes, changed.likes) == (frozenset(), {"material:wool": 1.0})
    back = after("wool please", "no wool")
    assert (back.dislikes, back.likes) == ({"material:wool"}, {})


@pytest.mark.parametrize(("text", "below"), [("something cheaper", True), ("more expensive please", False)])
def test_cheaper_is_below_the_median_of_what_was_shown(text, below):
    wanted = after(Turn(text, ("mug", "throw", "vase")))  # 8, 60 and 25
    assert ITEMS["vase"].price == 25.0
    assert allowed(wanted) == ({"mug", "bowl"} if below else {"rug", "throw", "knife"})
    again = after(Turn("cheaper", ("mug", "throw", "vase")), Turn("cheaper", ("mug", "bowl")))  # below 10.25
    assert allowed(again) == {"mug"}


def test_cheaper_is_than_the_one_pointed_at():
    wanted = after(Turn("like the second one but cheaper", ("mug", "throw", "vase")))
    assert wanted.highest == pytest.approx(59.99)
    assert wanted.like == ("throw",)


def test_another_price_than_nothing_is_no_bound():
    for shown in ((), ("gift",), ("gone",)):
        wanted = after(Turn("cheaper", shown))
        assert (wanted.lowest, wanted.highest) == (0.0, math.inf)
    free = {"sticker": item("sticker", 0.0)}
    wanted = after(Turn("cheaper", ("sticker",)), items=free)
    assert (wanted.lowest, wanted.highest) == (0.0, 0.0)
    assert wanted.allow(free["sticker"])


def test_an_amount_says_more_than_cheaper():
    assert after(Turn("cheaper, under 50", ("mug", "bowl"))).highest == 50.0


def test_the_price_that_is_a_penny_off_is_in():
    for price in (0.3, 1.15, 14.0, 95.1, 1_000_000.01):
        items = {"a": item("a", price), "b": item("b", round(price - 0.01, 2)), "c": item("c", round(price + 0.01, 2))}
        assert allowed(after(Turn("cheaper", ("a",)), items=items), items) == {"b"}
        assert allowed(after(Turn("more expensive", ("a",)), items=items), items) == {"c"}


def test_a_price_that_nobody_knows_is_in_no_bounds():
    assert "gift" in allowed(Wishes())
    assert "gift" not in allowed(Wishes(highest=1_000.0)) | allowed(Wishes(lowest=0.01))


def test_what_is_for_grown_ups_is_not_shown_for_a_child():
    assert allowed(after("for a 12 year old")) == allowed(Wishes()) - {"knife"}
    assert "knife" in allowed(after("for an 18 year old"))


def test_what_was_turned_down_stays_away_until_it_is_pointed_at():
    wanted = after(Turn("not the second one", ALL))
    assert wanted.dismissed == {"bowl"}
    assert "bowl" not in allowed(wanted)
    later = after(Turn("cheaper", ALL), Turn("wood please", ("mug",)), before=wanted)
    assert later.dismissed == {"bowl"}
    for turn in (Turn("like the second one", ALL), Turn("", ALL, like=("bowl",))):
        found = after(turn, before=later)
        assert (found.dismissed, found.like) == (frozenset(), ("bowl",))
    assert after(Turn("not the first one", ("bowl",)), before=found).like == ()


def test_none_of_these_is_all_but_the_one_pointed_at():
    assert after(Turn("none of these", ALL)).dismissed == set(ALL)
    found = after(Turn("none of these, but something like the first one", ALL))
    assert (found.dismissed, found.like) == ({"bowl", "rug"}, ("mug",))


def test_a_position_is_that_of_what_was_shown_though_some_of_it_is_gone_since():
    shown = ("gone", "mug", "bowl")
    assert after(Turn("like the second one", shown)).like == ("mug",)
    assert after(Turn("like the first one", shown)).like == ()
    assert after(Turn("like the last one", shown)).like == ("bowl",)
    assert after(Turn("like the last one", ("mug", "gone"))).like == ()
    assert after(Turn("none of these", shown)).dismissed == {"mug", "bowl"}
    assert after(Turn("like the third one", ("mug", "bowl"))).like == ()
    here = [ITEMS["mug"], ITEMS["bowl"]]
    assert pointed_at(read("not the first one, like the last one", STOCK.vocabulary), here) == (here[1:], here[:1])


def test_the_three_latest_that_were_liked_are_kept_the_latest_last():
    presses = [Turn("", like=(id,)) for id in ("mug", "bowl", "rug", "mug", "vase")]
    assert after(*presses).like == ("rug", "mug", "vase")
    assert after(*presses, Turn("", unlike=("mug",))).like == ("rug", "vase")


def test_all_that_was_shown_was_seen():
    assert after(Turn("hm", ALL), Turn("more", ("vase", "gone"))).seen == {*ALL, "vase", "gone"}


def test_wishes_fade_until_they_are_forgotten_and_are_renewed_by_saying_them_again():
    values = [after("glass please", *["hm"] * n).likes.get("material:glass", 0.0) for n in range(15)]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert 0.0 < values[3] < values[1] < 1.0
    assert values[-1] == 0.0
    assert all(value == 0.0 or value > 0.1 for value in values)
    assert after("glass please", "hm", "glass").likes == {"material:glass": 1.0}
    assert after("not wool", *["hm"] * 15).dislikes == {"material:wool"}


def test_what_lasts_is_tastes_and_no_price():
    wanted = after("glass under 30 for a 6 year old, no wool", Turn("not the first one, like the last one", ALL))
    assert wanted.highest == 30.0
    assert wanted.age == 6
    assert (wanted.dismissed, wanted.seen) == ({"mug"}, set(ALL))
    lasting = wanted.lasting()
    assert lasting == Wishes(likes=wanted.likes, dislikes=frozenset({"material:wool"}), like=("rug",))
    assert lasting.lasting() == lasting


TEXTS = st.sampled_from(
    [
        "cheaper", "more expensive", "under 20", "over 30", "between 10 and 50", "around 40", "any price",
        "none of these",
        "not the first one", "like the last one", "no wool", "wool", "not glass, in wood", "for a 6 year old", "hm",
    ]
)  # fmt: skip
PRICES = st.one_of(st.none(), st.floats(0, 1e7), st.integers(0, 5000).map(lambda pennies: pennies / 100))
SHELVES = st.lists(
    st.builds(
        dict,
        price=PRICES,
        material=st.sampled_from(["wool", "glass", "wood"]),
        available=st.booleans(),
        minimum_age=st.sampled_from([0, 3, 6, 18, 150]),
    ),
    max_size=6,
).map(lambda rows: with_bands({f"i{n}": item(f"i{n}", **row) for n, row in enumerate(rows)}))
IDS = st.lists(st.sampled_from([f"i{n}" for n in range(7)]), max_size=4, unique=True).map(tuple)
TURNS = st.lists(st.builds(Turn, TEXTS, IDS, IDS, IDS), max_size=6)


@settings(max_examples=200, deadline=None)
@given(SHELVES, TURNS)
def test_the_fold_is_sound_whatever_is_said(items, turns):
    vocabulary = Vocabulary({cue for each in items.values() for cue in each.cues})
    found = wishes(turns, items, vocabulary)
    assert 0.0 <= found.lowest <= found.highest
    assert not set(found.like) & found.dismissed
    assert not found.likes.keys() & found.dislikes
    assert len(found.like) <= 3
    assert found.seen == {id for turn in turns for id in turn.shown}
    assert found.dismissed <= found.seen | {id for turn in turns for id in turn.unlike}
    assert all(0.0 < value <= 1.0 for value in found.likes.values())
    half = len(turns) // 2
    assert wishes(turns[half:], items, vocabulary, before=wishes(turns[:half], items, vocabulary)) == found


@settings(max_examples=200, deadline=None)
@given(SHELVES, TURNS, st.data())
def test_a_shelf_is_asked_at_once_as_each_item_is(items, turns, data):
    stock = Stock(shelf_of(items))
    bounds = [each.price for each in items.values() if each.price is not None] or [1.0]
    lowest, highest = sorted((data.draw(st.sampled_from(bounds)), data.draw(st.sampled_from(bounds))))
    said = wishes(turns, items, stock.vocabulary)
    without = data.draw(IDS)
    for wanted in (said, replace(said, lowest=lowest, highest=highest), Wishes(highest=highest), Wishes(lowest=lowest)):
        expected = [wanted.allow(each) for each in items.values()]
        assert stock.allowed(wanted).tolist() == expected
        barred = [may and id not in without for id, may in zip(items, expected, strict=True)]
        assert stock.allowed(wanted, without=without).tolist() == barred
    assert stock.allowed(Wishes()).tolist() == [each.available for each in items.values()]


def test_the_words_for_a_stock_are_those_of_its_items():
    assert STOCK.vocabulary.named("a woollen thing for the kitchen, not plastic") == [
        "material:wool",
        "category:kitchen",
    ]
    assert STOCK.vector("rug").tolist() == [1.0, 0.0]
