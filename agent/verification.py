"""Verification: the log is sound, its draws and vectors repeat, and every model is exactly what the log says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
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
from agent.moment import repeated
from agent.service import Service
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
    refold makes the probabilities of a sample of decisions again, spread evenly over the log.

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
    upto = service.log.last_seq()
    used = Model(service.log, loop, snapshots=service.snapshots(loop))
    used.catch_up(upto)
    refolded = Model(service.log, loop)
    vector_gap, unrepeated = repeated(service.log, refolded, decisions)
    refolded.catch_up(upto)
    gaps = _gaps(service.log, used, refolded, decisions, upto)
    influence = refolded.ledger.influence
    capped, bursts = influence.held
    alerts = list(service.log.read(kinds=("alert",), loop=loop, upto=upto))
    figures = {
        "model_version": used.settings.version,
        "seq": upto,
        "decisions": len(decisions),
        "credited": len(refolded.ledger.told),
        "skipped": refolded.skipped,
        "capped_persons": capped,
        "damped_bursts": bursts,
        "alerts": len(alerts),
        "latest_alert": described(alerts[-1]) if alerts else None,
        "difference_of_vectors": vector_gap,
        **{f"difference_to_{name}": gap for name, gap in gaps.items()},
    }
    problems = disagreements(alerts, used=used.drift, refolded=refolded.drift)
    problems += [
        f"the model differs from {_COMPARED[name]} by {gap:g}"
        for name, gap in gaps.items()
        if gap > (0.0 if name == "rewards" else TOLERANCE)
    ]
    return figures, _held(influence), [*unrepeated, *(f"loop {loop}: {problem}" for problem in problems)]


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
