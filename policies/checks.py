"""Laws that every learner obeys, as plain functions: each takes a maker of untrained learners and raises on a breach.

A maker is called without arguments and gives a new, untrained learner; the same each time. `seed` varies the
problem. Laws speak of the public interface only, so that they hold for learners of any kind.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from policies.base import Learner, draw
from policies.problems import Maker, enrich, observe, small_world, teach, trained
from policies.process import joint, regression
from policies.simulate import LinearWorld, play
from policies.types import Candidate, Context, InvalidInput, Offer, Reward, Scores

#: what floating point may differ by where arithmetic is exact on paper.
TOLERANCE = 1e-8


def untrained_equals_prior(make: Maker, *, seed: int = 0) -> None:
    """Nothing learned: scores are the prior, so the learned parts are 0, and equal candidates are equal."""
    world = small_world(seed)
    scores = make().scores(world.context(), world.candidates)
    learned = [part for name, part in scores.parts.items() if name not in ("prior", "match")]
    _require(all(bool((part == 0.0).all()) for part in learned), "an untrained learner has learned something")
    _require(bool((scores.deviation > 0.0).all()), "an untrained learner is certain")


def given_prior_is_where_learning_starts(make: Maker, *, seed: int = 0) -> None:
    """A candidate with a prior of its own is expected to earn that, until rewards say otherwise."""
    world, learner = small_world(seed), make()
    context, first = world.context(), world.candidates[0]
    own = Candidate(first.id, first.vector, prior=0.37)
    _require(
        float(learner.scores(context, [own]).mean[0]) == 0.37, "an untrained learner does not start from the prior"
    )
    learner.learn(context, own, 0.37)
    error = abs(float(learner.scores(context, [own]).mean[0]) - 0.37)
    _require(error < TOLERANCE, "a reward as expected changed the expectation")
    learner.learn(context, own, 1.0)
    _require(float(learner.scores(context, [own]).mean[0]) > 0.37, "a better reward than expected taught nothing")


def online_equals_batch(make: Maker, *, seed: int = 0) -> None:
    """Learning one by one gives the regression of residuals to the prior, solved at once (disjoint models)."""
    world, learner = small_world(seed), make()
    observations = observe(world, 40, seed)
    untrained = make()
    for observation in observations:
        teach(learner, observation)
    context = world.context()
    scores, prior = learner.scores(context, world.candidates), untrained.scores(context, world.candidates)
    for index, candidate in enumerate(world.candidates):
        own = [o for o in observations if o.candidate is candidate]
        mean, variance = regression(own, untrained, context)
        _require(abs(float(scores.mean[index] - prior.mean[index]) - mean) < TOLERANCE, "the mean is not the batch's")
        error = abs(float(scores.deviation[index].square()) - variance)
        _require(error < TOLERANCE, "the variance is not the batch solution's")


def hybrid_equals_the_joint_process(make: Maker, *, seed: int = 0) -> None:
    """Hybrid models, learned one by one, are one Gaussian process over contexts and candidates, solved at once."""
    world, learner, untrained = small_world(seed), make(), make()
    observations = observe(world, 40, seed)
    for observation in observations:
        teach(learner, observation)
    context = world.context()
    scores, prior = learner.scores(context, world.candidates), untrained.scores(context, world.candidates)
    mean, covariance = joint(observations, untrained, context, world.candidates)
    error = float((scores.mean - prior.mean - mean).abs().max())
    _require(error < TOLERANCE, "the mean is not that of the joint process")
    found = scores.covariance
    _require(found is not None and float((found - covariance).abs().max()) < TOLERANCE, "the covariance is not")
    error = float((scores.deviation.square() - covariance.diagonal()).abs().max())
    _require(error < TOLERANCE, "the deviation is not that of the joint process")


def saving_changes_nothing(make: Maker, *, seed: int = 0) -> None:
    """A learner saved and loaded gives the very same probabilities, now and after both learn on."""
    world, learner = small_world(seed), make()
    first, second = observe(world, 30, seed), observe(world, 30, seed + 1)
    for observation in first:
        teach(learner, observation)
    loaded, state = make(), learner.state_dict()
    loaded.load_state_dict(state)
    kept = {name: value.clone() for name, value in state.items()}
    _same_bits(learner, loaded, world)
    for observation in (*second, first[0]):  # also what is known already, whose numbers change in place
        teach(learner, observation)
        teach(loaded, observation)
    _same_bits(learner, loaded, world)
    _same_state(kept, state, "what was learned later changed what had been saved")


def ineligible_has_no_probability(make: Maker, *, seed: int = 0) -> None:
    """A candidate that is not eligible has probability exactly 0; the others' still sum to 1."""
    world, learner = small_world(seed), trained(make, seed)
    for out in range(len(world.candidates)):
        candidates = [Candidate(c.id, c.vector, eligible=i not in (out, 0)) for i, c in enumerate(world.candidates)]
        probabilities = learner.probabilities(world.context(), candidates)
        _require(float(probabilities[out]) == 0.0, "an ineligible candidate has a probability")
        _require(abs(float(probabilities.sum()) - 1.0) < 1e-12, "probabilities do not sum to 1")


