"""The guard's laws: the bounds hold, the order leaves no trace, and what is not overdone counts in full."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.influence import Claim, Guard, Influence, factors
from agent.rewards import Earned

LAW = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
GUARD = Guard(share=0.2, floor=2.0, burst=3.0, burst_seconds=60.0)

claims = st.builds(
    lambda candidate, person, value, weight, at: Claim(candidate, person, Earned(value, weight, at)),
    st.sampled_from(["refund", "delivery"]),
    st.sampled_from(["ann", "bob", "cid", None]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([1.0, 0.3, 0.1, 1e-12]),
    st.sampled_from([None, 0.0, 59.9, 60.0, -0.1]),
)
# What comes, and what takes its place or goes (None), by number.
histories = st.lists(st.tuples(st.integers(0, 30), st.none() | claims), max_size=80)
crowds = st.lists(claims, max_size=60).map(lambda found: {str(n): claim for n, claim in enumerate(found)})


def counted(found: dict[str, Claim], share: dict[str, float]) -> dict[tuple[str, str | None], float]:
    totals: defaultdict[tuple[str, str | None], float] = defaultdict(float)
    for id, claim in found.items():
        totals[claim.candidate, claim.person] += claim.earned.weight * share[id]
    return totals


@given(histories, st.sampled_from([GUARD, Guard(), Guard(share=0.2, floor=1.0), Guard(burst=1.0)]))
@LAW
def test_what_counts_depends_on_what_stands_alone(history, guard):
    influence = Influence(guard)
    known: dict[str, float] = {}
    for number, claim in history:
        id, touched = str(number), set()
        if claim is not None:
            touched = influence.put(id, claim)
        elif id in influence.claims:
            touched = influence.drop(id)
        now = {each: influence.factor(each) for each in influence.claims}
        # To the bit, and nothing has changed that was not said to.
        assert now == factors(influence.claims, guard)
        changed = {each for each in known.keys() | now.keys() if known.get(each) != now.get(each)}
        assert changed <= touched
        known = now
    capped, bursts = influence.held
    assert (capped, bursts) == (len(influence.capped()), len(influence.bursts()))
    assert (not capped and not bursts) == all(factor == 1.0 for factor in known.values())


@given(crowds)
@LAW
def test_nobody_has_more_than_a_share_of_what_counts(found):
    totals = counted(found, factors(found, GUARD))
    for (candidate, person), total in totals.items():
        everybody = sum(weight for (name, _), weight in totals.items() if name == candidate)
        if person is not None:
            assert total <= max(GUARD.floor, GUARD.share * everybody) + 1e-6


@given(crowds)
@LAW
def test_a_burst_counts_by_its_logarithm(found):
    guard = Guard(burst=3.0)
    share = factors(found, guard)
    bursts: defaultdict[object, list[str]] = defaultdict(list)
    for id, claim in found.items():
        if claim.earned.at is None:
            assert share[id] == 1.0  # a default, which nobody gave
        else:
            bursts[claim.candidate, claim.earned.value, claim.earned.at // 60].append(id)
    for ids in bursts.values():
        given_ = sum(found[id].earned.weight for id in ids)
        counts = sum(found[id].earned.weight * share[id] for id in ids)
        if given_ <= 3.0:
            assert counts == given_
        else:
            # Rounded up to the next quarter of a doubling, and never below what counted in full before.
            assert counts <= 3.0 * (1.0 + math.log(given_ / 3.0) + math.log(2.0) / 4.0) + 1e-6
            assert counts >= 3.0 * (1.0 + math.log(given_ / 3.0)) / 2.0**0.25 - 1e-6


def test_several_who_overdo_it_make_no_room_for_one_another():
    shouting = {f"{who}/{n}": Claim("refund", who, Earned(1.0, 1.0, 60.0 * n)) for who in "abcde" for n in range(500)}
    quiet = {f"quiet {n}": Claim("refund", f"q{n}", Earned(0.0, 1.0, 60.0 * n)) for n in range(95)}
    found = {**shouting, **quiet}
    totals = counted(found, factors(found, Guard(share=0.1, floor=10.0)))
    loud = sum(totals["refund", who] for who in "abcde")
    assert loud <= 0.5 * sum(totals.values())
    assert all(totals["refund", f"q{n}"] == 1.0 for n in range(95))
    assert all(totals["refund", who] >= 10.0 / 2.0**0.25 for who in "abcde")


def test_nobody_is_held_back_by_what_is_usual():
    found = {f"{n}": Claim("refund", f"p{n % 7}", Earned(n % 2, 1.0, 7.0 * n)) for n in range(70)}
    assert set(factors(found, Guard(share=0.1, floor=10.0, burst=20.0)).values()) == {1.0}


def test_those_whom_nobody_knows_are_not_one_person():
    found = {f"{n}": Claim("refund", None, Earned(1.0, 1.0, 60.0 * n)) for n in range(500)}
    assert set(factors(found, Guard(share=0.1, floor=1.0)).values()) == {1.0}


@pytest.mark.parametrize("order", ["persons", "bursts"])
def test_one_more_thumb_moves_the_others_seldom(order):
    influence, moves = Influence(Guard(share=0.1, floor=10.0, burst=20.0)), 0
    for n in range(2_000):
        at = 60.0 * n if order == "persons" else 0.0
        who = "ann" if order == "persons" else f"p{n}"
        moves += len(influence.put(f"{n}", Claim("refund", who, Earned(1.0, 1.0, at)))) - 1
    assert 0 < moves < 2_000 / (1 - 2**-0.25)
    (held,) = influence.capped() if order == "persons" else influence.bursts()
    assert held.weight == 2_000.0
    assert held.counted <= (10.0 if order == "persons" else 20.0 * (1.0 + math.log(100.0) + math.log(2.0) / 4.0))
