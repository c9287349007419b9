"""The plan: what happens at the simulated desk and when, as shares of the time it runs; and what customers think."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from agent.demo.questions import Kind
from agent.demo.shop import TOPIC
from agent.settings import LoopSettings

ACTIONS, RESPONSES, ITEMS = "actions", "responses", "items:shop"
# People's reactions never lead to a reply that they do not know of: nearly none satisfies by chance.
_ELSEWHERE = 0.03
_SHORT, _LONG = 120, 170
_SORRY = ("sorry", "apolog", "oh no", "shouldn't", "leid", "entschuldigung", "my fault")
# How often each channel is used, and how many of its customers write German.
CHANNELS: Mapping[str, tuple[float, float]] = {
    "web": (0.46, 0.22),
    "whatsapp": (0.27, 0.36),
    "email": (0.15, 0.3),
    "telegram": (0.12, 0.45),
}
_LEARNER = {
    "prior_slope": 0.4,
    "prior_intercept": 0.0,
    "prior_match": 0.6,
    "feature_scale": 0.2,
}


@dataclass(frozen=True)
class Plan:
    """When what happens; times are shares (0 to 1) of the whole.

    `taught_until`: until then e-mails are answered by people, and the policy only watches. `strike`: couriers strike,
    far more customers wait for parcels, and telling them to be patient satisfies nobody.
    """

    taught_until: float = 0.14
    german: float = 0.2
    added: float = 0.3
    policy: float = 0.42
    reworded: float = 0.5
    falling: float = 0.55
    burst: float = 0.64
    strike: tuple[float, float] = (0.72, 0.84)
    blocked: float = 0.8
    pinned: float = 0.9

    #: the candidate of the loop `actions` that is added later.
    late_reply: str = f"{TOPIC}spare_parts"
    #: the reply whose wordings get a new version, and the kinds that it is about.
    reworded_reply: str = f"{TOPIC}refund_not_arrived"
    worse_reply: str = f"{TOPIC}late_delivery"
    burst_reply: str = f"{TOPIC}discount_code"
    blocked_wording: str = f"{TOPIC}late_delivery/late_delivery_reasons"
    pinned_wording: str = f"{TOPIC}double_charge/double_charge_apology"

    def share(self, kind: Kind, when: float) -> float:
        """How often a kind of question is asked at a time, against the others."""
        striking = kind.name == "late" and self.strike[0] <= when < self.strike[1]
        return kind.share * (10.0 if striking else 1.0)

    def satisfies(self, kind: Kind, reply: str, wording: str, *, channel: str, language: str, when: float) -> float:
        """The chance that a reply, so worded, satisfies somebody who asks: the hidden truth that is to be learned."""
        base = kind.answers.get(reply.removeprefix(TOPIC), _ELSEWHERE)
        if reply == self.worse_reply and when >= self.strike[0]:
            base *= 0.02 if when < self.strike[1] else 1.0
        if reply == self.reworded_reply and when < self.reworded:
            base *= 0.72
        if kind.name == "payment" and when > self.falling:
            base *= 1.0 - 0.7 * (when - self.falling) / (1.0 - self.falling)
        return base * (0.6 + 0.4 * suits(wording, channel=channel, language=language, upset=kind.upset))


def suits(text: str, *, channel: str, language: str, upset: bool) -> float:
    """How well a wording's length, tone and language suit somebody, in [0, 1]."""
    length = len(text)
    if channel in ("whatsapp", "telegram"):
        fits = 1.0 if length <= _SHORT else 0.35
    elif channel == "email":
        fits = 1.0 if length >= _LONG else 0.4
    else:
        fits = 1.0 if 80 <= length <= 240 else 0.6
    if upset:
        fits = 0.4 * fits + 0.6 * (1.0 if any(word in text.lower() for word in _SORRY) else 0.3)
    return fits * (1.0 if language == "en" or is_german(text) else 0.55)


def is_german(text: str) -> bool:
    """Whether a wording is one of the German ones."""
    words = set(text.lower().replace(",", " ").replace(".", " ").split())
    return len(words & {"sie", "das", "ist", "der", "die", "und", "ab", "im"}) >= 2


def settings_of_actions(policy: str) -> LoopSettings:
    """The settings of the loop `actions`: as the plug-in has them, but that abstaining is a candidate.

    What went before tells little of questions that stand alone, and rivals are rows that every later decision reads:
    both are left out, which halves the time it takes.
    """
    how = {"epsilon_greedy": {"epsilon": 0.2}, "lints": {"alpha": 0.03}}[policy]
    given = {"policy": policy, **_LEARNER, **how, "threshold": 0.3, "abstain": True, "blocks": []}
    given["drift"] = {"sensitivity": 0.05}
    return LoopSettings.of(given, where="the demonstration")


def settings_of_responses() -> LoopSettings:
    """The settings of the loop `responses`: as the plug-in has them, but that channel and language tell as well."""
    given = {"policy": "lints", "alpha": 0.12, "prior_slope": 0.0, "prior_intercept": 0.5, "feature_scale": 0.6}
    return LoopSettings.of({**given, "blocks": []}, where="the demonstration")


def drawn(weights: Mapping[str, float], rng: random.Random) -> str:
    """One of the names, as often as it weighs."""
    return rng.choices(list(weights), weights=list(weights.values()))[0]
