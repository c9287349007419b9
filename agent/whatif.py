"""What if: what another version would have said in a decision's place, knowing what was known then."""

from __future__ import annotations

from typing import Any

from agent.drift import DriftSettings
from agent.log import Event
from agent.moment import Moment
from agent.past import Past
from agent.safety import Slack, limits_of
from agent.service import Service
from agent.settings import LoopSettings
from policies.safety import limit


def what_if(service: Service, decision: Event, settings: LoopSettings) -> dict[str, Any]:
    """The probabilities that other settings give the candidates of a decision, folded up to where its model was.

    The context, and which candidates could be chosen, are as they were; limits (`floor`, `budget`, `conservative`, the
    widening after an alert) are those of the settings. A position of a slate is asked for with those above it as they
    were, as if these had taken nothing of a conservative loop's slack. For the decision's own settings the answer is
    otherwise what was logged. The cost is a fold from the last milestone before the decision under these settings.

    Returns:
        `candidates`, and of each `probabilities`, `scores` (expected reward) and `deviation`; `model_version`,
        `model_seq`, `logged` (the probabilities it was decided with), and `abstains`: whether nothing would have been
        said, for none reaches the threshold.

    Raises:
        InvalidInput: the log holds no embedding of what was said by the encoder of these settings.
        Unknown: the log does not hold one of the candidates.
    """
    loop, body = decision.loop or "", decision.body
    model = Past(service, loop).model(body["model_seq"], settings)
    moment = Moment.of(decision, service.log, model)
    scores = moment.scores()
    probabilities = model.learner.distribution(scores, body["eligible"])
    limits = limits_of(
        settings,
        moment.candidates,
        slack=Slack(service.log, loop),
        seq=body["model_seq"],
        live=body["live"],
        widen=model.drift.widening(DriftSettings.of(settings.drift)),
    )
    if limits is not None:
        probabilities = limit(probabilities, scores, body["eligible"], limits)
    means = scores.mean.tolist()
    best = max(mean for mean, eligible in zip(means, body["eligible"], strict=True) if eligible)
    return {
        "decision_id": decision.id,
        "model_version": settings.version,
        "model_seq": body["model_seq"],
        "policy": settings.policy,
        "candidates": list(body["candidates"]),
        "probabilities": probabilities.tolist(),
        "scores": means,
        "deviation": scores.deviation.tolist(),
        "logged": list(body["probabilities"]),
        "abstains": settings.least is not None and body.get("slate") is None and best < settings.least,
    }
