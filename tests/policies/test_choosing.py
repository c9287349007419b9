"""Drawing, slates, what is refused, and what the engine imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import policies
from policies import Candidate, Context, InvalidInput, Reward, draw

TWO = (Candidate("a", [1.0, 0.0]), Candidate("b", [0.0, 1.0]))


def chi_square(observed, probabilities):
    n = sum(observed)
    return sum((o - n * p) ** 2 / (n * p) for o, p in zip(observed, probabilities, strict=True) if p > 0)


def test_draws_follow_the_probabilities():
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05], dtype=torch.float64)
    observed = [0] * 5
    for seed in range(20_000):
        observed[draw(probabilities, seed)] += 1
    assert observed[1] == 0
    assert chi_square(observed, probabilities.tolist()) < 16.27  # 3 degrees of freedom: exceeded with p = 0.001


def test_draw_never_lands_on_nothing():
    assert {draw([0.0, 1.0, 0.0], seed) for seed in range(200)} == {1}
    assert {draw([0.0, 1e-300, 0.0], seed) for seed in range(200)} == {1}
    for bad in ([0.0, 0.0], [float("nan"), 1.0], [-0.1, 1.1], []):
        with pytest.raises(InvalidInput):
            draw(bad, 0)


def test_a_choice_carries_the_probability_it_was_drawn_with():
    learner = policies.create("epsilon_greedy", epsilon=0.4)
    context = Context([1.0, 0.2])
    for seed in range(20):
        choice = learner.choose(context, TWO, seed=seed)
        assert choice.probability == float(choice.probabilities[choice.index])
        assert torch.equal(choice.probabilities, learner.probabilities(context, TWO))
        assert learner.choose(context, TWO, seed=seed).index == choice.index


def test_slate_positions_are_conditional_on_those_before():
    candidates = [Candidate(str(i), eligible=i != 2) for i in range(5)]
    learner = policies.create("epsilon_greedy", epsilon=0.6)
    learner.learn(Context([1.0]), candidates[3], 1.0)
    counts: dict[tuple[int, int], int] = {}
    expected: dict[tuple[int, int], float] = {}
    for seed in range(6000):
        first, second = learner.choose_slate(Context([1.0]), candidates, k=2, seed=seed)
        assert first.index == learner.choose(Context([1.0]), candidates, seed=seed).index
        assert float(second.probabilities[first.index]) == 0.0
        assert float(second.probabilities[2]) == 0.0
        pair = (first.index, second.index)
        counts[pair] = counts.get(pair, 0) + 1
        expected[pair] = first.probability * second.probability
    assert sum(expected.values()) == pytest.approx(1.0)
    assert chi_square([counts[p] for p in expected], expected.values()) < 31.26  # 11 degrees of freedom, p = 0.001


def test_slate_refuses_more_than_there_are():
    learner = policies.create("greedy")
    for k in (0, 3):
        with pytest.raises(InvalidInput, match="cannot choose"):
            learner.choose_slate(Context([1.0, 0.0]), TWO, k=k, seed=0)


def test_prior_is_affine_in_the_cosine_plus_the_match():
    learner = policies.create("greedy", prior_slope=2.0, prior_intercept=-0.5, prior_match=0.1)
    context = Context([3.0, 4.0], {"price": 2.0, "other": 5.0})
    candidates = [Candidate("a", [10.0, 0.0], {"price": 3.0}), Candidate("b"), Candidate("c", [0.0, 0.0])]
    scores = learner.scores(context, candidates)
    assert scores.parts["prior"].tolist() == pytest.approx([2 * 0.6 - 0.5, 0.0, -0.5])
    assert scores.parts["match"].tolist() == pytest.approx([0.6, 0.0, 0.0])
    assert scores.mean.tolist() == pytest.approx([1.3, 0.0, -0.5])
    assert list(scores.parts) == ["prior", "match", "own", "own:features", "own:together"]


def test_vectors_may_be_anything_that_holds_floats():
    numpy = pytest.importorskip("numpy")
    read_only = numpy.frombuffer(numpy.array([0.6, 0.8], dtype=numpy.float32).tobytes(), dtype=numpy.float32)
    learner = policies.create("linucb")
    vectors = [read_only, [0.6, 0.8], (0.6, 0.8), torch.tensor([0.6, 0.8], requires_grad=True)]
    means = [learner.scores(Context(v), TWO).mean.tolist() for v in vectors]
    assert all(mean == pytest.approx(means[0], abs=1e-6) for mean in means)


def test_what_was_given_may_change_later():
    learner, vector = policies.create("linucb"), torch.tensor([0.6, 0.8], dtype=torch.float64)
    learner.learn(Context(vector), TWO[0], 1.0)
    before = learner.scores(Context([0.6, 0.8]), TWO).deviation.tolist()
    state = learner.state_dict()
    vector.zero_()
    assert learner.scores(Context([0.6, 0.8]), TWO).deviation.tolist() == before
    assert all(torch.equal(state[k], v) for k, v in learner.state_dict().items())


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([], "shape"),
        ([[1.0]], "shape"),
        (["x"], "not a sequence of numbers"),
        ([1.0, float("inf")], "not finite"),
        ([1.0, 2.0, 3.0], "cosine"),
    ],
)
def test_bad_context_is_named(vector, message):
    with pytest.raises(InvalidInput, match=message):
        policies.create("greedy").probabilities(Context(vector), TWO)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([], "there are none"),
        ([Candidate("a", eligible=False)], "none of the 1 is eligible"),
        ([Candidate("a"), Candidate("a")], "'a' occurs twice"),
        ([Candidate("a", [1.0]), Candidate("b", [1.0, 2.0])], "different lengths"),
        ([Candidate("a", [float("nan"), 0.0])], "candidate 'a'"),
    ],
)
def test_bad_candidates_are_named(candidates, message):
    with pytest.raises(InvalidInput, match=message):
        policies.create("greedy").probabilities(Context([1.0, 0.0]), candidates)


def test_shared_needs_vectors():
    with pytest.raises(InvalidInput, match=r"\['b'\] carry no vector"):
        policies.create("linucb", parts="shared").probabilities(Context([1.0]), [Candidate("a", [1.0]), Candidate("b")])


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("linucbb", {}, "there are greedy, epsilon_greedy, linucb, "),
        ("linucb", {"alhpa": 1}, "it has alpha, parts"),
        ("greedy", {"alpha": 1}, "no setting 'alpha'"),
        ("linucb", {"ridge": 0}, "outside"),
        ("linucb", {"alpha": "x"}, "not a finite number"),
        ("linucb", {"alpha": True}, "not a finite number"),
        ("linucb", {"epsilon": 1.5}, "outside"),
        ("linucb", {"parts": "both"}, "disjoint, shared"),
    ],
)
def test_bad_settings_are_named(name, given, message):
    with pytest.raises(InvalidInput, match=message):
        policies.create(name, **given)


def test_bad_rewards_are_named():
    for value, weight in ((float("nan"), 1.0), (1.0, float("inf")), (1.0, -0.5)):
        with pytest.raises(InvalidInput, match="reward"):
            Reward(value, weight)


def test_settings_make_an_untrained_twin():
    learner = policies.create("lints", ridge=2)
    assert policies.create(learner.name, **learner.settings).settings == learner.settings


def test_state_of_other_settings_is_refused():
    learner = policies.create("linucb", ridge=2.0)
    learner.learn(Context([1.0, 0.0]), TWO[0], 1.0)
    with pytest.raises(InvalidInput, match=r"ridge=2\.0 not 1\.0"):
        policies.create("linucb").load_state_dict(learner.state_dict())
    broken = learner.state_dict()
    del broken["0.kernel.weights"]
    with pytest.raises(InvalidInput, match="weights is missing"):
        policies.create("linucb", ridge=2.0).load_state_dict(broken)
    policies.create("lints", ridge=2.0).load_state_dict(learner.state_dict())


def test_state_goes_through_safetensors():
    safetensors = pytest.importorskip("safetensors.torch")
    learner = policies.create("linucb")
    learner.learn(Context([1.0, 0.0]), TWO[0], 1.0)
    loaded = policies.create("linucb")
    loaded.load_state_dict(safetensors.load(safetensors.save(learner.state_dict())))
    assert (
        loaded.scores(Context([1.0, 0.5]), TWO).mean.tolist() == learner.scores(Context([1.0, 0.5]), TWO).mean.tolist()
    )


def test_the_engine_imports_neither_rasa_nor_tensorflow():
    code = (
        "import sys, policies, policies.checks; "
        "sys.exit(any(m in sys.modules for m in ('rasa', 'tensorflow', 'fastapi', 'sqlite_utils')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_success_counts_against_the_rivals_and_can_be_taken_back():
    learner = policies.create("linucb", rivals=1, rival_weight=0.5)
    context, candidates = Context([1.0, 0.2]), (*TWO, Candidate("c", [-1.0, 0.0]))
    untouched = learner.scores(context, candidates)
    choice = learner.choose(context, candidates, seed=0)
    offer = choice.offer(candidates)
    assert [rival.id for rival in offer.rivals] == ["b", "c"]
    old, new = Reward(1.0), Reward(0.5, 2.0)
    learner.revise(context, TWO[0], old=None, new=old, offer=offer)
    assert float(learner.scores(context, candidates).mean[1]) < float(untouched.mean[1]) + 1e-12
    twin = policies.create("linucb", rivals=1, rival_weight=0.5)
    twin.learn(context, TWO[0], 0.5, weight=2.0, offer=offer)
    learner.revise(context, TWO[0], old=old, new=new, offer=offer)
    assert learner.scores(context, candidates).mean.tolist() == pytest.approx(
        twin.scores(context, candidates).mean.tolist()
    )
    learner.revise(context, TWO[0], old=new, new=None, offer=offer)
    assert learner.scores(context, candidates).mean.tolist() == pytest.approx(untouched.mean.tolist())


def test_a_failure_says_nothing_of_the_rivals():
    learner = policies.create("linucb", rivals=5)
    context = Context([1.0, 0.2])
    choice = learner.choose(context, TWO, seed=0)
    before = learner.scores(context, TWO).mean.tolist()
    learner.learn(context, TWO[choice.index], 0.0, offer=choice.offer(TWO))
    assert learner.scores(context, TWO).mean.tolist()[1 - choice.index] == before[1 - choice.index]
