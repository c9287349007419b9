from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.annotations import ANNOTATIONS, annotated
from agent.decision import Situation
from agent.errors import Conflict, InvalidInput, Unknown

PLACE = {"conversation": "c1", "message_id": "m1"}


@pytest.mark.parametrize(
    ("what", "value", "kept"),
    [
        ("flag", None, True),
        ("flag", False, False),
        ("tag", "  late   parcel ", "late parcel"),
        ("untag", "late parcel", "late parcel"),
        ("comment", " two\nlines ", "two\nlines"),
        ("reviewed", None, "none"),
        ("reviewed", "good", "good"),
        ("assigned", None, ""),
        ("assigned", "Ida", "Ida"),
    ],
)
def test_a_value_is_kept_as_its_kind_takes_it(what, value, kept):
    assert annotated(what, value) == kept


@pytest.mark.parametrize(
    ("what", "value"),
    [("star", None), ("flag", "yes"), ("tag", ""), ("tag", None), ("tag", "x" * 61), ("tag", True), ("comment", " "),
     ("comment", "x" * 4_001), ("reviewed", "fine"), ("assigned", "x" * 101)],
)  # fmt: skip
def test_what_it_does_not_take_is_refused_in_one_line(what, value):
    with pytest.raises(InvalidInput, match=what) as refused:
        annotated(what, value)
    assert len(str(refused.value)) < 300


@given(st.sampled_from(sorted(ANNOTATIONS)), st.none() | st.booleans() | st.text(max_size=80))
def test_what_is_kept_is_taken_again(what, value):
    try:
        kept = annotated(what, value)
    except InvalidInput:
        return
    assert annotated(what, kept) == kept


def test_an_annotation_is_about_one_thing_that_there_is(service):
    service.hear(Situation(["where is my parcel"], **PLACE))
    conversation, turn = service.identity.place("c1", "m1")
    made = service.annotate("tag", "late", who="Ida", conversation=conversation)
    assert service.annotate("comment", "odd", who="Ida", turn=turn, event_id="n1").event_id == "n1"
    assert service.annotate("comment", "odd", who="Ida", turn=turn, event_id="n1").duplicate
    assert service.log.event(made.event_id).body == {"what": "tag", "value": "late", "who": "Ida"}
    with pytest.raises(Unknown, match="unknown conversation 'c1'"):
        service.annotate("flag", who="Ida", conversation="c1")
    for about in ({}, {"conversation": conversation, "turn": turn}):
        with pytest.raises(InvalidInput, match="exactly one"):
            service.annotate("flag", who="Ida", **about)


def test_whoever_has_not_seen_a_change_does_not_overwrite_it(service):
    decided = service.decide("replies", Situation(["where is my parcel"], **PLACE))
    service.record(signal="thumb", value=0, decision=decided.id, event_id="o1")
    outcome = service.log.event("o1")
    first = service.correct("o1", value=1, who="Ida", seen=[])
    with pytest.raises(Conflict, match="changed by 'Ida' in the meantime"):
        service.correct("o1", value=0, who="Ben", seen=[])
    second = service.correct("o1", value=0, who="Ben", seen=[first.event_id])
    service.revoke(second.event_id, who="Ben")
    assert [change.body["who"] for change in service.changes(outcome)] == ["Ida", "Ben", "Ben"]


def test_what_is_taken_back_twice_stays_so_and_can_go_again_once_put_back(service):
    decided = service.decide("replies", Situation(["where is my parcel"], **PLACE))
    service.record(signal="thumb", value=0, decision=decided.id, event_id="o1")
    taken = service.revoke("o1", who="Ida")
    assert service.revoke("o1", who="Ben").duplicate
    assert not service.revoke(taken.event_id, who="Ida").duplicate
    again = service.revoke("o1", who="Ben")
    assert not again.duplicate
    assert service.revoke("o1", who="Ida").duplicate
    with pytest.raises(InvalidInput, match="is a decision: only outcome"):
        service.revoke(decided.id, who="Ida")
    with pytest.raises(Unknown, match="nothing"):
        service.revoke("nothing", who="Ida")
