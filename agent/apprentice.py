"""The apprentice: it proposes and never acts, and learns from what was done in its place."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import InvalidInput
from agent.log import Event


def observation(decision: Event, candidate: str, *, at: float) -> Event:
    """The event that says which candidate was used in a watched decision's place. The first said of one holds.

    Raises:
        InvalidInput: the decision was acted on itself, or the candidate was not among those it chose from.
    """
    if decision.body["live"]:
        raise InvalidInput(f"decision {decision.id} was not only watched: what came of it is told by activating it")
    if candidate not in decision.body["candidates"]:
        raise InvalidInput(f"decision {decision.id}: {candidate!r} is none of its candidates")
    body = {"candidate": candidate}
    return Event(f"observed:{decision.id}", "observed", at, decision.loop, decision=decision.id, body=body)


def observed(evidence: Sequence[Event]) -> str | None:
    """The candidate that was used in a watched decision's place, as far as it is known."""
    return next((event.body["candidate"] for event in evidence if event.kind == "observed"), None)


def taught(decision: Event, evidence: Sequence[Event]) -> int | None:
    """Index of the candidate that what a decision earns teaches about; None for none.

    Of a live decision it is the one chosen; of a watched one that which was observed in its place. The latter was not
    drawn by the policy: it has no propensity.
    """
    if decision.body["live"]:
        return int(decision.body["index"])
    used = observed(evidence)
    return decision.body["candidates"].index(used) if used in decision.body["candidates"] else None
