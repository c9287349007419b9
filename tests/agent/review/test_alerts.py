"""Alerts: raised where something is wrong, and silent where it only looks so."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from agent.decision import Situation
from agent.influence import Held
from agent.log import Event
from agent.mailbox import Mailbox
from agent.review import alerts, overview
from agent.review.index import ReviewIndex
from agent.review.overview import Figures, Scope
from agent.review.rows import day_of
from agent.review.sums import Sums

DAY = 86_400.0
NOON = datetime(2026, 3, 2, 12).astimezone().timestamp()


@pytest.fixture
def index(service, home):
    index = ReviewIndex(service.log, home)
    yield index
    index.close()


def ask(service, clock, at, channel, *, thumbs=0):
    clock.now = at
    made = service.decide("replies", Situation(["hello"], f"{channel}{at}", "ann", f"m{at}", channel, {}))
    service.activate(made.id)
    for _ in range(thumbs):
        service.record(signal="thumb", value=1, decision=made.id)


def ready(index):
    index.catch_up()
    index.renew()
    return index


def test_a_channel_is_down_when_it_has_been_silent_for_a_day_and_never_was(service, clock, index):
    for day in range(10):
        ask(service, clock, NOON + day * DAY, "web")
        if day < 8:
            ask(service, clock, NOON + day * DAY, "telegram")
        if day % 3 == 0:
            ask(service, clock, NOON + day * DAY, "email")
    now = NOON + 9 * DAY + 3_600
    assert [(a.kind, a.about) for a in alerts.channels_down(ready(index), now=now)] == [("channel", "telegram")]
    assert alerts.channels_down(index, now=NOON + 7 * DAY + 3_600) == []
    # Then all are, which is one thing to say; and after a fortnight it is no news.
    assert [a.kind for a in alerts.channels_down(index, now=now + 2 * DAY)] == ["silent"]
    assert alerts.channels_down(index, now=now + 30 * DAY) == []


def test_a_channel_is_not_down_before_a_whole_day_has_passed(service, clock, index):
    for day in range(9):
        ask(service, clock, NOON + day * DAY, "web")
    assert alerts.channels_down(ready(index), now=NOON + 9 * DAY - 60) == []
    assert len(alerts.channels_down(index, now=NOON + 9 * DAY + 60)) == 1


def test_a_burst_of_feedback_stands_out_on_its_day(service, clock, index):
    for day in range(12):
        ask(service, clock, NOON + day * DAY, "web", thumbs=40 if day == 10 else 2)
    first = day_of(NOON)
    found = alerts.bursts(ready(index), Scope(first, first + 11))
    assert [(a.day, a.facts["count"], a.facts["usual"]) for a in found] == [(first + 10, 40, 2)]
    assert alerts.bursts(index, Scope(first + 11, first + 11)) == []
    assert alerts.bursts(index, Scope(first, first + 11, channel="email")) == []
    assert len(alerts.bursts(index, Scope(first, first + 11, channel="web", loop="replies"))) == 1


def test_counts_that_scatter_by_chance_seldom_stand_out():
    rng = random.Random(3)
    for rate in (2, 20, 200):
        days = [sum(rng.random() < rate / 1_000 for _ in range(1_000)) for _ in range(400)]
        stood = [day for day in range(28, 400) if alerts.stands_out(days[day], days[day - 28 : day])]
        assert len(stood) <= 1
        assert alerts.stands_out(10 * rate + 20, days[:28])


def test_a_reward_has_dropped_when_the_intervals_part():
    def earned(good, n):
        return Figures(reward=Sums(n, n, n, good, good, good, n))

    assert [a.kind for a in alerts.reward_drop(earned(20, 100), earned(80, 100))] == ["reward"]
    assert alerts.reward_drop(earned(80, 100), earned(20, 100)) == []
    assert alerts.reward_drop(earned(2, 10), earned(6, 10)) == []
    assert alerts.reward_drop(earned(0, 0), earned(6, 10)) == []


def test_drifts_are_those_of_the_days_and_of_the_loop(service):
    body = {"direction": "down", "before": 0.02, "after": -0.31, "credits_before": 412, "credits_after": 38}
    service.log.append(
        [Event(f"alert:{loop}:7", "alert", NOON + n * DAY, loop, body=body) for n, loop in enumerate("ab")]
    )
    both = alerts.drifts(service.log, loop="", since=NOON, until=NOON + 2 * DAY)
    assert [(a.about, a.bad) for a in both] == [("b", True), ("a", True)]
    assert [a.about for a in alerts.drifts(service.log, loop="a", since=NOON, until=NOON + 2 * DAY)] == ["a"]
    assert [a.about for a in alerts.drifts(service.log, loop="", since=NOON, until=NOON + 1)] == ["a"]


def test_held_bursts_are_those_of_the_days():
    day = day_of(NOON)
    bursts = {"replies": [Held("track", 80.0, 12.5, value=0.0, at=NOON)], "items": [Held("mug", 20.0, 9.0, at=NOON)]}
    assert [a.about for a in alerts.held(bursts, Scope(day, day, loop="replies"))] == ["replies/track"]
    assert len(alerts.held(bursts, Scope(day, day))) == 2
    assert alerts.held(bursts, Scope(day + 1, day + 2)) == []


def test_what_waits_or_failed_in_the_mailbox_is_told(service):
    now = [NOON]
    mailbox = Mailbox(service.log, clock=lambda: now[0])
    mailbox.accept("sms", [("1", "eve", {}), ("2", "eve", {})])
    mailbox.post("chat", "ann", [{}])
    assert alerts.stuck(mailbox, now=NOON + 60) == []
    mailbox.undeliverable(mailbox.next_parcel("chat", "ann"), error="gone")
    found = alerts.stuck(mailbox, now=NOON + 3_600)
    assert [(a.kind, a.about, a.facts["count"]) for a in found] == [("failed", "chat", 1), ("waiting", "sms", 2)]
    for key in ("1", "2"):
        delivery = mailbox.next_delivery("sms", "eve")
        assert delivery.key == key
        mailbox.done(delivery)
    assert alerts.stuck(mailbox, now=NOON + 30 * DAY) == []


def test_it_is_found_without_reading_what_is_well(service):
    for table in ("deliveries", "parcels"):
        for state in ("waiting", "failed"):
            sql = f"explain query plan select channel, count(*) from {table} where state = '{state}' group by channel"
            assert all(f"{table}_{state}" in row[3] for row in service.log.rows(sql))


def test_nothing_is_alarming_about_nothing(index):
    assert alerts.channels_down(index, now=NOON) == []
    assert alerts.bursts(index, Scope(1, 10)) == []
    assert overview.span(index) is None
    assert overview.topics(index, Scope(1, 10)) == []
    assert overview.extremes(index, Scope(1, 10)) == ([], [])
