"""What a service has learned, in one number."""

from __future__ import annotations

import time

import torch

from agent.decision import Situation, frame
from agent.service import Service


def expected(learning: Service, message: str) -> float:
    """What is expected of the candidate that would be best for this message without feedback."""
    model = learning.model("actions")
    framed = frame(model, learning.encoder(model.settings.encoder), Situation(messages=[message]), None)
    scores = model.learner.scores(framed.context, framed.candidates, at=time.time())
    return float(scores.mean[int(torch.argmax(scores.parts["prior"]))])
