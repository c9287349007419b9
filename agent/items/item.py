"""Items: what a shop recommends, and how one raw row of a catalogue is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from agent.errors import InvalidInput
from agent.items.prices import currency_of, price_of

Attribute = str | float | bool | tuple[str, ...]

LONGEST_DESCRIPTION = 20_000  # characters; what is beyond is cut, and a warning says so
LONGEST_TITLE = 500
LONGEST_ATTRIBUTE = 1_000
_LONGEST_ID = 200
_LONGEST_LINK = 2_048
# What is embedded: the encoder reads 256 word pieces, about a thousand characters, and attributes come last.
_EMBEDDED_DESCRIPTION = 600
_EMBEDDED_ATTRIBUTES = 400
_LONGEST_CUE = 60  # a longer text is prose, which no two items share
_OLDEST = 150

# The columns that each field is read from, the foremost first; of several the others are free attributes.
_ALIASES = {
    "id": ("id", "item_id", "product_id", "sku"),
    "title": ("title", "name", "product_name", "product_title", "item_name"),
    "description": ("description", "desc", "summary", "body", "product_description"),
    "category": ("category", "category_name", "product_category", "product_type", "department"),
    "price": ("price", "price_amount"),
    "currency": ("currency", "currency_code", "price_currency"),
    "image": ("image", "image_url", "image_link", "picture", "photo"),
    "link": ("link", "url", "product_url", "product_link", "page"),
    "available": ("available", "availability", "in_stock", "instock", "stock", "quantity"),
    "minimum_age": ("minimum_age", "min_age", "age_limit", "age_restriction"),
}
_YES = "true yes y t in_stock available limited_availability online_only pre_order pre_sale back_order"
_NO = "false no n f out_of_stock unavailable not_available sold_out discontinued in_store_only reserved"
_AVAILABLE = {
    word.replace("_", ""): meaning for words, meaning in ((_YES, True), (_NO, False)) for word in words.split()
}
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")  # not 007: that is a code
_MARKS = re.compile(r"[\W_]+")
_ADDRESS = re.compile(r"https?://(?:[^\s/?#@]*@)?[^\s/?#@:]+(?::\d+)?(?:[/?#][^\s\x00-\x1f<>\"]*)?", re.IGNORECASE)
_AGE = re.compile(r"(\d{1,3})(?:\.0+)?\s*\+?")


@dataclass(frozen=True, slots=True)
class Item:
    """Something a shop recommends.

    `price` is in units of `currency` (ISO 4217; "" where the shop does not say), finite and at least 0. `image` and
    `link` are http(s) addresses. Whether it is `available` and the customer of `minimum_age` (years) is a matter of
    eligibility: neither takes an item from the catalogue. `price_band` ("low", "middle", "high", or "" where there is
    too little to compare with) is where the price stands among those of the catalogue, which sets it; two items are
    equal whatever their bands.

    Raises:
        InvalidInput: a value is not what is said here; the message begins with the field's name.
    """

    id: str
    title: str
    description: str = ""
    category: str = ""
    price: float | None = None
    currency: str = ""
    image: str | None = None
    link: str | None = None
    available: bool = True
    minimum_age: int = 0
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    price_band: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidInput("id: is missing")
        if not self.title:
            raise InvalidInput("title: is missing")
        if self.price is not None and not 0 <= self.price < math.inf:
            raise InvalidInput(f"price: {self.price} is negative or not finite")
        if not 0 <= self.minimum_age <= _OLDEST:
            raise InvalidInput(f"minimum_age: {self.minimum_age} is not an age from 0 to {_OLDEST}")
        _check_address("image", self.image)
        _check_address("link", self.link)

    @property
    def text(self) -> str:
        """The words that are embedded: title, category, the beginning of the description, attributes in words.

        Not price and availability: they change often, and say nothing about what the item is.
        """
        description = _cut(" ".join(self.description.split()), _EMBEDDED_DESCRIPTION)
        attributes = _cut("; ".join(_in_words(self.attributes)), _EMBEDDED_ATTRIBUTES)
        return ". ".join(part.rstrip(".") for part in (self.title, self.category, description, attributes) if part)

    @property
    def cues(self) -> Mapping[str, float]:
        """Named cues, each 1.0, by which preferences match items: `category:mugs`, `material:wool`, `price:low`.

        In lower case. Each step of a category such as `Kitchen > Mugs` is a cue, and each value of a list; truths are
        `vegan:yes` and `vegan:no`. Numbers and prose are none.
        """
        found = {f"category:{part.strip().lower()}": 1.0 for part in self.category.split(">") if part.strip()}
        for name, value in self.attributes.items():
            values = value if isinstance(value, tuple) else (value,)
            found |= {f"{name.lower()}:{word}": 1.0 for word in map(_cue, values) if word}
        if self.price_band:
            found[f"price:{self.price_band}"] = 1.0
        return found


class Reading(NamedTuple):
    """An item as it was read, and what was put right on the way, a line each."""

    item: Item
    warnings: tuple[str, ...] = ()


def read_item(row: Mapping[str, Any], *, where: str = "") -> Reading:
    """Read one raw row: texts as CSV has them, or JSON values.

    Names of columns may be in any case, and the usual ones are understood (`name` for title, `url` for link, …).
    Columns of other names are free attributes, and so is what an object in a column `attributes` holds: lists are
    written `a|b` or as JSON; what looks like a number, `true`, `yes`, `false` or `no` is one. Texts that are too
    long are cut, with a warning; an attribute that is neither a value nor a list is left out, with one as well.

    Raises:
        InvalidInput: there is no id or title, or a value does not mean anything; one line that names the field,
            after `where` if given.
    """
    try:
        return _read(row)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}" if where else str(error)) from error


def _read(row: Mapping[str, Any]) -> Reading:
    fields, free = _plan(tuple(row))
    raw = {name: row[column] for name, column in fields.items()}
    warnings: list[str] = []
    price = price_of(raw.get("price"))
    attributes: dict[str, Attribute] = {}
    for name, column in free:
        if row[column] is not None:
            attributes |= _attributes(name, row[column], warnings)
    item = Item(
        id=_id(raw.get("id")),
        title=_limited("title", _line("title", raw.get("title")), LONGEST_TITLE, warnings),
        description=_limited(
            "description", _words("description", raw.get("description")), LONGEST_DESCRIPTION, warnings
        ),
        category=intern(_limited("category", _line("category", raw.get("category")), LONGEST_TITLE, warnings)),
        price=None if price is None else price.amount,
        currency=_currency("" if price is None else price.currency, currency_of(raw.get("currency"))),
        image=_words("image", raw.get("image")) or None,
        link=_words("link", raw.get("link")) or None,
        available=_availability(raw.get("available")),
        minimum_age=_age(raw.get("minimum_age")),
        attributes=attributes,
    )
    return Reading(item, tuple(warnings))


@lru_cache(maxsize=256)
def _plan(columns: tuple[str, ...]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The column of each field that has one; then name and column of each free attribute."""
    plain: dict[str, str] = {}
    for column in columns:
        name = _MARKS.sub("_", str(column).lower().removeprefix("g:")).strip("_")
        if name in plain:
            raise InvalidInput(f"{name}: stands twice, as {plain[name]!r} and {column!r}")
        if name:
            plain[name] = column
    fields = {}
    for name, aliases in _ALIASES.items():
        for alias in aliases:
            if alias in plain:
                fields[name] = plain.pop(alias)
                break
    return fields, [(intern(name.replace("_", " ")), column) for name, column in plain.items()]


