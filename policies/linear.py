"""Learners with a Gaussian posterior: the semantic prior plus a model of what rewards add to it.

The score of candidate a in context c is `prior(c, a)` plus `f_a(x)` (parts="disjoint", a model of its own for each
candidate), `z.beta` (parts="shared", one model for all) or both (parts="hybrid"), where x is the context's blocks and
z is 1, the cosine, and what the cosine is the sum of: the products of the unit vectors' coordinates. So the prior
itself is learned: how much meaning tells, and which of it, differs from one assistant to another. With
parts="calibrated" z is 1 and the cosine alone. Rewards are learned as residuals to the prior, so an untrained learner
ranks by meaning, and a new candidate starts from its words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from policies import exploration
from policies.base import check_candidates
from policies.features import Seen
from policies.residual import ResidualLearner
from policies.types import Candidate, Context, InvalidInput, Reward, Scores


class LinearLearner(ResidualLearner):
    """A Gaussian model under one of several ways to explore.

    A reward revised: A += (w' - w) x x^T and b += (w' r' - w r) x, where r is the reward less the prior. Exact: the
    state is as if the new one had been learned in the first place.
    """

    additive: ClassVar[bool] = True
    kind: ClassVar[str] = "linear"

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Score by the parts "prior", "match" (if that is set), "shared", "own" and what blocks add ("own:NAME")."""
        check_candidates(candidates)
        seen, field = self._features.see(context), self._prior.prepare(candidates)
        parts = self._prior.parts(seen, field)
        return self._models[0].score(seen, field, parts, step=self._forgetting.step(at))

    def _explore(self, scores: Scores) -> Tensor:
        return exploration.explore(self.name, self.settings, scores, count=self.count)

    def _replace(self, seen: Seen, candidate: Candidate, old: Reward | None, new: Reward | None, step: int) -> None:
        field = self._prior.prepare((candidate,))
        prior = self._prior.of(seen, field)
        before, after = _weight(old), _weight(new)
        response = after * (_value(new) - prior) - before * (_value(old) - prior)
        if not math.isfinite(response):
            raise InvalidInput(f"reward: {new or old} is too large to learn from")
        self._models[0].update(seen, field, weight=after - before, response=response, step=step)

    def sums(self, *, at: float | None = None) -> dict[str, Tensor]:
        """What was added up, by name, with x in the order of its blocks' names."""
        step = self._latest if at is None else self._forgetting.step(at)
        order = [i for name in sorted(self._features.spans) for i in range(*self._features.spans[name])]
        found = self._models[0].sums(step or 0)
        if self.settings["parts"] == "shared":
            return found
        return {name: _ordered(total, order, both=name.endswith("/evidence")) for name, total in found.items()}


def _weight(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.weight


def _value(reward: Reward | None) -> float:
    return 0.0 if reward is None else reward.value


def _ordered(total: Tensor, order: Sequence[int], *, both: bool) -> Tensor:
    """Sums over x (in the columns too, if `both`) with x in a given order; what a model has not seen of x is 0."""
    wide = total.new_zeros(len(order), len(order) if both else total[0].numel())
    wide[: total.shape[0], : total.shape[1] if both else wide.shape[1]] = total.reshape(total.shape[0], -1)
    return wide[list(order)][:, list(order)] if both else wide[list(order)]
