from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.demo.making import Size, make
from agent.log import LearningLog

END = 1_790_000_000.0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that `rejoinder demo` makes, with words that mean something: takes a minute or two."""
    home = tmp_path_factory.mktemp("simulated")
    make(home, Size(seed=0, end=END))
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
