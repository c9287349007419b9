"""Verification: the log is sound, its draws and vectors repeat, and every model is exactly what the log says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from agent import safety
from agent.apprentice import taught
from agent.drift import described, disagreements
from agent.errors import InvalidInput
from agent.influence import Influence, factors
from agent.ledger import claim_of, credit_of
from agent.log import Event, LearningLog
from agent.model import Model
from agent.moment import Moments, repeated
from agent.service import Service
from agent.standing import standing_of, wrong_with
from policies.base import Learner, draw
from policies.types import Reward

# Sums of some thousand float64 terms of size one, taken in another order, differ by about 1e-13.
TOLERANCE = 1e-9
_COMPARED = {
    "refold": "a refold from nothing",
    "rewards": "what its decisions earned",
    "sums": "the sum of what its decisions earned",
}


def verify(service: Service, *, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Check a log against itself and its models.

    Three independent things must agree for every loop: the model in use (a snapshot and the events since), a refold
    from nothing, and what every decision has earned in the end, found in one pass over the decisions: to the bit in
    the ledger, and, for additive learners, in the sums after learning each such reward once. On its way the
    refold makes the probabilities of a sample of decisions again, spread evenly over the log, each under the settings
    of its own arm. A challenger's model is checked like the champion's, and that every decision was its arm's to make.

    Returns:
        `ok`, `events`, `decisions`, `loops` (figures of each), `held` (whose feedback the guard on influence holds
        back in each loop: `persons`, `bursts`), and `problems`, one line each.
    """
    log = service.log
    problems = [f"SQLite: {line}" for line in log.check()]
    progress("checking the draws")
    decisions = list(log.read(kinds=("decision",)))
    for decision in decisions:
        problems += _wrong_with(decision)
    loops: dict[str, Any] = {}
    held: dict[str, Any] = {}
    for loop in service.loops():
        progress(f"folding the loop {loop} from nothing")
        mine = [decision for decision in decisions if decision.loop == loop]
        loops[loop], held[loop], found = _check_loop(service, loop, mine)
        problems += found + safety.wrong_with(log, loop, mine)
    return {
        "ok": not problems,
        "events": sum(log.counts().values()),
        "decisions": len(decisions),
        "loops": loops,
        "held": held,
        "problems": problems,
    }


def _wrong_with(decision: Event) -> list[str]:
    body, place = decision.body, f"decision {decision.id} (seq {decision.seq})"
    probabilities = body["probabilities"]
    found = []
    if not math.isclose(math.fsum(probabilities), 1.0, abs_tol=TOLERANCE):
        found.append(f"{place}: its probabilities sum to {math.fsum(probabilities)!r}")
    if body["propensity"] != probabilities[body["index"]] or body["candidates"][body["index"]] != body["chosen"]:
        found.append(f"{place}: its propensity is not the probability of what was chosen")
    if draw(probabilities, body["seed"]) != body["index"]:
        found.append(f"{place}: the draw made again falls on another candidate")
    return found


