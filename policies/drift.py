"""Drift: has the mean of a stream changed? ADWIN (Bifet and Gavalda 2007), over an exponential histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from policies.types import InvalidInput

#: buckets of one size before the two oldest become one of twice the size (M in the paper): with more, changes are
#: placed the more finely.
BUCKETS = 5


@dataclass(frozen=True)
class Change:
    """A change of the mean: what it was before and what it is now, and over how many values each was taken."""

    before: float
    after: float
    values_before: int
    values_after: int


class Adwin:
    """A window over a stream that grows while the mean holds, and is cut where the mean changed.

    The window of n values is split in every place that the histogram knows, about 5 log2(n / 5) of them. It is cut
    where the means of the older n0 and of the newer n1 values differ by more than

        sqrt(2 / m variance ln(2 / d)) + 2 / (3 m) ln(2 / d),    m = 1 / (1 / n0 + 1 / n1),  d = delta / splits

    (section 3 of the paper). While the mean holds, a value brings a false cut with probability at most `delta`, for
    d is a union bound over the splits; up to the error of the window's own variance, which stands in Bernstein's
    inequality for the true one, as in the paper. Values lie within about 1 of their mean, as a reward in [0, 1] less
    its expectation does.

    The paper drops the oldest bucket until no split differs; here the window is cut at the split that exceeds its
    bound the most, so that one change is found once, and its place with it.

    Memory and time for a value grow with log n. Nothing is kept but the buckets: `state_dict` is exact.
    """

    def __init__(self, *, delta: float) -> None:
        if not 0.0 < delta < 1.0:
            raise InvalidInput(f"delta: {delta!r} is not between 0 and 1")
        self.delta = float(delta)
        # Buckets from the oldest to the newest, sizes falling: how many values, their sum, the sum of their squares.
        self._sizes: list[float] = []
        self._sums: list[float] = []
        self._squares: list[float] = []

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return int(sum(self._sizes))

    @property
    def mean(self) -> float:
        """The mean of the window; 0 while it is empty."""
        return sum(self._sums) / self.width if self._sizes else 0.0

    def update(self, value: float) -> Change | None:
        """Take in the next value; tell whether the mean has changed, in either direction.

        Raises InvalidInput for a value that is not finite; nothing has changed then.
        """
        if not math.isfinite(value):
            raise InvalidInput(f"value: {value!r} is not finite")
        self._sizes.append(1.0)
        self._sums.append(float(value))
        self._squares.append(float(value) ** 2)
        self._compress()
        cut = self._cut()
        if cut is None:
            return None
        values_before = int(sum(self._sizes[:cut]))
        before = sum(self._sums[:cut]) / values_before
        for column in (self._sizes, self._sums, self._squares):
            del column[:cut]
        return Change(before, self.mean, values_before, self.width)

    def state_dict(self) -> dict[str, Tensor]:
        """Give delta () and the buckets (3, k), float64: sizes, sums and sums of squares, the oldest first."""
        columns = [self._sizes, self._sums, self._squares]
        return {
            "delta": torch.tensor(self.delta, dtype=torch.float64),
            "buckets": torch.tensor(columns, dtype=torch.float64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of a detector of the same delta; else InvalidInput, and nothing changes."""
        try:
            delta = float(state["delta"])
            sizes, sums, squares = state["buckets"].tolist()
        except (KeyError, ValueError) as error:
            raise InvalidInput("state: not one that state_dict() gave") from error
        if delta != self.delta:
            raise InvalidInput(f"state: of delta {delta!r}, not {self.delta!r}")
        self._sizes, self._sums, self._squares = sizes, sums, squares

    def _compress(self) -> None:
        """Where there are too many buckets of one size, make the two oldest of them one."""
        end, size = len(self._sizes), 1.0
        while end > BUCKETS and self._sizes[end - BUCKETS - 1] == size:
            start = end - BUCKETS - 1
            for column in (self._sizes, self._sums, self._squares):
                column[start : start + 2] = [column[start] + column[start + 1]]
            end, size = start + 1, 2.0 * size

    def _cut(self) -> int | None:
        """How many of the oldest buckets lie before the change, where there is one."""
        n, total, splits = self.width, sum(self._sums), len(self._sizes) - 1
        variance = max(0.0, sum(self._squares) / n - (total / n) ** 2)
        log = math.log(2.0 * splits / self.delta) if splits else 0.0
        most, cut, older, older_sum = 1.0, None, 0.0, 0.0
        for index in range(splits):
            older += self._sizes[index]
            older_sum += self._sums[index]
            newer = n - older
            difference = abs(older_sum / older - (total - older_sum) / newer)
            log_over_m = log * n / (older * newer)
            excess = difference / (math.sqrt(2.0 * variance * log_over_m) + log_over_m / 1.5)
            if excess > most:
                most, cut = excess, index + 1
        return cut
