"""Making a simulated log: weeks of conversations in simulated time, through the real service, then put in place.

The same seed, size and end give the same traffic: all is equal but the ids that the service draws.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import random
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from agent.demo import mark
from agent.demo.conversation import Floor, Given, conversation
from agent.demo.desk import Clock, Desk
from agent.demo.gifts import Gifts
from agent.demo.office import Office
from agent.demo.people import customers
from agent.demo.plan import ACTIONS, Plan, drawn
from agent.demo.questions import Questions
from agent.demo.shop import SHIPPED, TOPIC, responses
from agent.encoder import Encoder
from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.reports import new_id
from agent.service import Service

CONVERSATIONS, WEEKS = 1_500, 8.0
_WEEK, _HOUR = 7 * 86_400.0, 3_600.0
_EXPIRED_EVERY = 3 * _HOUR
_GIFTS = 0.025  # of the conversations ask what to buy
_FIRST_POLICY = "epsilon_greedy"
# How many write in each hour of a day (UTC), and on each day from Monday on.
_HOURS = (1, 1, 1, 1, 1, 2, 5, 9, 14, 18, 20, 19, 17, 16, 17, 18, 18, 19, 20, 18, 14, 9, 5, 2)
_DAYS = (1.2, 1.1, 1.0, 1.0, 1.0, 0.7, 0.55)
_GROWTH = 0.3  # more at the end than at the beginning
_STRIKE = 1.9  # times as many while couriers strike
_KEPT = ("learning.db", "identity.key", "snapshots", "catalogues")
# The console's index over the log that was there before: it knows nothing of a new one.
_STALE = ("review.db", "review.db-wal", "review.db-shm", "learning.db-wal", "learning.db-shm")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Size:
    """How much traffic: so many conversations over so many weeks up to `end` (unix seconds), drawn from the seed."""

    conversations: int = CONVERSATIONS
    weeks: float = WEEKS
    seed: int = 0
    end: float = 0.0

    @property
    def start(self) -> float:
        """When the first may write (unix seconds)."""
        return self.end - self.weeks * _WEEK

    def share(self, at: float) -> float:
        """A time as a share of the whole."""
        return (at - self.start) / (self.end - self.start)


def make(
    home: Path,
    size: Size,
    *,
    encoder: Callable[[str], Encoder] | None = None,
    project: Path = SHIPPED,
    progress: Progress = lambda *_: None,
    fresh: bool = False,
) -> dict[str, int]:
    """Write a simulated log into a home; how many events there are of each kind.

    It is made aside and put in place when it is whole. `fresh` replaces one that was simulated before.

    Raises:
        InvalidInput: the home has a log already: one with anything that was not simulated in it, or without `fresh`.
        LogUnavailable: it cannot be written there.
    """
    refuse(home, fresh=fresh)
    aside = home / "making"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        counts = _simulate(aside, size, encoder or (lambda name: Encoder(name, keep=50_000)), project, progress)
        _put(aside, home)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return counts


def made(home: Path) -> dict[str, int] | None:
    """How many events of each kind the simulated log in a home holds; None where there is none.

    Raises:
        InvalidInput: there is a log that the demonstration did not begin.
    """
    path = home / "learning.db"
    if not path.exists():
        return None
    log = LearningLog(path)
    try:
        if log.last_seq() == 0:
            return None
        if not mark.simulated(log):
            raise InvalidInput(f"{path} holds a log that was not simulated; give another --home")
        return log.counts()
    finally:
        log.close()


def refuse(home: Path, *, fresh: bool) -> None:
    """Raise InvalidInput where a simulated log may not be written into a home."""
    path = home / "learning.db"
    if not path.exists():
        return
    log = LearningLog(path)
    try:
        foreign, empty = mark.foreign(log), log.last_seq() == 0
    finally:
        log.close()
    if foreign is not None:
        raise InvalidInput(f"{path} holds a log that is not only simulated: {foreign}; give another --home")
    if not fresh and not empty:
        raise InvalidInput(f"{path} holds a simulated log already; --fresh makes a new one in its place")


def _put(aside: Path, home: Path) -> None:
    for name in (*_KEPT, *_STALE):
        old = home / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    for name in _KEPT:
        if (aside / name).exists():
            (aside / name).replace(home / name)


def _simulate(
    home: Path, size: Size, encoder: Callable[[str], Encoder], project: Path, progress: Progress
) -> dict[str, int]:
    # It is put in place when it is whole: until then nothing need wait for the disk.
    log, clock = LearningLog(home / "learning.db", scratch=True), Clock(size.start)
    service = Service(home, encoder=encoder, clock=clock, log=log)
    try:
        _Simulation(service, clock, size, home, project, progress).run()
        counts = log.counts()
    finally:
        service.close()
    return counts


class _Simulation:
    """Conversations and people at work, each resumed when its time has come."""

    def __init__(
        self, service: Service, clock: Clock, size: Size, home: Path, project: Path, progress: Progress
    ) -> None:
        self._service, self._clock, self._size, self._home = service, clock, size, home
        self._project, self._progress = project, progress
        self._plan, self._questions = Plan(), Questions(size.seed)
        said = responses(project)
        topics = sorted({f"{TOPIC}{reply}" for kind in self._questions.kinds.values() for reply in kind.answers})
        if missing := [topic for topic in topics if topic not in said]:
            raise InvalidInput(f"{project}: the domain has no response {missing[0]}")
        topics.remove(self._plan.late_reply)
        self._desk = Desk(service, clock, said, topics)
        self._due: list[tuple[float, int, Iterator[float]]] = []
        self._number = itertools.count()
        self._rng = random.Random(f"{size.seed}/desk")
        self._given: list[Given] = []
        self._floor = Floor(
            desk=self._desk,
            questions=self._questions,
            plan=self._plan,
            share=lambda: size.share(clock.now),
            note=self._given.append,
            later=lambda seconds, steps: self._at(clock.now + seconds, steps),
        )
        self._office = Office(self._floor, random.Random(f"{size.seed}/office"), self._given)

    def run(self) -> None:
        """Let all the weeks pass."""
        self._encode()
        with _hurried():
            self._prepare()
            self._play()
        self._close()

    def _prepare(self) -> None:
        self._desk.open(_FIRST_POLICY)
        gifts = Gifts(self._service, self._home, project=self._project)
        times = arrivals(self._size, self._plan, self._rng)
        regulars = customers(max(1, self._size.conversations * 2 // 3), self._rng)
        for number, at in enumerate(times):
            rng, customer = random.Random(f"{self._size.seed}/{number}"), self._rng.choice(regulars)
            if rng.random() < _GIFTS:
                steps = gifts.conversation(self._floor, number, customer, rng)
            else:
                when = self._size.share(at)
                shares = {name: self._plan.share(kind, when) for name, kind in self._questions.kinds.items()}
                kind = self._questions.kinds[drawn(shares, rng)]
                steps = conversation(self._floor, number, customer, kind, rng)
            self._at(at, self._counted(steps))
        for share, planned in self._office.planned():
            self._at(self._size.start + share * self._size.weeks * _WEEK, planned)
        self._at(self._size.start, self._office.days(int(self._size.weeks * 7)))
        self._at(self._size.start, self._hours())

    def _encode(self) -> None:
        texts, done = [*self._questions.texts(), *self._desk.words()], 0

        def report(number: int) -> None:
            nonlocal done
            done += number
            self._progress("encoding", done, len(set(texts)))

        self._service.encoder(Encoder().name).encode(texts, progress=report)

    def _play(self) -> None:
        self._started = 0
        while self._due and self._due[0][0] <= self._size.end:
            self._clock.now, _, steps = heapq.heappop(self._due)
            for seconds in steps:
                if seconds > 0.0:
                    self._at(self._clock.now + seconds, steps)
                    break
        self._clock.now = self._size.end
        self._progress("conversations", self._size.conversations, self._size.conversations)

    def _counted(self, steps: Iterator[float]) -> Iterator[float]:
        self._started += 1
        if self._started % 20 == 0:
            self._progress("conversations", self._started, self._size.conversations)
        yield from steps

    def _hours(self) -> Iterator[float]:
        """Every few hours, what has waited in vain for feedback is noted."""
        while True:
            yield _EXPIRED_EVERY
            self._service.expire()

    def _at(self, at: float, steps: Iterator[float]) -> None:
        heapq.heappush(self._due, (at, next(self._number), steps))

    def _close(self) -> None:
        """Say how it was made, in a settings event that changes nothing else."""
        settings = self._service.settings(ACTIONS)
        body = {"settings": settings.as_body(), "who": mark.WHO, mark.MADE: asdict(self._size)}
        self._service.append(Event(new_id(), "settings", self._clock.now, loop=ACTIONS, body=body))


@contextmanager
def _hurried() -> Iterator[None]:
    """Models this small are slower on several threads, which spin; and nothing here makes cycles worth collecting."""
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(1)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()


def arrivals(size: Size, plan: Plan, rng: random.Random) -> list[float]:
    """When customers write for the first time (unix seconds, ascending): by hours and days of the week, growing."""
    first, hours = size.start, max(1, round((size.end - size.start) / _HOUR))
    bounds = [0.0]
    for hour in range(hours):
        at = first + hour * _HOUR
        share = hour / hours
        weight = _HOURS[int(at // _HOUR) % 24] * _DAYS[(int(at // 86_400) + 3) % 7] * (1.0 + _GROWTH * share)
        bounds.append(bounds[-1] + weight * (_STRIKE if plan.strike[0] <= share < plan.strike[1] else 1.0))
    found = []
    for _ in range(size.conversations):
        place = rng.random() * bounds[-1]
        hour = min(bisect_right(bounds, place) - 1, hours - 1)
        within = (place - bounds[hour]) / (bounds[hour + 1] - bounds[hour])
        found.append(first + (hour + within) * _HOUR)
    return sorted(found)
