"""What Rasa's components share in one process: the encoders, and one service for each home.

A conversation goes on whatever happens to the learning log: where it cannot be written, a reply is recommended
by what was learned so far and no decision is made; where it cannot even be opened, by the words alone.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from agent.candidates import ABSTAIN, WRITTEN, Reply
from agent.decision import Decision, Situation
from agent.encoder import Encoder
from agent.errors import LogUnavailable, NoneEligible, Unknown
from agent.log import Event, LearningLog
from agent.service import Service
from agent.settings import LoopSettings, home

ACTIONS, RESPONSES = "actions", "responses"
# A customer waits for this: a log locked for longer is done without.
BUSY_SECONDS = 1.0
# After the log could not be written, the next turns do without it for so long, rather than wait each.
PAUSE_SECONDS = 5.0
_REMEMBERED = 1_000  # answers of which it is known without the log what they were
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The candidate chosen, and the ids under which that is logged; no decision id where it could not be.

    A candidate `ABSTAIN` stands for none: others answer. `version` is that of its words, where it was decided.
    """

    candidate: str
    turn: str | None = None
    decision: str | None = None
    version: int | None = None

    @classmethod
    def of(cls, event: Event) -> Chosen:
        """What a decision event chose."""
        decision = Decision.of(event)
        return cls(decision.chosen, decision.turn, decision.id, decision.version)


@dataclass(frozen=True)
class _Loop:
    settings: LoopSettings
    replies: tuple[Reply, ...]
    who: str


