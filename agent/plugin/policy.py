"""The policy: chooses which reply answers a message, among the candidates that config.yml names."""

from __future__ import annotations

import fnmatch
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

from rasa.core.constants import MEMOIZATION_POLICY_PRIORITY, POLICY_PRIORITY, RULE_POLICY_PRIORITY
from rasa.core.policies.policy import Policy, PolicyPrediction, SupportedData
from rasa.engine.graph import ExecutionContext
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.shared.constants import UTTER_PREFIX
from rasa.shared.core.constants import (
    ACTION_LISTEN_NAME,
    DEFAULT_ACTION_NAMES,
    USER_INTENT_BACK,
    USER_INTENT_RESTART,
    USER_INTENT_SESSION_START,
)
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ActionExecuted
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.exceptions import InvalidConfigException

from agent.candidates import ABSTAIN, WRITTEN, Reply
from agent.errors import InvalidInput
from agent.plugin import lessons
from agent.plugin.behaviour import Behaviour
from agent.plugin.fingerprint import source_of
from agent.plugin.lessons import Lessons
from agent.plugin.runtime import ACTIONS, Chosen, encoder, runtime
from agent.plugin.said import CARRIER
from agent.plugin.situation import situation_of
from agent.settings import LoopSettings

_FILE = "lessons.json"
# Between memorised stories and rules: at a tie with either, the order of config.yml would decide.
_PRIORITY = (MEMOIZATION_POLICY_PRIORITY + RULE_POLICY_PRIORITY) / 2
_KEY = "rejoinder"  # of what we keep in the metadata of Rasa's events
# Above the rule that owns what was not understood: what somebody wrote for such questions answers them.
_FIRST = RULE_POLICY_PRIORITY + 1
_RASA_KEYS = {POLICY_PRIORITY, "max_history", "featurizer", "epochs", "finetuning_epoch_fraction"}
_OWN_KEYS = {"candidates", "enabled", "handover", "handover_intents", "fallback_intents"}
_ANSWERED_BY_RASA = (USER_INTENT_BACK, USER_INTENT_RESTART, USER_INTENT_SESSION_START)
# An untrained candidate's score is 0.4 cosine + 0.6 match of intents: about 0.7 for the right answer of the shipped
# assistant, 0.97 of whose held-out questions it answers rightly so (0.80 by the cosine alone).
DEFAULTS = LoopSettings(
    policy="lints",
    learner={
        "alpha": 0.03,
        "prior_slope": 0.4,
        "prior_intercept": 0.0,
        "prior_match": 0.6,
        "rivals": 2,
        # A question is answered by what it says; what went before tells in small talk and follow-ups.
        "scales": {"last_reply": 0.5, "history": 0.3},
        "feature_scale": 0.2,
    },
    threshold=0.25,
)
_log = logging.getLogger(__name__)


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.POLICY_WITHOUT_END_TO_END_SUPPORT, is_trainable=True)
class BanditPolicy(Policy):
    """Answers a message with the candidate that a contextual bandit chooses.

    It decides only when a message waits for its first action, no form takes the message, and stories and rules do not
    leave the intent to other actions; it is as sure as a rule then (confidence 1.0) but of lower priority, so rules
    and forms go before it. Below the loop's threshold it abstains.

    Beside the actions that it may choose it offers the replies that people wrote in the console, if the domain has the
    action `utter_rejoinder` that says them. Of what was not understood (`fallback_intents`), which a rule usually owns,
    those alone are offered, and the one chosen goes before the rule; where none is near enough, the rule answers.

    Configuration: `candidates` (names of actions, or patterns such as `utter_faq_*`; without it, or with `apprentice`,
    the policy acts on nothing: it logs what it would have chosen and learns from what was done), `handover` (an action
    that is a candidate for the `handover_intents`), `fallback_intents`, `enabled`, and the loop's settings: `policy`,
    `threshold`, `history`, `encoder`, `drift`, those of safety, and the learner's own (`alpha`, `ridge`,
    `prior_match`, …). Where abstaining is a candidate (`abstain`) and chosen, the other policies answer.
    """

    @staticmethod
    def supported_data() -> SupportedData:
        """Rules as well as stories say which action answers which intent."""
        return SupportedData.ML_AND_RULE_DATA

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        """The configuration unless config.yml says otherwise."""
        return {
            POLICY_PRIORITY: _PRIORITY,
            "candidates": None,
            "enabled": True,
            "handover": None,
            "handover_intents": list(Behaviour.handover_intents),
            "fallback_intents": list(Behaviour.fallback_intents),
        }

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str | None:  # noqa: ARG003
        """What is trained changes when the reading of stories does."""
        return source_of(lessons, sys.modules[__name__])

    def __init__(
        self,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        *,
        learned: Lessons | None = None,
    ) -> None:
        super().__init__(config, model_storage, resource, execution_context)
        self._lessons = learned or Lessons()
        self._enabled = bool(config["enabled"])
        self._patterns = _names_in(config, "candidates")
        self._handover, self._handover_intents = _handover(config)
        self._fallbacks = _names_in(config, "fallback_intents") or ()
        self._settings = _settings(config)
        self._acts = self._patterns is not None and not self._settings.apprentice
        self._offered: list[str] | None = None

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,  # noqa: ARG003
    ) -> BanditPolicy:
        """Load what was trained, and the encoder with it, so that the first customer does not wait for that."""
        with model_storage.read_from(resource) as folder:
            learned = Lessons.from_json((folder / _FILE).read_text(encoding="utf-8"))
        policy = cls(config, model_storage, resource, execution_context, learned=learned)
        if policy._enabled:
            encoder(policy._settings.encoder).encode([""])
        return policy

    def train(self, training_trackers: list[DialogueStateTracker], domain: Domain, **kwargs: Any) -> Resource:  # noqa: ARG002
        """Learn from stories and rules which intents each action answers."""
        self._lessons = Lessons.of(training_trackers)
        if self._patterns is not None and not self._names(domain):
            _log.warning("BanditPolicy: no action of the domain matches its candidates %s", list(self._patterns))
        with self._model_storage.write_to(self._resource) as folder:
            (folder / _FILE).write_text(self._lessons.as_json(), encoding="utf-8")
        return self._resource

    def predict_action_probabilities(
        self,
        tracker: DialogueStateTracker,
        domain: Domain,
        rule_only_data: dict[str, Any] | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> PolicyPrediction:
        """The choice with confidence 1.0, `action_listen` after it was carried out, and nothing in all other places."""
        in_form = tracker.active_loop_name is not None and not tracker.is_active_loop_rejected
        if not self._enabled or in_form:
            return self._prediction(self._default_predictions(domain))
        if tracker.latest_action_name != ACTION_LISTEN_NAME:
            return self._after(tracker, domain)
        chosen = self._choose(tracker, domain)
        if chosen is None or chosen.candidate == ABSTAIN or not self._acts:
            return self._prediction(self._default_predictions(domain))
        metadata = {"turn_id": chosen.turn, "decision_id": chosen.decision}
        written = chosen.candidate.startswith(WRITTEN)
        probabilities = _certain(CARRIER if written else chosen.candidate, domain)
        prediction = self._prediction(probabilities, action_metadata={_KEY: metadata})
        if written and self._is_for_others(_intent(tracker), self._candidates(domain)):
            prediction.policy_priority = _FIRST
        return prediction

    def _after(self, tracker: DialogueStateTracker, domain: Domain) -> PolicyPrediction:
        """Once our own choice was carried out, wait for the user; what follows on others' actions is theirs."""
        last = tracker.get_last_event_for(ActionExecuted)
        ours = last is not None and _KEY in (last.metadata or {})
        if ours and last.action_name not in self._lessons.continued:
            # A form that refused the message asks again; were it left waiting, it would take no answer any more.
            return self._prediction(_certain(tracker.active_loop_name or ACTION_LISTEN_NAME, domain))
        return self._prediction(self._default_predictions(domain))

    def _choose(self, tracker: DialogueStateTracker, domain: Domain) -> Chosen | None:
        message, intent = tracker.latest_message, _intent(tracker)
        if message is None or (message.metadata or {}).get("is_external"):
            return None
        situation = situation_of(tracker)
        names = self._candidates(domain)
        if self._acts:
            written = runtime().written(ACTIONS) if CARRIER in domain.action_names_or_texts else []
            if not self._is_for_others(intent, names):
                names = [*names, *written]
            else:
                names = written if intent in self._fallbacks else []
        if situation is None or not names:
            return None
        return runtime().decide(ACTIONS, situation, candidates=names, live=self._acts)

    def _is_for_others(self, intent: str | None, names: Sequence[str]) -> bool:
        """Whether rules and stories say that no candidate, or always a rule, answers this intent."""
        if intent in self._lessons.ruled or intent in _ANSWERED_BY_RASA:
            return True
        answering = [action for action, shares in self._lessons.shares.items() if intent in shares]
        return bool(answering) and not any(action in names for action in answering)

    def _candidates(self, domain: Domain) -> list[str]:
        """The names of the candidates, made known to the loop the first time."""
        if self._offered is None:
            names = self._names(domain)
            if names:
                replies = [self._reply(name, domain) for name in names]
                runtime().prepare(ACTIONS, self._settings, replies, who="config.yml")
            self._offered = names
        return self._offered

    def _reply(self, name: str, domain: Domain) -> Reply:
        """An action as a candidate: the words of its name and of all its wordings, and the intents that it answers."""
        texts = [wording["text"] for wording in domain.responses.get(name, []) if wording.get("text")]
        shares = dict(self._lessons.shares.get(name, {}))
        if name == self._handover:
            shares |= dict.fromkeys(self._handover_intents, 1.0)
        return Reply(
            id=name,
            texts=tuple(dict.fromkeys(texts)),
            features={f"intent:{intent}": share for intent, share in sorted(shares.items())},
            title=_title(name),
        )

    def _names(self, domain: Domain) -> list[str]:
        """The actions it may choose among: those that the patterns name, and the one that hands over."""
        found, handover = self._named(domain), self._handover
        if handover is None or handover in found:
            return found
        if handover not in domain.action_names_or_texts:
            _log.warning("BanditPolicy: the domain has no action %s to hand over with", handover)
            return found
        return [*found, handover]

    def _named(self, domain: Domain) -> list[str]:
        if self._patterns is None:
            asked = _form_questions(domain)
            return [
                n for n in domain.action_names_or_texts if n.startswith(UTTER_PREFIX) and n not in (*asked, CARRIER)
            ]
        found = [
            name
            for name in domain.action_names_or_texts
            if name not in (*DEFAULT_ACTION_NAMES, CARRIER)
            and name not in domain.form_names
            and any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)
        ]
        missing = [p for p in self._patterns if not any(fnmatch.fnmatchcase(name, p) for name in found)]
        if missing and found:
            _log.warning("BanditPolicy: no action of the domain matches %s", ", ".join(missing))
        return found


