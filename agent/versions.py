"""Versions of a loop's model: put in force, staged on a share of traffic, promoted, rolled back. Each is an event."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.arms import Arms
from agent.candidates import ABSTAIN, Reply
from agent.errors import Conflict, InvalidInput, Unknown
from agent.identity import Identity
from agent.log import Event, LearningLog
from agent.model import Model
from agent.reports import Reports
from agent.settings import LoopSettings
from agent.snapshots import Snapshots
from agent.standing import (
    CHALLENGER,
    CHAMPION,
    GOVERNING,
    PROMOTE,
    ROLL_BACK,
    STAGE,
    WITHDRAW,
    Standing,
    standing_id,
    standing_of,
)

# Folding this many credits takes about a second: more is not worth losing with a process.
SNAPSHOT_EVERY = 2_000


@dataclass(frozen=True)
class Version:
    """Settings that a loop has had, as champion or challenger.

    `version` is the hash of what decides the fold: settings that differ in limits alone share it, and share the number
    of `decisions` made under it. `since` is when they last came into use, `until` when they went out of it (unix
    seconds; None while in use); `who` did the last of these, and `why`. `share` (0 to 1) is that of conversations
    answered now. `returns`: a roll-back would bring these back.
    """

    version: str
    settings: LoopSettings
    since: float
    until: float | None
    who: str
    why: str
    share: float
    decisions: int
    is_champion: bool
    is_challenger: bool
    returns: bool

    def as_row(self) -> dict[str, Any]:
        """The same as JSON: `role` is "champion", "challenger" or null."""
        return {
            "version": self.version,
            "policy": self.settings.policy,
            "role": CHAMPION if self.is_champion else CHALLENGER if self.is_challenger else None,
            "share": self.share,
            "decisions": self.decisions,
            "since": self.since,
            "until": self.until,
            "who": self.who,
            "why": self.why,
            "returns": self.returns,
            "settings": self.settings.as_body(),
        }


class Versions(Reports):
    """Says which settings are in force in which loop, and has the models. Safe to use from several threads."""

    def __init__(self, log: LearningLog, identity: Identity, clock: Callable[[], float], home: Path) -> None:
        super().__init__(log, identity, clock)
        self.home = home
        self._arms: dict[str, Arms] = {}
        self._lock = threading.RLock()

    def loops(self) -> list[str]:
        """The loops there are."""
        return sorted({event.loop for event in self.log.read(kinds=("settings",)) if event.loop})

    def snapshots(self, loop: str) -> Snapshots:
        """Where the folds of a loop are kept."""
        return Snapshots(self.home, loop)

    def model(self, loop: str) -> Model:
        """A loop's model, the champion's, caught up with the log. Hold no reference to it across threads.

        Raises:
            Unknown: there is no such loop.
        """
        with self._lock:
            model = self._of(loop).champion()
            if not model.exists:
                raise self._unknown(loop)
            return self._kept(model)

    def standing(self, loop: str) -> Standing:
        """Which settings are in force in a loop, which challenge them, and since which `seq`.

        Raises:
            Unknown: there is no such loop.
        """
        standing = standing_of(self.log, loop)
        if standing.champion is None:
            raise self._unknown(loop)
        return standing

    def settings(self, loop: str) -> LoopSettings:
        """The settings in force in a loop.

        Raises:
            Unknown: there is no such loop.
        """
        champion = self.standing(loop).champion
        assert champion is not None, "a standing without a champion is of no loop"
        return champion

    def configure(self, loop: str, settings: LoopSettings, *, who: str, blobs: Sequence[bytes] = ()) -> None:
        """Put settings in force for a loop, which begins to exist with its first ones. No event if nothing changes.

        What others have changed or promoted since holds for as long as `who` asks for the same as the last time: a
        restart does not undo it. `blobs` are what the settings refer to by hash. A challenger goes on challenging.
        """
        with self._lock:
            while True:
                model = self._of(loop).champion()
                if model.exists and settings in (model.settings, self._asked(loop, who)):
                    return
                body = {"settings": settings.as_body(), "who": who}
                try:
                    self._govern(loop, "settings", body, settings, blobs=blobs)
                except Conflict:
                    continue  # another process was first: what it did is looked at, and this asked again
                return

    def stage(
        self, loop: str, settings: LoopSettings, *, share: float, who: str, why: str = "", seen: int | None = None
    ) -> Standing:
        """Let settings challenge the champion on a share (0 to 1) of conversations; 0 only folds and answers none.

        Those of a challenger that is staged already change its share. Both learn from all that the loop earns. The
        challenger is folded first, which takes its time, so that nobody who chats waits for it.

        `seen` is the `seq` of the standing that whoever decides this has looked at, here and below.

        Raises:
            Unknown: there is no such loop.
            InvalidInput: the share is out of range, these settings are the champion's, others are staged already, or
                the two cannot share a log (another encoder; abstaining at another threshold).
            Conflict: the loop's standing has changed since `seen`.
        """
        _check_share(share)
        with self._lock:
            standing = self._seen(loop, seen)
            assert standing.champion is not None, "a loop that exists has a champion"
            if settings == standing.champion:
                raise InvalidInput(f"loop {loop!r}: these settings ({settings.version}) are in force already")
            if standing.challenger is not None and settings != standing.challenger:
                raise InvalidInput(
                    f"loop {loop!r}: {standing.challenger.version} is staged already; withdraw it first, or promote it"
                )
            if settings == standing.challenger and share == standing.share:
                return standing
            self._check_together(loop, standing.champion, settings)
            return self._act(loop, STAGE, settings, who=who, why=why, share=float(share))

    def promote(self, loop: str, version: str, *, who: str, why: str = "", seen: int | None = None) -> Standing:
        """Make the challenger, or any version that the loop has had, the champion, on all traffic.

        Raises:
            Unknown: there is no such loop, or it has had no such version.
            InvalidInput: it is the champion.
            Conflict: the loop's standing has changed since `seen`.
        """
        with self._lock:
            standing = self._seen(loop, seen)
            return self._act(loop, PROMOTE, self._known(loop, version, standing), who=who, why=why, share=1.0)

    def roll_back(self, loop: str, *, who: str, why: str = "", seen: int | None = None) -> Standing:
        """Bring the champion before this one back, exactly as it would be had it stayed.

        Raises:
            Unknown: there is no such loop.
            InvalidInput: there was none before.
            Conflict: the loop's standing has changed since `seen`.
        """
        with self._lock:
            standing = self._seen(loop, seen)
            if not standing.past:
                raise InvalidInput(f"loop {loop!r}: nothing to roll back to, it has had one champion")
            return self._act(loop, ROLL_BACK, standing.past[-1], who=who, why=why, share=1.0)

    def withdraw(self, loop: str, *, who: str, why: str = "", seen: int | None = None) -> Standing:
        """Take the challenger off traffic.

        Raises:
            Unknown: there is no such loop.
            InvalidInput: none is staged.
            Conflict: the loop's standing has changed since `seen`.
        """
        with self._lock:
            challenger = self._seen(loop, seen).challenger
            if challenger is None:
                raise InvalidInput(f"loop {loop!r}: there is no challenger to withdraw")
            return self._act(loop, WITHDRAW, challenger, who=who, why=why, share=0.0)

    def take_back(self, loop: str, *, seq: int, who: str, why: str = "") -> Standing:
        """Undo the step at `seq`, the last that bore on the loop's versions: what was before stands again.

        A promotion is rolled back (and its challenger staged again), a roll-back promoted anew, what was staged
        withdrawn or given its share before, what was withdrawn staged again. Each is a step of its own in the log.

        Raises:
            Unknown: there is no such loop.
            InvalidInput: the step is of another kind, such as settings from a file.
            Conflict: the loop's standing has changed since.
        """
        with self._lock:
            self._seen(loop, seq)
            before = standing_of(self.log, loop, upto=seq - 1)
            action = next(event.body.get("action") for event in self.log.read(after=seq - 1, upto=seq))
            if action == ROLL_BACK and before.champion is not None:
                return self.promote(loop, before.champion.version, who=who, why=why, seen=seq)
            if action not in (STAGE, PROMOTE, WITHDRAW):
                raise InvalidInput(f"loop {loop!r}: what came from settings cannot be undone here; change them there")
            standing = self.roll_back(loop, who=who, why=why, seen=seq) if action == PROMOTE else self.standing(loop)
            if before.challenger is not None and (standing.challenger, standing.share) != (
                before.challenger,
                before.share,
            ):
                return self.stage(loop, before.challenger, share=before.share, who=who, why=why, seen=standing.seq)
            return self.withdraw(loop, who=who, why=why, seen=seq) if action == STAGE else standing

    def versions(self, loop: str, *, counted: bool = True) -> list[Version]:
        """All settings that a loop has had, those that came into use last first. From the log alone.

        Counting the decisions takes as long as there are many; not `counted`, they are 0.

        Raises:
            Unknown: there is no such loop.
        """
        found: list[Version] = []
        standing = Standing()
        for event in self.log.read(kinds=GOVERNING, loop=loop):
            before, standing = standing, standing.after(event)
            found = _used(found, LoopSettings.recorded(event.body), event, before, standing)
        if standing.champion is None:
            raise self._unknown(loop)
        made = self.log.made(loop) if counted else {}
        returns = standing.past[-1] if standing.past else None
        return [
            replace(known, decisions=made.get(known.version, 0), returns=known.settings == returns)
            for known in sorted(found, key=lambda known: (known.until is None, known.since), reverse=True)
        ]

    def _unknown(self, loop: str) -> Unknown:
        return Unknown(f"unknown loop {loop!r}; known are {', '.join(self.loops()) or 'none yet'}")

    def _of(self, loop: str) -> Arms:
        if loop not in self._arms:
            self._arms[loop] = Arms(self.log, loop, snapshots=self.snapshots(loop))
        return self._arms[loop]

    def _kept(self, model: Model) -> Model:
        """The same model, after what it found is logged and what it folded is kept."""
        model.drift.announce(self.log)
        if model.folded >= SNAPSHOT_EVERY:
            model.save()
        return model

    def _asked(self, loop: str, who: str) -> LoopSettings | None:
        """The settings that somebody asked for last."""
        for event in self.log.read(kinds=("settings",), loop=loop, newest_first=True):
            if event.body.get("who") == who:
                return LoopSettings.recorded(event.body)
        return None

    def _seen(self, loop: str, seen: int | None) -> Standing:
        standing = self.standing(loop)
        if seen is not None and seen != standing.seq:
            raise Conflict(f"loop {loop!r}: its versions were changed by somebody else meanwhile; look again")
        return standing

    def _known(self, loop: str, version: str, standing: Standing) -> LoopSettings:
        """The settings of a version that is not in force: the challenger's, or the latest that had it."""
        if standing.challenger is not None and standing.challenger.version == version:
            return standing.challenger
        events = self.log.read(kinds=GOVERNING, loop=loop, newest_first=True)
        had = [known for known in map(_settings, events) if known.version == version]
        if not had:
            raise Unknown(f"loop {loop!r} has had no version {version!r}")
        if (other := next((known for known in had if known != standing.champion), None)) is None:
            raise InvalidInput(f"loop {loop!r}: {version} is in force already")
        return other

    def _check_together(self, loop: str, champion: LoopSettings, challenger: LoopSettings) -> None:
        """Raise where two settings cannot answer side by side."""
        if champion.encoder != challenger.encoder:
            raise InvalidInput(
                f"loop {loop!r}: the champion encodes by {champion.encoder!r}, the challenger by "
                f"{challenger.encoder!r}: neither could learn from what the other decides"
            )
        if champion.abstain and challenger.abstain and champion.threshold != challenger.threshold:
            raise InvalidInput(
                f"loop {loop!r}: both abstain, at {champion.threshold:g} and {challenger.threshold:g}; abstaining is "
                "one candidate, which can be expected to earn one thing only"
            )
        if challenger.abstain and not champion.abstain:
            held = [reply for reply in self.model(loop).library.all() if reply.id == ABSTAIN and reply.prior is None]
            if held:
                raise InvalidInput(f"loop {loop!r}: the id {ABSTAIN!r} is a candidate's already")

    def _act(self, loop: str, action: str, settings: LoopSettings, *, who: str, why: str, share: float) -> Standing:
        if not who:
            raise InvalidInput(f"{action.replace('_', ' ')}: who does it must be said")
        if action != WITHDRAW:
            self._ready(loop, settings)
        body = {"action": action, "settings": settings.as_body(), "share": share, "who": who, "why": why}
        self._govern(loop, "model", {**body, "version": settings.version}, settings)
        return self._of(loop).standing

    def _ready(self, loop: str, settings: LoopSettings) -> None:
        """Fold under the settings and keep that, so that no process that takes them up has to."""
        arms = self._of(loop)
        model = arms.of(settings, but=arms.champion())
        model.catch_up()
        model.drift.announce(self.log)
        if model.folded:
            model.save()

    def _govern(
        self, loop: str, kind: str, body: dict[str, Any], settings: LoopSettings, *, blobs: Sequence[bytes] = ()
    ) -> None:
        """Append an event that changes the loop's standing, unless another process has changed it at that moment."""
        arms = self._of(loop)
        model, now = arms.champion(), self._clock()
        events = [Event(standing_id(loop, arms.standing.number + 1), kind, now, loop=loop, body=body)]
        if settings.abstain and body.get("action") != WITHDRAW:
            abstaining = model.library.changes([Reply(ABSTAIN, (), prior=settings.threshold)], who=body["who"])
            events += [reply.event(loop, who=body["who"], at=now) for reply in abstaining]
        try:
            self.log.append(events, blobs=blobs)
        except Conflict as error:
            raise Conflict(f"loop {loop!r}: its versions were changed at the same moment; look again") from error
        arms.champion()


