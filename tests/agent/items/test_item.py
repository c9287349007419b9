from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.items.item import LONGEST_DESCRIPTION, Item, read_item

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = st.sampled_from(["id", "title", "Price", "stock", "url", "min_age", "attributes", "material"]) | st.text(
    max_size=6
)


def item(**values):
    return read_item({"id": "m1", "title": "Oat mug", **values}).item


def test_a_row_of_texts_and_one_of_json_values_say_the_same():
    texts = {
        "ID": "m1", "Name": " Oat  mug ", "Product Type": "Mugs", "PRICE": "12,50 EUR", "URL": "https://www.example.com/m1",
        "image_url": "", "In Stock": "out of stock", "min-age": "18+", "Material": "wool|linen", "Height": "9.5",
        "vegan": "Yes", "note": "",
    }  # fmt: skip
    values = {
        "sku": "m1", "title": "Oat mug", "category": "Mugs", "price": 12.5, "currency": "eur",
        "link": "https://www.example.com/m1", "image": None, "stock": 0, "minimum_age": 18,
        "attributes": {"Material": ["wool", "linen"], "height": 9.5}, "vegan": True,
    }  # fmt: skip
    one, other = read_item(texts), read_item(values)
    assert one == other
    assert one.item == Item(
        "m1", "Oat mug", category="Mugs", price=12.5, currency="EUR", link="https://www.example.com/m1",
        available=False, minimum_age=18, attributes={"material": ("wool", "linen"), "height": 9.5, "vegan": True},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"id": ""}, "id: is missing"),
        ({"id": None}, "id: is missing"),
        ({"id": "x" * 201}, "id: has 201 characters; 200 are the most"),
        ({"id": ["m1"]}, "id: a list is no text"),
        ({"id": float("nan")}, "id: nan is not finite"),
        ({"title": float("-inf")}, "title: -inf is not finite"),
        ({"minimum_age": float("nan")}, "minimum_age: nan is not finite"),
        ({"material": ["wool", float("inf")]}, "material: inf is not finite"),
        ({"title": " \n"}, "title: is missing"),
        ({"title": "\ud800"}, "title: is not text, at character 1"),
        ({"price": "-1"}, "price: '-1' is negative"),
        ({"price": float("nan")}, "price: nan is not finite"),
        ({"price": "5 EUR", "currency": "GBP"}, "currency: the price says EUR, its own column GBP"),
        ({"image": "ftp://www.example.com/a.jpg"}, "image: 'ftp://www.example.com/a.jpg' is not an address"),
        ({"link": "javascript:alert(1)"}, "link: 'javascript:alert(1)' is not an address"),
        ({"link": "https://"}, "link: 'https://' is not an address"),
        ({"link": 'https://www.example.com/"><b>'}, "link: "),
        ({"link": "https://www.example.com/" + "a" * 3000}, "link: "),
        ({"available": "perhaps"}, "available: 'perhaps' says neither yes nor no"),
        ({"stock": float("nan")}, "available: 'nan' says neither yes nor no"),
        ({"minimum_age": "old"}, "minimum_age: 'old' is not an age from 0 to 150"),
        ({"minimum_age": 151}, "minimum_age: '151' is not an age"),
        ({"minimum_age": -1}, "minimum_age: '-1' is not an age"),
        ({"height": float("inf")}, "height: inf is not finite"),
        ({"height": 10**400}, "height: 1000"),
        ({"Title": "Another"}, "title: stands twice, as 'title' and 'Title'"),
    ],
)
def test_what_means_nothing_is_refused_by_its_field_and_place(values, says):
    with pytest.raises(InvalidInput) as refused:
        read_item({"id": "m1", "title": "Oat mug", **values}, where="shop.csv, line 7")
    assert str(refused.value).startswith(f"shop.csv, line 7: {says}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    "value",
    [
        "in stock",
        "In_Stock",
        "pre-order",
        "yes",
        "TRUE",
        "3",
        3,
        True,
        "",
        None,
        "https://schema.org/InStock",
        "backorder",
    ],
)
def test_what_can_be_ordered_is_available(value):
    assert item(availability=value).available