def _words(name: str, value: Any) -> str:
    """A text as it is; numbers in digits."""
    if value is None:
        return ""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{name}: is not text, at character {error.start + 1}") from error
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{name}: a {type(value).__name__} is no text")
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else _finite(name, value))
    return str(value)


def _line(name: str, value: Any) -> str:
    """A text in one line, single spaces."""
    return " ".join(_words(name, value).split())


def _id(value: Any) -> str:
    text = _line("id", value)
    if len(text) > _LONGEST_ID:
        raise InvalidInput(f"id: has {len(text)} characters; {_LONGEST_ID} are the most")
    return text


def _limited(name: str, text: str, longest: int, warnings: list[str]) -> str:
    if len(text) <= longest:
        return text
    warnings.append(f"{name}: has {len(text):,} characters; cut to {longest:,}")
    return text[:longest]


def _cut(text: str, longest: int) -> str:
    """No more than `longest` characters, ending with a whole word where there is more than one."""
    return text if len(text) <= longest else text[: longest + 1].rpartition(" ")[0] or text[:longest]


def _check_address(name: str, address: str | None) -> None:
    if address is None:
        return
    if len(address) > _LONGEST_LINK or not _ADDRESS.fullmatch(address):
        raise InvalidInput(f"{name}: {address[:60]!r} is not an address that begins with http:// or https://")


