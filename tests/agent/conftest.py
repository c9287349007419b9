from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.candidates import Reply
from agent.decision import Situation
from agent.encoder import Encoder
from agent.service import Service
from agent.settings import LoopSettings

DIMENSIONS = 8


class HashEncoder(Encoder):
    """Any text gets a random direction of its own: all that the fold needs, in microseconds."""

    def _encode(self, texts: Sequence[str]) -> list[array[float]]:
        return [self._direction(text) for text in texts]

    def _direction(self, text: str) -> array[float]:
        rng = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        numbers = [rng.gauss(0, 1) for _ in range(DIMENSIONS)]
        length = sum(x * x for x in numbers) ** 0.5
        return array("f", [x / length for x in numbers])


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


REPLIES = (Reply("refund", ("Money goes back in five days.",)), Reply("delivery", ("It is on its way.",)))


# A hash has no meaning to start from: every reply is as good as another.
SETTINGS = LoopSettings(learner={"prior_slope": 0.0, "prior_intercept": 0.5, "alpha": 0.2})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_service(home: Path, clock: Clock) -> Iterator[Callable[[], Service]]:
    """Opens services on one home: each is what another process would have."""
    opened: list[Service] = []
    # Who answers a conversation hangs on this key: a fresh one would give the arms other conversations in every run.
    home.mkdir(parents=True, exist_ok=True)
    (home / "identity.key").write_bytes(hashlib.sha256(b"the tests'").digest())

    def make() -> Service:
        opened.append(Service(home, encoder=HashEncoder, clock=clock))
        return opened[-1]

    yield make
    for service in opened:
        service.close()


@pytest.fixture
def service(open_service: Callable[[], Service]) -> Service:
    """A service with one loop, `replies`, of two candidates."""
    service = open_service()
    service.configure("replies", SETTINGS, who="test")
    service.reconcile("replies", REPLIES, who="test")
    return service


def asked(text: str = "where is my money", *, message: str = "m1", conversation: str = "c1") -> Situation:
    return Situation([text], conversation=conversation, person="p1", message_id=message)
