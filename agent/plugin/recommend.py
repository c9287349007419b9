"""Recommendations in the chat: what a conversation asks for, the items shown, and what is said of them.

Four responses are rendered here, each with the domain's own words around it: `utter_recommend` shows a slate as cards,
`utter_recommend_why` says why, `utter_item` tells of one item, `utter_recommend_none` is said where nothing fits.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from rasa.shared.core.events import BotUttered, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

from agent.decision import Decision, Situation
from agent.errors import InvalidInput, RejoinderError
from agent.items.catalogue import Catalogue
from agent.items.critiques import Vocabulary, read
from agent.items.item import Item
from agent.items.reasons import reasons
from agent.items.recommender import DEFAULTS, Recommender, Shown
from agent.items.tastes import recall, remember
from agent.items.wishes import Turn, pointed_at
from agent.plugin.runtime import encoder, runtime
from agent.settings import LoopSettings, project

SHOW, WHY, TELL, NONE = "utter_recommend", "utter_recommend_why", "utter_item", "utter_recommend_none"
ASK, DISMISS = "ask_about_item", "dismiss_item"  # intents that a card's buttons stand for
KEY = "items"  # of what a message says of the items it shows, beside its decisions
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """In endpoints.yml, under `recommend` of the nlg; beside them the loop's settings.

    `source` is the catalogue (a file, a database or an address; `agent.items.feeds`), `name` the loop's
    (`items:<name>`), `refresh` how often the source is looked at (seconds), `remember` a slot that is true where
    somebody lets their tastes be kept for later conversations, `age` a slot with the customer's age (years). `tell`,
    `dismiss` and `link` are the words on a card's buttons; an empty one has no button.
    """

    source: str
    name: str = "shop"
    refresh: float = 60.0
    remember: str = ""
    age: str = ""
    tell: str = "Tell me more"
    dismiss: str = "Not for me"
    link: str = "See it in the shop"

    @classmethod
    def of(cls, given: Mapping[str, Any], *, where: str) -> tuple[Options, LoopSettings]:
        """The options, and the settings of the loop. Raises InvalidInput."""
        own = {f.name for f in fields(cls)}
        mine = {name: value for name, value in given.items() if name in own}
        for name, value in mine.items():
            if not isinstance(value, float | int if name == "refresh" else str) or isinstance(value, bool):
                raise InvalidInput(f"{where}: {name} cannot be {value!r}")
        if not mine.get("source"):
            raise InvalidInput(f"{where}: source is missing, the catalogue to recommend from")
        rest = {name: value for name, value in given.items() if name not in own}
        if "://" not in mine["source"]:
            mine["source"] = str(project() / mine["source"])
        return cls(**mine), LoopSettings.of(rest, where=where, base=DEFAULTS)


@dataclass(frozen=True)
class Told:
    """A conversation as far as it is about items.

    `situation` is what to look for, `turns` what was said about items, `shown` the items on the latest slate with the
    decisions behind them, `about` the item that the latest message is about.
    """

    situation: Situation
    turns: Sequence[Turn]
    shown: Mapping[str, str]
    about: str | None


class Recommendations:
    """Recommends from one catalogue in Rasa's conversations."""

    def __init__(self, options: Options, settings: LoopSettings) -> None:
        self._options, self._settings = options, settings
        self._lock = threading.Lock()
        self._recommender: Recommender | None = None
        self._catalogue: Catalogue | None = None
        self._looked = 0.0

    def prepare(self) -> None:
        """Load the catalogue. One that cannot be loaded is tried again with the next conversation that asks for it."""
        try:
            self._ready()
        except (RejoinderError, OSError) as error:
            _log.error("the catalogue %s cannot be used: %s", self._options.source, error)

    def render(
        self, utter: str, message: dict[str, Any], tracker: DialogueStateTracker, situation: Situation | None
    ) -> list[dict[str, Any]]:
        """Fill a message of one of the responses; what it says of the items it shows."""
        if situation is None:
            return []
        try:
            recommender = self._ready()
            told = heard(tracker, situation, recommender)
            if utter == WHY:
                message["text"] = _joined(message.get("text"), self._why(told, recommender))
                return []
            self._note(told, recommender)
            if utter == TELL:
                return self._tell(told, message, recommender)
            return self._show(told, message, recommender, tracker)
        except (RejoinderError, OSError) as error:
            # A customer waits: the words are said without items.
            _log.error("%s: nothing was recommended: %s", utter, error)
            return []

    def _ready(self) -> Recommender:
        with self._lock:
            if self._recommender is None:
                options, service = self._options, runtime().service()
                folder = runtime().home / "catalogues" / options.name
                catalogue = Catalogue(
                    options.name, options.source, encoder=encoder(self._settings.encoder), folder=folder
                )
                report = catalogue.load()
                for line, problem in report.problems:
                    _log.warning("the catalogue %s, line %s: %s", options.source, line, problem)
                self._recommender = Recommender(service, catalogue, self._settings)
                self._catalogue, self._looked = catalogue, time.monotonic()
            elif self._catalogue is not None and time.monotonic() > self._looked + self._options.refresh:
                self._looked = time.monotonic()
                threading.Thread(target=partial(_refreshed, self._catalogue), daemon=True).start()
            return self._recommender

    # What is shown

    def _show(
        self, told: Told, message: dict[str, Any], recommender: Recommender, tracker: DialogueStateTracker
    ) -> list[dict[str, Any]]:
        live, service, person = not self._settings.apprentice, runtime().service(), told.situation.person
        if person is not None and self._keeps(tracker):
            # Of before this conversation: what was said in it is in its turns.
            since = next(iter(tracker.events)).timestamp
            wanted = recommender.wishes(told.turns, before=recall(service, recommender.loop, person, before=since))
            remember(service, recommender.loop, person, wanted)
        else:
            wanted = recommender.wishes(told.turns)
        age = tracker.get_slot(self._options.age) if self._options.age else None
        if wanted.age is None and isinstance(age, int | float):
            wanted = replace(wanted, age=int(age))
        slate = self._decided(told, recommender) or recommender.show(told.situation, wanted, live=live)
        if not slate:
            return []
        message["elements"] = [self._card(shown) for shown in slate]
        return [{"id": shown.item.id, "decision_id": shown.decision.id} for shown in slate]

    def _keeps(self, tracker: DialogueStateTracker) -> bool:
        return bool(self._options.remember) and tracker.get_slot(self._options.remember) is True

    @staticmethod
    def _decided(told: Told, recommender: Recommender) -> list[Shown]:
        """The slate that was chosen in this turn already: asked again, it stands."""
        items = recommender.stock.shelf.items
        found = [
            Shown(items[event.body["chosen"]], Decision.of(event))
            for event in runtime().decisions(told.situation)
            if event.loop == recommender.loop and event.body["chosen"] in items
        ]
        return sorted(found, key=lambda shown: shown.decision.position)

    def _card(self, shown: Shown) -> dict[str, Any]:
        item, options = shown.item, self._options
        buttons = [
            {"title": title, "payload": f"/{intent}{json.dumps({'item': item.id})}", "type": "postback"}
            for title, intent in ((options.tell, ASK), (options.dismiss, DISMISS))
            if title
        ]
        if item.link and options.link:
            buttons.append({"title": options.link, "url": item.link, "type": "web_url"})
        card: dict[str, Any] = {"title": item.title, "subtitle": summary(item), "image_url": item.image}
        card["buttons"] = buttons
        if item.link:
            card["default_action"] = {"type": "web_url", "url": item.link}
        return {**{name: value for name, value in card.items() if value}, "decision_id": shown.decision.id}

    def _tell(self, told: Told, message: dict[str, Any], recommender: Recommender) -> list[dict[str, Any]]:
        item = recommender.stock.shelf.items.get(told.about or "")
        if item is None:
            return []
        said = [item.title, priced(item), item.description]
        message["text"] = _joined(message.get("text"), "\n".join(part for part in said if part))
        message["image"] = item.image or message.get("image")
        if item.link and self._options.link:
            message["text"] += f"\n{item.link}"
        return []

    # What is made of it

    def _note(self, told: Told, recommender: Recommender) -> None:
        """Record what the latest message says of the items shown before it."""
        turn, items = told.turns[-1], recommender.stock.shelf.items
        critique, shown = read(turn.text, recommender.stock.vocabulary), [items.get(id) for id in turn.shown]
        like, unlike = pointed_at(critique, shown)
        said = [(item.id, "asked_about") for item in like] + [(item.id, "dismissed") for item in unlike]
        said += [(id, "asked_about") for id in turn.like] + [(id, "dismissed") for id in turn.unlike]
        if critique.more or critique.dearer is not None:
            said += [(id, "asked_for_more") for id in turn.shown if (id, "dismissed") not in said]
        service = runtime().service()
        for id, signal in dict.fromkeys(said):
            if (decision := told.shown.get(id)) is not None:
                event = f"{signal}:{decision}:{told.situation.message_id}"
                with suppress(InvalidInput):
                    service.record(
                        signal=signal,
                        value=1.0,
                        decision=decision,
                        event_id=event,
                        source="conversation",
                        actor=told.situation.person,
                    )

    @staticmethod
    def _why(told: Told, recommender: Recommender) -> str:
        lines, items = [], recommender.stock.shelf.items
        for id, decision in told.shown.items():
            if id in items and told.about in (None, id):
                lines.append(reasons(runtime().service().decision(decision), items[id]))
        return "\n".join(lines)


