"""The trail: everything that people did, once, newest first, from page to page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.access.door import Door
from agent.access.visitor import Visitor
from agent.decision import Situation
from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.review import trail
from agent.review.index import ReviewIndex

IDA, MAX = Visitor("Ida", "admin"), Visitor("Max", "reviewer")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def walked(index, audit, **asked):
    """The deeds of all pages, and how many pages there were."""
    found, before, pages = [], None, 0
    while True:
        page = trail.page(index, audit, before=before, **asked)
        found += page.deeds
        pages += 1
        if page.older is None:
            return found, pages
        before = page.older


@given(
    st.lists(st.tuples(st.sampled_from(["log", "access"]), st.integers(0, 4), st.booleans()), max_size=30),
    st.integers(1, 7),
)
@settings(max_examples=40)
def test_pages_show_each_deed_once_in_order_however_long_they_are(tmp_path_factory, deeds, limit):
    home, clock = tmp_path_factory.mktemp("home"), Clock()
    log, door = LearningLog(home / "learning.db", scratch=True), Door(home, clock=clock)
    for n, (where, at, ida) in enumerate(deeds):  # times repeat, and do not always grow
        if where == "log":
            body = {"id": f"r{n}", "version": 1, "state": "blocked", "who": "Ida" if ida else "Max"}
            log.append([Event(f"e{n}", "mark", float(at), "replies", body=body)])
        else:
            clock.now = float(at)
            door.audit.write(IDA if ida else MAX, "log-in", f"n{n}")
    index = ReviewIndex(log, home)
    index.catch_up()
    found, _ = walked(index, door.audit, limit=limit)
    assert len(found) == len({deed.place for deed in found}) == len(deeds)
    assert [deed.at for deed in found] == sorted((float(at) for _, at, _ in deeds), reverse=True)
    for who in ("Ida", "Max"):
        mine, _ = walked(index, door.audit, limit=limit, who=who)
        assert mine == [deed for deed in found if deed.who == who]
    logged, _ = walked(index, door.audit, limit=limit, kind="mark")
    assert logged == [deed for deed in found if deed.kind == "mark"] == walked(index, None, limit=limit)[0]
    known, _ = walked(index, door.audit, limit=limit, kind="log-in")
    assert known == [deed for deed in found if deed.kind == "log-in"]
    assert trail.people(index, door.audit) == sorted({deed.who for deed in found})
    for closed in (index, door, log):
        closed.close()


def test_a_deed_says_what_it_was_about(service, home):
    made = service.decide("replies", Situation(["hello"], "c1", "ann", "m1", "web", {}))
    told = service.record(signal="thumb", value=1, decision=made.id)
    service.revoke(told.event_id, who="Ida", why="a slip")
    index = ReviewIndex(service.log, home)
    index.catch_up()
    (deed,) = [d for d in trail.page(index, None).deeds if d.kind == "revoked"]
    assert (deed.who, deed.why, deed.about) == ("Ida", "a slip", told.event_id)
    assert deed.conversation == index.row("select key from conversations")["key"]
    assert "revoked" in trail.kinds(index, None)
    assert not set(trail.ACCESS) & set(trail.kinds(index, None))
    index.close()


@pytest.mark.parametrize("cursor", ["x", "1", "1:2", "a:0:1", "nan:0:1", "1:0:x", "1:0:-3", "1:0:99999999999999999999"])
def test_a_place_that_is_none_is_said_to_be(service, home, cursor):
    index = ReviewIndex(service.log, home)
    with pytest.raises(InvalidInput, match="before"):
        trail.page(index, None, before=cursor)
    index.close()