def _intent(tracker: DialogueStateTracker) -> str | None:
    message = tracker.latest_message
    return message.intent.get("name") if message is not None and message.intent else None


def _names_in(config: dict[str, Any], key: str) -> tuple[str, ...] | None:
    given = config[key]
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
        kind = "actions or patterns such as utter_faq_*" if key == "candidates" else "intents"
        raise InvalidConfigException(f"BanditPolicy: {key} must be a list of {kind}; got {given!r}")
    return tuple(given)


def _handover(config: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    action = config["handover"]
    if action is not None and (not isinstance(action, str) or not action):
        raise InvalidConfigException(f"BanditPolicy: handover must be the name of an action; got {action!r}")
    return action, _names_in(config, "handover_intents") or ()


def _settings(config: dict[str, Any]) -> LoopSettings:
    given = {key: value for key, value in config.items() if key not in _RASA_KEYS | _OWN_KEYS}
    try:
        return LoopSettings.of(given, where="BanditPolicy in config.yml", base=DEFAULTS)
    except InvalidInput as error:
        raise InvalidConfigException(str(error)) from error


def _title(name: str) -> str:
    """What an action's name says, without the prefixes by which actions are sorted."""
    bare = re.sub(r"^(utter|action)_(faq_)?", "", name)
    return " ".join(re.split(r"[_/]+", bare)).strip() or name


def _form_questions(domain: Domain) -> set[str]:
    slots = [slot.name for slot in domain.slots]
    forms = [f"utter_ask_{form}_{slot}" for form in domain.form_names for slot in slots]
    return {f"utter_ask_{slot}" for slot in slots}.union(forms)


def _certain(name: str, domain: Domain) -> Sequence[float]:
    probabilities = [0.0] * domain.num_actions
    probabilities[domain.index_for_action(name)] = 1.0
    return probabilities