def heard(tracker: DialogueStateTracker, situation: Situation, recommender: Recommender) -> Told:
    """What a conversation says about items."""
    turns: list[Turn] = []
    shown: dict[str, str] = {}
    about, vocabulary = None, recommender.stock.vocabulary
    events = list(tracker.applied_events())
    latest = max(place for place, event in enumerate(events) if isinstance(event, UserUttered))
    for place, event in enumerate(events[: latest + 1]):
        if isinstance(event, BotUttered):
            shown = _on(event) or shown
        elif isinstance(event, UserUttered) and event.text and (place == latest or _answered_with(events[place + 1 :])):
            intent, here = event.intent.get("name"), list(shown)
            item = _item(event) or next((here[at] for at in _named(event.text, vocabulary, len(here))), None)
            about = item
            turns.append(
                Turn(
                    "" if event.text.startswith("/") else event.text,
                    tuple(shown),
                    like=(item,) if item and intent == ASK else (),
                    unlike=(item,) if item and intent == DISMISS else (),
                )
            )
    wanted = [turn.text for turn in turns if turn.text and not read(turn.text, vocabulary).bare]
    return Told(replace(situation, messages=wanted or situation.messages), turns, shown, about)


def _answered_with(events: Sequence[Event]) -> bool:
    """Whether a message, followed by these events, was answered with items or about one."""
    for event in events:
        if isinstance(event, UserUttered):
            break
        if isinstance(event, BotUttered) and (_on(event) or event.metadata.get("utter_action") == TELL):
            return True
    return False


