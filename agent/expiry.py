"""Expiry: a decision that waited in vain for feedback. An event says so, since the fold has no clock."""

from __future__ import annotations

from agent.log import Event
from agent.model import Model

EXPIRED = "expired:"  # what the ids of these events begin with
# At most so many in one transaction: others wait for the log, and what is left is found the next time.
_MOST = 1_000


def expiries(model: Model, *, now: float) -> list[Event]:
    """An event for each decision acted on that has no feedback that counts and has waited as long as the loop does.

    Feedback that comes later takes the place of the default. None where the loop has no default reward.
    """
    wait = model.settings.wait
    if wait is None:
        return []
    due = model.ledger.due(now - wait)[:_MOST]
    return [Event(f"{EXPIRED}{id}", "wait_expired", now, model.loop, decision=id) for id in due]
