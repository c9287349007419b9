"""The desk: answers the simulated customers through the real service, as Rasa's plug-in would."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from agent.candidates import ABSTAIN, Reply
from agent.decision import Situation
from agent.demo.mark import WHO
from agent.demo.people import Customer
from agent.demo.plan import ACTIONS, RESPONSES, settings_of_actions, settings_of_responses
from agent.demo.questions import Kind, german
from agent.demo.shop import TOPIC, Responses, title
from agent.service import Service

#: who has written, in messages that people of the shop wrote.
PERSON = "agent"
_LATEST = 4  # messages and replies that a context looks back on
_LONG = 10
# Responses beside those to questions whose wording is chosen: the others are said too seldom to learn much of.
_WORDED = ("utter_default", "utter_handover", "utter_out_of_scope")
_PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")


class Clock:
    """The simulated time (unix seconds): it stands until it is moved on."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """The simulated time now."""
        return self.now


@dataclass
class Talk:
    """A conversation so far: what was said by either side, and how many turns there were."""

    id: str
    customer: Customer
    messages: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    turns: int = 0

    @property
    def message_id(self) -> str:
        """The id of the latest message."""
        return f"{self.id}/{self.turns}"


@dataclass(frozen=True)
class Answer:
    """What was answered: the reply (none where nothing fitted), its wording, and the turn."""

    reply: str | None
    text: str
    turn: str


class Desk:
    """The assistant of the shop, with its two loops, and the words it has at a time."""

    def __init__(self, service: Service, clock: Clock, responses: Responses, topics: Sequence[str]) -> None:
        self.service, self.clock = service, clock
        self._texts: dict[str, dict[str, str]] = {name: dict(texts) for name, texts in responses.items()}
        self._topics = list(topics)

    # What it has to say

    def open(self, policy: str) -> None:
        """Put the settings of both loops in force, and offer them their candidates."""
        self.service.configure(ACTIONS, settings_of_actions(policy), who=WHO)
        self.service.configure(RESPONSES, settings_of_responses(), who=WHO)
        self.offer(WHO)

    def offer(self, who: str) -> None:
        """Bring the candidates of both loops to what there is to say now."""
        self.service.reconcile(ACTIONS, [self._action(name) for name in self._topics], who=who)
        replies = [
            Reply(f"{name}/{id}", (text,))
            for name in (*self._topics, *_WORDED)
            for id, text in self._texts[name].items()
        ]
        self.service.reconcile(RESPONSES, replies, who=who)

    def add(self, topic: str, who: str) -> None:
        """Let a further reply be chosen."""
        self._topics.append(topic)
        self.offer(who)

    def reword(self, response: str, wordings: Mapping[str, str], who: str) -> None:
        """Give a response further wordings, or those it has other words."""
        self._texts[response].update(wordings)
        self.offer(who)

    def speak_german(self, who: str) -> None:
        """Add the German wordings."""
        for topic, text in german().items():
            self._texts[f"{TOPIC}{topic}"][f"{topic}_de"] = text
        self.offer(who)

    def words(self) -> list[str]:
        """Every text that it may say or that stands for a candidate now."""
        names = (*self._topics, *_WORDED)
        return [title(name) for name in self._topics] + [text for n in names for text in self._texts[n].values()]

    def _action(self, name: str) -> Reply:
        intent = name.removeprefix(TOPIC)
        # German wordings are there to be chosen by the other loop: what a reply is about, its English words say.
        texts = [text for id, text in self._texts[name].items() if not id.endswith("_de")]
        return Reply(name, (title(name), *texts), {f"intent:{intent}": 1.0})

    # A turn

    def hear(self, talk: Talk, text: str, intents: Mapping[str, float]) -> Situation:
        """Take a customer's message in, which opens a turn."""
        talk.turns += 1
        talk.messages.append(text)
        situation = self._situation(talk, intents)
        self.service.hear(situation)
        return situation

    def say(self, talk: Talk, text: str, response: str | None, *, who: str = "bot", part: int = 0) -> None:
        """Log what is answered in the latest turn."""
        features = {f"action:{response}": 1.0} if response else {}
        said = Situation([text], talk.id, talk.customer.id, talk.message_id, talk.customer.channel, features=features)
        self.service.hear(said, who=who, part=part)
        talk.replies.append(text)

    def answer(self, talk: Talk, situation: Situation, rng: random.Random) -> Answer:
        """Choose a reply and its wording, and send it."""
        decision = self.service.decide(ACTIONS, situation, seed=rng.getrandbits(53))
        if decision is None or decision.chosen == ABSTAIN:
            if decision is not None:
                self.service.activate(decision.id)
            return self.utter(talk, situation, "utter_default", rng, reply=None)
        self.service.activate(decision.id)
        return self.utter(talk, situation, decision.chosen, rng, reply=decision.chosen)

    def watch(self, talk: Talk, situation: Situation, used: str, rng: random.Random) -> Answer:
        """Let a person answer with a reply, while the policy only watches."""
        decision = self.service.decide(ACTIONS, situation, live=False, seed=rng.getrandbits(53))
        if decision is not None:
            self.service.observe(decision.id, used)
        text = max(self._suitable(used, talk.customer.language).values(), key=len)
        self.say(talk, text, used, who=PERSON)
        return Answer(used, text, self.turn(talk))

    def utter(
        self, talk: Talk, situation: Situation, response: str, rng: random.Random, *, reply: str | None = None
    ) -> Answer:
        """Say a response, its wording chosen."""
        suitable = self._suitable(response, talk.customer.language)
        name = next(iter(suitable))
        if len(suitable) > 1:
            decision = self.service.decide(RESPONSES, situation, candidates=list(suitable), seed=rng.getrandbits(53))
            if decision is not None:
                name = decision.chosen
                self.service.activate(decision.id)
        self.say(talk, suitable[name], response)
        return Answer(reply, suitable[name], self.turn(talk))

    def plain(self, talk: Talk, response: str, rng: random.Random) -> None:
        """Say a response in any of its wordings, as where nothing is to be learned."""
        self.say(talk, rng.choice(list(self._texts[response].values())), response)

    def turn(self, talk: Talk) -> str:
        """The id of the latest turn."""
        return self.service.turn(talk.id, talk.message_id)

    def _suitable(self, response: str, language: str) -> dict[str, str]:
        """The wordings of a response in a customer's language or in English, by the names of the candidates."""
        texts = self._texts[response]
        return {f"{response}/{id}": text for id, text in texts.items() if language == "de" or not id.endswith("_de")}

    def _situation(self, talk: Talk, intents: Mapping[str, float]) -> Situation:
        customer, moment = talk.customer, datetime.fromtimestamp(self.clock.now, tz=timezone.utc)
        names = [
            f"channel:{customer.channel}",
            f"language:{customer.language}",
            f"time:{_PARTS_OF_DAY[moment.hour // 6]}",
            "time:weekend" if moment.weekday() >= 5 else "time:weekday",
        ]
        features = {f"intent:{name}": share for name, share in intents.items()}
        features |= {"turn": min(talk.turns, _LONG) / _LONG, **dict.fromkeys(names, 1.0)}
        return Situation(
            messages=talk.messages[-_LATEST:],
            replies=talk.replies[-_LATEST:],
            conversation=talk.id,
            person=customer.id,
            message_id=talk.message_id,
            channel=customer.channel,
            features=features,
        )


def understood(kind: Kind, language: str, rng: random.Random) -> dict[str, float]:
    """What the NLU makes of a question: intents with the confidence in each. It reads English better than German."""
    sure = (0.75 if language == "de" else 1.0) * rng.uniform(0.75, 1.15)
    return {name: round(min(0.98, share * sure), 3) for name, share in kind.guesses.items()}
