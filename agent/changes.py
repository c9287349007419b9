"""Changes: which replies gained or lost in a period, and on what evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.drift import expected as expected_then
from agent.errors import InvalidInput, Unknown
from agent.influence import Claim
from agent.log import Event, LearningLog
from agent.means import Mean, Said, mean_of
from agent.model import Model
from agent.past import CONTEXTS, Past, Sample, decisions_of, said_in, seq_at, shown_most
from agent.service import Service
from agent.settings import LoopSettings
from agent.standing import GOVERNING, standing_of
from policies.types import Reward

MOVERS = 10  # candidates, those that moved most, of which the evidence is looked for
EVIDENCE = 3  # decisions named for each, those that moved it most out of so many that were the least expected
_TRIED = 5


@dataclass(frozen=True)
class Evidence:
    """What came to be known of one decision in the period, and how far that moved its candidate.

    `was` and `now` are the rewards that the model held of it at either end (value, weight; None for none), `expected`
    what was expected when it was decided. `moved` is by how much the candidate's expected reward at the end would be
    lower without what is new; None for learners that cannot take one reward back.
    """

    decision_id: str
    at: float
    text: str
    expected: float
    was: tuple[float, float] | None
    now: tuple[float, float] | None
    moved: float | None
    outcomes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """A candidate before a period and in it.

    `decisions_before` and `decisions` are those that chose it, watched ones included; `before` and `within` what people
    made of such, as it stands at the end. `expected_before` and `expected` are what the model of either end expects it
    to earn (None where it did not know it), and `gained` the difference.
    """

    id: str
    decisions_before: int
    decisions: int
    before: Mean
    within: Mean
    expected_before: float | None
    expected: float | None
    gained: float
    evidence: Sequence[Evidence]


@dataclass(frozen=True)
class Changes:
    """What changed in a loop between two times (unix seconds): candidates, those that moved most first.

    `steps` are the settings and model events of the period, `contexts` how many the expectations are means over.
    """

    loop: str
    since: float
    until: float
    version: str
    seqs: tuple[int, int]
    rewards: int
    contexts: int
    candidates: Sequence[Change]
    steps: Sequence[Event]


def changes(service: Service, loop: str, *, since: float, until: float) -> Changes:
    """Which candidates gained or lost in a loop in a period, and which feedback moved them.

    The same settings, those in force at the end, are folded up to either end, so that what differs was learned and not
    set. Expectations are means over contexts of the period (or the latest before its end, where it has few). A period
    ends before `until`. `rewards` counts the decisions of which people said something else than before.

    The cost is a fold from the last milestone before `since` up to `until`, two scorings of the sample, and one of a
    single candidate for each piece of evidence tried.

    Raises:
        Unknown: there was no such loop at the end.
        InvalidInput: the period ends before it begins.
    """
    if not since < until:
        raise InvalidInput("changes: a period ends after it begins")
    log = service.log
    first, last = seq_at(log, loop, since), seq_at(log, loop, until)
    settings = standing_of(log, loop, upto=last).champion
    if settings is None:
        raise Unknown(f"there was no loop {loop!r} then; known now are {', '.join(service.loops()) or 'none'}")
    past, sample = Past(service, loop), _sample(log, loop, settings, first, last)
    model = past.model(first, settings)
    ids = shown_most(model) if first else []
    before = sample.expected(model, ids, at=since)
    was = _Known.of(model) if first else _Known({}, {})
    model = past.model(last, settings)
    ids = list(dict.fromkeys([*shown_most(model), *ids]))
    now = sample.expected(model, ids, at=until)
    clues = _Clues(log, model, sample, until, was)
    found = _candidates(log, model, first, since, until, before, now)
    named = {change.id for change in found[:MOVERS] if change.gained}
    return Changes(
        loop=loop,
        since=since,
        until=until,
        version=settings.version,
        seqs=(first, last),
        rewards=clues.number,
        contexts=len(sample.contexts),
        candidates=[
            replace(change, evidence=clues.of(change.id, change.expected_before)) if change.id in named else change
            for change in found
        ],
        steps=list(log.read(after=first, upto=last, kinds=GOVERNING, loop=loop)),
    )


@dataclass(frozen=True)
class _Known:
    """What a model had been told of decisions, and what they had earned before any guard, by id."""

    told: Mapping[str, Reward]
    claims: Mapping[str, Claim]

    @classmethod
    def of(cls, model: Model) -> _Known:
        return cls(dict(model.ledger.told), dict(model.ledger.influence.claims))


def _sample(log: LearningLog, loop: str, settings: LoopSettings, first: int, last: int) -> Sample:
    made = decisions_of(log, loop, after=first, upto=last)
    if len(made) < CONTEXTS:
        made = decisions_of(log, loop, upto=last)[-CONTEXTS:]
    return Sample.of(log, made, encoder=settings.encoder)


def _candidates(
    log: LearningLog,
    model: Model,
    first: int,
    since: float,
    until: float,
    before: Mapping[str, tuple[float, float]],
    now: Mapping[str, tuple[float, float]],
) -> list[Change]:
    """Every candidate that was expected to earn anything, those that moved most first; without evidence yet."""
    heard: dict[str, tuple[list[Said], list[Said]]] = {}
    for candidate, seq, said in said_in(model.ledger).values():
        heard.setdefault(candidate, ([], []))[seq > first].append(said)
    chosen = log.chosen(model.loop, since=-math.inf, until=since), log.chosen(model.loop, since=since, until=until)
    found = []
    for id, (expected, _) in now.items():
        earlier, within = heard.get(id, ((), ()))
        expected_before = before[id][0] if id in before else None
        gained = 0.0 if expected_before is None else expected - expected_before
        means = mean_of(earlier), mean_of(within)
        found.append(
            Change(id, chosen[0].get(id, 0), chosen[1].get(id, 0), *means, expected_before, expected, gained, ())
        )
    return sorted(found, key=lambda change: -abs(change.gained))


class _Clues:
    """The feedback that came, changed or went in a period, by candidate."""

    def __init__(
        self,
        log: LearningLog,
        model: Model,
        sample: Sample,
        until: float,
        was: _Known,
    ) -> None:
        self._log, self._model, self._sample, self._until = log, model, sample, until
        self._was, self._now = was, _Known.of(model)
        self._of: dict[str, list[str]] = {}
        # Where people said nothing new, only the guard on influence has made room: that is no evidence.
        for id in {**was.claims, **self._now.claims}:
            ends = was.claims.get(id), self._now.claims.get(id)
            if ends[0] != ends[1]:
                candidates = dict.fromkeys(claim.candidate for claim in ends if claim is not None)
                for candidate in candidates:
                    self._of.setdefault(candidate, []).append(id)
        self.number = len({id for ids in self._of.values() for id in ids})
        # A copy to take rewards back from and give them again: the model stays as it is.
        self._learner = model.learner.clone() if model.learner.additive else None

    def of(self, candidate: str, expected: float | None) -> list[Evidence]:
        """The decisions about a candidate whose new rewards moved it most.

        Tried are those whose rewards are furthest from what was expected of it.
        """
        middle = 0.5 if expected is None else expected
        ids = sorted(self._of.get(candidate, ()), key=lambda id: -abs(self._push(id, middle)))[:_TRIED]
        if self._learner is not None:
            there = self._mean(candidate)
            moved = {id: self._moved(candidate, id, there) for id in ids}
            ids.sort(key=lambda id: -abs(moved[id] or 0.0))
            return [self._evidence(id, moved[id]) for id in ids[:EVIDENCE]]
        return [self._evidence(id, None) for id in ids[:EVIDENCE]]

    def _ends(self, id: str) -> tuple[Reward | None, Reward | None]:
        """What the model held of a decision at either end."""
        return self._was.told.get(id), self._now.told.get(id)

    def _push(self, id: str, expected: float) -> float:
        was, now = (0.0 if r is None else r.weight * (r.value - expected) for r in self._ends(id))
        return now - was

    def _evidence(self, id: str, moved: float | None) -> Evidence:
        decision = self._decision(id)
        was, now = (None if r is None else (r.value, r.weight) for r in self._ends(id))
        outcomes = self._log.evidence(decision, upto=self._model.seq)
        return Evidence(
            decision_id=id,
            at=decision.at,
            text=decision.body.get("text", ""),
            expected=expected_then(decision),
            was=was,
            now=now,
            moved=moved,
            outcomes=[
                {"event_id": event.id, "kind": event.kind, "at": event.at, **event.body}
                for event in outcomes
                if event.kind in ("outcome", "correction", "revoked")
            ],
        )

    def _decision(self, id: str) -> Event:
        decision = self._log.event(id)
        assert decision is not None, "a decision that has earned something is in the log"
        return decision

    def _moved(self, candidate: str, id: str, there: float) -> float | None:
        """How much lower the expected reward of a candidate would be, had this decision's reward stayed as it was."""
        assert self._learner is not None, "asked of learners that can take back alone"
        decision, (was, now) = self._decision(id), self._ends(id)
        try:
            context, chosen, offer = self._model.lesson(decision)
        except InvalidInput:
            return None
        self._learner.revise(context, chosen, old=now, new=was, at=decision.at, offer=offer)
        without = self._mean(candidate)
        self._learner.revise(context, chosen, old=was, new=now, at=decision.at, offer=offer)
        return there - without

    def _mean(self, candidate: str) -> float:
        assert self._learner is not None
        offered = [self._model.offer(candidate)]
        scores = [self._learner.scores(context, offered, at=self._until) for context in self._sample.contexts]
        return math.fsum(float(found.mean[0]) for found in scores) / max(1, len(scores))
