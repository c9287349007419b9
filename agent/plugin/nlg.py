"""The replies: chooses how a response is worded, among the variations that suit channel and slots."""

from __future__ import annotations

import copy
import logging
import random
from typing import Any

from rasa.core.nlg import TemplatedNaturalLanguageGenerator
from rasa.core.nlg.generator import ResponseVariationFilter
from rasa.shared.core.domain import Domain
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.utils.endpoints import EndpointConfig

from agent.candidates import ABSTAIN, Reply
from agent.decision import Situation
from agent.errors import InvalidInput, RejoinderError
from agent.plugin import recommend
from agent.plugin.recommend import Recommendations
from agent.plugin.runtime import ACTIONS, RESPONSES, Chosen, runtime
from agent.plugin.said import CARRIER, edited, filled, from_library, one_of
from agent.plugin.situation import situation_of
from agent.settings import LoopSettings
from agent.wordings import names_of

_KEY = "rejoinder"  # of what we add to a message; it reaches the channel and the tracker
# Wordings of one response say the same: which of them is liked does not show in how near its words are, and hangs on
# the message far more than on what went before.
DEFAULTS = LoopSettings(
    policy="lints",
    learner={"alpha": 0.15, "prior_slope": 0.0, "prior_intercept": 0.5, "feature_scale": 0.0},
    blocks=(),
)
_log = logging.getLogger(__name__)

Variation = dict[str, Any]


