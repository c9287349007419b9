from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.log import Event
from agent.rewards import SIGNALS, Rules, earned, looked_at, signal
from policies.types import Reward


def outcome(id: str, name: str, value: float, *, on: str = "decision", seq: int = 0, at: float = 1.0) -> Event:
    return Event(id, "outcome", at, body={"signal": name, "value": value}, seq=seq, **{on: "x"})


ACTIVATED = Event("a", "activated", 1.0, decision="x")
EXPIRED = Event("expired:x", "wait_expired", 9.0, decision="x")
DEFAULT = Rules(default=Reward(0.2, 0.1))


def revoked(target: str) -> Event:
    return Event(f"revoked:{target}", "revoked", 1.0, decision="x", body={"event_id": target})


def corrected(target: str, value: float) -> Event:
    return Event(f"c:{target}", "correction", 1.0, decision="x", body={"event_id": target, "value": value})


@pytest.mark.parametrize("found", SIGNALS.values(), ids=list(SIGNALS))
def test_every_signal_runs_from_0_to_1(found):
    assert found.scaled(found.worst) == 0.0
    assert found.scaled(found.best if math.isfinite(found.best) else 12.5) == 1.0
    for wrong in (min(found.worst, found.best) - 1, max(found.worst, found.best) + 1, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match=f"signal '{found.name}'"):
            found.scaled(wrong)


def test_a_thumb_is_up_or_down_and_nothing_between():
    with pytest.raises(InvalidInput, match="whole number"):
        signal("thumb").scaled(0.5)


def test_an_unknown_signal_is_told_which_there_are():
    with pytest.raises(InvalidInput, match="known are thumb"):
        signal("thump")


def test_nothing_is_earned_before_anything_is_known():
    assert earned([]) is None
    assert earned([ACTIVATED]) is None


def test_what_was_taken_back_can_be_put_back():
    up, down = outcome("o1", "thumb", 1), corrected("o1", 0.0)
    assert earned([up, down]).value == 0.0
    assert earned([up, down, revoked("c:o1")]) == earned([up])
    assert earned([up, down, revoked("c:o1"), revoked("revoked:c:o1")]) == earned([up, down])
    assert earned([up, revoked("o1"), revoked("revoked:o1")]) == earned([up])
    again = Event("later", "revoked", 1.0, decision="x", body={"event_id": "o1"})
    assert earned([up, revoked("o1"), revoked("revoked:o1"), again]) is None
    assert earned([up, revoked("o1"), down, revoked("revoked:o1")]) == earned([up, down])


@given(st.lists(st.integers(0, 30), max_size=12))
def test_undoing_everything_from_the_last_on_leaves_nothing_changed(targets):
    events = [outcome("o0", "thumb", 1)]
    for target in targets:
        about = events[target % len(events)].id
        events.append(Event(f"r{len(events)}", "revoked", 1.0, decision="x", body={"event_id": about}))
    undone = [Event(f"u{e.id}", "revoked", 1.0, decision="x", body={"event_id": e.id}) for e in reversed(events[1:])]
    assert earned([*events, *undone]) == earned(events[:1])


def test_a_decision_never_activated_earns_nothing_from_its_turn():
    said = outcome("o", "thumb", 1, on="turn")
    assert earned([said]) is None
    assert earned([said, ACTIVATED]) == earned([ACTIVATED, said]) is not None


def test_an_outcome_on_the_decision_itself_proves_that_it_was_sent():
    found = earned([outcome("o", "thumb", 1)])
    assert found is not None
    assert (found.value, found.weight) == (1.0, 1.0)


def test_the_latest_explicit_signal_holds():
    found = earned([outcome("o1", "thumb", 1), outcome("o2", "rating", 3)])
    assert found is not None
    assert found.value == 0.5


def test_what_was_said_of_the_reply_outranks_what_was_said_of_the_conversation():
    thumb, csat = outcome("o1", "thumb", 0), outcome("o2", "csat", 5, on="conversation")
    found = earned([thumb, csat])
    assert found is not None
    assert found.value == 0.0


def test_words_outrank_behaviour():
    found = earned([outcome("o1", "thumb", 1), outcome("o2", "handover", 1)])
    assert found is not None
    assert (found.value, found.weight) == (1.0, 1.0)


def test_behaviour_alone_counts_less():
    found = earned([outcome("o1", "thanks", 1), outcome("o2", "rephrased", 1)])
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert 0 < found.weight < 1


def test_what_is_taken_back_was_never_said():
    thumb = outcome("o1", "thumb", 0)
    assert earned([thumb, revoked("o1")]) is None
    assert earned([revoked("o1"), thumb]) is None


def test_a_correction_is_the_latest_word():
    found = earned([outcome("o1", "thumb", 0), outcome("o2", "thumb", 0), corrected("o1", 1)])
    assert found is not None
    assert found.value == 1.0


