"""Later: results that take longer than a page may. Made in a thread of their own; an older one serves meanwhile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
_KEPT = 16  # results, the latest asked for


@dataclass(frozen=True)
class Made(Generic[Value]):
    """A result, and whether it is of the state that was asked for; else a fresher one is being made."""

    value: Value
    fresh: bool


class Later(Generic[Value]):
    """Results by key, one made at a time. Safe to use from several threads."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, tuple[Hashable, Value]] = OrderedDict()
        self._making: dict[Hashable, tuple[Hashable, Future[Value]]] = {}
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rejoinder-later")

    def get(
        self, key: Hashable, state: Hashable, make: Callable[[], Value], *, patience: float = 0.15
    ) -> Made[Value] | None:
        """The result of a key in a state, waited for at most `patience` seconds.

        An older one if that is all there is by then, and None if there is none. What `make` raises is raised here,
        once; the next call tries again.
        """
        with self._lock:
            known = self._made.get(key)
            if known is not None and known[0] == state:
                self._made.move_to_end(key)
                return Made(known[1], fresh=True)
            if key not in self._making:
                self._making[key] = (state, self._thread.submit(make))
            of, future = self._making[key]
        wait([future], timeout=patience)
        if not future.done():
            return None if known is None else Made(known[1], fresh=False)
        with self._lock:
            if self._making.get(key, (None, None))[1] is future:
                del self._making[key]
        value = future.result()
        with self._lock:
            self._made[key] = (of, value)
            self._made.move_to_end(key)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return Made(value, fresh=of == state)
