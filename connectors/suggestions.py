"""Suggestions: where no bot may answer, the best replies are offered to the person who does; what becomes of them.

A note holds the reply that the assistant would have given and the next best candidates of that decision. What the
person then writes is compared with them: accepted, edited or ignored, which is the reward of what was suggested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

from agent.candidates import ABSTAIN
from agent.errors import InvalidInput, Unknown
from agent.log import Event
from agent.mailbox import Mailbox, Parcel
from agent.plugin.runtime import ACTIONS
from agent.service import Service
from connectors import outcomes
from connectors.content import Content
from connectors.incoming import AgentReply, Feedback

#: the signal, whose value is how much of a suggestion was used.
SIGNAL = "suggestion"
# From which similarity on a suggestion was used as it was, or as a draft.
ACCEPTED, EDITED = 0.9, 0.5
OFFERED = 3
_KEY = "suggestions"  # in a note's `custom`
_HEADING = "Suggested replies"
# Comparing takes time by the product of both lengths: more of a reply tells no more.
_COMPARED = 2_000
_LOOKED_AT = 20  # messages of a conversation


@dataclass(frozen=True)
class Suggestion:
    """A reply as it is suggested; `candidate` is the one it stands for, none where no decision led to it."""

    text: str
    candidate: str | None = None


@dataclass(frozen=True)
class Judgement:
    """What became of suggestions: which of them was nearest to what was sent, and how much of it was used (0 to 1)."""

    index: int
    value: float

    @property
    def verdict(self) -> str:
        """`accepted`, `edited` or `ignored`."""
        return "accepted" if self.value == 1.0 else "edited" if self.value else "ignored"


def similarity(suggested: str, sent: str) -> float:
    """How much of one text is in the other, from 0 to 1; spaces and capitals are not looked at."""
    one, two = (" ".join(text.split()).casefold()[:_COMPARED] for text in (suggested, sent))
    return SequenceMatcher(None, one, two, autojunk=False).ratio() if one and two else 0.0


def judged(suggested: Sequence[str], sent: str) -> Judgement:
    """What became of suggestions, the best first, when something was sent; of equally near ones the first counts.

    Raises:
        InvalidInput: there are no suggestions.
    """
    if not suggested:
        raise InvalidInput("nothing was suggested")
    near = [similarity(text, sent) for text in suggested]
    index = max(range(len(near)), key=near.__getitem__)
    value = 1.0 if near[index] >= ACCEPTED else near[index] if near[index] >= EDITED else 0.0
    return Judgement(index, value)


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
    for other in _others(service, decision):
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
    if judgement.index and judgement.value:
        _credit(service, content, suggested[judgement.index], judgement.value, id=f"{channel}:{reply.key}")
    return note


def _latest(mailbox: Mailbox, channel: str, conversation: str) -> Parcel | None:
    sent = mailbox.history(channel, conversation, limit=_LOOKED_AT)
    return next((parcel for parcel in reversed(sent) if _KEY in parcel.body["custom"]), None)


def _credit(service: Service, content: Content, used: Suggestion, value: float, *, id: str) -> None:
    """Teach that another candidate than the one chosen was used.

    It was not drawn, so it has no propensity: as where the policy only watches, the same decision is logged as a
    watched one, in no turn of its own, and what was done in its place observed.
    """
    decision = _action(service, content.decisions)
    if decision is None or used.candidate is None or decision.body.get("limits", {}).get("conservative"):
        return  # a conservative decision would count twice against what may be explored
    watched = f"{SIGNAL}:{id}"
    body = {**decision.body, "live": False}
    service.append(Event(watched, "decision", decision.at, decision.loop, decision=watched, body=body))
    service.observe(watched, used.candidate)
    service.record(signal=SIGNAL, value=value, decision=watched, event_id=f"{id}:used", source=SIGNAL)


def _action(service: Service, decisions: Sequence[str]) -> Event | None:
    """The decision that chose what to say, not how to word it."""
    for id in decisions:
        with suppress(Unknown):
            if (found := service.decision(id)).loop == ACTIONS:
                return found
    return None


def _others(service: Service, decision: Event | None) -> Iterator[Suggestion]:
    """The candidates that were not chosen and have words of their own, those expected to earn most first."""
    if decision is None:
        return
    body = decision.body
    means = [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]
    for place in sorted(range(len(means)), key=means.__getitem__, reverse=True):
        id, eligible = body["candidates"][place], body["eligible"][place]
        if eligible and id not in (body["chosen"], ABSTAIN):
            known = service.reply(ACTIONS, id, body["versions"][place])
            if known is not None and (text := _words(known.texts)):
                yield Suggestion(text, id)


def _words(texts: Sequence[str]) -> str | None:
    """A wording that can be sent as it is: the first text is the candidate's title, and slots are not filled here."""
    return next((text for text in texts[1:] if "{" not in text), None)
