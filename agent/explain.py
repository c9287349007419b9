"""An explanation: one decision taken apart, from the log alone; and, where that is asked for, from its model then."""

from __future__ import annotations

from typing import Any

from agent import words as words_of
from agent.apprentice import observed
from agent.ledger import credit_of, rules_of
from agent.log import Event, LearningLog
from agent.moment import Moment, Moments
from agent.neighbours import nearest as nearest_to
from agent.rewards import activated
from agent.service import Service
from agent.standing import CHAMPION
from policies.base import draw


def explain(log: LearningLog, decision: Event) -> dict[str, Any]:
    """Why a decision came out as it did: its candidates, the likeliest first, and what it earned since.

    Each candidate's `expected` reward is the sum of its named `parts`; `deviation` is how unsure the model was of
    it; `probability` is the chance with which it was drawn; `barred` is why it could not be. `observed` is what was
    done in place of a decision that was only watched, and what its reward is about. `repeats` tells whether the logged
    draw, made again from the logged probabilities and seed, falls on the same candidate.
    """
    body = decision.body
    rows = [
        {
            "candidate": candidate,
            "eligible": body["eligible"][i],
            "barred": body.get("barred", {}).get(candidate),
            "parts": {name: part[i] for name, part in body["parts"].items()},
            "expected": sum(part[i] for part in body["parts"].values()),
            "deviation": body["deviation"][i],
            "probability": body["probabilities"][i],
            "chosen": i == body["index"],
        }
        for i, candidate in enumerate(body["candidates"])
    ]
    rows.sort(key=lambda row: (-row["probability"], -row["expected"]))
    evidence = log.evidence(decision)
    reward = credit_of(log, decision, evidence, rules_of(log, decision.loop))
    return {
        "decision_id": decision.id,
        "loop": decision.loop,
        "at": decision.at,
        "text": body.get("text"),
        "features": body["context"]["features"],
        "policy": body["policy"],
        "model_version": body["model_version"],
        "model_seq": body["model_seq"],
        "arm": body.get("arm", CHAMPION),
        "share": body.get("share", 1.0),
        "chosen": body["chosen"],
        "propensity": body["propensity"],
        "epsilon": body["epsilon"],
        "limits": body.get("limits", {}),
        "seed": body["seed"],
        "repeats": draw(body["probabilities"], body["seed"]) == body["index"],
        "live": body["live"],
        "abstained": body.get("abstained", False),
        "activated": activated(evidence),
        "observed": observed(evidence),
        "outcomes": [_outcome(event) for event in evidence if event.kind not in ("activated", "observed")],
        "reward": None if reward is None else {"value": reward.value, "weight": reward.weight},
        "candidates": rows,
    }


def why(
    service: Service, decision: Event, *, words: bool = False, nearest: int = 0, recompute: bool = False
) -> dict[str, Any]:
    """The explanation, and what else was asked for.

    `words` adds what each word of the message did (`agent.words.effects`), `nearest` so many past contexts
    (`agent.neighbours.nearest`), `recompute` whether the logged vector comes out again (`agent.moment.Recomputed`).
    Words and recomputing need the model as it was: the log is folded from the newest snapshot that is old enough, or
    from nothing.

    Raises:
        InvalidInput: the log does not hold what was said, or no embedding of it.
        ModelMissing: words were asked for, and the encoder is not installed.
    """
    found = explain(service.log, decision)
    if words or recompute:
        moment = moment_of(service, decision)
        if recompute:
            found["recomputed"] = moment.recompute().as_body()
        if words:
            found["words"] = words_of.effects(moment, service.encoder(moment.model.settings.encoder))
    if nearest:
        found["nearest"] = nearest_to(service.log, decision, nearest)
    return found


def moment_of(service: Service, decision: Event) -> Moment:
    """The decision with its model as it was, folded for it alone: the service's own goes on unmoved."""
    return Moments(service.log, decision.loop or "", snapshots=service.snapshots(decision.loop or "")).of(decision)


def _outcome(event: Event) -> dict[str, Any]:
    return {"event_id": event.id, "kind": event.kind, "at": event.at, **event.body}
