"""Tastes: what of somebody's wishes holds in their later conversations too, kept where they agreed to that."""

from __future__ import annotations

import math
import time

from agent.items.wishes import Wishes
from agent.log import Event
from agent.reports import Reports, new_id

_LOOKED_BACK = 500  # a person's tastes are of each catalogue its own, and change with each message


def recall(service: Reports, loop: str, person: str, *, before: float = math.inf) -> Wishes:
    """The tastes that were kept of a person (as the channel names them) before a time (unix seconds).

    None of one who is not known.
    """
    key = service.identity.person(person)
    for event in reversed(service.log.messages(key, limit=_LOOKED_BACK, kind="tastes")):
        if event.loop == loop and event.at < before:
            body = event.body
            return Wishes(likes=body["likes"], dislikes=frozenset(body["dislikes"]), like=tuple(body["like"]))
    return Wishes()


def remember(service: Reports, loop: str, person: str, wanted: Wishes) -> None:
    """Keep a person's tastes, in place of those known. Nothing is written where they are the same."""
    lasting = wanted.lasting()
    if lasting == recall(service, loop, person):
        return
    body = {"likes": dict(lasting.likes), "dislikes": sorted(lasting.dislikes), "like": list(lasting.like)}
    # In the place of a conversation stands the person: so it is found, and forgotten, as theirs.
    key = service.identity.person(person)
    service.append(Event(new_id(), "tastes", time.time(), loop, conversation=key, body=body), durable=False)
