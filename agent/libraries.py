"""Libraries: the candidates of every loop, apart from what was learned of them. Words need no learner."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agent.candidates import LIBRARY, Library
from agent.log import LearningLog


class Libraries:
    """One process's libraries. Safe to use from several threads: who holds one, holds all."""

    def __init__(self, log: LearningLog) -> None:
        self._log = log
        self._kept: dict[str, tuple[Library, int]] = {}  # with the `seq` each has come to
        self._lock = threading.RLock()

    @contextmanager
    def held(self, loop: str) -> Iterator[Library]:
        """A loop's library, caught up with the log. Nobody else has it meanwhile: copy what is to be kept."""
        with self._lock:
            self.catch_up(loop)
            yield self._kept[loop][0]

    def catch_up(self, loop: str) -> None:
        """Fold what the log has gained."""
        with self._lock:
            library, seq = self._kept.get(loop, (Library(), 0))
            last = self._log.last_seq()
            for event in self._log.read(after=seq, upto=last, kinds=LIBRARY, loop=loop):
                library.apply(event)
            self._kept[loop] = library, last
