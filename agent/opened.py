"""The service that a command line works with: the one on this home's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.errors import InvalidInput
from agent.settings import HOME_VARIABLE, home

if TYPE_CHECKING:  # torch takes seconds to import, and not every command needs it
    from agent.service import Service


@contextmanager
def opened() -> Iterator[Service]:
    """The service on this home, closed at the end.

    Raises:
        InvalidInput: there is no log in it.
    """
    from agent.service import Service

    if not (home() / "learning.db").exists():
        raise InvalidInput(f"there is no learning log in {home()}; set ${HOME_VARIABLE}, or talk to the bot first")
    service = Service(home())
    try:
        yield service
    finally:
        service.close()
