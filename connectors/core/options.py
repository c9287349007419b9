"""Options: what credentials.yml says under a channel, as a frozen dataclass of the channel's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from rasa.shared.exceptions import RasaException

Settings = TypeVar("Settings")


def secret(**more: Any) -> Any:
    """A field that is never shown."""
    return dataclasses.field(repr=False, **more)


def settings_of(kind: type[Settings], given: Mapping[str, Any] | None, *, where: str) -> Settings:
    """The settings that credentials.yml gives; an option left out has its default.

    Raises:
        RasaException: an option that there is not, that is missing, or of the wrong kind. No value is shown.
    """
    options, hints = dict(given or {}), get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(options) - set(fields)):
        raise RasaException(f"{where} in credentials.yml: no option {unknown[0]!r}; there are {', '.join(fields)}")
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if name not in options and required:
            raise RasaException(f"{where} in credentials.yml: {name} is missing")
        if name in options:
            options[name] = _checked(name, options[name], hints[name], where)
    try:
        return kind(**options)
    except ValueError as error:
        raise RasaException(f"{where} in credentials.yml: {error}") from None


def _checked(name: str, value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an id that YAML took for a number
    plain = getattr(kind, "__origin__", kind)
    if plain is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if plain in (str, int, float, bool) and (
        not isinstance(value, plain) or isinstance(value, bool) != (plain is bool)
    ):
        raise RasaException(f"{where} in credentials.yml: {name} must be {_NAMES[plain]}")
    if plain is tuple:
        raise RasaException(f"{where} in credentials.yml: {name} must be a list of texts")
    if plain is str and (not value.strip() or (value.startswith("${") and value.endswith("}"))):
        raise RasaException(f"{where} in credentials.yml: {name} is empty, or names a variable that is not set")
    return value


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