def probabilities_sum_to_one(make: Maker, *, seed: int = 0) -> None:
    """Probabilities are float64, never negative, and sum to 1, before and after learning; and deterministic."""
    world = small_world(seed)
    for learner in (make(), trained(make, seed)):
        context = world.context()
        probabilities = learner.probabilities(context, world.candidates)
        _require(probabilities.dtype == torch.float64, "probabilities are not float64")
        _require(bool((probabilities >= 0.0).all()), "a probability is negative or not a number")
        _require(abs(float(probabilities.sum()) - 1.0) < 1e-12, "probabilities do not sum to 1")
        again = learner.probabilities(context, world.candidates)
        _require(torch.equal(probabilities, again), "asking twice gives two answers")
        scores, other = learner.scores(context, world.candidates), learner.scores(world.context(), world.candidates)
        _require(bool(other.deviation.isfinite().all()), "a deviation is not finite")
        again = learner.distribution(scores, [True] * len(world.candidates))
        _require(torch.equal(probabilities, again), "probabilities hang on more than scores")


def clone_is_independent(make: Maker, *, seed: int = 0) -> None:
    """A clone starts equal, and what it learns later does not reach the original."""
    world, learner = small_world(seed), trained(make, seed)
    twin = learner.clone()
    _same_bits(learner, twin, world)
    context = world.context()
    before = learner.scores(context, world.candidates).mean
    for observation in observe(world, 20, seed + 1):
        teach(twin, observation)
    _require(torch.equal(before, learner.scores(context, world.candidates).mean), "a clone changed its original")
    _require(not torch.equal(before, twin.scores(context, world.candidates).mean), "a clone does not learn")


def learning_helps(make: Maker, *, seed: int = 0, rounds: int = 200) -> None:
    """Where the best choice is known, regret after learning is less than half of what it was before."""
    world, learner = small_world(seed, "misleading"), make()
    before = play(learner, world, 100, learning=False)
    play(learner, world, rounds)
    after = play(learner, world, 100, learning=False)
    _require(after < before / 2, f"regret {before:.3f} before learning, {after:.3f} after")


def slates_are_choices_in_turn(make: Maker, *, seed: int = 0) -> None:
    """Each position is drawn, by its seed, from the probabilities among those left; the first is `choose`."""
    world, learner = small_world(seed), trained(make, seed)
    context = world.context()
    for number in range(5):
        left = [dataclasses.replace(c, eligible=i != 1) for i, c in enumerate(world.candidates)]
        drawn = f"{seed}/{number}"
        slate = learner.choose_slate(context, left, k=3, seed=drawn)
        first, again = learner.choose(context, left, seed=drawn), learner.choose_slate(context, left, k=3, seed=drawn)
        _require(first.index == slate[0].index, "the first of a slate is not what is chosen alone")
        _require(first.index == draw(first.probabilities, drawn), "a choice is not drawn by its seed")
        _require([c.index for c in slate] == [c.index for c in again], "one seed gives two slates")
        for choice in slate:
            _require(
                torch.equal(choice.probabilities, learner.probabilities(context, left)), "a position is not a choice"
            )
            _require(choice.probability == float(choice.probabilities[choice.index]) > 0.0, "a propensity is wrong")
            left[choice.index] = dataclasses.replace(left[choice.index], eligible=False)
        _require(sum(c.eligible for c in left) == 0, "a candidate was shown twice, or one that was not eligible")


