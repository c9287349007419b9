"""Examples: a body of each kind, as the documentation of the HTTP API shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OFFERED = [{"id": "warm", "text": "I look it up for you."}, {"id": "brief", "text": "One moment."}]
_DECISION = {
    "loop": "replies",
    "conversation": "c-1041",
    "message_id": "m-7",
    "context": {"text": "where is my parcel", "channel": "web", "features": {"intent:track_order": 0.93}},
    "candidates": _OFFERED,
}
#: by the name of the body.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "DecisionBody": _DECISION,
    "SuggestionBody": _DECISION,
    "OutcomeBody": {"decision_id": "DECISION", "signal": "thumb", "value": 1, "event_id": "click-88213"},
    "ReplyBody": {"text": "Your parcel arrives tomorrow.", "event_id": "sent-5112", "actor": "agent-12"},
    "CorrectionBody": {"value": 0, "who": "Ida", "why": "pressed by mistake"},
    "MarkBody": {"state": "blocked", "who": "Ida", "why": "the offer has ended"},
    "AnnotationBody": {"what": "flag", "value": True, "who": "Ida", "event_id": "flag-31"},
    "ChallengerBody": {
        "share": 0.1,
        "policy": "lints",
        "who": "Ida",
        "why": "to see whether it explores better",
    },
    "StepBody": {"who": "Ida", "why": "earns more, on enough evidence"},
    "ObservationBody": {"candidate": "brief"},
    "LoopBody": {"policy": "linucb", "learner": {"alpha": 0.1}, "candidates": _OFFERED},
}
