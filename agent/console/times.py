"""Times as people give them in a browser: by this machine's clock."""

from __future__ import annotations

from datetime import datetime

from agent.errors import InvalidInput


def moment_of(given: str) -> float | None:
    """Unix seconds of a time such as 2026-12-01T09:00; None for an empty one.

    Raises:
        InvalidInput: it is none, or not of the years 1971 to 2999.
    """
    if not given.strip():
        return None
    try:
        found = datetime.fromisoformat(given.strip())
    except ValueError as error:
        raise InvalidInput(f"a time is written as in 2026-12-01T09:00; got {given[:40]!r}") from error
    if not 1971 <= found.year <= 2999:
        raise InvalidInput(f"a time must be of the years 1971 to 2999; got {given[:40]!r}")
    return found.timestamp()
