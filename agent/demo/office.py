"""The office: what the people of the simulated shop do in the console, and what is planned to happen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.demo.conversation import Floor, Given
from agent.demo.desk import Talk, understood
from agent.demo.mark import WHO
from agent.demo.people import LEAD, REVIEWERS, Customer
from agent.demo.plan import ACTIONS, RESPONSES, settings_of_actions

_DAY = 86_400.0
_REWORDED = {
    "refund_not_arrived_brief": (
        "Sorry for the wait! Your refund leaves us within five working days of the parcel's arrival; banks take up to "
        'five more. Your account shows each step under "Returns".'
    )
}
_TAGS = ("courier strike", "wrong reply", "could be shorter", "new reply wanted")
_COMMENTS = (
    "Let us talk about this one on Monday.",
    "The customer asked twice; our reply never names a date.",
    "Would a German wording have helped?",
)


@dataclass
class Office:
    """The people of the shop; `given` is the feedback that they have not looked at yet."""

    floor: Floor
    rng: random.Random
    given: list[Given]
    by_burst: list[str] = field(default_factory=list)

    # Planned

    def planned(self) -> list[tuple[float, Iterator[float]]]:
        """What happens, each with when (as a share of the whole)."""
        plan = self.floor.plan
        return [
            (plan.german, self._german()),
            (plan.added, self._added()),
            (plan.policy, self._policy()),
            (plan.reworded, self._reworded()),
            (plan.burst, self._burst()),
            (plan.blocked, self._marked(plan.blocked_wording, "blocked", "promises a new date that never comes")),
            (plan.pinned, self._marked(plan.pinned_wording, "pinned", "agreed with the bank; say this one only")),
        ]

    def _german(self) -> Iterator[float]:
        self.floor.desk.speak_german(LEAD)
        yield from ()

    def _added(self) -> Iterator[float]:
        self.floor.desk.add(self.floor.plan.late_reply, LEAD)
        yield from ()

    def _policy(self) -> Iterator[float]:
        self.floor.desk.service.configure(ACTIONS, settings_of_actions("lints"), who=WHO)
        yield from ()

    def _reworded(self) -> Iterator[float]:
        self.floor.desk.reword(self.floor.plan.reworded_reply, _REWORDED, LEAD)
        yield from ()

    def _marked(self, wording: str, state: str, why: str) -> Iterator[float]:
        self.floor.desk.service.mark(RESPONSES, wording, state=state, who=LEAD, why=why)
        yield from ()

    def _burst(self) -> Iterator[float]:
        """Three who press thumbs down within minutes, on one reply, again and again."""
        desk, kind = self.floor.desk, self.floor.questions.kinds["code"]
        crowd = [Customer(f"web/simulated-burst-{n}", "web", "en") for n in range(3)]
        for number in range(36):
            customer = crowd[number % len(crowd)]
            talk = Talk(f"{customer.id}/{number}", customer)
            text = self.floor.questions.pool(kind, "en").draw(self.rng)
            situation = desk.hear(talk, text, understood(kind, "en", self.rng))
            answer = desk.answer(talk, situation, self.rng)
            event = f"web:thumb:{answer.turn}"
            desk.service.record(
                signal="thumb", value=0.0, turn=answer.turn, event_id=event, source="web", actor=customer.id
            )
            self.by_burst.append(event)
            yield self.rng.uniform(1.0, 4.0)
        yield _DAY * 0.6
        for event in self.by_burst[: len(self.by_burst) // 2]:
            desk.service.revoke(event, who=LEAD, why="one of a burst of clicks by the same few visitors")
            yield 4.0

    # Every day

    def days(self, count: int) -> Iterator[float]:
        """The work of each day; the weekends are free."""
        for day in range(count):
            yield _DAY
            if day % 7 < 5:
                yield from self._day()

    def _day(self) -> Iterator[float]:
        waiting = list(self.given)
        self.given.clear()
        mistaken = [given for given in waiting if given.signal == "thumb" and bool(given.value) != given.helped]
        for given in mistaken[:3]:
            yield 90.0
            who = self.rng.choice(REVIEWERS)
            said = "pressed the wrong thumb: see what was written next" if given.helped else "the answer did not fit"
            self.floor.desk.service.correct(given.event, value=1.0 - given.value, who=who, why=said)
        for given in self.rng.sample(waiting, min(len(waiting), 7)):
            yield 60.0
            self._reviewed(given)

    def _reviewed(self, given: Given) -> None:
        """Look at a conversation: somebody is asked to, and notes what they see."""
        who = self.rng.choice(REVIEWERS)
        self._note(given, "assigned", who, who=LEAD)
        if not given.helped and self.rng.random() < 0.5:
            self._note(given, "tag", self.rng.choice(_TAGS), who=who)
        if not given.helped and self.rng.random() < 0.3:
            self._note(given, "flag", True, who=who)
            self._note(given, "comment", self.rng.choice(_COMMENTS), who=who)
        for number, reviewer in enumerate((who, self.rng.choice(REVIEWERS))):
            if self.rng.random() < (0.8, 0.25)[number]:
                agrees = self.rng.random() < 0.88
                self._note(given, "reviewed", "good" if given.helped is agrees else "bad", who=reviewer)

    def _note(self, given: Given, what: str, value: str | bool, *, who: str) -> None:
        service = self.floor.desk.service
        service.annotate(what, value, who=who, conversation=service.identity.conversation(given.conversation))
