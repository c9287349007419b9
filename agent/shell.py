"""What commands share: the service on the log that is there, and settings as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent.errors import InvalidInput
from agent.settings import HOME_VARIABLE, home

if TYPE_CHECKING:
    from agent.service import Service


@contextmanager
def opened() -> Iterator[Service]:
    """The service on the log in `$REJOINDER_HOME`, closed in the end.

    Raises:
        InvalidInput: there is no log.
    """
    from agent.service import Service

    if not (home() / "learning.db").exists():
        raise InvalidInput(f"there is no learning log in {home()}; set ${HOME_VARIABLE}, or talk to the bot first")
    service = Service(home())
    try:
        yield service
    finally:
        service.close()


def pairs(settings: Sequence[str], *, where: str = "--set") -> dict[str, Any]:
    """Settings out of NAME=VALUE; a value is JSON, or else the text itself. `where` names the place they are typed in.

    Raises:
        InvalidInput: one has no equals sign or no name.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{where} takes NAME=VALUE; got {setting!r}")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip()] = value.strip()
    return found
