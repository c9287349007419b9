"""The mark: how anybody tells that a learning log holds simulated traffic, and whether anything else is in it."""

from __future__ import annotations

from agent.log import Event, LearningLog

#: who put the settings of a simulated log in force: the first event of such a log is one of theirs.
WHO = "demo"
#: what the body of its last settings event says beside the settings: how the traffic was made.
MADE = "simulated"
# What comes of customers alone: people who look at the console write none of these.
_TRAFFIC = ("message", "decision")


def simulated(log: LearningLog) -> bool:
    """Whether a log was begun by the demonstration. One row is read."""
    return next((_by_the_demo(event) for event in log.read(limit=1)), False)


def foreign(log: LearningLog) -> str | None:
    """What a log holds that was not simulated, in words; None if there is no such thing."""
    if log.last_seq() == 0:
        return None
    if not simulated(log):
        return "it was not begun by the demonstration"
    made = [event for event in log.read(kinds=("settings",)) if MADE in event.body]
    if not made:
        return None
    after = next(iter(log.read(after=made[-1].seq, kinds=_TRAFFIC, limit=1)), None)
    return None if after is None else f"conversations were added to the simulated ones (from seq {after.seq} on)"


def _by_the_demo(event: Event) -> bool:
    return event.kind == "settings" and event.body.get("who") == WHO
