"""A door with a clock of its own and hashes that cost little: what they cost is tested by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from agent.access import passwords
from agent.access.door import Door

PASSWORD = "correct horse battery"


class Clock:
    """A time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def door(home: Path, clock: Clock, cheap: None) -> Iterator[Door]:
    door = Door(home, clock=clock)
    yield door
    door.close()
