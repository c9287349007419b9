"""What the tests of Rasa's components share: a domain, a conversation in it, a policy. Importing it imports Rasa."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from rasa.core.policies.policy import PolicyPrediction
from rasa.engine.graph import ExecutionContext, GraphSchema
from rasa.engine.storage.local_model_storage import LocalModelStorage
from rasa.engine.storage.resource import Resource
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ActionExecuted, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

from agent.candidates import Reply
from agent.plugin.events import LearningLogBroker
from agent.plugin.lessons import Lessons
from agent.plugin.policy import BanditPolicy

DOMAIN_YAML = """
version: "3.1"
intents: [hours, parcel, order, nlu_fallback]
slots:
  size:
    type: text
    mappings: [{type: custom}]
forms:
  order_form: {required_slots: [size]}
responses:
  utter_faq_hours:
    - {id: short, text: "We open at eight."}
    - {id: long, text: "Our shop opens at eight in the morning."}
  utter_faq_parcel:
    - text: "Your parcel is on its way."
    - text: "Have a look at the tracking page."
    - {text: "On its way, {size}.", condition: [{type: slot, name: size, value: large}]}
    - {text: "It is coming!", channel: slack}
  utter_ask_size:
    - text: "Which size?"
  utter_bye:
    - text: "Bye."
"""
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Rasa warns of slots at every domain
    DOMAIN = Domain.from_yaml(DOMAIN_YAML)
LEARNED = Lessons(
    shares={
        "utter_faq_hours": {"hours": 1.0},
        "utter_faq_parcel": {"parcel": 1.0},
        "order_form": {"order": 1.0},
    }
)
REPLIES = [Reply("hours", ("opening hours",)), Reply("parcel", ("parcel on its way",))]


def policy(folder: Path, **config: Any) -> BanditPolicy:
    (folder / "storage").mkdir()
    storage = LocalModelStorage.create(folder / "storage")
    context = ExecutionContext(GraphSchema({}))
    return BanditPolicy(
        {**BanditPolicy.get_default_config(), **config}, storage, Resource("bandit"), context, learned=LEARNED
    )


def conversation(text: str, intent: str, *later: Event, before: tuple[Event, ...] = ()) -> DialogueStateTracker:
    ranking = [{"name": intent, "confidence": 0.9}]
    said = UserUttered(text, ranking[0], parse_data={"intent": ranking[0], "intent_ranking": ranking}, message_id="m1")
    events = [ActionExecuted("action_listen"), *before, said, *later]
    return DialogueStateTracker.from_events("ann", events, slots=DOMAIN.slots, domain=DOMAIN)


def chosen(prediction: PolicyPrediction) -> str | None:
    """The action that a prediction is for; None for no action at all."""
    best = max(prediction.probabilities)
    return DOMAIN.action_names_or_texts[prediction.probabilities.index(best)] if best else None


def published(tracker: DialogueStateTracker, *later: Event) -> None:
    """Tell a new broker what is in the tracker, then what came later, as Rasa does when a turn is over."""
    broker = LearningLogBroker()
    for event in (*tracker.events, *later):
        broker.publish({"sender_id": "ann", **event.as_dict()})
    assert broker.end()
