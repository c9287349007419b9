"""Finding conversations: every filter as an address, every page of every order, and changes to all that is found."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import Conflict, InvalidInput, Unknown
from agent.review.bulk import AT_ONCE, Bulks
from agent.review.conversations import SORTS, beside, count, facets, keys, page, place_of
from agent.review.export import KINDS as EXPORTS
from agent.review.export import export, guarded
from agent.review.filters import KINDS, WHENS, Filter
from agent.review.index import ReviewIndex
from agent.review.thread import thread
from tests.agent.review.test_index import History

NOW = 1_000_000.0
ANYTHING = st.text(max_size=60)
WORDS = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)
NUMBERS = st.none() | st.integers(0, 1_000).map(lambda n: n / 1_000)
RANGES = st.tuples(NUMBERS, NUMBERS)
FACETS = st.lists(st.tuples(st.sampled_from(KINDS), WORDS), max_size=3, unique=True).map(tuple)
DAYS = st.none() | st.dates(date(1971, 1, 1), date(2999, 12, 31))
FILTERS = st.builds(
    Filter, q=st.just("") | WORDS, when=st.sampled_from(["", *WHENS]), since=DAYS, until=DAYS, facets=FACETS,
    without=FACETS, reward=RANGES, uncertainty=RANGES,
).filter(lambda f: not (f.since and f.until and f.since > f.until))  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: Any) -> Iterator[History]:
    """Some conversations, of which each has something that others have not."""
    made = History(tmp_path_factory.mktemp("home"))
    for n in range(60):
        made.service.decide("replies", _situation(n), seed=n)
        if n % 3 == 0:
            decision = made.service.log.decisions(column="conversation", value=_hashed(made, n))[0]
            made.service.record(signal="thumb", value=n % 2, decision=decision.id)
        made.clock.now += 50.0 * (n % 2)  # some begin at the same moment but for their place
    yield made
    made.service.close()


@pytest.fixture(scope="module")
def index(history: History, tmp_path_factory: Any) -> ReviewIndex:
    made = ReviewIndex(history.service.log, tmp_path_factory.mktemp("index"))
    made.catch_up()
    return made


def _situation(n: int) -> Any:
    from agent.decision import Situation

    channel = ("web", "mail", None)[n % 3]
    text = f"where is parcel {n}" if n % 4 else f"the {n}th of “crème brûlée” & co"
    return Situation(
        [text], f"c{n}", f"p{n}", f"m{n}", channel, {"intent:track": 0.9, f"language:{'en' if n % 2 else 'de'}": 1.0}
    )


def _hashed(history: History, n: int) -> str:
    return history.service.identity.conversation(f"c{n}")


@given(FILTERS)
def test_a_filter_is_what_its_pairs_say(asked: Filter) -> None:
    assert Filter.of(asked.pairs()) == asked


@given(
    st.lists(
        st.tuples(st.sampled_from([*KINDS, "q", "when", "from", "to", "not", "reward", "uncertainty", "x"]), ANYTHING)
    )
)
def test_whatever_an_address_says_is_a_filter_or_refused_by_name(pairs: list[tuple[str, str]]) -> None:
    trouble, asked = "", Filter()
    try:
        asked = Filter.of(pairs)
    except InvalidInput as error:
        trouble = str(error)
    assert not trouble or trouble.split(":")[0] in dict(pairs)
    assert Filter.of(asked.pairs()) == asked


@given(ANYTHING | st.text(alphabet="\"*^-+():{}[]andorNEAR_ '\\\x00é½", max_size=30))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_that_is_looked_for_is_an_error(index: ReviewIndex, text: str) -> None:
    asked = Filter(q=text)
    assert len(page(index, asked, limit=100, now=NOW).rows) == count(index, asked, now=NOW)


def test_words_are_found_with_or_without_accents_and_as_far_as_typed(index: ReviewIndex) -> None:
    def found(q: str) -> int:
        return count(index, Filter(q=q))

    assert found("parcel") == 45
    assert found("creme BRULEE") == found("crème brû") == 15
    assert found('"is parcel 7"') == 1
    assert found("parcel is") == found("where parcel") == 45
    assert found('"parcel is"') == 0


@pytest.mark.parametrize("sort", SORTS)
@given(
    asked=st.sampled_from(
        [[], [("channel", "web")], [("channel", "web"), ("channel", "mail")], [("q", "parcel")], [("not", "said:bad")],
         [("outcome", "thumb bad")], [("language", "de"), ("was", "explored")], [("reward", "..0.5")],
         [("q", "parcel"), ("language", "en"), ("not", "channel:web")], [("from", "1971-01-01"), ("to", "1980-01-01")]]
    ),
    limit=st.integers(1, 25),
)  # fmt: skip
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_give_each_conversation_once_there_and_back(
    index: ReviewIndex, sort: str, asked: Any, limit: int
) -> None:
    found = Filter.of(asked)
    column, falling = SORTS[sort]
    pages = [page(index, found, sort=sort, limit=limit)]
    assert pages[0].newer is None
    while pages[-1].older:
        pages.append(page(index, found, sort=sort, limit=limit, after=pages[-1].older))
    walked = [row["key"] for one in pages for row in one.rows]
    assert len(walked) == len(set(walked))
    order = [(row[column], row["id"]) for one in pages for row in one.rows]
    assert order == sorted(order, reverse=falling)
    everything = set(keys(index, found, size=7))
    without = [
        row for row in index.rows("select * from conversations") if row["key"] in everything and row[column] is None
    ]
    assert set(walked) == everything - {row["key"] for row in without}
    assert count(index, found) == len(everything)
    back = [pages[-1]]
    while back[-1].newer:
        back.append(page(index, found, sort=sort, limit=limit, before=back[-1].newer))
    assert sorted(row["key"] for one in back for row in one.rows) == sorted(walked)
    for one, key in zip(pages[0].rows, [*walked[1:], None], strict=False):
        assert beside(index, found, one, sort=sort)[1] == key
    for one, key in zip(pages[0].rows, [None, *walked], strict=False):
        assert beside(index, found, one, sort=sort)[0] == key


@pytest.mark.parametrize(
    "cursor", ["", ":", "1", "x:1", "1:x", "nan:1", "inf:1", "1:99999999999999999999999", "1:-1", "1:²"]
)
def test_a_page_begins_nowhere_else(index: ReviewIndex, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="a page begins"):
        page(index, Filter(), after=cursor)
    with pytest.raises(InvalidInput, match="sort"):
        page(index, Filter(), sort=cursor)


def test_a_count_ends(index: ReviewIndex) -> None:
    assert count(index, Filter(), most=7) == 8
    assert count(index, Filter()) == 60


def table(lines: Iterator[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))


def test_an_export_has_a_row_for_each(index: ReviewIndex) -> None:
    asked = Filter.of([("channel", "web")])
    for kind in EXPORTS:
        rows = table(export(index, asked, kind))
        assert {row["key"] for row in rows} == set(keys(index, asked))
        assert len(rows) == 20
        assert {row["channel"] for row in rows} == {"web"}
    with pytest.raises(InvalidInput, match="a row is one of"):
        export(index, asked, "users")


@given(ANYTHING)
def test_no_cell_of_an_export_is_a_formula(text: str) -> None:
    for start in ("", "=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}"):
        cell = guarded(start + text)
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}"))
        assert cell.removeprefix("'") == start + text or text.startswith("'") or start == ""
    assert guarded(-0.5) == -0.5


def test_a_note_on_many_is_taken_back_as_one(history: History, index: ReviewIndex) -> None:
    bulks = Bulks(history.service, index)
    asked = Filter.of([("language", "de")])
    before = history.service.log.last_seq()
    made = bulks.note("tag", "late parcel", keys(index, asked), who="Ida", total=30)
    assert (made.done, made.over, made.trouble) == (30, True, "")
    index.catch_up()
    assert count(index, Filter.of([("tag", "late parcel")])) == 30
    assert "late parcel" in facets(index, "tag")
    one = next(keys(index, asked))
    assert [(c["who"], c["about"]) for c in thread(index, one).changes][-1] == ("Ida", "tag: late parcel")
    # What somebody took back by hand, and what another tagged as well, stays as it is.
    note = thread(index, one).annotations[-1]["id"]
    history.service.revoke(note, who="Bo")
    history.service.annotate("tag", "late parcel", who="Bo", conversation=one)
    other = Bulks(history.service, index)  # as another process would have
    assert other.find(made.id).total == 30
    undone = other.undo(made.id, who="Ida")
    assert (undone.done, undone.over) == (29, True)
    index.catch_up()
    assert set(keys(index, Filter.of([("tag", "late parcel")]))) == {one}
    assert other.undo(made.id, who="Ida").done == 0
    assert history.service.log.last_seq() == before + 30 + 2 + 29
    with pytest.raises(Unknown):
        other.undo("nothing", who="Ida")
    for what, value in (("comment", "x"), ("reviewed", "fine"), ("tag", "")):
        with pytest.raises(InvalidInput):
            other.note(what, value, [], who="Ida", total=0)


def _wait() -> None:
    for running in threading.enumerate():
        if running.name.startswith("rejoinder-bulk"):
            running.join(30)


def test_a_note_on_very_many_goes_on_in_the_background(history: History, index: ReviewIndex) -> None:
    bulks = Bulks(history.service, index)
    key = next(keys(index, Filter()))
    made = bulks.note("flag", True, (key for _ in range(AT_ONCE + 1)), who="Ida", total=AT_ONCE + 1)
    _wait()
    assert (made.done, made.over, made.trouble) == (AT_ONCE + 1, True, "")
    index.catch_up()
    assert thread(index, key).row["flagged"] == 1
    undone = bulks.undo(made.id, who="Ida")
    _wait()
    assert undone.over
    index.catch_up()
    assert thread(index, key).row["flagged"] == 0
    assert len([id for id in thread(index, key).gone if made.id in id]) == AT_ONCE + 1


def test_a_decision_of_no_conversation_can_be_noted_too(history: History, index: ReviewIndex) -> None:
    from agent.decision import Situation

    decision = history.service.decide("replies", Situation(["alone"]), seed=1)
    index.catch_up()
    column, key = place_of(f"~{decision.id}")
    assert (column, key) == ("decision", decision.id)
    history.service.annotate("flag", True, who="Ida", **{column: key})
    index.catch_up()
    assert thread(index, f"~{decision.id}").row["flagged"] == 1


def test_of_two_who_correct_at_once_one_is_told_of_the_other(history: History) -> None:
    service = history.service
    decision = service.log.decisions(column="conversation", value=_hashed(history, 1))[0]
    told = service.record(signal="thumb", value=0, decision=decision.id).event_id
    start, ends = threading.Barrier(8), list[str]()

    def correct(n: int) -> None:
        start.wait()
        try:
            ends.append(service.correct(told, value=n % 2, who=f"reviewer {n}", seen=[]).event_id)
        except Conflict as error:
            ends.append(str(error))

    threads = [threading.Thread(target=correct, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    changes = service.changes(service.log.event(told))
    assert len(changes) == 1
    assert sorted(end.startswith("correction:") for end in ends) == [False] * 7 + [True]
    assert all(changes[0].body["who"] in end for end in ends if not end.startswith("correction:"))
    # Said again by the same person it is the same; who has seen it may go on from there.
    again = service.correct(told, value=changes[0].body["value"], who=changes[0].body["who"], seen=[])
    assert again.duplicate
    assert not service.correct(told, value=1, who="Bo", seen=[changes[0].id]).duplicate
