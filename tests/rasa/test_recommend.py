"""Recommendations in a conversation with the shipped assistant: over REST, on a channel with cards, in the terminal."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rasa")

from rasa.shared.core.events import SlotSet, UserUttered
from rasa.shared.core.slots import AnySlot
from rasa.shared.core.trackers import DialogueStateTracker

from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.plugin.recommend import SHOW, Options, Recommendations
from agent.plugin.situation import situation_of
from agent.service import Service
from tests.rasa.server import RasaServer, environment

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
GIFT = "I'm looking for a gift under 30 pounds for someone who likes to cook"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def catalogue(root: Path) -> dict[str, dict[str, str]]:
    """The shipped catalogue, as the file has it."""
    with (root / "training_data/catalogue.csv").open(encoding="utf-8", newline="") as file:
        return {row["title"]: row for row in csv.DictReader(file)}


class Customer:
    """Somebody in a conversation of their own."""

    def __init__(self, server: RasaServer) -> None:
        self.server, self.sender = server, uuid.uuid4().hex

    def say(self, text: str) -> list[dict[str, Any]]:
        return self.server.say(text, sender=self.sender)

    def shown(self, text: str) -> list[dict[str, Any]]:
        """The cards that come as an answer."""
        return [card for message in self.say(text) for card in message.get("elements") or ()]

    def outcomes(self, count: int) -> dict[str, list[str]]:
        """The signals on each decision, as soon as there are so many of this conversation's."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found: dict[str, list[str]] = {}
            for event in self.events("outcome"):
                if event.body["source"] == "conversation" and event.decision:
                    found.setdefault(event.decision, []).append(event.body["signal"])
            if sum(map(len, found.values())) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"fewer than {count} outcomes: {found}")

    def events(self, kind: str) -> list[Event]:
        """The events of this customer's."""
        service = Service(self.server.home)
        who = service.identity.person(self.sender)
        found = [e for e in service.log.read(kinds=(kind,)) if who in (e.body.get("actor"), e.body.get("person"))]
        service.log.close()
        return found


@pytest.fixture
def customer(shipped: RasaServer) -> Customer:
    return Customer(shipped)


def titles(cards: list[dict[str, Any]]) -> list[str]:
    return [card["title"] for card in cards]


def test_three_fitting_and_different_items_are_shown_and_turning_them_down_brings_others(customer, catalogue):
    first = customer.shown(GIFT)
    assert len(set(titles(first))) == 3
    assert all(float(catalogue[title]["price"]) <= 30.0 for title in titles(first))
    assert any("cooks" in catalogue[title]["suits"] for title in titles(first))
    second = customer.shown("none of these")
    assert len(set(titles(second)) | set(titles(first))) == 6
    assert all(float(catalogue[title]["price"]) <= 30.0 for title in titles(second))
    signals = customer.outcomes(3)
    assert signals == {card["decision_id"]: ["dismissed"] for card in first}


def test_critiques_change_the_next_three(customer, catalogue):
    first = customer.shown(GIFT)
    dearest = sorted(float(catalogue[title]["price"]) for title in titles(first))[1]
    cheaper = customer.shown("something cheaper, not ceramic")
    assert cheaper
    for title in titles(cheaper):
        assert float(catalogue[title]["price"]) < dearest
        assert "ceramic" not in catalogue[title]["material"]
    like = customer.shown("something like the second one")
    assert not set(titles(like)) & set(titles(first) + titles(cheaper))
    signals = customer.outcomes(4)
    assert signals[cheaper[1]["decision_id"]] == ["asked_about"]
    assert {signal for card in first for signal in signals[card["decision_id"]]} == {"asked_for_more"}


def test_buttons_of_a_card_are_about_its_item_alone(customer, catalogue):
    first = customer.shown(GIFT)
    tell, dismiss = (button["payload"] for button in first[1]["buttons"] if button.get("payload"))
    (told,) = [message["text"] for message in customer.say(tell) if message.get("text")]
    assert titles(first)[1] in told
    assert catalogue[titles(first)[1]]["description"] in told
    second = customer.shown(dismiss)
    assert titles(first)[1] not in titles(second)
    signals = customer.outcomes(2)
    assert signals == {first[1]["decision_id"]: ["asked_about", "dismissed"]}


