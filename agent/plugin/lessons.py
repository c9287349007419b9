"""Lessons: what a bot's stories and rules say about which action answers which intent."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rasa.shared.core.constants import ACTION_LISTEN_NAME, RULE_SNIPPET_ACTION_NAME
from rasa.shared.core.events import ActionExecuted, ActiveLoop, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker


@dataclass(frozen=True)
class Lessons:
    """What training trackers teach a policy that chooses answers.

    `shares`: for each action, the share (0 to 1] of each intent's answers that it gives, outside loops.
    `ruled`: intents that a rule answers whatever came before. `continued`: actions that are mostly followed by
    another action, so that a turn does not end with them.
    """

    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ruled: tuple[str, ...] = ()
    continued: tuple[str, ...] = ()

    @classmethod
    def of(cls, trackers: Iterable[DialogueStateTracker]) -> Lessons:
        """Read the trackers, leaving out those that Rasa made by gluing stories together."""
        answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        followers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        ruled = set()
        for tracker in trackers:
            if getattr(tracker, "is_augmented", False):
                continue
            _count(tracker.events, answers, followers)
            if tracker.is_rule_tracker and (intent := _ruled(list(tracker.events))):
                ruled.add(intent)
        shares: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for intent, given in answers.items():
            for action, times in given.items():
                shares[action][intent] = times / sum(given.values())
        continued = [a for a, then in followers.items() if then[ACTION_LISTEN_NAME] * 2 < sum(then.values())]
        return cls(dict(shares), tuple(sorted(ruled)), tuple(sorted(continued)))

    @classmethod
    def from_json(cls, text: str) -> Lessons:
        """The lessons that `as_json` wrote."""
        kept: dict[str, Any] = json.loads(text)
        return cls(kept["shares"], tuple(kept["ruled"]), tuple(kept["continued"]))

    def as_json(self) -> str:
        """The lessons as a JSON object."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def _count(events: Iterable[Event], answers: Mapping[str, Counter[str]], followers: Mapping[str, Counter[str]]) -> None:
    """Add what the events show: which action answers which intent, and which action follows which."""
    asked: str | None = None
    before: str | None = None
    loop: str | None = None
    for event in events:
        if isinstance(event, ActiveLoop):
            loop = event.name
        elif isinstance(event, UserUttered):
            asked, before = (None if loop else event.intent_name), None
        elif isinstance(event, ActionExecuted) and event.action_name:
            name = event.action_name
            if name == RULE_SNIPPET_ACTION_NAME:
                asked = before = None
                continue
            if asked is not None and name != ACTION_LISTEN_NAME:
                answers[asked][name] += 1
            if before is not None:
                followers[before][name] += 1
            asked, before = None, (None if name == ACTION_LISTEN_NAME else name)


def _ruled(events: list[Event]) -> str | None:
    """The intent that a rule answers unconditionally; None for a rule with conditions."""
    openings = (ACTION_LISTEN_NAME, RULE_SNIPPET_ACTION_NAME)
    for event, then in itertools.pairwise(events):
        if isinstance(event, UserUttered):
            answered = isinstance(then, ActionExecuted) and then.action_name not in openings
            return str(event.intent_name) if answered and event.intent_name and not event.entities else None
        if not (isinstance(event, ActionExecuted) and event.action_name in openings):
            return None
    return None