class Runtime:
    """One home's service in this process, made when it is first needed. Safe to use from several threads."""

    def __init__(self, home: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.home = home
        self._clock = clock
        self._lock = threading.RLock()
        self._service: Service | None = None
        self._stand_in: Service | None = None
        self._loops: dict[str, _Loop] = {}
        self._prepared: set[str] = set()
        self._paused_until = -1.0
        self._failed = False
        self._said: set[str] = set()
        self._answers: OrderedDict[tuple[str, str, str], Chosen] = OrderedDict()

    def service(self) -> Service:
        """The service on this home.

        Raises:
            LogUnavailable: its log cannot be opened now.
        """
        with self._lock:
            if self._service is None:
                log = LearningLog(self.home / "learning.db", busy_seconds=BUSY_SECONDS)
                self._service = Service(self.home, encoder=encoder, log=log)
            return self._service

    def prepare(self, loop: str, settings: LoopSettings, replies: Sequence[Reply], *, who: str) -> None:
        """Put a loop's settings and candidates in force, now or as soon as the log can be written."""
        with self._lock:
            self._loops[loop] = _Loop(settings, tuple(replies), who)
            self._prepared.discard(loop)
            try:
                self._ready(loop)
            except LogUnavailable as error:
                self._pause(error)

    def decide(self, loop: str, situation: Situation, *, candidates: Sequence[str], live: bool = True) -> Chosen | None:
        """Choose among the candidates; None when abstaining. Asked again in a turn, the decision made stands.

        Where none of the candidates may be chosen, it abstains: a customer waits.
        """
        chosen = self._choose(loop, situation, candidates, live)
        if chosen is not None and live and situation.conversation is not None and situation.message_id is not None:
            with self._lock:
                self._answers[loop, situation.conversation, situation.message_id] = chosen
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
        return chosen

    def answer(self, loop: str, situation: Situation) -> Chosen | None:
        """What was chosen for the situation's message: in this process, else what the log knows of; None if nothing."""
        if situation.conversation is None or situation.message_id is None:
            return None
        with self._lock:
            known = self._answers.get((loop, situation.conversation, situation.message_id))
        if known is not None:
            return known
        logged = [event for event in self.decisions(situation) if event.loop == loop and event.body["live"]]
        return Chosen.of(logged[-1]) if logged else None

    def written(self, loop: str) -> list[str]:
        """The ids of a loop's replies that people wrote and that may be chosen now; none where the log is not there."""
        with self._lock:
            if loop not in self._loops:
                return []
        try:
            return [reply.id for reply in self._ready(loop).written(loop)]
        except (LogUnavailable, Unknown):
            return []

    def reply(self, loop: str, id: str, version: int | None = None) -> Reply | None:
        """A candidate in its latest version, or in another; None where the log does not know it, or is not there."""
        try:
            versions = self.service().history(loop, id)
        except (LogUnavailable, Unknown):
            return None
        return next((known.reply for known in versions if version in (None, known.reply.version)), None)

    def _choose(self, loop: str, situation: Situation, candidates: Sequence[str], live: bool) -> Chosen | None:
        try:
            if self._clock() >= self._paused_until:
                try:
                    chosen = self._decide(loop, situation, candidates, live)
                except LogUnavailable as error:
                    self._pause(error)
                else:
                    self._resume()
                    return chosen
            return self._recommend(loop, situation, candidates)
        except NoneEligible as error:
            self._say_once(f"{error}; others answer")
            return None

    def decisions(self, situation: Situation) -> list[Event]:
        """The decisions of the situation's turn that are in the log; none where it cannot be read."""
        if situation.conversation is None or situation.message_id is None:
            return []
        try:
            service = self.service()
            turn = service.turn(situation.conversation, situation.message_id)
            return service.log.decisions(column="turn", value=turn)
        except LogUnavailable:
            return []

    def turn(self, conversation: str, message_id: str) -> str | None:
        """The id of the turn that answers the message; None where the home cannot be used."""
        try:
            return self.service().turn(conversation, message_id)
        except LogUnavailable:
            return None

    def close(self) -> None:
        """Let go of the log. The runtime can be used again."""
        with self._lock:
            for service in (self._service, self._stand_in):
                if service is not None:
                    service.close()
            self._service = self._stand_in = None
            self._prepared.clear()

    def _decide(self, loop: str, situation: Situation, candidates: Sequence[str], live: bool) -> Chosen | None:
        service = self._ready(loop)
        for event in self.decisions(situation):
            if event.loop == loop and event.body["live"] is live and _stands(event, candidates):
                return Chosen.of(event)
        decision = service.decide(loop, situation, candidates=candidates, live=live)
        return None if decision is None else Chosen(decision.chosen, decision.turn, decision.id, decision.version)

    def _recommend(self, loop: str, situation: Situation, candidates: Sequence[str]) -> Chosen | None:
        try:
            best = self.service().recommend(loop, situation, candidates=candidates)
        except (LogUnavailable, Unknown):  # not to be read, or it never heard of these candidates
            known = [id for id in candidates if not id.startswith(WRITTEN)]
            best = self._standing_in().recommend(loop, situation, candidates=known) if known else None
        return None if best is None else Chosen(best)

    def _ready(self, loop: str) -> Service:
        with self._lock:
            service = self.service()
            if loop not in self._prepared:
                _prepare(service, loop, self._loops[loop])
                self._prepared.add(loop)
            return service

    def _standing_in(self) -> Service:
        """A service on an empty log of its own: it knows the candidates and has learned nothing."""
        with self._lock:
            if self._stand_in is None:
                folder = Path(tempfile.mkdtemp(prefix="rejoinder-"))
                self._stand_in = Service(folder, encoder=encoder)
            for name, loop in self._loops.items():
                _prepare(self._stand_in, name, loop)
            return self._stand_in

    def _pause(self, error: LogUnavailable) -> None:
        with self._lock:
            self._paused_until = self._clock() + PAUSE_SECONDS
            if not self._failed:
                _log.error("%s; replies go on without being logged or learned from", error)
            self._failed = True

    def _say_once(self, line: str) -> None:
        with self._lock:
            if line not in self._said:
                self._said.add(line)
                _log.warning(line)

    def _resume(self) -> None:
        with self._lock:
            if self._failed:
                _log.warning("the learning log %s can be written again", self.home / "learning.db")
            self._failed = False


def _stands(decision: Event, candidates: Sequence[str]) -> bool:
    """Whether a decision is an answer to being asked for one of the candidates."""
    body = decision.body
    return body["chosen"] in candidates or (body["chosen"] == ABSTAIN and set(candidates) <= set(body["candidates"]))


def _prepare(service: Service, name: str, loop: _Loop) -> None:
    service.configure(name, loop.settings, who=loop.who)
    service.reconcile(name, loop.replies, who=loop.who)


_lock = threading.Lock()
_encoders: dict[str, Encoder] = {}
_runtimes: dict[Path, Runtime] = {}


def encoder(name: str) -> Encoder:
    """The encoder of this name, one a process: what one component has encoded, no other encodes again."""
    with _lock:
        if not _encoders and "OMP_NUM_THREADS" not in os.environ:
            # One message is too short to share: 21 ms on one thread, on two of two busy cores up to 500 (they spin).
            torch.set_num_threads(1)
        return _encoders.setdefault(name, Encoder(name))


def runtime() -> Runtime:
    """The runtime of the home in force (`$REJOINDER_HOME`, else `.rejoinder`), one a process."""
    folder = home()
    with _lock:
        if folder not in _runtimes:
            _runtimes[folder] = Runtime(folder)
        return _runtimes[folder]
