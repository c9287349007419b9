"""Silence: what it says of a reply that nobody wrote any more after it.

Somebody who was not understood, or who owed the bot an answer, has left in the middle; anybody else presumably has
what they came for. Read off the messages in the learning log, so that a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from agent.errors import Unknown
from agent.log import Event
from agent.service import Service

LEFT, ASSUMED = "left", "resolved_assumed"
# At the start, so many of the latest messages are read: what ended while no process ran is found then.
_READ_BACK = 10_000
_INTENT, _ACTION = "intent:", "action:"


@dataclass
class _Ending:
    """How a conversation stands: its latest turn, when something was said last, and what."""

    turn: str
    at: float
    intent: str | None
    actions: list[str] = field(default_factory=list)
    answered: bool = False


class Silence:
    """Records how conversations ended in which nothing was said for `after` seconds, each once.

    `unanswered` are intents of messages not understood, `handed_over` those after which people took over, `asking`
    names or patterns of the actions by which the bot asks something. Not safe to use from several threads.
    """

    def __init__(
        self,
        service: Service,
        *,
        after: float,
        unanswered: Collection[str] = (),
        handed_over: Collection[str] = (),
        asking: Sequence[str] = (),
    ) -> None:
        self._service, self._after = service, after
        self._unanswered, self._handed_over, self._asking = unanswered, handed_over, asking
        self._open: dict[str, _Ending] = {}
        self._seq: int | None = None

    def record(self, now: float) -> int:
        """Record which conversations have ended by now (unix seconds); how many.

        Raises:
            LogUnavailable: not recorded, or in part; the next call goes on.
        """
        self._catch_up()
        ended = [key for key, ending in self._open.items() if now - ending.at >= self._after]
        recorded = 0
        for key in ended:
            ending = self._open[key]
            signal = self._signal(ending)
            if signal is not None:
                with suppress(Unknown):  # nothing was decided in that turn
                    self._service.record(
                        signal=signal, value=1.0, turn=ending.turn, event_id=assumed(ending.turn, signal),
                        source="behaviour", at=ending.at + self._after,
                    )  # fmt: skip
                    recorded += 1
            del self._open[key]
        return recorded

    def _signal(self, ending: _Ending) -> str | None:
        if ending.intent in self._handed_over:
            return None
        asks = any(fnmatchcase(action, pattern) for action in ending.actions for pattern in self._asking)
        return LEFT if asks or not ending.answered or ending.intent in self._unanswered else ASSUMED

    def _catch_up(self) -> None:
        log = self._service.log
        if self._seq is None:
            found = list(reversed(list(log.read(kinds=("message",), newest_first=True, limit=_READ_BACK))))
        else:
            found = list(log.read(after=self._seq, kinds=("message",)))
        for event in found:
            self._add(event)
        self._seq = found[-1].seq if found else (self._seq or 0)

    def _add(self, event: Event) -> None:
        key, turn, features = event.conversation, event.turn, event.body.get("features") or {}
        if key is None or turn is None:
            return
        if event.body["who"] == "user":
            intents = {
                name.removeprefix(_INTENT): share for name, share in features.items() if name.startswith(_INTENT)
            }
            best = max(intents, key=lambda name: intents[name]) if intents else None
            self._open[key] = _Ending(turn, event.at, best)
        elif key in self._open and self._open[key].turn == turn:
            ending = self._open[key]
            ending.at, ending.answered = event.at, True
            ending.actions = [name.removeprefix(_ACTION) for name in features if name.startswith(_ACTION)]


def assumed(turn: str, signal: str = ASSUMED) -> str:
    """The id of the outcome that says how a conversation ended, or was assumed to."""
    return f"{signal}:{turn}"


def likeliest_intent(features: Mapping[str, float]) -> str | None:
    """The intent that a message's features hold the most confidence in; None where they name none."""
    intents = {name.removeprefix(_INTENT): share for name, share in features.items() if name.startswith(_INTENT)}
    return max(intents, key=intents.__getitem__) if intents else None