def epsilon_is_spread_over_the_eligible(make: Maker, *, seed: int = 0) -> None:
    """Every eligible candidate has its part of epsilon, whatever is not eligible."""
    world, learner = small_world(seed), trained(make, seed)
    _require(learner.epsilon > 0.0, "a learner that spreads nothing")
    candidates = [dataclasses.replace(c, eligible=i != 1) for i, c in enumerate(world.candidates)]
    least = learner.epsilon / (len(candidates) - 1) - 1e-12
    probabilities = learner.probabilities(world.context(), candidates).tolist()
    _require(all(p >= least for p, c in zip(probabilities, candidates, strict=True) if c.eligible), "epsilon is lost")


def candidates_may_come_and_go(make: Maker, *, seed: int = 0) -> None:
    """What is expected of a candidate does not hang on who else is there, and a new one starts from its words."""
    world, learner = small_world(seed), trained(make, seed)
    context = world.context()
    known = learner.scores(context, world.candidates)
    newcomer = Candidate("new", world.candidates[0].vector)
    mixed = learner.scores(context, [newcomer, *reversed(world.candidates[1:])])
    _same_numbers(known.select(torch.tensor([3, 2, 1])), mixed.select(torch.tensor([1, 2, 3])))
    own = [float(part[0]) for name, part in mixed.parts.items() if name.startswith("own")]
    _require(all(part == 0.0 for part in own), "a new candidate has learned something of its own")
    before = float(mixed.mean[0])
    reward = 0.0 if before > 0.5 else 1.0
    learner.learn(context, newcomer, reward, offer=Offer([newcomer], 1.0))
    after = float(learner.scores(context, [newcomer]).mean[0])
    _require(abs(after - reward) < abs(before - reward), "a new candidate does not learn")


def blocks_may_come_late(make: Maker, *, seed: int = 0) -> None:
    """Blocks and named features that appear in later contexts are learned, saved and copied; zeros are as none."""
    world, learner = small_world(seed), make()
    plain = observe(world, 20, seed)
    late = [o._replace(context=enrich(o.context, n)) for n, o in enumerate(observe(world, 20, seed + 1))]
    for observation in (*plain, *late):
        teach(learner, observation)
    loaded, twin, context = make(), learner.clone(), world.context()
    loaded.load_state_dict(learner.state_dict())
    some, every = Context(context.vector, blocks={"reply": [0.1, 0.2, 0.3]}), enrich(context, 5)
    for known in (some, every):
        scores = learner.scores(known, world.candidates)
        for other in (loaded, twin):
            again = other.scores(known, world.candidates)
            same = torch.equal(scores.mean, again.mean) and torch.equal(scores.deviation, again.deviation)
            _require(same, "late blocks are lost in a copy")
        _require("own" not in scores.parts or "own:reply" in scores.parts, "a block has no part of its own")
        for one in (learner, loaded, twin):
            teach(one, late[0])
    zeros, bare = Context(context.vector, {"turn": 0.0}, {"reply": [0.0] * 3}), Context(context.vector)
    _same_numbers(learner.scores(zeros, world.candidates), learner.scores(bare, world.candidates))


def adopting_is_a_prior(make: Maker, *, seed: int = 0) -> None:
    """Adopted whole, what another knows is known; in part, it is less certain. Who knows something does not adopt."""
    world, teacher = small_world(seed), trained(make, seed)
    whole, half = make(), make()
    whole.adopt(teacher.state_dict(), strength=1.0)
    half.adopt(teacher.state_dict(), strength=0.5)
    _close(whole, teacher, world, choosing=False)
    context = world.context()
    known, partly = _normal(teacher.scores(context, world.candidates)), _normal(half.scores(context, world.candidates))
    _require(bool((partly.deviation > known.deviation).all()), "knowing half is as certain as knowing all")
    state = teacher.state_dict()
    for learner, strength in ((teacher, 1.0), (half, 1.0), (make(), 0.0), (make(), 1.5)):
        adopt = functools.partial(learner.adopt, state, strength=strength)
        _require(_refused(adopt), "one that has learned adopts, or with a strength that is none")