def _check_share(share: Any) -> None:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise InvalidInput(f"share must be a number from 0 to 1; got {share!r}")


def _settings(event: Event) -> LoopSettings:
    return LoopSettings.recorded(event.body)


def _used(found: list[Version], settings: LoopSettings, event: Event, before: Standing, now: Standing) -> list[Version]:
    """The versions after an event: the one it names, and what became of the others."""
    if not any(version.settings == settings for version in found):
        fresh = Version(settings.version, settings, event.at, None, "", "", 0.0, 0, False, False, False)
        found = [*found, fresh]
    return [_moved(version, settings, event, before, now) for version in found]


def _moved(version: Version, settings: LoopSettings, event: Event, before: Standing, now: Standing) -> Version:
    """A version after an event about `settings`, which may be its own."""
    was = version.settings in (before.champion, before.challenger)
    champion, challenger = version.settings == now.champion, version.settings == now.challenger
    share = 1.0 - now.share if champion else now.share if challenger else 0.0
    moved = replace(version, is_champion=champion, is_challenger=challenger, share=share)
    if version.settings == settings:
        moved = replace(moved, who=event.body.get("who", ""), why=event.body.get("why", ""))
    if (champion or challenger) and not was:
        return replace(moved, since=event.at, until=None)
    return replace(moved, until=event.at) if was and not (champion or challenger) else moved