def test_where_nothing_was_said_in_time_the_default_holds_until_something_is():
    thumb = outcome("o1", "thumb", 1)
    assert earned([ACTIVATED], DEFAULT) is None
    assert earned([EXPIRED], DEFAULT) is None  # never sent
    assert earned([ACTIVATED, EXPIRED]) is None  # missing feedback is left out
    waited = earned([ACTIVATED, EXPIRED], DEFAULT)
    assert waited is not None
    assert (waited.value, waited.weight, waited.at) == (0.2, 0.1, None)
    said = earned([ACTIVATED, EXPIRED, thumb], DEFAULT)
    assert said == earned([thumb, ACTIVATED, EXPIRED], DEFAULT) == earned([thumb])
    assert earned([ACTIVATED, EXPIRED, thumb, revoked("o1")], DEFAULT) == waited


def test_a_loop_weighs_kinds_of_signal_as_it_will():
    thumb, thanks = outcome("o1", "thumb", 0), outcome("o2", "thanks", 1)
    rules = Rules(weights={"thumb": 0.0, "thanks": 0.2}, default=Reward(0.5, 0.1))
    found = earned([thumb, thanks], rules)
    assert found is not None
    assert (found.value, found.weight) == (1.0, 0.2)  # a signal switched off outranks nothing
    assert earned([thumb], rules) is None
    assert earned([thumb, EXPIRED], rules) == earned([ACTIVATED, EXPIRED], rules)


def test_a_conversations_rating_weighs_less_with_each_turn_back_from_its_end():
    csat = outcome("o", "csat", 5, on="conversation", seq=50)
    weights = []
    for later in ((), (10,), (10, 20), (10, 20, 51)):
        found = earned([ACTIVATED, csat], Rules(decay=0.5), later=later)
        assert found is not None
        assert found.value == 1.0
        weights.append(found.weight)
    assert weights == [0.5, 0.25, 0.125, 0.125]  # a turn after it is none before it
    assert earned([ACTIVATED, csat], Rules(decay=0.0), later=(10,)) is None
    corrected_ = earned([ACTIVATED, csat, corrected("o", 1)], Rules(decay=0.5), later=(10, 60))
    assert corrected_ is not None
    assert (corrected_.value, corrected_.weight) == (0.0, 0.25)


def test_feedback_dates_from_when_it_was_given():
    found = earned([outcome("o1", "thanks", 1, at=7.0), outcome("o2", "click", 1, at=5.0)])
    assert found is not None
    assert found.at == 7.0
    last = earned([outcome("o1", "thumb", 1, at=7.0), outcome("o2", "thumb", 1, at=5.0)])
    assert last is not None
    assert last.at == 5.0


outcomes = st.builds(
    lambda n, name, best: outcome(f"o{n}", name, min(SIGNALS[name].best if best else SIGNALS[name].worst, 99.0)),
    st.integers(0, 5),
    st.sampled_from(sorted(SIGNALS)),
    st.booleans(),
)


@given(st.lists(outcomes, max_size=8, unique_by=lambda event: event.id))
def test_a_reward_is_a_share_of_a_whole(events):
    found = earned(events)
    assert (found is None) == (not events)
    if found is not None:
        assert 0.0 <= found.value <= 1.0
        assert 0.0 < found.weight <= 1.0


@given(st.floats(0.0, 1e6), st.floats(0.01, 1e6))
def test_an_amount_of_money_earns_its_share_up_to_what_counts_as_all(amount, money):
    found = signal("bought").scaled(amount, money=money)
    assert found == pytest.approx(min(1.0, amount / money))
    assert signal("bought").scaled(amount) == float(amount > 0.0)


def test_what_a_signal_is_worth_is_what_its_best_value_earns():
    rules = Rules(worth={"click": 0.4}, money=50.0)
    assert earned([outcome("o1", "click", 1)], rules).value == pytest.approx(0.4)
    assert earned([outcome("o1", "click", 1), outcome("o2", "bought", 20.0)], rules).value == pytest.approx(0.4)
    assert earned([outcome("o1", "click", 1), outcome("o2", "bought", 40.0)], rules).value == pytest.approx(0.8)
    half = earned([outcome("o1", "bought", 50.0), corrected("o1", 25.0)], rules)
    assert half.value == pytest.approx(0.5)


def test_what_comes_after_the_window_comes_of_something_else():
    rules = Rules(window=10.0, default=Reward(0.0, 1.0))
    late = outcome("o1", "bought", 9.0, at=111.0)
    assert earned([late, EXPIRED], rules, since=100.0) == earned([ACTIVATED, EXPIRED], rules, since=100.0)
    assert earned([late, EXPIRED], rules, since=101.0).value == 1.0


@given(st.floats(0.01, 1.0), st.floats(0.02, 0.98))
def test_weighing_what_was_passed_over_by_whether_it_was_looked_at_is_unbiased(examination, reacting):
    """Of n shown, n e r react and weigh 1; the others weigh as much as were looked at: the mean is r."""
    passed = (1.0 - examination * reacting) * looked_at(examination, reacting)
    assert examination * reacting / (examination * reacting + passed) == pytest.approx(reacting)
    assert looked_at(1.0, reacting) == pytest.approx(1.0)