def _on(event: BotUttered) -> dict[str, str]:
    """The items that a message showed, each with its decision, the first on top."""
    origin = (event.metadata or {}).get("rejoinder") or {}
    return {item["id"]: item["decision_id"] for item in origin.get(KEY) or ()}


def _named(text: str, vocabulary: Vocabulary, shown: int) -> list[int]:
    """The positions, of so many that are shown, that a message refers to."""
    critique = read(text, vocabulary)
    return [at for at in (*critique.like, *critique.unlike) if -shown <= at < shown]


def _item(message: UserUttered) -> str | None:
    """The item that a pressed button was about."""
    return next((str(entity["value"]) for entity in message.entities if entity.get("entity") == "item"), None)


def summary(item: Item) -> str:
    """An item in a line or two, under its title."""
    first = item.description.split(". ")[0].strip().rstrip(".")
    age = f"from {item.minimum_age} years" if item.minimum_age else ""
    return " · ".join(part for part in (priced(item), age, first) if part)


def priced(item: Item) -> str:
    """The price as people read it; empty where nobody knows."""
    if item.price is None:
        return ""
    sign = {"GBP": "£", "EUR": "€", "USD": "$"}.get(item.currency)
    return f"{sign}{item.price:.2f}" if sign else f"{item.price:.2f} {item.currency}".strip()


def _joined(*parts: str | None) -> str:
    return "\n".join(part for part in parts if part)


def _refreshed(catalogue: Catalogue) -> None:
    try:
        catalogue.refresh()
    except (RejoinderError, OSError) as error:
        _log.error("the catalogue %s could not be read again: %s", catalogue.name, error)
