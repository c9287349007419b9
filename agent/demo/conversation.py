"""One simulated conversation: a customer asks, is answered, and reacts as people do; or says nothing at all.

Generators: each yields the seconds until it goes on, and does what it does at the simulated time it is resumed at.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agent.demo.desk import PERSON, Answer, Desk, Talk, understood
from agent.demo.people import Customer
from agent.demo.plan import Plan
from agent.demo.questions import Kind, Questions
from agent.demo.shop import TOPIC
from agent.errors import Unknown
from agent.silence import ASSUMED, LEFT, assumed

Steps = Generator[float, None, None]
_SILENT_AFTER = 1_800.0
_MOST_TURNS = 4
# How many press a thumb, by channel: after a reply that helped, and after one that did not.
_THUMBS = {"web": (0.26, 0.32), "whatsapp": (0.12, 0.16), "telegram": (0.24, 0.28), "email": (0.0, 0.0)}
_MISPRESSED = 0.04
_UP, _DOWN = 1.0, 0.0


@dataclass(frozen=True)
class Given:
    """Feedback that was given, as the people of the shop come to see it; `helped` is the truth behind it."""

    event: str
    signal: str
    value: float
    helped: bool
    conversation: str
    turn: str | None


@dataclass(frozen=True)
class Floor:
    """What conversations share: the desk, what can be asked, the plan, and where feedback is noted."""

    desk: Desk
    questions: Questions
    plan: Plan
    share: Callable[[], float]
    note: Callable[[Given], None]
    later: Callable[[float, Iterator[float]], None]


def conversation(floor: Floor, number: int, customer: Customer, kind: Kind, rng: random.Random) -> Steps:
    """A customer with one question, on one channel."""
    talk = Talk(f"{customer.id}/{number}", customer)
    text, tries = floor.questions.pool(kind, customer.language).draw(rng), 0
    while True:
        tries += 1
        answer, helped = yield from _answered(floor, talk, kind, text, rng)
        yield from _pressed(floor, talk, answer, helped, rng)
        if helped:
            yield from _pleased(floor, talk, answer, rng)
            break
        reaction = _reaction(rng, tries)
        if reaction != "again":
            yield from _displeased(floor, talk, answer, reaction, rng)
            break
        yield _pause(customer, rng)
        text = rng.choice(floor.questions.pool(kind, customer.language).again)
        _signal(floor, talk, "rephrased", answer.turn)
    yield from _rated(floor, talk, helped, rng)
    if rng.random() < (0.02 if helped else 0.07):
        floor.later(rng.uniform(4 * 3600.0, 60 * 3600.0), _back(floor, talk, kind, answer, rng))


def _answered(
    floor: Floor, talk: Talk, kind: Kind, text: str, rng: random.Random
) -> Generator[float, None, tuple[Answer, bool]]:
    """Ask, and be answered; whether that helped."""
    desk, customer, when = floor.desk, talk.customer, floor.share()
    intents = understood(kind, customer.language, rng)
    situation = desk.hear(talk, text, intents)
    yield rng.uniform(0.6, 2.5)
    taught = customer.channel == "email" and when < floor.plan.taught_until
    if taught:
        yield rng.uniform(900.0, 9_000.0)
        used = f"{TOPIC}{kind.best}" if kind.best else "utter_handover"
        if kind.best and used != floor.plan.late_reply:
            answer = desk.watch(talk, situation, used, rng)
        else:
            answer = desk.utter(talk, situation, "utter_handover", rng)
    elif kind.best is None and rng.random() < 0.45:
        # The NLU itself gave up, and a rule answers.
        answer = desk.utter(talk, situation, "utter_out_of_scope", rng)
    else:
        answer = desk.answer(talk, situation, rng)
    if answer.reply is None:
        return answer, rng.random() < (0.45 if kind.best is None else 0.1)
    chance = floor.plan.satisfies(
        kind, answer.reply, answer.text, channel=customer.channel, language=customer.language, when=when
    )
    return answer, rng.random() < chance


def _pressed(floor: Floor, talk: Talk, answer: Answer, helped: bool, rng: random.Random) -> Steps:
    """A thumb, if the customer presses one; a few change their mind."""
    up, down = _THUMBS[talk.customer.channel]
    if rng.random() >= (up if helped else down):
        return
    yield rng.uniform(4.0, 40.0)
    liked = helped != (rng.random() < _MISPRESSED)
    comment = None
    if rng.random() < (0.16 if liked else 0.4):
        comment = floor.questions.said("praise" if liked else "blame", talk.customer.language, rng)
    value = _UP if liked else _DOWN
    event = _record(floor, talk, "thumb", value, helped, turn=answer.turn, comment=comment)
    if event is not None and rng.random() < 0.04:
        floor.later(rng.uniform(20.0, 90.0), _changed(floor, talk, answer, helped, event, 1.0 - value))


def _changed(floor: Floor, talk: Talk, answer: Answer, helped: bool, event: str, value: float) -> Steps:
    floor.desk.service.revoke(event, who="customer", why="changed")
    _record(floor, talk, "thumb", value, helped, turn=answer.turn, again=True)
    yield from ()


def _pleased(floor: Floor, talk: Talk, answer: Answer, rng: random.Random) -> Steps:
    """Thanks, or the word that it is solved, or nothing more."""
    said = rng.random()
    if said < 0.34:
        yield _pause(talk.customer, rng)
        solved = said < 0.08
        words = floor.questions.said("solved" if solved else "thanks", talk.customer.language, rng)
        floor.desk.hear(talk, words, {"thanks": 0.9})
        _signal(floor, talk, "resolved_confirmed" if solved else "thanks", answer.turn)
        yield 1.0
        floor.desk.plain(talk, "utter_thanks", rng)
    else:
        yield _SILENT_AFTER
        _ended(floor, talk, answer, ASSUMED)


def _reaction(rng: random.Random, tries: int) -> str:
    """What somebody does whom a reply did not help: ask again, ask for a person, leave, or simply write no more."""
    weights = {"again": 0.3 if tries < _MOST_TURNS else 0.0, "person": 0.22, "left": 0.38, "silent": 0.1}
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def _displeased(floor: Floor, talk: Talk, answer: Answer, reaction: str, rng: random.Random) -> Steps:
    if reaction == "person":
        yield from _handed_over(floor, talk, answer, rng)
        return
    yield _SILENT_AFTER
    # Silence says the same of some who gave up as of those who are content.
    _ended(floor, talk, answer, LEFT if reaction == "left" or answer.reply is None else ASSUMED)


def _handed_over(floor: Floor, talk: Talk, answer: Answer, rng: random.Random) -> Steps:
    """A person takes over, and writes."""
    yield _pause(talk.customer, rng)
    situation = floor.desk.hear(
        talk, floor.questions.said("human", talk.customer.language, rng), {"speak_to_human": 0.93}
    )
    _signal(floor, talk, "handover", answer.turn)
    yield 1.0
    floor.desk.utter(talk, situation, "utter_handover", rng)
    people = floor.questions.sayings["people"]
    for part, what in enumerate(("takes_over", "settles"), 1):
        yield rng.uniform(120.0, 1_500.0)
        floor.desk.say(talk, rng.choice(people[what]), None, who=PERSON, part=part)


def _rated(floor: Floor, talk: Talk, helped: bool, rng: random.Random) -> Steps:
    """A rating of the conversation, at its end; of a letter, days later."""
    by_mail = talk.customer.channel == "email"
    if rng.random() >= (0.3 if by_mail else 0.1 if talk.customer.channel == "web" else 0.03):
        return
    yield rng.uniform(3_600.0, 50 * 3_600.0) if by_mail else rng.uniform(30.0, 400.0)
    value = float(rng.choices((1, 2, 3, 4, 5), weights=(2, 3, 10, 40, 45) if helped else (42, 30, 16, 8, 4))[0])
    _record(floor, talk, "csat", value, helped)


def _back(floor: Floor, talk: Talk, kind: Kind, earlier: Answer, rng: random.Random) -> Steps:
    """The same customer again, with the same problem."""
    text = floor.questions.pool(kind, talk.customer.language).draw(rng)
    answer, helped = yield from _answered(floor, talk, kind, text, rng)
    _signal(floor, talk, "returned", earlier.turn)
    with suppress(Unknown):  # nothing had been assumed
        floor.desk.service.revoke(assumed(earlier.turn), who="behaviour", why="came back with the same problem")
    yield from _pressed(floor, talk, answer, helped, rng)
    yield _SILENT_AFTER
    _ended(floor, talk, answer, ASSUMED if helped else LEFT)


def _ended(floor: Floor, talk: Talk, answer: Answer, signal: str) -> None:
    _signal(floor, talk, signal, answer.turn, event=assumed(answer.turn, signal))


def _signal(floor: Floor, talk: Talk, signal: str, turn: str, *, event: str | None = None) -> None:
    """What behaviour says of a turn."""
    event = event or f"{signal}:{floor.desk.turn(talk)}"
    with suppress(Unknown):  # nothing was decided in that turn
        floor.desk.service.record(
            signal=signal, value=1.0, turn=turn, event_id=event, source="behaviour", actor=talk.customer.id
        )


def _record(
    floor: Floor,
    talk: Talk,
    signal: str,
    value: float,
    helped: bool,
    *,
    turn: str | None = None,
    comment: str | None = None,
    again: bool = False,
) -> str | None:
    """What a customer says of a turn, or of the whole conversation; the id of the outcome, none where it had none."""
    customer = talk.customer
    event = f"{customer.channel}:{signal}:{turn or talk.id}{':again' if again else ''}"
    with suppress(Unknown):  # nothing was decided there
        floor.desk.service.record(
            signal=signal,
            value=value,
            turn=turn,
            conversation=talk.id if turn is None else None,
            event_id=event,
            source=customer.channel,
            actor=customer.id,
            comment=comment,
        )
        floor.note(Given(event, signal, value, helped, talk.id, turn))
        return event
    return None


def _pause(customer: Customer, rng: random.Random) -> float:
    """How long somebody takes to write again (seconds)."""
    return rng.uniform(1_800.0, 20_000.0) if customer.channel == "email" else rng.uniform(12.0, 150.0)
