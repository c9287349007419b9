"""Suggestions on a channel: a note to the team in place of an answer, and what its next reply made of it.

A note holds the reply that the assistant would have given and the next best candidates of that decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from agent.errors import Unknown
from agent.log import Event
from agent.mailbox import Mailbox, Parcel
from agent.plugin.runtime import ACTIONS
from agent.service import Service
from agent.suggestions import OFFERED, SIGNAL, Suggestion, alternatives, credit, judged
from connectors.core import outcomes
from connectors.core.content import Content
from connectors.core.incoming import AgentReply, Feedback

_KEY = "suggestions"  # in a note's `custom`
_HEADING = "Suggested replies"
_LOOKED_AT = 20  # messages of a conversation


def offered(service: Service, contents: Sequence[Content]) -> list[Content]:
    """The note that suggests what the assistant would have said, and what else it could have; none where it is silent.

    Raises:
        LogUnavailable: the decision behind it cannot be read now.
    """
    said = [text for content in contents if (text := content.plain())]
    if not said:
        return []
    decisions = tuple(dict.fromkeys(id for content in contents for id in content.decisions))
    decision = _action(service, decisions)
    found = [Suggestion("\n\n".join(said), None if decision is None else decision.body["chosen"])]
    for other in alternatives(service, decision, titled=True) if decision is not None else ():
        if len(found) < OFFERED and other.text not in said:
            found.append(other)
    lines = "\n\n".join(f"{number}. {suggestion.text}" for number, suggestion in enumerate(found, 1))
    turn = next((content.turn for content in contents if content.turn), None)
    custom = {_KEY: [asdict(suggestion) for suggestion in found]}
    return [Content(text=f"{_HEADING}\n\n{lines}", custom=custom, turn=turn, decisions=decisions)]


def is_note(content: Content) -> bool:
    """Whether a message is for the team's eyes alone."""
    return _KEY in content.custom


def of(content: Content) -> list[Suggestion]:
    """What a note suggests."""
    given: Sequence[Mapping[str, Any]] = content.custom.get(_KEY, ())
    return [Suggestion(**suggestion) for suggestion in given]


def reward(service: Service, mailbox: Mailbox, channel: str, reply: AgentReply) -> str | None:
    """Record what a person's reply made of the latest suggestions in its conversation; why there is nothing, if so.

    Of several replies to one message that which used most of them counts.

    Raises:
        LogUnavailable: not recorded, or in part; record it again.
    """
    parcel = _latest(mailbox, channel, reply.conversation)
    if parcel is None:
        return "nothing was suggested there"
    content, about = Content.from_body(parcel.body), str(parcel.id)
    suggested = of(content)
    judgement = judged([suggestion.text for suggestion in suggested], reply.text)
    value = judgement.value if judgement.index == 0 else 0.0
    before = mailbox.reaction(channel, about, reply.conversation, SIGNAL)
    known = None if before is None else service.log.event(before)
    note = None
    if known is None or known.body["value"] < value:
        feedback = Feedback(reply.key, reply.conversation, SIGNAL, value)
        note = outcomes.record(service, mailbox, channel, feedback, content=content, about=about)
    decision = _action(service, content.decisions)
    if judgement.index and judgement.value and decision is not None:
        credit(service, decision, suggested[judgement.index], judgement.value, id=f"{channel}:{reply.key}")
    return note


def _latest(mailbox: Mailbox, channel: str, conversation: str) -> Parcel | None:
    sent = mailbox.history(channel, conversation, limit=_LOOKED_AT)
    return next((parcel for parcel in reversed(sent) if _KEY in parcel.body["custom"]), None)


def _action(service: Service, decisions: Sequence[str]) -> Event | None:
    """The decision that chose what to say, not how to word it."""
    for id in decisions:
        with suppress(Unknown):
            if (found := service.decision(id)).loop == ACTIONS:
                return found
    return None
