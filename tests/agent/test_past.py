"""Looking back: what another version would have said, what changed, and how a loop stood."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.asof import as_of, learning_curve, positions
from agent.candidates import Reply
from agent.changes import changes
from agent.errors import InvalidInput, Unknown
from agent.means import MANY, NONE, Said, mean_of
from agent.model import Model
from agent.past import decisions_of, seq_at, spread, time_of
from agent.settings import LoopSettings
from agent.snapshots import MILESTONES, Milestones, Snapshots
from agent.verification import verify
from agent.whatif import what_if
from tests.agent.conftest import REPLIES, SETTINGS, asked
from tests.agent.test_versions import OTHER, converse

VERSIONS = (
    SETTINGS,
    OTHER,
    LoopSettings(policy="linucb_hybrid", learner={"half_life": 30.0}),
    LoopSettings(policy="logistic"),
    LoopSettings(policy="squarecb", learner={"epsilon": 0.1}),
    replace(SETTINGS, floor=0.1, budget=0.4),
    replace(SETTINGS, conservative=0.1, drift={"sensitivity": 0.5, "widen": 0.3, "widen_for": 20}),
)


@pytest.mark.parametrize("chosen", VERSIONS)
def test_what_if_under_a_decisions_own_settings_is_what_was_logged(service, chosen):
    service.configure("replies", chosen, who="test")
    service.stage("replies", OTHER if chosen != OTHER else SETTINGS, share=0.4, who="ann")
    converse(service, 20)
    service.roll_back("replies", who="ann") if chosen != SETTINGS else None
    arms = set()
    for decision in service.log.read(kinds=("decision",)):
        own = {"champion": chosen, "challenger": OTHER if chosen != OTHER else SETTINGS}[decision.body["arm"]]
        arms.add(decision.body["arm"])
        found = what_if(service, decision, own)
        assert found["probabilities"] == pytest.approx(decision.body["probabilities"], abs=1e-9)
        assert found["logged"] == decision.body["probabilities"]
        assert found["scores"] == pytest.approx(
            [sum(parts) for parts in zip(*decision.body["parts"].values(), strict=True)], abs=1e-9
        )
    assert len(arms) == 2


@pytest.mark.parametrize("chosen", VERSIONS)
def test_what_if_is_what_a_loop_under_these_settings_would_have_said(open_service, service, chosen):
    """Of the same log, folded under the settings: by a service that has them in force."""
    converse(service, 15)
    last = service.decide("replies", asked("text 3", message="last"))
    found = what_if(service, service.decision(last.id), chosen)
    assert sum(found["probabilities"]) == pytest.approx(1.0)
    assert found["candidates"] == ["refund", "delivery"]
    model = Model(service.log, "replies", settings=chosen)
    model.catch_up(last.model_seq)
    # Nothing bears on it that was said after it was made.
    service.record(signal="thumb", value=1, decision=last.id)
    converse(service, 25, start=15)
    assert what_if(service, service.decision(last.id), chosen) == found
    assert found["model_version"] == chosen.version
    if chosen == SETTINGS:
        assert found["probabilities"] == pytest.approx(list(last.probabilities.values()), abs=1e-9)


def test_what_if_moves_no_model_and_says_where_it_would_have_said_nothing(service):
    converse(service, 10)
    decision = next(service.log.read(kinds=("decision",)))
    before, seq = service.standing("replies"), service.log.last_seq()
    assert not what_if(service, decision, OTHER)["abstains"]
    assert what_if(service, decision, replace(OTHER, threshold=50.0))["abstains"]
    assert (service.standing("replies"), service.log.last_seq()) == (before, seq)
    with pytest.raises(InvalidInput, match="no embedding"):
        what_if(service, decision, replace(OTHER, encoder="another"))


def test_what_if_of_a_position_in_a_slate(service):
    for n in range(6):
        slate = service.decide_slate("replies", asked(f"text {n}", message=f"m{n}"), k=2, seed=n)
        service.record(signal="click", value=n % 2, decision=slate[0].id)
    for decision in service.log.read(kinds=("decision",)):
        found = what_if(service, decision, SETTINGS)
        assert found["probabilities"] == pytest.approx(decision.body["probabilities"], abs=1e-9)
        other = what_if(service, decision, OTHER)
        assert [p > 0 for p in other["probabilities"]] <= decision.body["eligible"]


# How a loop stood


def test_as_of_is_what_a_fold_to_there_knows(service):
    converse(service, 30)
    service.mark("replies", "refund", state="blocked", who="ann")
    converse(service, 40, start=30)
    service.configure("replies", OTHER, who="test")
    converse(service, 50, start=40)
    seqs = positions(service, "replies")
    found = as_of(service, "replies", seqs=seqs)
    assert [position.seq for position in found] == seqs
    assert [position.settings.version for position in found][:1] == [SETTINGS.version]
    assert found[-1].settings == OTHER
    for position in found:
        model = Model(service.log, "replies")
        model.catch_up(position.seq)
        assert position.settings == model.settings
        assert position.rewards == len(model.ledger.told)
        assert [known.state for known in position.candidates] == [reply.state for reply in model.library.all()]
        for known in position.candidates:
            weight, total = model.ledger.earned(known.id)
            assert known.feedback == pytest.approx(weight, abs=1e-9)
            assert known.mean == (pytest.approx(total / weight) if weight > 1e-9 else None)
    states = [{known.id: known.state for known in position.candidates}["refund"] for position in found]
    assert states == sorted(states, key=["enabled", "blocked"].index)
    assert {"enabled", "blocked"} == set(states)
    # Asked again, in any other company: the same figures, which were kept, and those are JSON that came back whole.
    assert as_of(service, "replies", seqs=seqs) == found
    assert [as_of(service, "replies", seqs=[seq])[0] for seq in seqs] == found
    (service.home / "snapshots" / "replies" / "milestones" / "album.json").write_text("half of it")
    for one, other in zip(as_of(service, "replies", seqs=seqs), found, strict=True):
        assert one.rewards == other.rewards
        for known, again in zip(one.candidates, other.candidates, strict=True):
            assert known.expected == pytest.approx(again.expected, abs=1e-9)


def test_expectations_as_of_follow_what_people_say(service):
    good = {"refund": 1, "delivery": 0}
    for n in range(60):
        decision = service.decide("replies", asked(f"text {n % 5}", message=f"m{n}", conversation=f"c{n}"), seed=n)
        service.record(signal="thumb", value=good[decision.chosen], decision=decision.id)
    first, *_, last = as_of(service, "replies", seqs=positions(service, "replies"))
    was, now = ({known.id: known.expected for known in position.candidates} for position in (first, last))
    assert now["refund"] - now["delivery"] > was["refund"] - was["delivery"] + 0.2
    kept = {known.id: known for known in last.candidates}
    assert kept["refund"].mean == 1.0
    assert kept["refund"].deviation < {known.id: known for known in first.candidates}["refund"].deviation


def test_as_of_a_time_is_as_of_the_last_event_by_then(service, clock):
    converse(service, 10)
    middle = clock.now
    converse(service, 20, start=10)
    (found,) = as_of(service, "replies", at=middle)
    assert found.at <= middle < time_of(service.log, found.seq + 1)
    with pytest.raises(Unknown, match="no loop 'replies' then"):
        as_of(service, "replies", at=1.0)
    with pytest.raises(InvalidInput, match="give a time"):
        as_of(service, "replies")
    with pytest.raises(Unknown, match="unknown loop"):
        positions(service, "none")
    beyond = as_of(service, "replies", seqs=[10**9])
    assert beyond[0].seq == service.log.last_seq()


@given(st.lists(st.floats(0, 100), min_size=0, max_size=30), st.floats(-10, 110))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_seq_at_a_time_is_found_wherever_it_lies(times, at):
    import tempfile
    from pathlib import Path

    from agent.log import Event, LearningLog

    with tempfile.TemporaryDirectory() as folder:
        log = LearningLog(Path(folder) / "learning.db", scratch=True)
        times.sort()
        kinds = ["decision" if n % 3 else "message" for n in range(len(times))]
        log.append([Event(f"e{n}", kinds[n], t, "L", body={}) for n, t in enumerate(times)])
        assert seq_at(log, "L", at) == sum(t <= at for t in times)
        log.close()


@pytest.mark.parametrize("number", [1, 5, 29, 30, 31, 100, 137])
def test_positions_are_few_and_stay_where_they_are(service, number):
    for n in range(number):
        service.decide("replies", asked(message=f"m{n}"))
    found = positions(service, "replies")
    assert 1 <= len(found) <= 30
    assert found == sorted(set(found))
    assert found[-1] == service.log.last_seq()
    service.decide("replies", asked(message="more"))
    again = positions(service, "replies")
    if len(decisions_of(service.log, "replies")) not in (31, 101):  # where they move further apart
        assert again[: len(found) - 1] == found[:-1]


@given(st.lists(st.integers(), max_size=200), st.integers(1, 50))
def test_spread_takes_as_many_as_there_are_in_order(seqs, n):
    numbers = list(range(len(seqs)))
    found = spread(numbers, n)
    assert len(found) == min(n, len(numbers))
    assert found == sorted(set(found))
    if found:
        gaps = [b - a for a, b in zip([-1, *found], [*found, len(numbers)], strict=True)]
        assert max(gaps) <= 2 * (len(numbers) / len(found)) + 1


def test_milestones_lie_apart_and_serve_whoever_looks_back(tmp_path):
    milestones = Milestones(tmp_path, "L")
    for seq in range(100, 3000, 100):
        milestones.save("v", seq, {"seq": torch.tensor([seq])})
    kept = [seq for seq, _ in milestones._kept("v")]
    assert len(kept) == MILESTONES
    assert kept[0] == 2900
    gaps = [a - b for a, b in zip(kept, [*kept[1:], 0], strict=True)]
    assert max(gaps) <= 4 * min(gaps)
    Snapshots(tmp_path, "L").save("v", 1234, {"seq": torch.tensor([1234])})
    for upto in (50, *kept, 1234, 10_000):
        found = milestones.newest("v", upto)
        there = [seq for seq in (*kept, 1234) if seq <= upto]
        assert (found.seq if found else None) == (max(there) if there else None)
    assert Snapshots(tmp_path, "L").newest("v", 10_000).seq == 1234  # what serves knows nothing of them


def test_looking_back_begins_at_a_milestone(service, monkeypatch):
    monkeypatch.setattr("agent.past._WORTH_KEEPING", 4)
    monkeypatch.setattr("agent.past._STEP", 7)
    converse(service, 60)
    seqs = positions(service, "replies")
    first = as_of(service, "replies", seqs=seqs)
    (service.home / "snapshots" / "replies" / "milestones" / "album.json").unlink()
    told, tell = [], Model._tell
    monkeypatch.setattr(Model, "_tell", lambda self, id, **more: told.append(id) or tell(self, id, **more))
    (again,) = as_of(service, "replies", seqs=seqs[20:21])
    assert len(told) < 15 < first[20].rewards  # from the one before it, not from nothing
    for known, before in zip(again.candidates, first[20].candidates, strict=True):
        assert known.expected == pytest.approx(before.expected, abs=1e-9)
    assert verify(service)["ok"]


# Means and the learning curve


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.floats(0.1, 1.0), st.integers(0, 5)), max_size=30))
@settings(deadline=None, derandomize=True)
def test_a_mean_lies_in_its_interval_and_people_count_once(rows):
    found = mean_of(Said(value, weight, str(who)) for value, weight, who in rows)
    if not rows:
        assert found == NONE
        return
    assert 0.0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1.0
    assert found.value == pytest.approx(sum(v * w for v, w, _ in rows) / sum(w for _, w, _ in rows))
    assert (found.rewards, found.clusters) == (len(rows), len({who for *_, who in rows}))


@pytest.mark.parametrize("people", [40, MANY + 50])
def test_intervals_cover_what_they_should_where_people_are_alike_in_themselves(people):
    """Each person has a taste of their own, and says it five times: rows taken as independent would cover far less."""
    rng, covered, naive, runs = random.Random(5), 0, 0, 100
    for _ in range(runs):
        tastes = [rng.choice((0.1, 0.9)) for _ in range(people)]
        rows = [Said(float(rng.random() < taste), 1.0, str(i)) for i, taste in enumerate(tastes) for _ in range(5)]
        found, alone = mean_of(rows), mean_of(replace(row, cluster=None) for row in rows)
        covered += found.low <= 0.5 <= found.high
        naive += alone.low <= 0.5 <= alone.high
    assert covered / runs > 0.88
    assert naive / runs < covered / runs - 0.1


def test_the_learning_curve_adds_up(service):
    for n in range(80):
        decision = service.decide("replies", asked(f"text {n % 5}", message=f"m{n}", conversation=f"c{n}"), seed=n)
        if n % 2:
            service.record(signal="thumb", value=int(decision.chosen == "refund"), decision=decision.id)
    curve = learning_curve(service, "replies", n=8)
    assert [stretch.window.rewards for stretch in curve] == [5] * 8
    assert [stretch.cumulative.rewards for stretch in curve] == [5 * n for n in range(1, 9)]
    said = [e.body["value"] for e in service.log.read(kinds=("outcome",))]
    assert curve[-1].cumulative.value == pytest.approx(sum(said) / len(said))
    for stretch in curve:
        start = 5 * curve.index(stretch)
        assert stretch.window.value == pytest.approx(sum(said[start : start + 5]) / 5)
        assert stretch.forgone >= 0.0
        assert stretch.hindsight >= -1e-9
        assert 0.0 <= stretch.explored <= 1.0
        assert stretch.since <= stretch.until
    assert curve[-1].window.value > curve[0].window.value or curve[0].window.value == 1.0
    assert learning_curve(service, "replies", n=8, hindsight=False)[0].hindsight is None
    half = service.log.last_seq() // 2
    assert sum(s.window.rewards for s in learning_curve(service, "replies", upto=half)) < 40
    with pytest.raises(Unknown):
        learning_curve(service, "none")


# What changed


def test_what_changed_names_who_gained_who_lost_and_why(service, clock):
    def decide(n):
        situation = asked(f"text {n % 5}", message=f"m{n}", conversation=f"c{n}")
        return service.decide("replies", replace(situation, person=f"p{n}"), seed=n)

    for n in range(40):
        decision = decide(n)
        service.record(signal="thumb", value=n % 2, decision=decision.id)
    since = clock.now
    clock.now += 10.0
    for n in range(40, 80):
        decision = decide(n)
        service.record(signal="thumb", value=int(decision.chosen == "refund"), decision=decision.id)
    found = changes(service, "replies", since=since, until=clock.now + 1.0)
    by_id = {change.id: change for change in found.candidates}
    assert by_id["refund"].gained > 0.05 > -0.05 > by_id["delivery"].gained
    assert sum(change.decisions_before for change in found.candidates) == 40
    assert sum(change.decisions for change in found.candidates) == 40
    assert sum(change.within.rewards for change in found.candidates) == 40
    assert by_id["refund"].within.value == 1.0
    assert by_id["delivery"].within.value == 0.0
    assert found.rewards == 40
    for change in found.candidates:
        assert 1 <= len(change.evidence) <= 3
        moved = [abs(evidence.moved) for evidence in change.evidence]
        assert moved == sorted(moved, reverse=True)
        assert (change.evidence[0].moved > 0) == (change.gained > 0)
        for evidence in change.evidence:
            assert evidence.was is None
            assert evidence.now[0] == (1.0 if change.id == "refund" else 0.0)
            assert [outcome["signal"] for outcome in evidence.outcomes] == ["thumb"]
            assert service.decision(evidence.decision_id).body["chosen"] == change.id
    assert list(found.candidates) == sorted(found.candidates, key=lambda change: -abs(change.gained))


def test_a_correction_and_a_revocation_of_old_rewards_are_changes_of_now(service, clock):
    ids = []
    for n in range(10):
        decision = service.decide("replies", asked(f"text {n}", message=f"m{n}"), candidates=["refund"])
        ids.append(service.record(signal="thumb", value=1, decision=decision.id).event_id)
    since = clock.now
    clock.now += 10.0
    service.correct(ids[3], value=0, who="ann", why="it was wrong")
    service.revoke(ids[4], who="ann")
    found = changes(service, "replies", since=since, until=clock.now + 1.0)
    (refund,) = (change for change in found.candidates if change.id == "refund")
    assert refund.gained < 0.0
    assert (refund.decisions_before, refund.decisions) == (10, 0)
    assert [(e.was, e.now) for e in sorted(refund.evidence, key=lambda e: e.now is None)] == [
        ((1.0, 1.0), (0.0, 1.0)),
        ((1.0, 1.0), None),
    ]
    assert {o["kind"] for e in refund.evidence for o in e.outcomes} == {"outcome", "correction", "revoked"}
    assert found.rewards == 2


def test_what_an_only_piece_of_evidence_moved_is_all_that_changed(service, clock):
    converse(service, 20)
    since = clock.now
    clock.now += 10.0
    decision = service.decide("replies", asked("text 1", message="new"), candidates=["refund"])
    service.record(signal="thumb", value=0, decision=decision.id)
    found = changes(service, "replies", since=since, until=clock.now + 1.0)
    (refund,) = (change for change in found.candidates if change.id == "refund")
    (evidence,) = refund.evidence
    assert evidence.moved == pytest.approx(refund.gained, abs=1e-9)
    assert evidence.moved != 0.0


def test_changes_of_a_learner_that_takes_nothing_back_and_of_a_new_reply(service, clock):
    service.configure("replies", LoopSettings(policy="logistic"), who="test")
    converse(service, 10)
    since = clock.now
    clock.now += 10.0
    service.reconcile("replies", [*REPLIES, Reply("hello", ("Hello!",))], who="test")
    converse(service, 30, start=10)
    service.stage("replies", OTHER, share=0.1, who="ann", why="try it")
    found = changes(service, "replies", since=since, until=clock.now + 1.0)
    new = next(change for change in found.candidates if change.id == "hello")
    assert (new.expected_before, new.gained, new.decisions_before) == (None, 0.0, 0)
    assert new.expected is not None
    assert all(e.moved is None for change in found.candidates for e in change.evidence)
    assert [step.body["why"] for step in found.steps] == ["try it"]


def test_changes_since_before_there_was_anything(service, clock):
    converse(service, 10)
    found = changes(service, "replies", since=1.0, until=clock.now + 1.0)
    assert all(change.expected_before is None and change.before == NONE for change in found.candidates)
    assert sum(change.decisions for change in found.candidates) == 10
    with pytest.raises(InvalidInput, match="ends after it begins"):
        changes(service, "replies", since=2.0, until=1.0)
    with pytest.raises(Unknown, match="no loop"):
        changes(service, "replies", since=1.0, until=2.0)
