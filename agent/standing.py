"""The standing of a loop's settings: which are in force, which are on trial, and on what share of conversations.

A fold of the loop's `settings` and `model` events and of nothing else, so that every process that has read as far as
another agrees with it on who answers whom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.settings import LoopSettings

#: the kinds of events that a standing is folded from.
GOVERNING = ("settings", "model")
#: what a `model` event does. Its body has the settings it does it to, `share`, `who` and `why`.
STAGE, PROMOTE, ROLL_BACK, WITHDRAW = ACTIONS = ("stage", "promote", "roll_back", "withdraw")
CHAMPION, CHALLENGER = "champion", "challenger"
PREFIX = "standing:"  # what the ids of these events begin with
_HASH_BITS = 56


@dataclass(frozen=True)
class Standing:
    """What is in force in a loop after the event at `seq`, the latest of `number` that bear on it.

    The `challenger` answers a `share` (0 to 1) of the conversations, the `champion` the others. `past` are the
    champions before, the latest last: where a roll-back goes. Without a champion the loop does not exist.
    """

    champion: LoopSettings | None = None
    challenger: LoopSettings | None = None
    share: float = 0.0
    past: tuple[LoopSettings, ...] = ()
    seq: int = 0
    number: int = 0

    def after(self, event: Event) -> Standing:
        """The standing after the next event of the kinds of `GOVERNING`."""
        settings = LoopSettings.recorded(event.body)
        found = replace(self, seq=event.seq, number=self.number + 1)
        action = event.body["action"] if event.kind == "model" else PROMOTE
        if action == STAGE:
            return replace(found, challenger=settings, share=float(event.body["share"]))
        if action == WITHDRAW:
            return replace(found, challenger=None, share=0.0)
        if action == ROLL_BACK:
            return replace(found, champion=settings, past=self.past[:-1])._settled()
        if action == PROMOTE and settings != self.champion:
            past = self.past if self.champion is None else (*self.past, self.champion)
            found = replace(found, champion=settings, past=past)
        return found._settled()

    def after_all(self, events: Iterable[Event]) -> Standing:
        """The standing after these events, in order of `seq`."""
        standing = self
        for event in events:
            standing = standing.after(event)
        return standing

    def _settled(self) -> Standing:
        """A challenger that has become the champion challenges nobody."""
        return replace(self, challenger=None, share=0.0) if self.challenger == self.champion else self

    def arm(self, loop: str, unit: str | None) -> tuple[str, float]:
        """Who answers a conversation (or whatever else `unit` names), and how likely it was to be them.

        A unit stays with its arm for as long as the share stays; a share that grows only ever moves units towards the
        challenger. Where no unit is named, the champion answers.
        """
        if self.challenger is None or unit is None:
            return CHAMPION, 1.0
        if assigned(loop, unit) < self.share:
            return CHALLENGER, self.share
        return CHAMPION, 1.0 - self.share

    def of(self, arm: str) -> LoopSettings:
        """The settings of an arm.

        Raises:
            InvalidInput: there is no such arm now.
        """
        settings = self.challenger if arm == CHALLENGER else self.champion
        if settings is None or arm not in (CHAMPION, CHALLENGER):
            raise InvalidInput(f"there was no {arm!r} then")
        return settings


def assigned(loop: str, unit: str) -> float:
    """Where in [0, 1) a unit of a loop falls: below the share, the challenger answers it."""
    digest = hashlib.sha256(f"{loop}\x00{unit}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _HASH_BITS)) / 2.0**_HASH_BITS


def standing_of(log: LearningLog, loop: str | None, *, upto: int | None = None) -> Standing:
    """The standing of a loop now, or as it was at a `seq`."""
    return Standing().after_all(log.read(upto=upto, kinds=GOVERNING, loop=loop) if loop else ())


def settings_of(log: LearningLog, decision: Event) -> LoopSettings:
    """The settings that a decision was made under: those of its own arm, as they were then.

    Raises:
        InvalidInput: the log knows of no such arm at that time.
    """
    standing = standing_of(log, decision.loop, upto=decision.body["model_seq"])
    try:
        return standing.of(decision.body.get("arm", CHAMPION))
    except InvalidInput as error:
        raise InvalidInput(f"decision {decision.id}: {error}") from error


def wrong_with(log: LearningLog, loop: str, decisions: Sequence[Event]) -> list[str]:
    """What is wrong with who a loop's decisions say they were made by, one line each."""
    events = list(log.read(kinds=GOVERNING, loop=loop))
    standing, found = Standing(), []
    for decision in sorted(decisions, key=lambda decision: decision.body["model_seq"]):
        body = decision.body
        while events and events[0].seq <= body["model_seq"]:
            standing = standing.after(events.pop(0))
        if "arm" not in body:  # from before there were arms
            continue
        place = f"decision {decision.id} (seq {decision.seq})"
        expected = standing.arm(loop, decision.conversation or body.get("assigned_by"))
        if expected != (body["arm"], body["share"]):
            arm, share = expected
            found.append(f"{place}: the {body['arm']} made it, at {body['share']:g}; it was the {arm}'s, at {share:g}")
        elif standing.of(body["arm"]).version != body["model_version"]:
            found.append(f"{place}: its model version {body['model_version']} is not that of the {body['arm']}")
    return found


def standing_id(loop: str, number: int) -> str:
    """The id of the `number`-th event that bears on a loop's standing: of two at the same moment one is refused."""
    return f"{PREFIX}{loop}:{number}"