def forgetting_ends_at_the_prior(make: Maker, *, seed: int = 0) -> None:
    """A learner with a half-life ends where it began: what was learned fades, the prior does not."""
    world, learner = small_world(seed), trained(make, seed)
    context, end = world.context(), 2000.0 * learner.settings["half_life"]
    _same_numbers(learner.scores(context, world.candidates, at=end), make().scores(context, world.candidates, at=end))


def forgetting_is_fading(make: Maker, *, lasting: Maker, seed: int = 0) -> None:
    """To forget is to have learned with less weight, 2^(-age / half-life), whatever came first.

    `lasting` makes the same learner without a half-life.
    """
    world, learner, other = small_world(seed), make(), lasting()
    half_life = learner.settings["half_life"]
    for number, (context, candidate, reward) in enumerate(observe(world, 60, seed)):
        age = (7 * number % 25) / 8  # in half-lives, of which an eighth is a whole number of steps
        learner.learn(context, candidate, reward.value, weight=reward.weight, at=(10.0 - age) * half_life)
        other.learn(context, candidate, reward.value, weight=reward.weight * 2.0**-age)
    context = world.context()
    now = learner.scores(context, world.candidates, at=10.0 * half_life)
    _same_numbers(now, other.scores(context, world.candidates))
    _same_sums(learner.sums(at=10.0 * half_life), other.sums())


def the_past_is_refused(make: Maker, *, seed: int = 0) -> None:
    """A learner that is not additive refuses to change what it has learned, and has no sums."""
    world, learner = small_world(seed), trained(make, seed)
    _require(not learner.additive and not learner.sums(), "a learner is additive after all")
    before, context, candidate = learner.state_dict(), world.context(), world.candidates[0]
    for new in (None, Reward(0.5)):
        revise = functools.partial(learner.revise, context, candidate, old=Reward(1.0), new=new)
        _require(_refused(revise), "a past reward was changed")
    _same_state(before, learner.state_dict(), "refused input changed the state")


def order_does_not_matter(make: Maker, *, seed: int = 0) -> None:
    """An additive learner ends in the same state whatever the order of what it learned."""
    world, forward, backward = small_world(seed), make(), make()
    _require(forward.additive, "the learner is not additive")
    observations = observe(world, 60, seed)
    for observation in observations:
        teach(forward, observation)
    for observation in reversed(observations):
        teach(backward, observation)
    _close(forward, backward, world)
    _same_sums(forward.sums(), backward.sums())


def revising_back_undoes(make: Maker, *, seed: int = 0) -> None:
    """A reward revised and revised back, and one learned and revoked, leave what was there before."""
    world, learner, untouched = small_world(seed), trained(make, seed), trained(make, seed)
    candidate = world.candidates[0]
    first, second = Reward(0.7, 0.5), Reward(-0.2, 2.0)
    known, new = world.context(), small_world(seed + 1).context()
    for context in (known, new):
        learner.revise(context, candidate, old=None, new=first)
        learner.revise(context, candidate, old=first, new=second)
        learner.revise(context, candidate, old=second, new=Reward(0.1, 2.0))
        learner.revise(context, candidate, old=Reward(0.1, 2.0), new=first)
        learner.revise(context, candidate, old=first, new=None)
        _close(learner, untouched, world)


def revising_equals_learning(make: Maker, *, seed: int = 0) -> None:
    """A reward that was revised is as if it had been learned so in the first place."""
    world, revised, direct = small_world(seed), make(), make()
    for number, observation in enumerate(observe(world, 40, seed)):
        new = Reward(observation.reward.value - 1.0, 0.5 + number % 3)
        teach(revised, observation)
        revised.revise(observation.context, observation.candidate, old=observation.reward, new=new)
        direct.revise(observation.context, observation.candidate, old=None, new=new)
    _close(revised, direct, world)


