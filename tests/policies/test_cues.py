"""Cues: named numbers of candidates, of which what these share learns how much they tell."""

from __future__ import annotations

import json

import pytest
import torch

import policies
from policies import Candidate, Context, InvalidInput

CUES = {"popularity": 1.0, "novelty": 0.5}
X = Context([0.6, 0.8])


def learner(parts, **more):
    return policies.create("linucb", parts=parts, cues=CUES, **more)


def item(id, **cues):
    return Candidate(id, vector=[1.0, 0.0], features=cues)


@pytest.mark.parametrize("parts", ["shared", "hybrid", "calibrated"])
def test_what_a_cue_tells_is_learned_and_holds_for_those_never_seen(parts):
    made = learner(parts)
    new = [item("much", popularity=1.0), item("little", popularity=0.0)]
    before = made.scores(X, new).mean
    assert before[0] == before[1]
    for n in range(30):
        popularity = n % 2
        made.learn(X, item(f"old{n % 6}", popularity=float(popularity), novelty=0.3), float(popularity))
    after = made.scores(X, new).mean
    assert after[0] > after[1] + 0.2
    parts_of = made.scores(X, new).parts
    torch.testing.assert_close(sum(parts_of.values()), after)


def test_a_cue_is_as_sure_as_the_closed_form_says():
    """With one cue z beside what is fixed, the variance at a candidate is that of ridge regression."""
    made, plain = learner("shared", ridge=2.0), policies.create("linucb", parts="shared", ridge=2.0)
    a, b = item("a", popularity=0.7), item("a")
    added = made.scores(X, [a]).deviation.square() - plain.scores(X, [b]).deviation.square()
    torch.testing.assert_close(added, torch.tensor([0.7**2 / 2.0], dtype=torch.float64))


def test_without_cues_a_state_from_before_them_is_taken_over():
    made = policies.create("lints", parts="shared")
    made.learn(X, item("a"), 1.0)
    state = made.state_dict()
    header = json.loads(bytes(state["header"].tolist()))
    del header["settings"]["cues"]
    state["header"] = torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)
    twin = policies.create("lints", parts="shared")
    twin.load_state_dict(state)
    torch.testing.assert_close(twin.scores(X, [item("a")]).mean, made.scores(X, [item("a")]).mean, rtol=0, atol=0)
    with pytest.raises(InvalidInput, match="cues"):
        policies.create("lints", parts="shared", cues=CUES).load_state_dict(state)


def test_wrong_cues_are_refused():
    with pytest.raises(InvalidInput, match="disjoint"):
        policies.create("lints", cues=CUES)
    with pytest.raises(InvalidInput, match="cues"):
        policies.create("lints", parts="shared", cues=["popularity"])
    with pytest.raises(InvalidInput, match="not finite"):
        learner("shared").scores(X, [item("a", popularity=float("nan"))])
