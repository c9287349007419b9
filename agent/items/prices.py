"""Prices as people write them: an amount, and a currency where one is named."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from agent.errors import InvalidInput

_SIGNS = {"£": "GBP", "$": "USD", "€": "EUR", "¥": "JPY", "₹": "INR", "zł": "PLN", "US$": "USD"}
_SPACES = re.compile(r"[\s\u00a0\u202f\u2009']")  # between thousands, some write a space, some an apostrophe
_PRICE = re.compile(r"(?P<before>[^\d.,+-]*)(?P<sign>[+-]?)(?P<number>[\d.,]+)(?P<after>[^\d.,]*)")
_CODE = re.compile(r"[A-Za-z]{3}")
_GROUPS = {separator: re.compile(rf"\d{{1,3}}(?:{re.escape(separator)}\d{{3}})+") for separator in ".,"}


class Price(NamedTuple):
    """An amount, finite and at least 0, and the ISO 4217 code of its currency; "" where none is named."""

    amount: float
    currency: str = ""


def price_of(value: object) -> Price | None:
    """The price that a number or a text such as `12,50 EUR`, `$12.50` or `1.234,50 €` gives; None for an empty one.

    Of points and commas the last is the decimal one, unless three digits follow it and it is a comma: `1,234` is a
    thousand and more. `1.234 €` could be either, and is refused.

    Raises:
        InvalidInput: not a price, negative, or not finite.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return _written(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"price: {_shown(value)} is not a price")
    return Price(_checked(value, value))


def currency_of(value: object) -> str:
    """The ISO 4217 code that a text names, by itself or by its sign; "" for an empty one.

    Raises:
        InvalidInput: it names none.
    """
    text = "" if value is None else str(value).strip()
    code = _SIGNS.get(text, text)
    if code and not _CODE.fullmatch(code):
        raise InvalidInput(f"currency: {_shown(value)} is neither a code of three letters nor a known sign")
    return code.upper()


def _written(text: str) -> Price:
    try:
        return Price(_checked(float(text), text))  # a number as machines write it: by far the most
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
    found = _PRICE.fullmatch(_SPACES.sub("", text))
    if found is None or (found["before"] and found["after"]):
        raise InvalidInput(f"price: {_shown(text)} is not a price")
    try:
        currency = currency_of(found["before"] or found["after"])
    except InvalidInput as error:
        raise InvalidInput(f"price: {_shown(text)} is not a price") from error
    return Price(_checked(_number(found["number"], text) * (-1 if found["sign"] == "-" else 1), text), currency)


def _number(digits: str, text: str) -> float:
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0:
        return float(digits)
    separator = digits[last]
    other = "," if separator == "." else "."
    if _GROUPS[separator].fullmatch(digits):
        if separator == "." and digits.count(".") == 1:
            raise InvalidInput(f"price: {_shown(text)} can be read in two ways; write it with two decimals")
        return float(digits.replace(separator, ""))
    whole, decimals = digits[:last], digits[last + 1 :]
    if not decimals.isdigit() or not (whole == "" or whole.isdigit() or _GROUPS[other].fullmatch(whole)):
        raise InvalidInput(f"price: {_shown(text)} is not a price")
    return float(f"{whole.replace(other, '') or '0'}.{decimals}")


def _checked(amount: float, shown: object) -> float:
    try:
        number = float(amount)
    except OverflowError:  # JSON knows integers of any length
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(f"price: {_shown(shown)} is not finite")
    if number < 0:
        raise InvalidInput(f"price: {_shown(shown)} is negative")
    return abs(number)  # no -0.0


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
