"""Reasons: the line adds up, and names what was asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.items.item import Item
from agent.items.reasons import reasons
from agent.log import Event

RUG = Item("rug", "Hearth rug", category="Home > Rugs", attributes={"material": "wool", "colour": ("red", "blue")})
NAMES = ("prior", "match", "diversity", "shared", "own", "own:together")


def decision(parts, *, features=None, index=0, propensity=0.25):
    body = {"parts": parts, "index": index, "propensity": propensity, "context": {"features": features or {}}}
    return Event("d", "decision", 0.0, "items:shop", decision="d", body=body)


def numbers(line):
    """What the line says is expected, and the parts of that."""
    found = re.fullmatch(r"Hearth rug: (-?\d+\.\d\d) expected(?: \((.*)\))?; shown here with a chance of \d+%\.", line)
    assert found
    return float(found[1]), [float(number) for number in re.findall(r"[+-]\d+\.\d\d(?= )", found[2] or "")]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.floats(-2, 2), min_size=3, max_size=3)), st.integers(0, 2))
def test_the_parts_add_up_to_what_is_expected_but_for_rounding(parts, index):
    expected, told = numbers(reasons(decision(parts, index=index), RUG))
    assert expected == pytest.approx(sum(part[index] for part in parts.values()), abs=0.0051)
    assert sum(told) == pytest.approx(expected, abs=0.005 * 4 + 0.0051)
    assert len(told) <= 4
    assert 0.0 not in told
    assert [abs(number) for number in told] == sorted((abs(number) for number in told), reverse=True)


def test_a_line_in_full():
    parts = {
        "prior": [0.2, 0.9],
        "match": [0.3, 0.9],
        "diversity": [-0.1, 0.9],
        "shared": [0.04, 0.9],
        "own": [0.02, 0.9],
    }
    assert reasons(decision(parts, features={"material:wool": 1.0}), RUG) == (
        "Hearth rug: 0.46 expected (+0.30 it is what you asked for (wool), +0.20 its words are near yours, "
        "-0.10 so that not all are alike, +0.06 what people made of it and of things like it); "
        "shown here with a chance of 25%."
    )


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"material:wool": 1.0, "colour:blue": 0.4, "material:glass": 1.0, "intent:greet": 1.0}, " (wool, blue)"),
        ({"category:rugs": 0.5, "colour:red": 0.0}, " (rugs)"),
        ({"similar": 3.0}, " (like one you pointed at)"),
        ({"similar": 3.0, "category:home": 1.0}, " (home, like one you pointed at)"),
        ({"material:glass": 1.0}, ""),
        ({}, ""),
    ],
)
def test_the_cues_named_are_those_asked_for_that_the_item_has(features, named):
    line = reasons(decision({"match": [0.3]}, features=features), RUG)
    assert f"(+0.30 it is what you asked for{named});" in line


def test_faint_parts_are_left_out():
    line = reasons(decision({"prior": [0.4], "match": [0.0049], "diversity": [-0.0049], "own": [0.0]}), RUG)
    assert "(+0.40 its words are near yours);" in line
    assert reasons(decision({"prior": [-0.001], "own": [0.0005]}), RUG).startswith("Hearth rug: 0.00 expected; shown")
    assert "+0.01 its words" in reasons(decision({"prior": [0.0052]}), RUG)


def test_what_was_learned_is_one_part():
    line = reasons(decision({"shared": [0.3], "own": [-0.1], "own:together": [0.05]}), RUG)
    assert numbers(line) == (0.25, [0.25])
