"""Slates: a decision for each position, with the probabilities it was drawn from, made again, and learned from."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.candidates import Reply
from agent.errors import InvalidInput
from agent.ledger import credit_of, rules_of
from agent.model import Model
from agent.moment import Moment
from agent.rewards import looked_at
from agent.settings import LoopSettings
from agent.slates import SlateSettings
from agent.verification import verify
from policies.base import draw
from tests.agent.conftest import asked

ITEMS = [Reply(f"item{n}", (f"Thing number {n}",), {f"kind:{n % 3}": 1.0}) for n in range(9)]
GROUPS = {item.id: f"group{n % 3}" for n, item in enumerate(ITEMS)}
SETTINGS = LoopSettings(
    learner={"alpha": 0.2, "parts": "hybrid", "prior_match": 0.3, "feature_scale": 0.0},
    wait=10.0,
    default_reward=0.0,
    default_weight=1.0,
    slate={"k": 3, "strength": 0.3, "popularity": 0.2, "novelty": 0.1},
)


@pytest.fixture
def shop(open_service):
    service = open_service()
    service.configure("items", SETTINGS, who="test")
    service.reconcile("items", ITEMS, who="test")
    return service


def again(service, decision):
    event = service.decision(decision.id)
    return Moment.of(event, service.log, Model(service.log, event.loop))


def chosen(slate):
    return [decision.chosen for decision in slate]


def test_each_position_is_a_decision_among_those_not_above_it(shop):
    slate = shop.decide_slate("items", asked(), seed=5)
    assert len(set(chosen(slate))) == 3
    assert [decision.position for decision in slate] == [0, 1, 2]
    assert len({decision.slate for decision in slate}) == 1
    for number, decision in enumerate(slate):
        body = shop.decision(decision.id).body
        above = chosen(slate[:number])
        assert [decision.probabilities[id] for id in above] == [0.0] * number
        assert sum(decision.probabilities.values()) == pytest.approx(1.0)
        assert draw(body["probabilities"], body["seed"]) == body["index"]
        assert body["propensity"] == body["probabilities"][body["index"]]
    assert chosen(shop.decide_slate("items", asked(message="m2"), seed=5)) == chosen(slate)


@pytest.mark.parametrize("diversity", ["mmr", "dpp"])
def test_any_position_comes_out_again_whatever_was_learned_since(shop, diversity):
    shop.configure("items", LoopSettings.of({"slate": {"diversity": diversity}}, where="test", base=SETTINGS), who="t")
    for number in range(6):
        slate = shop.decide_slate("items", asked(f"about {number}", message=f"m{number}"), seed=number, groups=GROUPS)
        for decision in slate:
            shop.activate(decision.id)
        shop.record(signal="click", value=1, decision=slate[number % 3].id)
    for event in shop.log.read(kinds=("decision",), loop="items"):
        found = Moment.of(event, shop.log, Model(shop.log, "items")).recompute()
        assert found.repeats
        assert found.expected_difference <= 1e-9
    assert verify(shop)["ok"]


def test_no_more_of_a_group_than_the_settings_say_and_pinned_ones_first(shop):
    shop.configure("items", LoopSettings.of({"slate": {"most": 1}}, where="test", base=SETTINGS), who="test")
    shop.mark("items", "item4", state="pinned", who="test")
    for seed in range(20):
        slate = shop.decide_slate("items", asked(message=f"m{seed}"), seed=seed, groups=GROUPS, k=5)
        assert slate[0].chosen == "item4"
        assert sorted(GROUPS[id] for id in chosen(slate)) == ["group0", "group1", "group2"]


def test_a_blocked_item_is_in_no_slate(shop):
    shop.mark("items", "item1", state="blocked", who="test")
    slate = shop.decide_slate("items", asked(), k=9, seed=1)
    assert len(slate) == 8
    assert "item1" not in chosen(slate)


def test_what_was_passed_over_teaches_less_the_lower_it_stood(shop, clock):
    slate = shop.decide_slate("items", asked(), seed=3)
    for decision in slate:
        shop.activate(decision.id)
    shop.record(signal="click", value=1, decision=slate[1].id)
    clock.now += 100.0
    assert shop.expire() == 2
    rules, weights = rules_of(shop.log, "items"), []
    for decision in slate:
        event = shop.decision(decision.id)
        reward = credit_of(shop.log, event, shop.log.evidence(event), rules)
        expected = sum(part[event.body["index"]] for part in event.body["parts"].values())
        examination = SlateSettings().looked_at(decision.position)
        if decision is slate[1]:
            assert (reward.value, reward.weight) == (1.0, 0.5)  # a click at its own weight
        else:
            assert (reward.value, reward.weight) == (0.0, pytest.approx(looked_at(examination, expected)))
            weights.append(reward.weight)
    assert weights[0] > weights[1]


def test_popularity_and_novelty_are_what_the_feedback_so_far_says(shop):
    for number in range(8):
        (decision,) = shop.decide_slate("items", asked(message=f"m{number}"), candidates=[f"item{number % 2}"], k=1)
        shop.record(signal="thumb", value=int(decision.chosen == "item0"), decision=decision.id)
    body = shop.decision(shop.decide_slate("items", asked(message="last"))[0].id).body
    cues = dict(zip(body["candidates"], zip(*body["cues"].values(), strict=True), strict=True))
    names = list(body["cues"])
    popularity, novelty = names.index("popularity"), names.index("novelty")
    assert cues["item5"][popularity] == pytest.approx(0.0)
    assert cues["item0"][popularity] > 0.0 > cues["item1"][popularity]
    assert cues["item5"][novelty] == 1.0 > cues["item0"][novelty]
    assert body["context"]["features"]["popularity"] == 0.2


def test_diversity_sets_the_items_of_a_slate_apart(open_service):
    service = open_service()
    service.configure("items", SETTINGS, who="test")
    service.reconcile("items", [Reply(f"copy{n}", ("The very same",)) for n in range(3)] + ITEMS[:2], who="test")
    copies = {}
    for strength in (0.0, 1.0):
        own = {"slate": {"strength": strength}, "alpha": 0.05, "prior_slope": 0.0, "prior_intercept": 0.5}
        base = LoopSettings.of(own, where="test", base=SETTINGS)
        service.configure("items", base, who="test")
        shown = Counter()
        for seed in range(30):
            slate = service.decide_slate("items", asked(message=f"{strength}-{seed}"), seed=seed)
            shown[sum(id.startswith("copy") for id in chosen(slate))] += 1
        copies[strength] = sum(n * count for n, count in shown.items()) / 30
    assert copies[1.0] < copies[0.0] - 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0}, {"k": 11}, {"k": True}, {"most": 0}, {"strength": 2}, {"diversity": "random"}, {"examination": -1},
        {"novelty": "much"}, {"colour": 1}, 3,
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_in_one_line(wrong):
    with pytest.raises(InvalidInput, match="slate") as refused:
        LoopSettings(slate=wrong)
    assert len(str(refused.value).splitlines()) == 1
