from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.items.prices import Price, currency_of, price_of

pence = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("written", "amount", "currency"),
    [
        ("12.50", 12.5, ""),
        ("12,50 EUR", 12.5, "EUR"),
        ("$12.50", 12.5, "USD"),
        ("CHF 1'234.50", 1234.5, "CHF"),
        ("1.234,50 €", 1234.5, "EUR"),
        ("1 234,5 eur", 1234.5, "EUR"),
        ("1,234", 1234.0, ""),
        ("1.234.567", 1234567.0, ""),
        ("£4", 4.0, "GBP"),
        ("5.", 5.0, ""),
        ("-0", 0.0, ""),
        (7, 7.0, ""),
        (7.25, 7.25, ""),
    ],
)
def test_a_price_is_read_as_people_write_it(written, amount, currency):
    price = price_of(written)
    assert price == Price(amount, currency)
    assert math.copysign(1, price.amount) == 1


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_no_price_is_none(empty):
    assert price_of(empty) is None


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("-5", "is negative"),
        (-0.01, "is negative"),
        ("£ -3", "is negative"),
        ("nan", "is not finite"),
        (float("inf"), "is not finite"),
        (10**400, "is not finite"),
        ("9" * 400, "is not finite"),
        ("free", "is not a price"),
        ("1,2,3", "is not a price"),
        ("--5", "is not a price"),
        ("EUR 5 USD", "is not a price"),
        ("12 pounds", "is not a price"),
        ("1.234 €", "can be read in two ways"),
        (True, "is not a price"),
        ([5], "is not a price"),
    ],
)
def test_what_is_no_price_is_refused_and_named(written, says):
    with pytest.raises(InvalidInput, match=says) as refused:
        price_of(written)
    assert str(refused.value).startswith("price: ")
    assert len(str(refused.value)) < 120


@given(pence, st.sampled_from(["{}", "{} EUR", "€{}", "EUR {}"]))
def test_the_ways_to_write_a_price_mean_the_same(amount, form):
    plain = price_of(f"{amount / 100:.2f}").amount
    for written in (
        f"{amount / 100:,.2f}",
        f"{amount / 100:,.2f}".translate(str.maketrans(".,", ",.")),
        f"{amount / 100:.2f}",
    ):
        assert price_of(form.format(written)).amount == plain == pytest.approx(amount / 100)


@given(st.text(max_size=20))
def test_any_text_is_a_sound_price_or_refused(text):
    try:
        price = price_of(text)
    except InvalidInput:
        return
    assert price is None or (0 <= price.amount < math.inf and len(price.currency) in (0, 3))


def test_a_currency_is_a_code_or_a_sign():
    assert [currency_of(text) for text in (" gbp", "€", "", None)] == ["GBP", "EUR", "", ""]
    with pytest.raises(InvalidInput, match="currency: 'pounds'"):
        currency_of("pounds")
