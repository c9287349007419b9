"""What a service has learned, in one number."""

from __future__ import annotations

import time

from agent.decision import Situation, frame
from agent.service import Service


def chosen(learning: Service, channel: str) -> str:
    """What was chosen in the latest decision on actions of a channel."""
    found = [event for event in learning.log.read(kinds=("decision",)) if event.body.get("channel") == channel]
    return str([event.body["chosen"] for event in found if event.loop == "actions"][-1])


def expected(learning: Service, message: str, candidate: str) -> float:
    """What is expected of a candidate after this message."""
    model = learning.model("actions")
    framed = frame(model, learning.encoder(model.settings.encoder), Situation(messages=[message]), None, at=0.0)
    scores = model.learner.scores(framed.context, framed.candidates, at=time.time())
    return float(scores.mean[[one.id for one in framed.candidates].index(candidate)])