def _check_loop(
    service: Service, loop: str, decisions: list[Event]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    log, upto = service.log, service.log.last_seq()
    standing = standing_of(log, loop, upto=upto)
    assert standing.champion is not None, "a loop begins with settings"
    moments = Moments(log, loop)
    vector_gap, unrepeated = repeated(moments, decisions)
    alerts = list(log.read(kinds=("alert",), loop=loop, upto=upto))
    champion = _Fold.of(service, moments.model(standing.champion), upto)
    figures = {
        "model_version": standing.champion.version,
        "seq": upto,
        "decisions": len(decisions),
        **champion.figures(),
        "alerts": len(alerts),
        "latest_alert": described(alerts[-1]) if alerts else None,
        "difference_of_vectors": vector_gap,
    }
    gaps, problems = champion.compared(log, decisions, alerts)
    figures |= gaps
    if standing.challenger is not None:
        challenger = _Fold.of(service, moments.model(standing.challenger), upto)
        gaps, more = challenger.compared(log, decisions, alerts)
        version, share = standing.challenger.version, standing.share
        figures["challenger"] = {"model_version": version, "share": share, **challenger.figures(), **gaps}
        problems += [f"challenger {version}: {problem}" for problem in more]
    problems += [*unrepeated, *wrong_with(log, loop, decisions)]
    named = [problem if problem.startswith("decision ") else f"loop {loop}: {problem}" for problem in problems]
    return figures, _held(champion.refolded.ledger.influence), named


@dataclass(frozen=True)
class _Fold:
    """A model as it is used (a snapshot and the events since), and refolded from nothing, both up to one `seq`."""

    used: Model
    refolded: Model
    seq: int

    @classmethod
    def of(cls, service: Service, refolded: Model, upto: int) -> _Fold:
        loop = refolded.loop
        used = Model(service.log, loop, snapshots=service.snapshots(loop), settings=refolded.settings)
        for model in (used, refolded):
            model.catch_up(upto)
        return cls(used, refolded, upto)

    def figures(self) -> dict[str, Any]:
        capped, bursts = self.refolded.ledger.influence.held
        return {
            "credited": len(self.refolded.ledger.told),
            "skipped": self.refolded.skipped,
            "capped_persons": capped,
            "damped_bursts": bursts,
        }

    def compared(
        self, log: LearningLog, decisions: list[Event], alerts: list[Event]
    ) -> tuple[dict[str, float], list[str]]:
        """How far the two are apart, and from what the decisions earned; and what is wrong, one line each."""
        gaps = _gaps(log, self.used, self.refolded, decisions, self.seq)
        problems = disagreements(alerts, used=self.used.drift, refolded=self.refolded.drift)
        problems += [
            f"the model differs from {_COMPARED[name]} by {gap:g}"
            for name, gap in gaps.items()
            if gap > (0.0 if name == "rewards" else TOLERANCE)
        ]
        return {f"difference_to_{name}": gap for name, gap in gaps.items()}, problems


def _gaps(log: LearningLog, used: Model, refolded: Model, decisions: list[Event], upto: int) -> dict[str, float]:
    """How far the model in use and its refold are apart, and both from what the decisions earned."""
    rewards = _rewards(log, refolded, decisions, upto)
    refold, latest = refolded.learner, max((decision.at for decision in decisions), default=0.0)
    gaps = {
        "refold": _difference(used.learner.sums(at=latest), refold.sums(at=latest)),
        "rewards": max(_mismatch(model, rewards, decisions) for model in (used, refolded)),
    }
    if refold.additive:
        gaps["sums"] = _difference(refold.sums(at=latest), _learned_once(refolded, decisions, rewards).sums(at=latest))
    elif not _same(used.learner.state_dict(), refold.state_dict()):
        gaps["refold"] = math.inf
    return gaps


def _held(influence: Influence) -> dict[str, Any]:
    """What the guard holds back, as JSON."""
    found = {"persons": influence.capped(), "bursts": influence.bursts()}
    return {
        name: [{key: value for key, value in asdict(held).items() if value is not None} for held in some]
        for name, some in found.items()
    }


def _rewards(log: LearningLog, model: Model, decisions: list[Event], upto: int) -> dict[str, Reward]:
    """What counts of what each decision has earned, by its id: from the log at once, without the ledger."""
    rules, guard = model.settings.rules, model.settings.guard
    claims = {}
    for decision in decisions:
        evidence = log.evidence(decision, upto=upto)
        reward, index = credit_of(log, decision, evidence, rules), taught(decision, evidence)
        if reward is not None and index is not None:
            claims[decision.id] = claim_of(decision, index, reward)
    share = factors(claims, guard)
    return {id: Reward(claim.earned.value, claim.earned.weight * share[id]) for id, claim in claims.items()}


def _mismatch(model: Model, rewards: Mapping[str, Reward], decisions: list[Event]) -> float:
    """The largest difference in weight between a model's ledger and these rewards; infinite where values differ."""
    largest = 0.0
    for decision in decisions:
        ours, theirs = model.ledger.reward(decision.id), rewards.get(decision.id)
        if ours is None or theirs is None or ours.value != theirs.value:
            largest = max(largest, 0.0 if ours is theirs else math.inf)
        else:
            largest = max(largest, abs(ours.weight - theirs.weight))
    return largest


def _learned_once(model: Model, decisions: list[Event], rewards: Mapping[str, Reward]) -> Learner:
    """A new learner taught each decision's final reward, once."""
    learner = model.untrained()
    for decision in decisions:
        reward = rewards.get(decision.id)
        if reward is None:
            continue
        try:
            context, chosen, offer = model.lesson(decision)
        except InvalidInput:
            continue  # made with another encoder; the fold has counted it as skipped
        learner.learn(context, chosen, reward.value, weight=reward.weight, at=decision.at, offer=offer)
    return learner


def _difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The largest difference between two learners' sums, relative to the largest number in each, at least 1."""
    largest = 0.0
    for name in one.keys() | other.keys():
        zero = torch.zeros_like(one[name] if name in one else other[name])
        ours, theirs = one.get(name, zero), other.get(name, zero)
        largest = max(largest, float((ours - theirs).abs().max()) / max(1.0, float(ours.abs().max())))
    return largest


def _same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
