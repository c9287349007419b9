"""Figures of replies equal what is counted over the decisions themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.console.formats import moment
from agent.decision import Situation
from agent.review import contexts
from agent.review import replies as review
from agent.review.index import ReviewIndex
from agent.review.replies import Span
from agent.review.sums import Sums
from agent.service import Service
from tests.agent.conftest import Clock

LOOP = "replies"


@pytest.fixture
def index(service: Service, clock: Clock) -> ReviewIndex:
    """Ninety decisions over a month, two of three with feedback; in the middle, one reply gets other words."""
    for n in range(90):
        if n == 45:
            service.edit(LOOP, "refund", ["Five working days."], who="ann")
        clock.now += 30_000.0
        situation = Situation(
            [f"question {n % 7}"], f"c{n % 20}", "p", f"m{n}", "web", {"intent:money" if n % 3 else "intent:other": 1.0}
        )
        made = service.decide(LOOP, situation, seed=n)
        assert made is not None
        if n % 5:
            service.activate(made.id)
        if n % 3:
            service.record(signal="thumb", value=n % 2, decision=made.id)
    index = ReviewIndex(service.log, service.home)
    index.catch_up()
    index.renew()
    return index


def of(index: ReviewIndex, where: str, *values: object) -> tuple[int, int, float | None]:
    mean = "sum(reward * weight) / sum(case when reward is not null then weight end) as mean"
    sql = f"select sum(activated) as shown, count(reward) as fed, {mean} from decisions where loop = ? and {where}"
    row = index.row(sql, (LOOP, *values))
    assert row is not None
    return row["shown"] or 0, row["fed"], row["mean"]


def same(shown: int, sums: Sums, expected: tuple[int, int, float | None]) -> None:
    assert (shown, sums.fed) == expected[:2]
    assert sums.mean == pytest.approx(expected[2]) if expected[2] is not None else sums.mean is None


def test_figures_are_the_counts(index: ReviewIndex, clock: Clock) -> None:
    today = moment(clock.now).date()
    for period in review.PERIODS:
        span = Span.of(period, today=today, oldest=review.oldest(index, LOOP))
        found = review.figures(index, LOOP, span)
        total = of(index, "day between ? and ?", span.first, span.last)[0]
        assert sum(figures.share for figures in found.values()) == pytest.approx(1.0)
        for id, figures in found.items():
            expected = of(index, "chosen = ? and day between ? and ?", id, span.first, span.last)
            same(figures.shown, figures.sums, expected)
            assert figures.share == pytest.approx(figures.shown / total)
            before = of(index, "chosen = ? and day between ? and ?", id, span.before.first, span.before.last)
            assert figures.before.fed == before[1]
            stretches = review.over_time(index, LOOP, id, span)
            assert sum(stretch.shown for stretch in stretches) == figures.shown
            assert sum((stretch.sums for stretch in stretches), Sums()).fed == figures.sums.fed
            assert len(figures.curve) <= review.BUCKETS


def test_versions_and_topics_are_the_counts(index: ReviewIndex, clock: Clock) -> None:
    versions = review.by_version(index, LOOP, "refund")
    assert set(versions) == {1, 2}
    for version, figures in versions.items():
        same(figures.shown, figures.sums, of(index, "chosen = 'refund' and version = ?", version))
    span = Span.of("all", today=moment(clock.now).date(), oldest=review.oldest(index, LOOP))
    topics = review.topics(index, LOOP, "refund", span)
    assert {topic.name for topic in topics} == {"money", "other"}
    for topic in topics:
        mine = of(index, "chosen = 'refund' and intent = ?", topic.name)
        same(topic.shown, topic.mine, mine)
        others = of(index, "chosen <> 'refund' and intent = ?", topic.name)
        same(others[0], topic.others, others)
        assert topic.share == pytest.approx(mine[0] / (mine[0] + others[0]))


def test_questions_are_told_by_how_often(index: ReviewIndex) -> None:
    found = review.questions(index, LOOP, "refund")
    assert sum(question.times for question in found) == of(index, "chosen = 'refund'")[0] + len(
        index.rows("select 1 from decisions where chosen = 'refund' and not activated")
    )
    assert [question.times for question in found] == sorted((question.times for question in found), reverse=True)


def counted(good: int, bad: int) -> Sums:
    n = good + bad
    return Sums(n, n, float(n), float(good), float(good), float(good), float(n))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_a_difference_turns_with_its_sides(a: int, b: int, c: int, d: int) -> None:
    mine, others = counted(a, b), counted(c, d)
    if not a + b or not c + d:
        return
    low, value, high = review.difference(mine, others)
    assert -1.0 <= low <= value <= high <= 1.0
    back = review.difference(others, mine)
    assert back == pytest.approx((-high, -value, -low))


def test_it_wins_where_the_difference_is_sure() -> None:
    rows = [
        ("sure", True, 100, counted(90, 10)), ("sure", False, 100, counted(30, 70)), ("few", True, 2, counted(1, 0)),
        ("few", False, 2, counted(0, 1)), ("worse", True, 100, counted(10, 90)), ("worse", False, 9, counted(60, 40)),
        ("alone", True, 1, counted(1, 0)), ("theirs", False, 1, counted(1, 0)),
    ]  # fmt: skip
    found = {topic.name: topic.verdict for topic in review.topics_of(rows)}
    assert found == {"sure": "wins", "few": "even", "worse": "loses", "alone": "unknown"}


def test_what_newcombe_reports_comes_out() -> None:
    # Newcombe 1998, table II, case (a) by method 10: 56/70 against 48/80 is 0.0524 to 0.3339. Ours counts clusters, of
    # which one is lost to the mean.
    low, value, high = review.difference(counted(56, 14), counted(48, 32))
    assert (low, value, high) == pytest.approx((0.0524, 0.2, 0.3339), abs=1.5e-3)


def test_without_intents_topics_are_what_was_asked(service: Service, clock: Clock) -> None:
    for n in range(24):
        made = service.decide(LOOP, Situation([f"question {n % 3}"], f"c{n % 10}", "p", f"m{n}"), seed=n)
        assert made is not None
        service.record(signal="thumb", value=n % 2, decision=made.id)
    index = ReviewIndex(service.log, service.home)
    index.catch_up()
    found = contexts.given(index, service.log, LOOP, encoder=service.overview(LOOP).settings.encoder)
    assert len(found) == 24
    topics = contexts.topics(found, "refund")
    assert sum(topic.shown for topic in topics) == of(index, "chosen = 'refund'")[0]
    for topic in topics:
        texts = [one.name for one in found]
        assert topic.name in texts
        assert topic.mine.fed + topic.others.fed == texts.count(topic.name)