def refused_input_changes_nothing(make: Maker, *, seed: int = 0) -> None:
    """Bad input raises InvalidInput and leaves every bit of the state as it was."""
    world, learner = small_world(seed), trained(make, seed)
    good, candidate = world.context(), world.candidates[0]
    before = learner.state_dict()
    nan = float("nan")
    bad = Context([nan] * world.dimension)
    attempts: list[Callable[[], object]] = [
        lambda: learner.learn(bad, candidate, 1.0),
        lambda: learner.learn(Context([1.0] * (world.dimension + 1)), candidate, 1.0),
        lambda: learner.learn(Context([]), candidate, 1.0),
        lambda: learner.learn(good, candidate, nan),
        lambda: learner.learn(good, candidate, 1.0, weight=-1.0),
        lambda: learner.learn(good, candidate, 1e308, weight=1e308),
        lambda: learner.learn(good, Candidate(candidate.id, [nan]), 1.0),
        lambda: learner.revise(good, candidate, old=Reward(1.0, 1e6), new=None),
        lambda: learner.probabilities(good, []),
        lambda: learner.probabilities(good, [Candidate("a", candidate.vector, eligible=False)]),
        lambda: learner.probabilities(good, [candidate, candidate]),
        lambda: learner.load_state_dict({}),
    ]
    for number, attempt in enumerate(attempts):
        _require(_refused(attempt), f"bad input number {number} was accepted")
    _same_state(before, learner.state_dict(), "refused input changed the state")


#: the laws of every learner.
ALL: tuple[Callable[[Maker], None], ...] = (
    untrained_equals_prior,
    given_prior_is_where_learning_starts,
    saving_changes_nothing,
    ineligible_has_no_probability,
    probabilities_sum_to_one,
    clone_is_independent,
    learning_helps,
    slates_are_choices_in_turn,
    candidates_may_come_and_go,
    blocks_may_come_late,
    adopting_is_a_prior,
    refused_input_changes_nothing,
)
#: the laws of those that declare themselves additive.
ADDITIVE: tuple[Callable[[Maker], None], ...] = (
    order_does_not_matter,
    revising_back_undoes,
    revising_equals_learning,
)


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except InvalidInput as error:
        return bool(str(error))
    return False


def _normal(scores: Scores) -> Scores:
    """The scores on the scale on which more evidence always means less deviation."""
    return scores.latent or scores


def _same_bits(one: Learner, other: Learner, world: LinearWorld) -> None:
    for _ in range(5):
        context = world.context()
        same = torch.equal(one.probabilities(context, world.candidates), other.probabilities(context, world.candidates))
        _require(same, "two learners that should be the same differ")


def _same_state(before: Mapping[str, Tensor], after: Mapping[str, Tensor], otherwise: str) -> None:
    _require(before.keys() == after.keys(), otherwise)
    _require(all(torch.equal(before[k], after[k]) for k in before), otherwise)


def _same_sums(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    _require(one.keys() == other.keys() and len(one) > 0, "the sums are not of the same things")
    error = max(float((one[name] - other[name]).abs().max()) for name in one)
    _require(error < TOLERANCE, f"the sums differ by {error:.1e}")


def _same_numbers(one: Scores, other: Scores) -> None:
    error = max(float((one.mean - other.mean).abs().max()), float((one.deviation - other.deviation).abs().max()))
    _require(error < TOLERANCE, f"scores differ by {error:.1e}")


def _close(one: Learner, other: Learner, world: LinearWorld, *, choosing: bool = True) -> None:
    """Both expect the same and, unless they may have learned from different numbers of rewards, choose the same."""
    for _ in range(5):
        context, every = world.context(), [True] * len(world.candidates)
        scores = one.scores(context, world.candidates)
        _same_numbers(scores, other.scores(context, world.candidates))
        same = not choosing or torch.equal(one.distribution(scores, every), other.distribution(scores, every))
        _require(same, "by the same scores, two learners that should be the same choose differently")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
