"""Outcomes: what people made of what was sent, recorded on the decisions behind it, and taken back again."""

from __future__ import annotations

from contextlib import suppress

from agent.errors import InvalidInput, Unknown
from agent.mailbox import Mailbox
from agent.service import Service
from connectors.core.content import Content
from connectors.core.incoming import Feedback


def sent_turn(service: Service, decision_id: str) -> str | None:
    """The turn of a decision, activated: only a message that was sent carries its ids.

    So feedback counts even where the server ended before it logged what it had sent.

    Raises:
        Unknown: there is no such decision.
    """
    event = service.decision(decision_id)
    if event.turn is None or not event.body["live"]:
        return event.turn
    for other in service.log.decisions(column="turn", value=event.turn):
        one, two = sorted((event.body["chosen"], other.body["chosen"]), key=len)
        if other.body["live"] and (other.id == event.id or two.startswith(f"{one}/")):
            service.activate(other.id)
    return event.turn


def record(
    service: Service, mailbox: Mailbox, channel: str, feedback: Feedback, *, content: Content | None, about: str
) -> str | None:
    """Record feedback on a message (`content`), or on a conversation where there is none; or take it back.

    `about` names what it is about, so that a second reaction of a person replaces the first. Recorded already, nothing
    happens. Returns why there was nothing to record, if so.

    Raises:
        LogUnavailable: not recorded, or in part; record it again.
    """
    person, facet = feedback.person or feedback.conversation, feedback.facet or feedback.signal
    before = mailbox.reaction(channel, about, person, facet)
    event = f"{channel}:{feedback.key}"
    if feedback.value is None and before is None:
        return "there was nothing to take back"
    if feedback.value is not None:
        try:
            service.record(
                signal=feedback.signal,
                value=feedback.value,
                turn=None if content is None else _turn(service, content),
                conversation=sender(channel, feedback.conversation) if content is None else None,
                event_id=event,
                source=channel,
                actor=sender(channel, person),
                comment=feedback.comment,
            )
        except InvalidInput as error:  # nothing was decided there, or a value that there is not
            return str(error)
    if before is not None and before != event:
        with suppress(Unknown):
            service.revoke(before, who="customer", why="taken back" if feedback.value is None else "changed")
    # Last: where the process ends before this, all of it is done again, and counts once.
    mailbox.reacted(channel, about, person, facet, None if feedback.value is None else event)
    return None


def sender(channel: str, id: str) -> str:
    """A conversation's or person's id as Rasa and the learning log know it: of one channel, for ids may coincide."""
    return f"{channel}:{id}"


def _turn(service: Service, content: Content) -> str:
    if content.turn is None:
        raise Unknown("no turn led to that message")
    for decision in content.decisions:
        with suppress(InvalidInput):
            sent_turn(service, decision)
    return content.turn