def test_why_is_answered_by_the_exact_split_of_the_score(customer):
    cards = customer.shown(GIFT)
    said = "\n".join(message.get("text", "") for message in customer.say("why these?"))
    log = LearningLog(customer.server.home / "learning.db")
    for card in cards:
        line = next(line for line in said.splitlines() if line.startswith(f"{card['title']}: "))
        body = log.event(card["decision_id"]).body
        expected = sum(part[body["index"]] for part in body["parts"].values())
        assert float(re.search(r": (-?\d\.\d\d) expected", line)[1]) == pytest.approx(expected, abs=0.006)
        parts = [float(number) for number in re.findall(r"[+-]\d\.\d\d(?= )", line)]
        assert sum(parts) == pytest.approx(expected, abs=0.03)
        assert f"{body['propensity']:.0%}" in line
    log.close()


def test_where_nothing_fits_that_is_said(customer):
    messages = customer.say("a gift under 1 pound, please")
    assert not [card for message in messages for card in message.get("elements") or ()]
    assert messages[0]["text"]
    assert not [event for event in customer.events("decision") if event.loop == "items:shop"]


def test_what_is_bought_is_money_and_teaches_the_loop(customer):
    cards = customer.shown(GIFT)
    answer = customer.server.feedback(decision_id=cards[0]["decision_id"], signal="bought", value=24.5)
    assert answer.status_code == 200, answer.text
    service = Service(customer.server.home)
    event = service.decision(cards[0]["decision_id"])
    model = service.model("items:shop")
    assert model.ledger.reward(event.id).value == 1.0
    service.close()


def test_in_the_terminal_cards_are_listed_and_why_takes_the_slate_apart(root, shipped_model, tmp_path):
    lines = f"{GIFT}\n/why\nnone of these\n1\n/quit\n"
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / shipped_model.name).symlink_to(shipped_model)
    done = subprocess.run(
        [sys.executable, "-m", "agent", "chat"],
        cwd=root,
        env={**environment(home), "COLUMNS": "200"},
        input=lines,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("1. Tell me more   2. Not for me") == 2
    why = done.stdout.split("/why")[1].split("none of these")[0]
    assert why.count("loop items:shop") == 3
    assert "diversity" in why


def test_the_readmes_lines_are_taken_and_wrong_ones_are_refused(root):
    section = (root / "README.md").read_text(encoding="utf-8").split("## Recommend items")[1].split("\n## ")[0]
    block = re.search(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[1]
    given = yaml.safe_load(block.replace("# refresh", "refresh").replace("# remember", "remember"))["nlg"]["recommend"]
    options, loop = Options.of(given, where="README")
    assert (Path(options.source).name, options.refresh, options.remember) == ("catalogue.csv", 60, "keep_tastes")
    assert loop.slate["k"] == 3
    slate = yaml.safe_load(re.search(r"`(slate: \{.*?\})`", section)[1])
    assert Options.of({**given, **slate}, where="README")[1].slate["most"] == 2
    for wrong in ({}, {"source": 3}, {**given, "refresh": "often"}, {**given, "slate": {"k": 0}}, {**given, "hue": 1}):
        with pytest.raises(InvalidInput, match="README"):
            Options.of(wrong, where="README")


def test_tastes_and_the_age_come_from_the_slots_that_the_options_name(root, shared):
    given = {"source": str(root / "training_data/catalogue.csv"), "remember": "keep", "age": "years"}
    recommendations = Recommendations(*Options.of(given, where="test"))

    def shown(text, **slots):
        tracker = DialogueStateTracker("eve", [AnySlot(name, mappings=[{}]) for name in ("keep", "years")])
        tracker.update(UserUttered(text, intent={"name": "recommend"}))
        for name, value in slots.items():
            tracker.update(SlotSet(name, value))
        message = {}
        recommendations.render(SHOW, message, tracker, situation_of(tracker))
        return [card["title"] for card in message.get("elements", ())]

    knife = "Cook's knife, 18 cm"
    assert knife in shown("a knife for a cook, 18 cm, patient blade")
    assert knife not in shown("a knife for a cook, 18 cm, patient blade", years=12)
    assert not list(shared.service().log.read(kinds=("tastes",)))
    assert shown("a blanket, not wool", keep=True)
    (kept,) = shared.service().log.read(kinds=("tastes",))
    assert kept.body["dislikes"] == ["material:wool"]
