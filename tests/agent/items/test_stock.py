"""The stock: what the prices of items say. (What may be shown is tested with the wishes.)"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.items.item import Item
from agent.items.stock import Stock
from agent.items.wishes import Wishes
from tests.agent.items.test_wishes import shelf_of

PRICES = st.lists(st.none() | st.sampled_from([0.0, 1.0, 5.0, 5.5, 90.0]), min_size=1, max_size=9)


def cues(prices, **wanted):
    items = {str(n): Item(str(n), f"Thing {n}", price=price) for n, price in enumerate(prices)}
    return Stock(shelf_of(items)).cues(list(items), Wishes(**wanted))


@given(PRICES)
@settings(derandomize=True, deadline=None)
def test_the_standing_of_a_price_is_its_order_among_all(prices):
    standing = [cues(prices)["price"][str(n)] for n in range(len(prices))]
    known = [(price, place) for price, place in zip(prices, standing, strict=True) if price is not None]
    assert all(-1.0 < place < 1.0 for _, place in known)
    assert sum(place for _, place in known) == pytest.approx(0.0, abs=1e-6)
    for one, here in known:
        for other, there in known:
            assert (one < other) == (here < there)
    assert {place for price, place in zip(prices, standing, strict=True) if price is None} <= {0.0}


def test_how_near_a_price_comes_to_the_limit():
    assert cues([5.0, 20.0, None], highest=20.0)["limit"] == {"0": 0.25, "1": 1.0, "2": 0.0}
    assert set(cues([5.0, 20.0], highest=math.inf)["limit"].values()) == {0.0}
    assert set(cues([0.0], highest=0.0)["limit"].values()) == {0.0}