def _currency(written: str, column: str) -> str:
    if written and column and written != column:
        raise InvalidInput(f"currency: the price says {written}, its own column {column}")
    return intern(written or column)


def _availability(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return value is None or value
    if isinstance(value, int | float):
        number: float | None = value
    else:
        text = _words("available", value).lower()
        known = _AVAILABLE.get(_MARKS.sub("", text.rpartition("/")[2]), not text or None)  # schema.org/InStock too
        if known is not None:
            return known
        number = float(text) if _NUMBER.fullmatch(text) else None
    if number is None or not math.isfinite(number):
        raise InvalidInput(f"available: {str(value)[:40]!r} says neither yes nor no")
    return number > 0


def _age(value: Any) -> int:
    text = _words("minimum_age", value)
    found = _AGE.fullmatch(text)
    if text and (found is None or int(found[1]) > _OLDEST):
        raise InvalidInput(f"minimum_age: {text[:40]!r} is not an age from 0 to {_OLDEST}")
    return int(found[1]) if found else 0


def _attributes(name: str, value: Any, warnings: list[str]) -> dict[str, Attribute]:
    """The attribute of this name, none where it is empty; of an object called `attributes`, what it holds."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, str):
        return _written(name, value, warnings)
    if isinstance(value, bool):
        return {name: value}
    if isinstance(value, list):
        values = [_element(name, each) for each in value if each not in (None, "")]
        return {name: tuple(_limited(name, each, LONGEST_ATTRIBUTE, warnings) for each in values)} if values else {}
    if not isinstance(value, dict):
        return {name: _finite(name, value)}
    if name != "attributes":
        warnings.append(f"{name}: is an object, and left out")
        return {}
    found: dict[str, Attribute] = {}
    for inner, each in value.items():
        if each is not None and inner != name:
            found |= _attributes(intern(_line(name, inner).lower()), each, warnings)
    return found


def _parsed(text: str) -> Any:
    """The list or object that a text is in JSON; else the text."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # words in brackets, then
            pass
    return text


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:  # JSON knows integers of any length
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(f"{name}: {str(value)[:40]} is not finite")
    return number


def _written(name: str, value: str, warnings: list[str]) -> dict[str, Attribute]:
    """An attribute that is a text: a list, a truth, a number, or words."""
    text = _limited(name, _line(name, value), LONGEST_ATTRIBUTE, warnings)
    if not text:
        return {}
    if "|" in text:
        parts = tuple(intern(part.strip()) for part in text.split("|") if part.strip())
        return {name: parts} if parts else {}
    if text.lower() in _TRUTH:
        return {name: _TRUTH[text.lower()]}
    return {name: float(text) if _NUMBER.fullmatch(text) else intern(text)}


def _element(name: str, value: Any) -> str:
    """An element of a list, as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return intern(_line(name, value))


def _in_words(attributes: Mapping[str, Attribute]) -> Iterable[str]:
    for name, value in attributes.items():
        if isinstance(value, bool):
            if value:  # what it is not would bring it nearer to that
                yield name
        elif isinstance(value, tuple):
            yield f"{name}: {', '.join(value)}"
        else:
            yield f"{name}: {value:g}" if isinstance(value, float) else f"{name}: {value}"


def _cue(value: Attribute) -> str:
    """The word of a cue; "" where the value is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.lower() if isinstance(value, str) and len(value) <= _LONGEST_CUE else ""
