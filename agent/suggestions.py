"""Suggestions: where no bot may answer, the best replies are offered to the person who does.

What the person then writes is compared with them: accepted, edited or ignored, which is the reward of what was
suggested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from agent.candidates import ABSTAIN, WRITTEN
from agent.errors import InvalidInput
from agent.log import Event
from agent.service import Service

#: the signal, whose value is how much of a suggestion was used.
SIGNAL = "suggestion"
# From which similarity on a suggestion was used as it was, or as a draft.
ACCEPTED, EDITED = 0.9, 0.5
OFFERED = 3
# Comparing takes time by the product of both lengths: more of a reply tells no more.
_COMPARED = 2_000


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


def alternatives(service: Service, decision: Event, *, titled: bool = False) -> Iterator[Suggestion]:
    """The candidates that a decision did not choose and that have words, those expected to earn most first.

    `titled` says that a candidate's first text is its title, which nobody is told.
    """
    body = decision.body
    means = [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]
    for place in sorted(range(len(means)), key=means.__getitem__, reverse=True):
        id, eligible = body["candidates"][place], body["eligible"][place]
        if eligible and id not in (body["chosen"], ABSTAIN):
            text = words(service, decision, place, titled=titled)
            if text is not None:
                yield Suggestion(text, id)


def words(service: Service, decision: Event, place: int, *, titled: bool = False) -> str | None:
    """The words of a decision's candidate that can be sent as they are: slots are not filled here."""
    known = service.reply(str(decision.loop), decision.body["candidates"][place], decision.body["versions"][place])
    if known is None:
        return None
    # Before there were titles, an action's was the first of its texts.
    bare = known.title or known.id.startswith(WRITTEN)
    texts = known.texts if bare else known.texts[int(titled) :]
    return next((text for text in texts if "{" not in text), None)


def credit(service: Service, decision: Event, used: Suggestion, value: float, *, id: str) -> None:
    """Teach that another candidate than the one chosen was used.

    It was not drawn, so it has no propensity: as where the policy only watches, the same decision is logged as a
    watched one, in no turn of its own, and what was done in its place observed.
    """
    if used.candidate is None or decision.body.get("limits", {}).get("conservative"):
        return  # a conservative decision would count twice against what may be explored
    watched = f"{SIGNAL}:{id}"
    body = {**decision.body, "live": False}
    service.append(Event(watched, "decision", decision.at, decision.loop, decision=watched, body=body))
    service.observe(watched, used.candidate)
    service.record(signal=SIGNAL, value=value, decision=watched, event_id=f"{id}:used", source=SIGNAL)
