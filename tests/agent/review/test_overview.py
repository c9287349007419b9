"""The overview's figures: sums over days are sums over rows, filters part them, and links count the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.candidates import Reply
from agent.decision import Situation
from agent.errors import Conflict, InvalidInput
from agent.review import overview
from agent.review.conversations import count
from agent.review.filters import Filter
from agent.review.index import ReviewIndex
from agent.review.overview import Figures, Scope
from agent.review.sums import Sums
from agent.service import Service
from tests.agent.review.test_index import STEPS, History

DAY = 86_400.0


def scopes(index: ReviewIndex, day: int) -> Iterator[Scope]:
    """A day, and every part of it that anything asked for by itself is."""
    every = Scope(day, day)
    yield every
    for kind, column in (("channel",) * 2, ("language",) * 2, ("loop",) * 2, ("version", "model_version")):
        for row in index.rows(f"select distinct {column} as value from decisions where {column} is not null"):
            yield replace(every, **{kind: row["value"]})


def same(one: Figures, other: Figures) -> bool:
    return one.counts == other.counts and all(
        astuple(a) == pytest.approx(astuple(b))
        for a, b in ((one.reward, other.reward), (one.satisfaction, other.satisfaction))
    )


def play(home: Any, steps: Any) -> tuple[History, ReviewIndex]:
    """A history with hours between its steps, and its index."""
    history = History(home)
    for what, which, value in steps:
        history.clock.now += 17_000.0
        if what != "fold":
            try:
                history.do(what, which, value)
            except (InvalidInput, Conflict):
                continue
    index = ReviewIndex(history.service.log, home)
    index.catch_up()
    index.renew()
    return history, index


@given(STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_sums_by_day_are_those_of_the_rows_for_every_filter(tmp_path_factory, steps):
    history, index = play(tmp_path_factory.mktemp("home"), steps)
    span = overview.span(index)
    for day in range(span[0], span[1] + 1) if span else ():
        for scope in scopes(index, day):
            by_day = overview.by_day(index, scope).get(day, Figures())
            assert same(by_day, overview.of_day(index, scope)), scope
            hours = overview.by_hour(index, scope, midnight=0.0)
            assert overview.total(hours).counts == by_day.counts
            assert overview.total(hours).reward.total == pytest.approx(by_day.reward.total)
    index.close()
    history.service.close()


@given(STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_channels_part_what_happened_and_links_count_the_conversations(tmp_path_factory, steps):
    history, index = play(tmp_path_factory.mktemp("home"), steps)
    if span := overview.span(index):
        # Conversations of words alone may have begun before the first decision.
        scope = Scope(span[0] - 30, span[1] + 30)
        everything = overview.total(overview.by_day(index, scope)).counts
        parts = [replace(scope, channel=channel) for channel in ("web",)]
        inside = sum((overview.total(overview.by_day(index, part)).counts for part in parts), start=overview.Counts())
        nameless = index.row("select count(*) as n from conversations where channel is null")["n"]
        assert everything.conversations == inside.conversations + nameless
        for asked, figure in (
            ({}, everything.conversations),
            ({"was": ["handed over"]}, everything.handovers),
            ({"said": ["good", "bad"]}, everything.spoke),
            ({"channel": ["web"]}, inside.conversations),
        ):
            pairs = [(kind, value) for kind, values in asked.items() for value in values]
            assert count(index, Filter.of(pairs)) == figure, asked
        signals = overview.by_signal(index, scope)
        standing = "select count(*) as n from outcomes where standing and signal = ?"
        assert {name: sums.fed for name, sums in signals.items()} == {
            name: index.row(standing, (name,))["n"] for name in signals
        }
    index.close()
    history.service.close()


def talk(service: Service, clock: Any, n: int, *, intent: str, value: int) -> None:
    """A conversation of one question under an intent, and a thumb on its answer."""
    cues = {f"intent:{intent}": 0.9, "language:en": 1.0}
    made = service.decide("replies", Situation([f"{intent} {n}"], f"{intent}-{n}", f"p{n}", f"m{n}", "web", cues))
    assert made is not None
    service.activate(made.id)
    service.record(signal="thumb", value=value, turn=made.turn)


def test_a_topic_falls_where_it_is_clear_and_nowhere_else(service, clock, home):
    for n in range(60):
        talk(service, clock, n, intent="returns", value=int(n % 10 != 0))
        talk(service, clock, n, intent="parcels", value=n % 2)
    clock.now += DAY
    for n in range(60, 120):
        talk(service, clock, n, intent="returns", value=int(n % 10 == 0))
        talk(service, clock, n, intent="parcels", value=n % 2)
    index = ReviewIndex(service.log, home)
    index.catch_up()
    index.renew()
    last = overview.span(index)[1]
    found = overview.topics(index, Scope(last, last))
    assert [(topic.intent, topic.falling) for topic in found] == [("returns", True), ("parcels", False)]
    assert found[0].asked == 60
    assert found[0].change == pytest.approx(-0.8)
    assert found[1].chance > 0.2
    best, worst = overview.extremes(index, Scope(last, last))
    assert not {reply.id for reply in best} & {reply.id for reply in worst}
    index.close()


@given(st.integers(1, 30), st.integers(0, 30))
def test_the_mean_lies_in_its_interval(n, good):
    good = min(n, good)
    low, high = Sums(n, n, n, good, good, good, n).interval
    assert 0.0 <= low <= good / n <= high <= 1.0
    assert low < 1.0
    assert high > 0.0


def test_one_thumb_makes_neither_the_best_reply_nor_the_worst(service, home):
    thumbs = {"good": 24 * [1] + [0], "lucky": [1], "fair": 10 * [1, 0], "unlucky": [0], "bad": 24 * [0] + [1]}
    service.reconcile("replies", [Reply(id, (f"words {id}",)) for id in thumbs], who="test")
    for id, values in thumbs.items():
        for n, value in enumerate(values):
            asked = Situation(["hello"], f"{id}{n}", f"{id}{n}", f"m{n}", "web", {})
            made = service.decide("replies", asked, candidates=[id])
            service.record(signal="thumb", value=value, decision=made.id)
    index = ReviewIndex(service.log, home)
    index.catch_up()
    index.renew()
    span = overview.span(index)
    best, worst = overview.extremes(index, Scope(*span))
    assert [(reply.id, reply.live) for reply in best] == [("good", 25), ("fair", 20), ("lucky", 1)]
    assert [reply.id for reply in worst] == ["bad", "unlucky"]
    assert [reply.id for reply in overview.extremes(index, Scope(*span), most=1)[1]] == ["bad"]
    index.close()
