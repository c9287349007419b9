"""An explanation: one decision taken apart, from the log alone."""

from __future__ import annotations

from typing import Any

from agent.apprentice import observed
from agent.ledger import credit_of, rules_of
from agent.log import Event, LearningLog
from agent.rewards import activated
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
        "chosen": body["chosen"],
        "propensity": body["propensity"],
        "epsilon": body["epsilon"],
        "limits": body.get("limits", {}),
        "seed": body["seed"],
        "repeats": draw(body["probabilities"], body["seed"]) == body["index"],
        "live": body["live"],
        "activated": activated(evidence),
        "observed": observed(evidence),
        "outcomes": [_outcome(event) for event in evidence if event.kind not in ("activated", "observed")],
        "reward": None if reward is None else {"value": reward.value, "weight": reward.weight},
        "candidates": rows,
    }


def _outcome(event: Event) -> dict[str, Any]:
    return {"event_id": event.id, "kind": event.kind, "at": event.at, **event.body}
