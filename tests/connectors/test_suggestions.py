"""Suggestions: how near a reply comes to what was suggested, and what that earns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rasa")

from agent.errors import InvalidInput
from connectors import suggestions
from connectors.content import Content
from connectors.suggestions import ACCEPTED, EDITED, judged, similarity

OFFERED = [
    "You can return anything within 30 days of delivery.",
    "A refund takes five working days.",
    "Your parcel left our warehouse this morning.",
]


@pytest.mark.parametrize(
    ("sent", "index", "verdict"),
    [
        (OFFERED[0], 0, "accepted"),
        ("  you can return ANYTHING within 30 days\nof delivery ", 0, "accepted"),
        ("Hi Eve, you can return it within 30 days of the delivery!", 0, "edited"),
        (OFFERED[1], 1, "accepted"),
        ("Let me ask a colleague of mine, one moment.", None, "ignored"),
        ("", None, "ignored"),
    ],
)
def test_what_was_sent_is_judged_by_what_was_suggested(sent, index, verdict):
    judgement = judged(OFFERED, sent)
    assert judgement.verdict == verdict
    assert index is None or judgement.index == index
    assert judgement.value == {"accepted": 1.0, "ignored": 0.0}.get(verdict, judgement.value)
    assert verdict != "edited" or EDITED <= judgement.value < ACCEPTED


@given(st.text(max_size=200), st.text(max_size=200))
def test_similarity_is_a_share_and_whole_for_the_same(one, two):
    assert 0.0 <= similarity(one, two) <= 1.0
    assert similarity(one, one) == (1.0 if one.strip() else 0.0)


@given(st.lists(st.text(max_size=50), min_size=1, max_size=3), st.text(max_size=50))
def test_a_judgement_is_one_of_three(texts, sent):
    judgement = judged(texts, sent)
    assert judgement.value in (0.0, 1.0) or EDITED <= judgement.value < ACCEPTED
    assert 0 <= judgement.index < len(texts)


def test_a_book_takes_no_longer_than_a_page():
    assert similarity("a" * 10**6, "b" * 10**6) == 0.0


def test_without_suggestions_there_is_nothing_to_judge():
    with pytest.raises(InvalidInput):
        judged([], "Hello")


def test_a_note_is_read_as_it_was_written():
    service = object()  # nothing was decided: it is not asked
    (note,) = suggestions.offered(service, [Content(text="Hello"), Content(text="How can I help?")])
    assert suggestions.is_note(note)
    assert "1. Hello" in note.text
    (suggestion,) = suggestions.of(Content.from_body(note.body()))
    assert suggestion == suggestions.Suggestion("Hello\n\nHow can I help?")
    assert suggestions.offered(service, [Content()]) == []
    assert not suggestions.is_note(Content(text="Hello"))
