"""Figures that take seconds: worked out beside the requests that ask for them, one after the other, and kept a while.

A request waits a little; if that is not enough, its page says that the figure is being worked out and asks again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong  # before Python 3.11 another than the built-in one
from typing import Any, TypeVar, cast

from fastapi import Request

MOST = 64  # figures kept; what was asked for last stays
T = TypeVar("T")


class Figures:
    """What was worked out, by what it is. Safe to use from several threads."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "rejoinder-figures")  # one: two cores have requests to answer as well
        self._kept: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def asked(self, key: Hashable, work: Callable[[], T], *, patience: float) -> T | None:
        """The figure of this key, worked out unless it is kept; None if that takes longer than `patience` seconds.

        Raises:
            RejoinderError: what working it out raised; the next who asks tries again.
        """
        with self._lock:
            future = self._kept.get(key)
            if future is None:
                future = self._kept[key] = self._worker.submit(work)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)[1].cancel()  # it still runs if it has begun
            self._kept.move_to_end(key)
        try:
            return cast(T, future.result(patience))
        except TookTooLong:
            return None
        except CancelledError:  # too many others were asked for meanwhile
            return None
        except Exception:
            with self._lock:
                if self._kept.get(key) is future:
                    del self._kept[key]
            raise

    def close(self) -> None:
        """Begin no more. What is under way fails when the log is closed."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def figures_of(request: Request) -> Figures:
    """The figures that the application keeps."""
    figures = request.app.state.figures
    assert isinstance(figures, Figures)
    return figures


def bucket(seq: int) -> int:
    """The same for as long as a log has grown little: by a hundredth or a twentieth, or in a small one not at all."""
    step = max(1, 5 * 10 ** (len(str(seq)) - 3)) if seq >= 1_000 else 1
    return seq // step * step