@pytest.mark.parametrize("value", ["out of stock", "OutOfStock", "sold out", "no", "0", 0, -2, False, "Discontinued"])
def test_what_cannot_be_ordered_is_not(value):
    assert not item(availability=value).available


def test_an_id_that_is_a_number_keeps_its_digits():
    assert [item(id=value).id for value in (7, 7.0, 12_345_678.0, 12_345_679, 7.5)] == [
        "7", "7", "12345678", "12345679", "7.5",
    ]  # fmt: skip


def test_long_texts_are_cut_and_it_is_said():
    found, warnings = read_item({"id": "1", "title": "t" * 600, "description": "d" * 10_000_000, "note": "n" * 2_000})
    assert [len(text) for text in (found.description, found.title, found.attributes["note"])] == [20_000, 500, 1_000]
    assert "description: has 10,000,000 characters; cut to 20,000" in warnings
    assert len(warnings) == 3
    assert read_item({"id": "1", "title": "t", "description": "d" * LONGEST_DESCRIPTION}).warnings == ()


def test_what_is_embedded_is_bounded_and_ends_with_the_attributes():
    found = item(
        description="word " * 5_000, category="Mugs", material="wool|linen", colour="red", vegan="yes", hot="no"
    )
    assert found.text.startswith("Oat mug. Mugs. word word")
    assert found.text.endswith("material: wool, linen; colour: red; vegan")
    assert len(found.text) < 1_200
    assert len(item(note="x" * 1_000, **{f"a{i}": "y" * 900 for i in range(50)}).text) < 1_200


def test_the_text_says_what_it_is_not_what_it_costs():
    assert item(price="5", stock=0, min_age=18, url="https://www.example.com").text == item(price="9").text == "Oat mug"


def test_cues_are_small_letters_and_leave_prose_and_numbers_out():
    found = item(category="Kitchen > Mugs", material="Wool|Linen", vegan="no", height="9", care="Wash it by hand. " * 9)
    assert found.cues == dict.fromkeys(
        ["category:kitchen", "category:mugs", "material:wool", "material:linen", "vegan:no"], 1.0
    )
    assert Item("1", "t", price_band="low", attributes={"Hue": "Red"}).cues == {"hue:red": 1.0, "price:low": 1.0}


def test_of_two_columns_for_one_field_the_foremost_counts_and_the_other_is_an_attribute():
    found = item(sku="007", name="Oats", quantity="0", availability="in stock")
    assert (found.id, found.title, found.available) == ("m1", "Oat mug", True)
    assert found.attributes == {"sku": "007", "name": "Oats", "quantity": 0.0}


def test_lists_are_written_with_bars_or_in_json():
    assert item(a="x | y|", b='["x", 2, true, null]', c=["x"], d="[sic]", e="|", f=[]).attributes == {
        "a": ("x", "y"), "b": ("x", "2", "yes"), "c": ("x",), "d": "[sic]",
    }  # fmt: skip


def test_an_object_that_is_no_attribute_is_left_out_with_a_warning():
    found, warnings = read_item({"id": "1", "title": "t", "size": {"w": 1}, "attributes": json.dumps({"Hue": "red"})})
    assert found.attributes == {"hue": "red"}
    assert warnings == ("size: is an object, and left out",)


def test_items_do_not_change_and_are_equal_whatever_their_band():
    with pytest.raises(FrozenInstanceError):
        item().title = "x"
    assert Item("1", "t", price_band="low") == Item("1", "t")
    assert hash(Item("1", "t", attributes={"a": ("b",)})) == hash(Item("1", "t", attributes={"c": "d"}))


@given(st.dictionaries(COLUMNS, JSON, max_size=8))
def test_any_row_is_a_sound_item_or_refused_in_one_line(row):
    try:
        found = read_item(row).item
    except InvalidInput:
        return
    assert found.id
    assert found.title
    found.text.encode()
    assert all(cue == cue.lower() and strength == 1.0 for cue, strength in found.cues.items())
    assert all(isinstance(value, str | float | bool | tuple) for value in found.attributes.values())
