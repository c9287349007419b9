"""Effects: what a change of feedback does to rewards and to the model, measured before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.console.formats import plain, score
from agent.console.language import gettext as _
from agent.ledger import credit_of, rules_of
from agent.log import Event
from agent.service import Service

_MOST = 20  # decisions that are measured: what is about a long conversation is about many
_SAID = 2  # of them are told of
Done = TypeVar("Done")


@dataclass(frozen=True)
class State:
    """What a decision has earned, and what its reply is expected to earn there; None where that is not known."""

    reward: float | None
    expected: float | None


@dataclass(frozen=True)
class Effect:
    """A decision's state before and after a change."""

    chosen: str
    before: State
    after: State

    @property
    def moved(self) -> bool:
        """Whether anything is another now."""
        return self.before != self.after

    def __str__(self) -> str:
        words = _("%(reply)s: reward %(before)s → %(after)s") % {
            "reply": self.chosen,
            "before": _said(self.before.reward),
            "after": _said(self.after.reward),
        }
        if self.before.expected is None or self.after.expected is None:
            return f"{words}."
        expected = _("the model expects %(after)s here, %(before)s before") % {
            "before": plain(self.before.expected),
            "after": plain(self.after.expected),
        }
        return f"{words}; {expected}."


def measured(service: Service, decisions: Sequence[Event], change: Callable[[], Done]) -> tuple[Done, list[Effect]]:
    """Make a change, and say what it did to decisions, those of a moved reward first."""
    some = decisions[-_MOST:]
    before = [state_of(service, decision) for decision in some]
    done = change()
    after = [state_of(service, decision) for decision in some]
    found = [Effect(d.body["chosen"], one, two) for d, one, two in zip(some, before, after, strict=True)]
    return done, sorted(found, key=lambda effect: effect.before.reward == effect.after.reward)


def told(effects: Sequence[Effect]) -> str:
    """What was done, in a sentence or two."""
    moved = [str(effect) for effect in effects if effect.moved]
    more = _("And %(count)s more.") % {"count": len(moved) - _SAID} if len(moved) > _SAID else ""
    return " ".join([*moved[:_SAID], *([more] if more else [])])


def state_of(service: Service, decision: Event) -> State:
    """How a decision stands by all that is in the log."""
    evidence, rules = service.log.evidence(decision), rules_of(service.log, decision.loop)
    reward = credit_of(service.log, decision, evidence, rules)
    return State(None if reward is None else reward.value, service.expected(decision))


def _said(reward: float | None) -> str:
    return _("none") if reward is None else score(reward)