class BanditResponses(TemplatedNaturalLanguageGenerator):
    """Rasa's templated responses, with a bandit in place of the dice.

    Which variations suit (channel, conditions) and how slots are filled is Rasa's own code. Where two or more suit,
    the loop "responses" chooses. Words that somebody wrote for a response in the console are said from then on, and
    `utter_rejoinder` says a reply that only the library knows. What is sent carries `rejoinder: {turn_id,
    decision_ids, wording_id}`, by which feedback finds its way back. As an apprentice (`apprentice: true`), or where
    the loop abstains, the dice decide; an apprentice's `wording_id` is None, and `watched: {decision_id, candidate}`
    says what it saw. Options in endpoints.yml: `enabled`, the loop's settings and, under `recommend`, those of
    `agent.plugin.recommend`.
    """

    def __init__(self, endpoint_config: EndpointConfig | None = None, domain: Domain | None = None) -> None:
        options = dict(endpoint_config.kwargs) if endpoint_config is not None else {}
        self._enabled = bool(options.pop("enabled", True))
        recommend = options.pop("recommend", None)
        self._recommendations = None if recommend is None else _recommendations(recommend)
        self._settings = _settings(options)
        self._names: dict[str, list[str]] = {}
        super().__init__(domain.responses if domain is not None else {})

    @property
    def responses(self) -> dict[str, list[Variation]]:
        """The domain's responses: the variations of each, by its name."""
        return self._responses

    @responses.setter
    def responses(self, responses: dict[str, list[Variation]]) -> None:
        # Rasa sets them whenever a model was loaded: the moment to make them known to the loop.
        self._responses = responses
        if not self._enabled:
            return
        self._names = {utter: names_of(utter, variations) for utter, variations in responses.items()}
        replies = [
            Reply(id=name, texts=(variation["text"],) if variation.get("text") else ())
            for utter, variations in responses.items()
            if len(variations) > 1
            for name, variation in zip(self._names[utter], variations, strict=True)
        ]
        if replies:
            runtime().prepare(RESPONSES, self._settings, replies, who="domain")
        if self._recommendations is not None:
            self._recommendations.prepare()

    async def generate(
        self, utter_action: str, tracker: DialogueStateTracker, output_channel: str, **kwargs: Any
    ) -> dict[str, Any] | None:
        """The message for a response, its wording chosen; None when no variation suits."""
        if not self._enabled:
            plain: dict[str, Any] | None = await super().generate(utter_action, tracker, output_channel, **kwargs)
            return plain
        slots = tracker.current_slot_values()
        suitable = self._suitable(utter_action, output_channel, slots)
        if not suitable:
            return None
        situation = situation_of(tracker)
        if utter_action == CARRIER and (found := from_library(situation)) is not None:
            answer, written = found
            text = filled(one_of(written.texts, answer.turn), {**slots, **kwargs})
            return {"text": text, _KEY: _origin(written.id, situation, None)}
        chosen = self._choose(utter_action, suitable, situation)
        watching = self._settings.apprentice
        decided = chosen is not None and chosen.candidate in suitable and not watching
        name = chosen.candidate if chosen and decided else random.choice(list(suitable))
        message = self._fill_response(copy.deepcopy(suitable[name]), slots, **kwargs)
        if (reply := self._reworded(utter_action, name, chosen.version if chosen and decided else None)) is not None:
            message["text"] = filled(one_of(reply.texts, chosen.turn if chosen else None), {**slots, **kwargs})
        message[_KEY] = _origin(utter_action, situation, None if watching else chosen)
        if watching and chosen is not None and chosen.decision is not None:
            message[_KEY]["watched"] = {"decision_id": chosen.decision, "candidate": name}
        return await self._with_items(utter_action, message, tracker, output_channel, situation)

    def _reworded(self, utter: str, name: str, version: int | None) -> Reply | None:
        """The variation in words that somebody wrote for it since the domain did; None where nobody has.

        A response with one variation is known to the loop of actions alone.
        """
        several = len(self.responses[utter]) > 1
        return edited(RESPONSES, name, version) if several else edited(ACTIONS, utter)

    async def _with_items(
        self,
        utter: str,
        filled: dict[str, Any],
        tracker: DialogueStateTracker,
        channel: str,
        situation: Situation | None,
    ) -> dict[str, Any] | None:
        """The message with the items that it is about; what is said instead where none fits."""
        if self._recommendations is None or utter not in (recommend.SHOW, recommend.WHY, recommend.TELL):
            return filled
        items = self._recommendations.render(utter, filled, tracker, situation)
        if utter == recommend.SHOW and not items:
            return await self.generate(recommend.NONE, tracker, channel)
        filled[_KEY][recommend.KEY] = items
        filled[_KEY]["decision_ids"] += [item["decision_id"] for item in items]
        return filled

    def _suitable(self, utter: str, channel: str, slots: dict[str, Any]) -> dict[str, Variation]:
        """The variations that Rasa would throw dice among, by their names."""
        if utter not in self.responses:
            return {}
        names = {id(v): name for v, name in zip(self.responses[utter], self._names[utter], strict=True)}
        found = ResponseVariationFilter(self.responses).responses_for_utter_action(utter, channel, slots)
        return {names[id(variation)]: variation for variation in found}

    def _choose(self, utter: str, suitable: dict[str, Variation], situation: Situation | None) -> Chosen | None:
        if len(suitable) < 2 or situation is None:
            return None
        try:
            live = not self._settings.apprentice
            return runtime().decide(RESPONSES, situation, candidates=list(suitable), live=live)
        except RejoinderError as error:
            # A customer waits: any wording is better than none.
            _log.error("%s: its wording was not chosen: %s", utter, error)
            return None


def _recommendations(options: Any) -> Recommendations:
    where = "nlg in endpoints.yml: recommend"
    if not isinstance(options, dict):
        raise InvalidInput(f"{where} must map names of options to values; got {options!r}")
    return Recommendations(*recommend.Options.of(options, where=where))


def _settings(options: dict[str, Any]) -> LoopSettings:
    return LoopSettings.of(options, where="nlg in endpoints.yml", base=DEFAULTS)


def _origin(candidate: str, situation: Situation | None, wording: Chosen | None) -> dict[str, Any]:
    """Where a message comes from: its turn, and the decisions that led to it, the action's before the wording's."""
    own = wording.decision if wording is not None else None
    if situation is None or situation.conversation is None or situation.message_id is None:
        return {"turn_id": None, "decision_ids": [own] if own else [], "wording_id": own}
    decisions = [
        event.id
        for event in runtime().decisions(situation)
        if event.loop == ACTIONS and event.body["live"] and event.body["chosen"] in (candidate, ABSTAIN)
    ]
    turn = runtime().turn(situation.conversation, situation.message_id)
    return {"turn_id": turn, "decision_ids": [*decisions, *([own] if own else [])], "wording_id": own}
