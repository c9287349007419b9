"""Values that bodies of the HTTP API hold: what is taken for one, and what the OpenAPI document says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import StrictStr

from agent.settings import BLOCKS

LONGEST_ID = 500
# As a pattern: not of blanks alone. To Python there are some more of them than to others who read a pattern.
SAID = r"[^\s\x1c-\x1f\x85]"


class _Number(float):
    """A finite number; true and false are none, nor is text that looks like one."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], float]]:
        yield cls._finite

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema["type"] = "number"

    @classmethod
    def _finite(cls, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError("must be a finite number")
        return number


class _Whole(int):
    """A whole number; 1.0 is one, as to JSON it is 1, and some languages write no other."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], int]]:
        yield cls._whole

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema["type"] = "integer"

    @classmethod
    def _whole(cls, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("must be a whole number")
        return value


class _Id(str):
    """A name that somebody gave to something: 1 to `LONGEST_ID` characters that can be written as UTF-8."""

    __slots__ = ()

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], str]]:
        yield cls._name

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}

    @classmethod
    def _name(cls, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("must be text")
        if not 1 <= len(value) <= LONGEST_ID:
            raise ValueError(f"must have 1 to {LONGEST_ID} characters; got {len(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be text that can be written as UTF-8") from None
        return value


class _Part(_Number):
    """A number from 0 to 1, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "number", "minimum": 0, "maximum": 1}


class _Block(StrictStr):
    """What a context is made of beside the last message, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "enum": list(BLOCKS)}


class _Said(StrictStr):
    """Text that says something, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "pattern": SAID}


if TYPE_CHECKING:  # to the checker they are what they hold
    Number = float
    Part = float
    Whole = int
    Id = str
    Said = str
    Block = str
else:
    Number, Part, Whole, Id, Said, Block = _Number, _Part, _Whole, _Id, _Said, _Block
