"""Tuning: the prior and its strength under which a loop's rewards are most likely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from agent.errors import InvalidInput
from agent.service import Service
from policies import evidence
from policies.types import InvalidInput as Refused

#: the learner's settings that are fitted.
FITTED = ("ridge", "prior_slope", "prior_intercept")


@dataclass(frozen=True)
class Tuning:
    """What a loop's log says of its prior: the settings now, those fitted, and what they gain.

    `gain`: by how much the log marginal likelihood of the rewards is higher (nats). `noise`: standard deviation of a
    reward of one thumb around its expectation. `rewards`: how many were read.
    """

    loop: str
    now: dict[str, float]
    fitted: dict[str, float]
    gain: float
    noise: float
    rewards: int

    def as_json(self) -> dict[str, Any]:
        """The tuning as a JSON object."""
        return asdict(self)


def tune(service: Service, loop: str) -> Tuning:
    """Fit a loop's prior to its rewards, by empirical Bayes.

    Raises:
        Unknown: there is no such loop.
        InvalidInput: too few rewards, or they tell nothing.
    """
    model = service.model(loop)
    learner = model.settings.learner
    if not set(FITTED) <= learner.keys():
        raise InvalidInput(f"loop {loop!r}: the policy {model.settings.policy} has no such prior to tune")
    lessons = []
    for decision in service.log.read(kinds=("decision",), loop=loop):
        reward = model.ledger.reward(decision.id)
        if reward is not None:
            context, candidate, _ = model.lesson(decision)
            lessons.append(evidence.Lesson(context, candidate, reward))
    try:
        found = evidence.fit(lessons, learner)
    except Refused as error:
        raise InvalidInput(f"loop {loop!r}: {error}") from error
    return Tuning(
        loop=loop,
        now={name: learner[name] for name in FITTED},
        fitted={name: round(getattr(found, name), 4) for name in FITTED},
        gain=found.log_evidence - found.before,
        noise=found.noise,
        rewards=found.count,
    )


def apply(service: Service, tuning: Tuning, *, who: str) -> None:
    """Put the settings that were found in force; the loop is folded again under them."""
    settings = service.settings(tuning.loop)
    service.configure(tuning.loop, replace(settings, learner={**settings.learner, **tuning.fitted}), who=who)
