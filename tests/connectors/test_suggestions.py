"""Suggestions: how near a reply comes to what was suggested, and what that earns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rasa")

from agent.candidates import Reply
from agent.decision import frame
from agent.errors import InvalidInput
from agent.mailbox import Mailbox
from agent.plugin.runtime import ACTIONS
from agent.service import Service
from agent.suggestions import ACCEPTED, EDITED, Suggestion, judged, similarity
from agent.verification import verify
from connectors.core import suggestions
from connectors.core.content import Content
from connectors.core.incoming import AgentReply
from tests.agent.conftest import SETTINGS, Clock, HashEncoder, asked

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
    assert suggestion == Suggestion("Hello\n\nHow can I help?")
    assert suggestions.offered(service, [Content()]) == []
    assert not suggestions.is_note(Content(text="Hello"))


REPLIES = [Reply(f"utter_{n}", (f"title {n}", text)) for n, text in enumerate(OFFERED)]
SLOTTED = Reply("utter_slot", ("title", "Order {order} is on its way"))


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path, encoder=HashEncoder, clock=Clock())
    service.configure(ACTIONS, SETTINGS, who="test")
    service.reconcile(ACTIONS, [*REPLIES, SLOTTED], who="test")
    yield service
    service.close()


def expected(service):
    """What each candidate is expected to earn for the question."""
    model = service.model(ACTIONS)
    framed = frame(model, service.encoder(model.settings.encoder), asked(), None, at=0.0)
    mean = model.learner.scores(framed.context, framed.candidates, at=0.0).mean.tolist()
    return dict(zip([candidate.id for candidate in framed.candidates], mean, strict=True))


def suggest(service, mailbox):
    """A note in conversation c1, sent; the candidates it suggests, the best first."""
    decision = service.decide(ACTIONS, asked(), candidates=[reply.id for reply in REPLIES])
    service.activate(decision.id)
    text = next(reply.texts[1] for reply in REPLIES if reply.id == decision.chosen)
    said = [Content(text=text, turn=decision.turn, decisions=(decision.id,))]
    (note,) = suggestions.offered(service, said)
    mailbox.post("desk", "c1", [note.body()])
    mailbox.sent(mailbox.next_parcel("desk", "c1"), "m1")
    return suggestions.of(note)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_what_was_used_gains_and_what_was_passed_over_loses(service, used):
    mailbox, before = Mailbox(service.log), expected(service)
    found = suggest(service, mailbox)
    assert {suggestion.candidate for suggestion in found} == {reply.id for reply in REPLIES}
    for attempt in range(2):  # worked on again, after the process ended in between
        note = suggestions.reward(service, mailbox, "desk", AgentReply("k1", "c1", found[used].text))
        assert attempt or note is None
    after = expected(service)
    assert after[found[used].candidate] > before[found[used].candidate]
    assert (after[found[0].candidate] > before[found[0].candidate]) is (used == 0)
    assert verify(service)["ok"]


def test_of_several_replies_the_nearest_counts(service):
    mailbox = Mailbox(service.log)
    first = suggest(service, mailbox)[0].text
    for number, text in enumerate(["One moment", f"{first} Anything else that I can do?", first, "Bye"]):
        suggestions.reward(service, mailbox, "desk", AgentReply(f"k{number}", "c1", text))
    outcomes = {event.id: event.body["value"] for event in service.log.read(kinds=("outcome",))}
    revoked = {event.body["event_id"] for event in service.log.read(kinds=("revoked",))}
    assert list(outcomes) == ["desk:k0", "desk:k1", "desk:k2"]
    assert outcomes["desk:k0"] == 0.0 < outcomes["desk:k1"] < outcomes["desk:k2"] == 1.0
    assert revoked == {"desk:k0", "desk:k1"}


def test_where_nothing_was_suggested_a_reply_means_nothing(service):
    assert suggestions.reward(service, Mailbox(service.log), "desk", AgentReply("k", "c9", "Hello")) is not None
    assert not list(service.log.read(kinds=("outcome",)))
