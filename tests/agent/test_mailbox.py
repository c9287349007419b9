"""The mailbox: accepted once, worked on in order, and forgotten in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.log import LearningLog
from agent.mailbox import KEPT_SECONDS, Backlog, Mailbox

HELLO, ANSWER = {"text": "hello"}, {"text": "Hi."}


class Clock:
    """A clock that is set."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def mailbox(tmp_path, clock):
    log = LearningLog(tmp_path / "learning.db")
    yield Mailbox(log, clock=clock)
    log.close()


def bodies(parcels):
    return [parcel.body for parcel in parcels]


def test_what_is_brought_again_is_not_new_whoever_brings_it_at_once(mailbox):
    def bring(_):
        return mailbox.accept("sms", [("1", "eve", HELLO), ("2", "eve", HELLO)])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(bring, range(16))) == 2
    assert mailbox.accept("chat", [("1", "eve", HELLO)]) == 1  # another service's 1
    assert mailbox.last_delivery() == mailbox.next_delivery("chat", "eve").id


def test_the_answers_are_there_when_the_delivery_is_done_and_once(mailbox):
    mailbox.accept("sms", [("1", "eve", HELLO)])
    delivery = mailbox.next_delivery("sms", "eve")
    assert (delivery.body, mailbox.next_parcel("sms", "eve")) == (HELLO, None)
    mailbox.done(delivery, [ANSWER, ANSWER])
    mailbox.done(delivery, [ANSWER])  # by whoever took it over meanwhile
    assert mailbox.next_delivery("sms", "eve") is None
    assert mailbox.counts("sms") == {"deliveries.done": 1, "parcels.waiting": 2}


@given(st.lists(st.sampled_from(("eve", "ann", "bob")), max_size=12))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_each_conversation_is_in_order_and_the_longest_waiting_is_first(tmp_path_factory, names):
    clock = Clock()
    log = LearningLog(tmp_path_factory.mktemp("log") / "learning.db")
    mailbox = Mailbox(log, clock=clock)
    for number, name in enumerate(names):
        clock.now += 1.0
        mailbox.accept("sms", [(str(number), name, {"number": number})])
    worked = []
    while active := mailbox.active("sms"):
        delivery = mailbox.next_delivery("sms", active[0])
        worked.append(delivery.body["number"])
        mailbox.done(delivery)
    log.close()
    assert worked == list(range(len(names)))


def test_what_failed_waits_and_keeps_its_place(mailbox, clock):
    mailbox.post("sms", "eve", [{"n": 1}, {"n": 2}])
    mailbox.resend(mailbox.next_parcel("sms", "eve"), seconds=10.0, error="busy")
    assert (mailbox.next_parcel("sms", "eve"), mailbox.active("sms")) == (None, ["eve"])
    clock.now += 10.0
    parcel = mailbox.next_parcel("sms", "eve")
    assert (parcel.body, parcel.attempts) == ({"n": 1}, 1)
    mailbox.undeliverable(parcel, error="gone")
    assert mailbox.next_parcel("sms", "eve").body == {"n": 2}


def test_what_was_sent_is_found_by_the_id_that_the_service_gave_it(mailbox):
    mailbox.post("sms", "eve", [ANSWER])
    mailbox.post("sms", "ann", [ANSWER])
    for name in ("eve", "ann"):
        mailbox.sent(mailbox.next_parcel("sms", name), "m1")
    assert mailbox.parcel_of("sms", "m1").conversation == "ann"
    assert mailbox.parcel_of("sms", "m1", conversation="eve").conversation == "eve"
    assert mailbox.parcel_of("chat", "m1") is None


def test_customers_words_are_forgotten_in_time_and_what_is_not_done_is_not(mailbox, clock):
    said, told = {"text": "said"}, {"text": "told to people"}
    mailbox.accept("web", [("1", "eve", HELLO)], heard={"1": said})
    mailbox.done(mailbox.next_delivery("web", "eve"), [ANSWER])
    mailbox.sent(mailbox.next_parcel("web", "eve"), "m1")
    mailbox.accept("web", [("2", "eve", HELLO)], heard={"2": told}, forward=True)
    states = ("heard", "sent", "waiting")
    clock.now += KEPT_SECONDS + 1.0
    mailbox.purge()
    assert bodies(mailbox.history("web", "eve", states=states)) == [ANSWER, told]
    assert mailbox.next_delivery("web", "eve").body == HELLO
    mailbox.sent(mailbox.next_parcel("web", "eve"), "m2")
    mailbox.done(mailbox.next_delivery("web", "eve"))
    mailbox.purge()
    assert bodies(mailbox.history("web", "eve", states=states)) == [ANSWER]  # feedback may come late
    assert mailbox.accept("web", [("2", "eve", HELLO)]) == 1  # as new: no service brings it so late


def test_a_reaction_stands_until_it_is_taken_back(mailbox):
    about, key = ["7", "8"], ("web", "7", "eve", "thumb")
    mailbox.reacted(*key, "e1")
    mailbox.reacted(*key, "e2")
    assert (mailbox.reaction(*key), mailbox.reaction("web", "7", "ann", "thumb")) == ("e2", None)
    assert mailbox.reactions("web", about, "eve", "thumb") == {"7": "e2"}
    mailbox.reacted(*key, None)
    assert mailbox.reaction(*key) is None


def test_people_take_over_and_give_back_and_the_address_stays(mailbox):
    mailbox.remember("sms", "eve", {"to": "+1"})
    mailbox.hand_over("sms", "eve", to_people=True)
    known = mailbox.correspondent("sms", "eve")
    assert (known.address, known.handed_over) == ({"to": "+1"}, True)
    mailbox.hand_over("sms", "eve", to_people=False)
    assert not mailbox.correspondent("sms", "eve").handed_over
    assert mailbox.correspondent("sms", "ann") == type(known)()


def test_the_backlog_is_what_waits_and_what_failed_lately(mailbox, clock):
    assert mailbox.backlog(since=0.0) == []
    mailbox.accept("sms", [("1", "eve", HELLO), ("2", "eve", HELLO)])
    mailbox.post("chat", "ann", [ANSWER])
    clock.now += 100.0
    mailbox.post("sms", "eve", [ANSWER])
    assert mailbox.backlog(since=0.0) == [Backlog("chat", 1, 1_000.0), Backlog("sms", 3, 1_000.0)]
    mailbox.give_up(mailbox.next_delivery("sms", "eve"), error="odd")
    mailbox.undeliverable(mailbox.next_parcel("chat", "ann"), error="gone")
    assert mailbox.backlog(since=0.0) == [Backlog("chat", failed=1), Backlog("sms", 2, 1_000.0, 1)]
    assert mailbox.backlog(since=clock.now) == [Backlog("sms", 2, 1_000.0)]
