"""Gifts: simulated customers who ask what to buy, are shown things of the shop's catalogue, and click or do not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from agent.demo.conversation import Floor, Steps
from agent.demo.desk import Talk
from agent.demo.mark import WHO
from agent.demo.people import Customer
from agent.demo.plan import ITEMS
from agent.demo.shop import SHIPPED
from agent.items.catalogue import Catalogue
from agent.items.item import Item
from agent.items.recommender import DEFAULTS, Recommender, Shown
from agent.items.wishes import Turn
from agent.service import Service

# What those who are content with a thing do with it, and how often.
_CLICKED, _ASKED, _ADDED, _BOUGHT = 0.8, 0.35, 0.4, 0.5
_LOOKED_AT = (0.95, 0.75, 0.6)


class Gifts:
    """Recommends from the shop's catalogue, in the loop `items:shop`."""

    def __init__(self, service: Service, home: Path, *, project: Path = SHIPPED) -> None:
        self._service = service
        service.configure(ITEMS, DEFAULTS, who=WHO)
        catalogue = Catalogue(
            "shop",
            project / "catalogue.csv",
            encoder=service.encoder(DEFAULTS.encoder),
            folder=home / "catalogues" / "shop",
        )
        catalogue.load()
        self._recommender = Recommender(service, catalogue, DEFAULTS)

    def conversation(self, floor: Floor, number: int, customer: Customer, rng: random.Random) -> Steps:
        """A customer who looks for something, once or twice."""
        talk, turns = Talk(f"{customer.id}/gift-{number}", customer), list[Turn]()
        shown: list[Shown] = []
        for what in ("recommend", "cheaper"):
            text = floor.questions.said(what, customer.language, rng)
            situation = floor.desk.hear(talk, text, {"recommend" if not turns else "refine_recommendation": 0.85})
            turns.append(Turn(text, tuple(one.item.id for one in shown)))
            yield 1.5
            shown = self._recommender.show(situation, self._recommender.wishes(turns), seed=rng.getrandbits(53))
            listed = ", ".join(one.item.title for one in shown)
            floor.desk.say(talk, f"How about one of these? {listed}" if shown else "I have nothing like that.", None)
            for one in shown:
                self._service.activate(one.decision.id)
            yield rng.uniform(8.0, 60.0)
            if self._react(self._seen(shown, rng)) or rng.random() < 0.5:
                break

    def _seen(self, shown: list[Shown], rng: random.Random) -> list[tuple[Shown, str, float]]:
        """What somebody does with the things shown, each with the signal and its value."""
        found: list[tuple[Shown, str, float]] = []
        for place, one in enumerate(shown):
            if rng.random() >= _LOOKED_AT[min(place, 2)] or rng.random() >= liking(one.item):
                continue
            chances = ((_CLICKED, "click", 1.0), (_ASKED, "asked_about", 1.0), (_ADDED, "added", 1.0))
            found += [(one, signal, value) for chance, signal, value in chances if rng.random() < chance]
            if rng.random() < _ADDED * _BOUGHT:
                found.append((one, "bought", one.item.price or 1.0))
        return found

    def _react(self, reactions: Sequence[tuple[Shown, str, float]]) -> bool:
        """Record what somebody does; whether that is anything at all."""
        for one, signal, value in reactions:
            event = f"{signal}:{one.decision.id}"
            self._service.record(signal=signal, value=value, decision=one.decision.id, event_id=event, source="web")
        return bool(reactions)


def liking(item: Item) -> float:
    """How many like a thing: a hidden taste of the whole town, the same whenever it is asked for."""
    return 0.05 + 0.6 * random.Random(item.id).random() ** 2
