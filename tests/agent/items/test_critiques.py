"""Critiques: what a message says of items, and what it does not."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.items.critiques import Vocabulary, read

CUES = (
    "category:candles", "category:ceramics", "category:mugs", "category:glassware", "category:berries",
    "colour:blue", "colour:red", "energy:a", "material:glass", "material:linen", "material:wood", "material:wool",
    "price:high", "price:low", "price:middle", "room:living room", "suits:children", "vegan:no", "vegan:yes",
)  # fmt: skip
SHOP = Vocabulary(CUES)
WORDS = (
    "not", "no", "nothing", "without", "but", "anything but", "wool", "mugs", "linen", "the second one", "number 2",
    "#0",
    "under", "over", "at most", "between", "30", "12,50", "1,000", "£", "$", "€", "and", "to", "-", "or less",
    "cheaper",
    "more expensive", "none of these", "6 year old", "rather", "than", "isn't", "for me", ",", ".", "last", "the", "٣",
)  # fmt: skip
MESSAGES = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))


def prices(text):
    found = read(text, SHOP)
    return found.lowest, found.highest


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        ("under 30", None, 30), ("below £30", None, 30), ("less than $30", None, 30), ("cheaper than 30 €", None, 30),
        ("up to 12,50", None, 12.5), ("up to 12.50 euros", None, 12.5), ("UNDER 30 QUID", None, 30),
        ("at most £ 7", None, 7), ("max 20", None, 20), ("£20 max", None, 20), ("20 pounds or less", None, 20),
        ("my budget is around £30", None, 30), ("I can spend 25", None, 25), ("within 30 dollars", None, 30),
        ("under 1,000", None, 1000), ("under £1,234.50", None, 1234.5),
        ("no more than 30", None, 30), ("not more than 30", None, 30), ("not over 30", None, 30),
        ("nothing over £30", None, 30), ("I don't want to spend more than 30", None, 30),
        ("at least 15", 15, None), ("over €15", 15, None), ("more than 15", 15, None), ("15 or more", 15, None),
        ("nothing under 15", 15, None), ("not less than 15", 15, None), ("no cheaper than 15", 15, None),
        ("between 10 and 20", 10, 20), ("between £20 and £10", 10, 20), ("from 10 to 20", 10, 20), ("£10-£20", 10, 20),
        ("10 to 20 pounds", 10, 20), ("10\N{EN DASH}20 euros", 10, 20), ("spend 10 to 20", 10, 20),
        ("over 10 and under 20", 10, 20), ("under 20, but at least 10", 10, 20), ("at least 10 at most 20", 10, 20),
        ("over 30, no, under 20", None, 20), ("at most 20, or rather over 50", 50, None),
        ("around 40", 28, 48), ("about $40", 28, 48), ("roughly 40 pounds", 28, 48),
        ("any price", 0, math.inf), ("the price doesn't matter", 0, math.inf), ("money is no object", 0, math.inf),
    ],
)  # fmt: skip
def test_prices(text, lowest, highest):
    assert prices(text) == (lowest and pytest.approx(lowest), highest and pytest.approx(highest))


@pytest.mark.parametrize(
    "text",
    [
        "is delivery free over £50?", "free shipping for orders over 50", "a discount over 100", "for about 4 people",
        "more than 2 people", "within 3 days", "under 30%", "under 30cm", "under 30 cm", "less than 2 kg", "around 3pm",
        "under 1.234 €", "under 1,0000", "order 30 is late", "I paid £20 for mine", "what about 2", "tell me about 3",
        "more than enough", "for a child under 6 years old", "under the table", "I bought 2 mugs over there",
    ],
)  # fmt: skip
def test_numbers_that_are_no_price_wanted(text):
    assert prices(text) == (None, None)


@pytest.mark.parametrize(
    ("text", "dearer"),
    [
        ("cheaper", False), ("something less expensive please", False), ("that's too expensive", False),
        ("that is so pricey", False), ("not too expensive", False), ("more affordable", False), ("Cheaper!", False),
        ("more expensive", True), ("a bit fancier please", True), ("better quality", True),
        ("those look too cheap", True),
        ("nothing more expensive", None), ("not cheaper", None), ("a mug", None), ("an expensive one", None),
    ],
)  # fmt: skip
def test_another_price_than_what_was_shown(text, dearer):
    assert read(text, SHOP).dearer is dearer


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("not wool but linen", "linen", "wool"), ("without glass, in blue", "blue", "glass"),
        ("no ceramics", "", "ceramics"),
        ("without glass and in blue", "blue", "glass"), ("no candles and something red", "red", "candles"),
        ("anything but candles", "", "candles"), ("everything but candles", "", "candles"), ("NOT WOOL", "", "wool"),
        ("nothing made of wool", "", "wool"), ("nothing but wool", "wool", ""), ("nothing blue", "", "blue"),
        ("not mugs or candles", "", "candles mugs"), ("no mugs, candles", "candles", "mugs"),
        ("never wool", "", "wool"),
        ("wool isn't for me", "", "wool"), ("wool isn't my thing. Linen", "linen", "wool"),
        ("he hates wool", "", "wool"),
        ("I'd rather have linen than wool", "linen", "wool"), ("linen rather than wool", "linen", "wool"),
        ("linen instead of wool", "linen", "wool"), ("instead of wool, linen", "linen", "wool"),
        ("something other than wool", "", "wool"), ("something else than wool", "", "wool"),
        ("she can't stand wool", "", "wool"),
        ("I don't want a mug", "", "mugs"), ("my son dislikes blue mugs", "", "blue mugs"),
        ("all except red", "", "red"),
        ("allergic to wool", "", "wool"), ("blue mugs", "blue mugs", ""), ("a mug in blue", "blue mugs", ""),
        ("no, wool please", "wool", ""), ("no thanks. mugs", "mugs", ""), ("not only mugs", "mugs", ""),
        ("no idea which mug", "mugs", ""), ("why not wool", "wool", ""), ("I wouldn't mind wool", "wool", ""),
        ("I don't know, a mug", "mugs", ""), ("no matter, mugs", "mugs", ""), ("not these, mugs", "mugs", ""),
    ],
)  # fmt: skip
def test_negations_and_how_far_they_reach(text, wanted, unwanted):
    found = read(text, SHOP)
    assert sorted(cue.partition(":")[2] for cue in found.wanted) == wanted.split()
    assert sorted(cue.partition(":")[2] for cue in found.unwanted) == unwanted.split()


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("woollen", "material:wool"), ("woolly", "material:wool"), ("Wooden", "material:wood"),
        ("a candle", "category:candles"),
        ("glasses", "material:glass"), ("ceramic", "category:ceramics"), ("a berry", "category:berries"),
        ("for the living rooms", "room:living room"), ("vegan", "vegan:yes"), ("something cheap", "price:low"),
        ("a luxury", "price:high"),
        ("glassware", "category:glassware"), ("yes", ""), ("no", ""), ("a", ""), ("low", ""), ("in the middle", ""),
        ("a room with living things", ""), ("a lens for the line", ""), ("woofer", ""), ("cheaper", ""), ("", ""),
    ],
)  # fmt: skip
def test_words_for_what_the_items_are(text, cues):
    assert " ".join(SHOP.named(text)) == cues


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("something like the second one", (1,), ()), ("more like the first", (0,), ()), ("I like number 2", (1,), ()),
        ("#3", (2,), ()), ("no. 2 please", (1,), ()), ("similar to the last one but cheaper", (-1,), ()),
        ("the FIRST and third ones", (0, 2), ()), ("I like the first and the third", (0, 2), ()), ("the 4th one", (3,),
        ()),
        ("tell me more about the last item", (-1,), ()), ("in the style of the second mug", (1,), ()),
        ("I don't like the second one", (), (1,)), ("I don't want the third one", (), (2,)), ("not the second mug", (),
        (1,)),
        ("not the first one, something like the last", (-1,), (0,)), ("not number 3 please", (), (2,)),
        ("not the first or the third", (), (0, 2)), ("nothing like the first one", (), (0,)), ("not #1 but #2", (1,),
        (0,)),
        ("the last one is not for me", (), (-1,)), ("the second thing isn't my taste", (), (1,)),
        ("take away number 2", (), (1,)), ("leave out the first item", (), (0,)), ("why not the first one", (0,), ()),
        ("number 12", (), ()), ("#0", (), ()), ("my order number 5 is late", (), ()), ("order #5", (), ()),
        ("my last one broke", (), ()), ("at the last minute", (), ()), ("for the first time", (), ()),
        ("first of all", (), ()),
    ],
)  # fmt: skip
def test_which_of_those_shown(text, like, unlike):
    found = read(text, SHOP)
    assert (found.like, found.unlike) == (like, unlike)
    assert not found.wanted + found.unwanted


@pytest.mark.parametrize(
    ("text", "none", "more"),
    [
        ("none of these", True, False), ("I don't like these", True, False), ("I don't like any of them", True, False),
        ("I do not like any.", True, False), ("neither of those", True, False), ("not these", True, False),
        ("nothing for me", True, False), ("nothing here. Show me more", True, True),
        ("show me more", False, True), ("something else please", False, True), ("what else is there", False, True),
        ("do you have other ideas", False, True), ("other options", False, True), ("ANYTHING ELSE?", False, True),
        ("tell me more about the first one", False, False), ("I don't like any wool", False, False),
        ("something else than wool", False, False), ("these are nice", False, False),
        ("others say it is nice", False, False),
    ],
)  # fmt: skip
def test_none_and_more(text, none, more):
    found = read(text, SHOP)
    assert (found.none, found.more) == (none, more)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("for a 6 year old", 6), ("for my 6-year-old", 6), ("12 years old", 12), ("a 12 yr old", 12),
        ("6-Year-Olds", 6),
        ("for a two-year-old", 2), ("six year old", 6), ("aged 9", 9), ("a 7yo", 7), ("8-month-old", 0),
        ("18 months old", 1),
        ("a 3 year old and an 8 year old", 3), ("between 10 and 20 for a 6 year old", 6),
        ("my order is 6 days old", None), ("6 mugs", None), ("for 6 people", None), ("6 years ago", None),
        ("old", None),
    ],
)  # fmt: skip
def test_the_age_of_whom_it_is_for(text, age):
    assert read(text, SHOP).age == age


@pytest.mark.parametrize(
    "text",
    [
        "cheaper", "under 30", "my budget is 30", "up to 12,50 please", "none of these", "show me something else",
        "something like the second one", "not the first one, something like the last one", "not wool",
        "anything but candles",
        "that is too expensive", "similar to the last one but cheaper", "a bit fancier please",
        "I don't like any of these",
        "the last one is not for me", "cheaper than the second one", "he hates wool", "any price",
        "tell me more about the first one", "I'd like to know more about the last one", "why the first one",
    ],
)  # fmt: skip
def test_what_is_bare(text):
    assert read(text, SHOP).bare


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "mugs", "cheaper mugs", "not wool but linen", "a present for a keen gardener, no wool",
        "something to cook with under 30", "I want a present for my mother, not the first one", "a lamp under 30",
        "for a 6 year old", "something cheaper for a 6 year old",
        "do you have something for campers, not too expensive?",
    ],
)  # fmt: skip
def test_what_tells_what_to_look_for_is_not_bare(text):
    assert not read(text, SHOP).bare


@settings(max_examples=500, deadline=None)
@given(MESSAGES)
@example("not " * 50 + "wool")
@example("under " + "9" * 400)
def test_any_text_is_read_and_always_alike(text):
    found = read(text, SHOP)
    assert found == read(text, Vocabulary(reversed(CUES)))
    assert found == read(text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"), SHOP)
    for bound in (found.lowest, found.highest):
        assert bound is None or bound >= 0.0
    assert (found.lowest or 0.0) <= (math.inf if found.highest is None else found.highest)
    assert found.lowest != math.inf
    assert {*found.wanted, *found.unwanted} <= set(CUES)
    assert all(-1 <= at <= 8 for at in found.like + found.unlike)
    assert not (found == read("", SHOP) and found.bare)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 999_999), st.integers(0, 99), st.sampled_from(["£{}", "${}", "€{}", "{} €", "{} pounds", "{}"]))
def test_a_price_is_the_number_that_was_written(whole, pennies, form):
    for number in (f"{whole}.{pennies:02}", f"{whole},{pennies:02}", f"{whole:,}.{pennies:02}"):
        assert prices(f"under {form.format(number)}") == (None, pytest.approx(whole + pennies / 100))


def test_a_shop_without_words_names_nothing():
    assert read("wool, not linen, under 5", Vocabulary(())).wanted == ()
    assert Vocabulary(["odd:!!", "odd:", ":"]).named("odd !!") == []


@pytest.mark.parametrize(
    "piece", ["1", "1.", "1 ", "not ", "rather ", "no. 1 ", "the first ", "want to ", "£", "order ", "-"]
)
def test_a_long_message_takes_no_long_time(piece):
    text = "not over " + piece * (8_000 // len(piece))
    began = time.perf_counter()
    read(text, SHOP)
    assert time.perf_counter() - began < 1.0


def test_curly_apostrophes_and_capitals_say_the_same():
    curly = "I DON\N{RIGHT SINGLE QUOTATION MARK}T WANT THE SECOND ONE"
    assert read(curly, SHOP) == read("I don't want the second one", SHOP)
    assert read(curly, SHOP).unlike == (1,)
