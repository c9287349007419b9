"""Verification: the log is sound, its draws and vectors repeat, and every model is exactly what the log says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

import policies
from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.model import Model, context_of
from agent.moment import Moment
from agent.rewards import earned
from agent.service import Service
from policies.base import Learner, draw
from policies.types import InvalidInput as Refused

# Sums of some thousand float64 terms of size one, taken in another order, differ by about 1e-13.
TOLERANCE = 1e-9
SAMPLE = 50  # decisions of each loop of which the vector is made again


def verify(service: Service, *, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Check a log against itself and its models.

    Three independent things must agree for every loop: the model in use (a snapshot and the events since), a refold
    from nothing, and, for additive learners, each decision's final reward learned once in any order. On its way the
    refold makes the probabilities of a sample of decisions again, spread evenly over the log.

    Returns:
        `ok`, `events`, `decisions`, `loops` (figures of each), and `problems`, one line each.
    """
    log = service.log
    problems = [f"SQLite: {line}" for line in log.check()]
    progress("checking the draws")
    decisions = list(log.read(kinds=("decision",)))
    for decision in decisions:
        problems += _wrong_with(decision)
    loops: dict[str, Any] = {}
    for loop in service.loops():
        progress(f"folding the loop {loop} from nothing")
        mine = [decision for decision in decisions if decision.loop == loop]
        loops[loop], found = _check_loop(service, loop, mine)
        problems += found
    return {
        "ok": not problems,
        "events": sum(log.counts().values()),
        "decisions": len(decisions),
        "loops": loops,
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


def _check_loop(service: Service, loop: str, decisions: list[Event]) -> tuple[dict[str, Any], list[str]]:
    upto = service.log.last_seq()
    used = Model(service.log, loop, snapshots=service.snapshots(loop))
    used.catch_up(upto)
    refolded = Model(service.log, loop)
    vector_gap, problems = _recompute(service.log, refolded, decisions)
    refolded.catch_up(upto)
    credited, once = _learned_once(service.log, refolded, decisions, upto)
    refold = refolded.learner
    gaps = {"refold": _difference(used.learner.sums(), refold.sums())}
    if refold.additive:
        gaps["sums"] = _difference(refold.sums(), once.sums())
    elif not _same(used.learner.state_dict(), refold.state_dict()):
        gaps["refold"] = math.inf
    figures = {
        "model_version": used.settings.version,
        "seq": upto,
        "decisions": len(decisions),
        "credited": credited,
        "skipped": refolded.skipped,
        "difference_of_vectors": vector_gap,
        **{f"difference_to_{name}": gap for name, gap in gaps.items()},
    }
    words = {"refold": "a refold from nothing", "sums": "the sum of what its decisions earned"}
    return figures, problems + [
        f"loop {loop}: the model differs from {words[name]} by {gap:g}" for name, gap in gaps.items() if gap > TOLERANCE
    ]


def _recompute(log: LearningLog, model: Model, decisions: list[Event]) -> tuple[float, list[str]]:
    """The largest difference to a logged vector among a sample of decisions, and what is wrong; folds the model."""
    ordered = sorted(decisions, key=lambda decision: decision.body["model_seq"])
    number = min(SAMPLE, len(ordered))
    largest, problems = 0.0, []
    for decision in (ordered[len(ordered) * i // number] for i in range(number)):
        place = f"decision {decision.id} (seq {decision.seq})"
        try:
            again = Moment.of(decision, log, model).recompute()
        except (InvalidInput, Refused) as error:
            problems.append(f"{place}: it cannot be made again: {error}")
            continue
        largest = max(largest, again.difference)
        if not again.repeats:
            problems.append(f"{place}: its probabilities made again differ by {again.difference:g}")
    return largest, problems


def _learned_once(log: LearningLog, model: Model, decisions: list[Event], upto: int) -> tuple[int, Learner]:
    """A new learner taught each decision's final reward, once, and how many those were."""
    learner = policies.create(model.settings.policy, **model.settings.learner)
    credited = 0
    for decision in decisions:
        reward = earned(log.evidence(decision, upto=upto))
        if reward is None:
            continue
        try:
            context = context_of(decision, log, encoder=model.settings.encoder)
        except InvalidInput:
            continue  # made with another encoder; the fold has counted it as skipped
        index = decision.body["index"]
        chosen = model.offer(decision.body["candidates"][index], version=decision.body["versions"][index])
        learner.learn(context, chosen, reward.value, weight=reward.weight, at=decision.at)
        credited += 1
    return credited, learner


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
