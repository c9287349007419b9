from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.demo.making import Size, make
from agent.log import LearningLog
from tests.agent.conftest import HashEncoder

END = 1_790_000_000.0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a simulated log, large enough that something is learned. Words have no meaning in it."""
    home = tmp_path_factory.mktemp("simulated")
    make(home, Size(conversations=900, weeks=8.0, seed=1, end=END), encoder=HashEncoder)
    return home


@pytest.fixture
def open_log() -> Iterator[Callable[[Path], LearningLog]]:
    opened: list[LearningLog] = []

    def make(home: Path) -> LearningLog:
        opened.append(LearningLog(home / "learning.db"))
        return opened[-1]

    yield make
    for log in opened:
        log.close()
