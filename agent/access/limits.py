"""How often: log-ins for each name and address, calls of the HTTP API for each key or address. Kept in memory."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from agent.errors import InvalidInput

if TYPE_CHECKING:
    from throttled import Throttled

# So many requests a second, and so many at once before that counts. A bot that decides, activates and hears an outcome
# makes three of a turn.
API = "1000/s burst 2000"
# Guessing is slow, and nobody can keep somebody else out from an address of their own: what is tried for one name from
# one address is counted first, what is tried for a name from everywhere only far later.
_HERE, _NAME, _ADDRESS = "6/m burst 10", "60/m burst 120", "30/m burst 60"
_MOST_KEYS = 100_000  # buckets kept at once, of which the least used goes first


class Limits:
    """Buckets that fill with what was done and drain with time (GCRA). Each answer is the seconds to wait, 0 for go.

    Raises:
        InvalidInput: the `api` rate is none such as `100/s burst 200`.
    """

    def __init__(self, *, api: str = API) -> None:
        from throttled.exceptions import BaseThrottledError

        try:
            self._api = _bucket(api)
        except BaseThrottledError as error:
            raise InvalidInput(f"a rate is given as in '100/s burst 200'; got {api!r}") from error
        self._log_ins = (_bucket(_HERE), _bucket(_NAME), _bucket(_ADDRESS))

    def call(self, caller: str) -> int:
        """Count a call of the HTTP API; whole seconds to wait where it is one too many."""
        return _wait(self._api, caller)

    def log_in(self, name: str, address: str) -> int:
        """Count an attempt to log in; whole seconds to wait where it is one too many."""
        keys = (f"{name}\x00{address}", name, address)
        for bucket, key in zip(self._log_ins, keys, strict=True):
            if wait := _wait(bucket, key):
                return wait
        return 0


def _bucket(rate: str) -> Throttled:
    from throttled import MemoryStore, RateLimiterType, Throttled

    store = MemoryStore(options={"MAX_SIZE": _MOST_KEYS})
    made = Throttled(using=RateLimiterType.GCRA.value, quota=rate, store=store)
    assert made.limiter is not None
    return made


def _wait(bucket: Throttled, key: str) -> int:
    # Hashed, a name of any length and any characters takes the same room.
    result = bucket.limit(hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())
    return max(1, math.ceil(result.state.retry_after)) if result.limited else 0
