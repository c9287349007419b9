"""The arms of a loop: which conversations each answers, and what both learn."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.candidates import ABSTAIN, Reply
from agent.errors import InvalidInput
from agent.model import Model
from agent.standing import CHALLENGER, CHAMPION, assigned
from agent.verification import verify
from tests.agent.conftest import SETTINGS, asked
from tests.agent.test_fold import tampered
from tests.agent.test_versions import OTHER, converse


def test_a_challenger_gets_its_share_of_conversations_and_each_stays_with_who_began_it(service):
    share, number = 0.3, 400
    service.stage("replies", OTHER, share=share, who="ann")
    arms = {}
    for turn in range(2):
        for n in range(number):
            decision = service.decide("replies", asked(message=f"m{turn}", conversation=f"c{n}"))
            assert decision.share == (share if decision.arm == CHALLENGER else 1.0 - share)
            assert decision.model_version == (OTHER if decision.arm == CHALLENGER else SETTINGS).version
            assert arms.setdefault(n, decision.arm) == decision.arm
    got = sum(arm == CHALLENGER for arm in arms.values())
    # Five standard deviations of as many coins.
    assert abs(got - number * share) <= 5.0 * math.sqrt(number * share * (1.0 - share))
    assert verify(service)["ok"]


@given(st.text(max_size=30), st.text(max_size=30), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_growing_share_only_ever_moves_units_to_the_challenger(loop, unit, one, other):
    place = assigned(loop, unit)
    assert 0.0 <= place < 1.0
    low, high = sorted((one, other))
    assert (place < low) <= (place < high)
    assert not place < 0.0
    assert place < 1.0


def test_places_are_even_and_loops_do_not_agree_with_one_another():
    number = 4_000
    places = [(assigned("actions", str(n)), assigned("responses", str(n))) for n in range(number)]
    for column in range(2):
        tenths = [sum(int(10 * place[column]) == tenth for place in places) for tenth in range(10)]
        assert sum((n - number / 10) ** 2 / (number / 10) for n in tenths) < 33.7  # chi-squared, 9 degrees, 1 in 10,000
    both = sum(a < 0.5 and b < 0.5 for a, b in places)
    assert abs(both - number / 4) < 5.0 * math.sqrt(number * 3 / 16)


def test_who_names_no_conversation_is_assigned_by_the_seed(service):
    service.stage("replies", OTHER, share=0.5, who="ann")
    situation = replace(asked(), conversation=None, message_id=None)
    arms = [service.decide("replies", situation, seed=n).arm for n in range(40)]
    assert set(arms) == {CHAMPION, CHALLENGER}
    assert arms == [service.decide("replies", situation, seed=n).arm for n in range(40)]
    slates = [service.decide_slate("replies", situation, k=2, seed=n) for n in range(40)]
    assert [{decision.arm for decision in slate} for slate in slates] == [{arm} for arm in arms]
    assert verify(service)["ok"]


def test_both_learn_from_all_that_the_loop_earns(service):
    service.stage("replies", OTHER, share=0.5, who="ann")
    converse(service, 40)
    service.catch_up()
    for settings_ in (SETTINGS, OTHER):
        model = Model(service.log, "replies", settings=settings_)
        model.catch_up()
        assert len(model.ledger.told) == 20
    report = verify(service)
    assert report["ok"]
    assert report["loops"]["replies"]["credited"] == report["loops"]["replies"]["challenger"]["credited"] == 20


def test_settings_that_fold_alike_are_still_two_arms(service):
    """Limits decide nothing that is learned: one model version, and yet each arm keeps to its own."""
    cautious = replace(SETTINGS, budget=0.0)
    assert cautious.version == SETTINGS.version
    service.stage("replies", cautious, share=0.5, who="ann")
    converse(service, 40)
    made = list(service.log.read(kinds=("decision",)))
    assert {(d.body["arm"], d.body["limits"].get("budget")) for d in made} == {(CHAMPION, None), (CHALLENGER, 0.0)}
    service.promote("replies", cautious.version, who="ann")
    assert service.model("replies").settings == cautious
    service.roll_back("replies", who="ann")
    assert service.model("replies").settings == SETTINGS
    assert verify(service)["ok"]


def test_nobody_who_chats_folds_what_staging_has_folded(open_service, service, monkeypatch):
    """The process that stages keeps the fold: others begin from there, and a promotion costs them nothing."""
    converse(service, 40)
    rasa = open_service()
    rasa.decide("replies", asked(conversation="warm"))
    service.stage("replies", OTHER, share=1.0, who="ann")
    told, tell = [], Model._tell
    monkeypatch.setattr(Model, "_tell", lambda self, id, **more: told.append(id) or tell(self, id, **more))
    rasa.decide("replies", asked(conversation="d1"))
    service.promote("replies", OTHER.version, who="ann")
    rasa.decide("replies", asked(conversation="d2"))
    service.roll_back("replies", who="ann")
    rasa.decide("replies", asked(conversation="d3"))
    assert rasa.model("replies").settings == SETTINGS
    assert told == []


def test_an_arm_that_is_not_the_logs_is_noticed(service):
    service.stage("replies", OTHER, share=0.5, who="ann")
    converse(service, 10)
    assert verify(service)["ok"]
    service.close()
    tampered(service.log.path, "update events set body = json_set(body, '$.arm', 'champion') where kind = 'decision'")
    problems = verify(service)["problems"]
    assert any("the champion made it" in problem and "it was the challenger's" in problem for problem in problems)


def test_a_challenger_may_abstain_where_the_champion_never_does(service):
    shy = replace(OTHER, abstain=True, threshold=0.9)
    service.stage("replies", shy, share=0.5, who="ann")
    made = [service.decide("replies", asked(conversation=f"c{n}"), seed=n) for n in range(30)]
    assert {ABSTAIN in decision.probabilities for decision in made if decision.arm == CHAMPION} == {False}
    assert {ABSTAIN in decision.probabilities for decision in made if decision.arm == CHALLENGER} == {True}
    service.promote("replies", shy.version, who="ann")
    with pytest.raises(InvalidInput, match="stands for choosing nothing"):
        service.reconcile("replies", [Reply(ABSTAIN, ("No.",))], who="test")
    with pytest.raises(InvalidInput, match="one thing only"):
        service.stage("replies", replace(shy, threshold=0.1), share=0.5, who="ann")
    service.configure("replies", replace(shy, threshold=0.1), who="test")
    assert service.model("replies").library.get(ABSTAIN).prior == 0.1
    service.roll_back("replies", who="ann")
    assert service.model("replies").library.get(ABSTAIN).prior == 0.9
    assert verify(service)["ok"]


def test_a_candidate_called_abstain_keeps_a_challenger_from_abstaining(service):
    service.reconcile("replies", [Reply(ABSTAIN, ("No.",))], who="test")
    with pytest.raises(InvalidInput, match="a candidate's already"):
        service.stage("replies", replace(OTHER, abstain=True, threshold=0.9), share=0.5, who="ann")


def test_what_a_challenger_waits_for_counts_where_the_champion_waits_for_nothing(service, clock):
    patient = replace(OTHER, wait=50.0, default_reward=0.2)
    service.stage("replies", patient, share=0.0, who="ann")
    decision = service.decide("replies", asked())
    service.activate(decision.id)
    service.catch_up()
    assert service.expire() == 0
    clock.now += 60.0
    assert service.expire() == 1
    service.catch_up()
    assert service.model("replies").ledger.reward(decision.id) is None
    model = Model(service.log, "replies", settings=patient)
    model.catch_up()
    assert model.ledger.reward(decision.id).value == 0.2
    assert verify(service)["ok"]


def test_the_loop_is_watched_for_change_by_what_its_champion_expects(service):
    """A challenger that is wrong of itself is no alert, and no reason for the champion to explore."""
    sure = replace(OTHER, learner={**OTHER.learner, "prior_intercept": 1.0, "prior_slope": 0.0})
    service.stage("replies", sure, share=1.0, who="ann")
    for n in range(60):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}", conversation=f"c{n}"), seed=n)
        service.record(signal="thumb", value=0, decision=decision.id)
    assert service.model("replies").drift.credits == 0
    assert verify(service)["ok"]
