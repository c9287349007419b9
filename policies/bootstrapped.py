"""Bootstrapped Thompson sampling: replicas of the linear learner that were taught differently, and vote.

Each replica sees a reward twice or not at all, by a fair coin of its own (double or nothing: Eckles and Kaptein 2014),
so that replicas differ by as much as the rewards' own noise lets them, whatever that is. What no reward has told them
they differ by, too: each starts from a random function of its own, drawn from the prior, and learns what rewards add
to it (Osband and Van Roy 2015; randomised priors: Osband, Aslanides and Cassirer 2018).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from policies import exploration
from policies.base import check_candidates
from policies.features import Seen
from policies.prior import Field
from policies.residual import ResidualLearner
from policies.types import Candidate, Context, InvalidInput, Reward, Scores


class BootstrappedLearner(ResidualLearner):
    """J replicas; a candidate is chosen as often as it is the best to one of them."""

    additive: ClassVar[bool] = False
    kind: ClassVar[str] = "bootstrapped"
    meaning: ClassVar[tuple[str, ...]] = (*ResidualLearner.meaning, "replicas", "alpha")

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Score by the parts of the linear learner, each the mean over replicas; `replicas` holds what each thinks.

        Random functions are no part of the estimate: over all replicas they sum to 0. Variance and covariance are
        those of an equal mixture of the replicas' posteriors: between them, and within.
        """
        check_candidates(candidates)
        seen, field = self._features.see(context), self._prior.prepare(candidates)
        parts = self._prior.parts(seen, field)
        start, step = torch.stack(list(parts.values())).sum(dim=0), self._forgetting.step(at)
        found = [model.score(seen, field, {}, step=step) for model in self._models]
        for name in found[0].parts:
            parts[name] = torch.stack([scores.parts[name] for scores in found]).mean(dim=0)
        replicas = start + self._random(seen, field) + torch.stack([scores.mean for scores in found])
        between = replicas - replicas.mean(dim=0)
        variance = torch.stack([scores.deviation.square() for scores in found]) + between.square()
        covariances = [scores.covariance for scores in found if scores.covariance is not None]
        covariance = torch.stack(covariances).mean(dim=0) if covariances else None
        if covariance is not None:
            covariance = torch.addmm(covariance, between.T, between, alpha=1.0 / len(found))
        return Scores(parts, variance.mean(dim=0).sqrt(), covariance, replicas=replicas)

    def _explore(self, scores: Scores) -> Tensor:
        assert scores.replicas is not None
        return exploration.votes(scores.replicas)

    def _replace(self, seen: Seen, candidate: Candidate, old: Reward | None, new: Reward | None, step: int) -> None:
        if new is None or new.weight == 0.0:
            return
        field = self._prior.prepare((candidate,))
        expected = self._prior.of(seen, field) + self._random(seen, field)[:, 0]
        weight = 2.0 * new.weight
        responses = ((new.value - expected) * weight).tolist()
        if not (all(map(math.isfinite, responses)) and math.isfinite(weight) and math.isfinite(1.0 / weight)):
            raise InvalidInput(f"reward: {new} is too large or too small to learn from")
        for model, heads, response in zip(self._models, coins(self.count, len(responses)), responses, strict=True):
            if heads:
                model.update(seen, field, weight=weight, response=response, step=step)

    def _random(self, seen: Seen, field: Field) -> Tensor:
        """The replicas' random functions (J, k): linear in x, of `alpha` times the prior's deviation everywhere."""
        parts, point, count = self.settings["parts"], seen.point, len(self._models)
        scale = self.settings["alpha"] / math.sqrt(self.settings["ridge"])
        total = torch.zeros(count, len(field.candidates), dtype=torch.float64, device=self.device)
        if parts != "shared":
            for index, candidate in enumerate(field.candidates):
                for name, (start, stop) in point.spans.items():
                    weights = _random_weights(f"{candidate.id}\0{name}", stop - start, count).to(self.device)
                    total[:, index].addmv_(
                        weights, point.x[start:stop], alpha=scale * math.sqrt(self.settings["degree"])
                    )
        if parts != "disjoint":
            z = self._common(seen, field)
            total.addmm_(_random_weights("", z.shape[1], count).to(self.device), z.T, alpha=scale)
        return total


def coins(number: int, count: int) -> list[bool]:
    """Toss a fair coin for each of up to 256 replicas, the same for ever for a reward of that number."""
    tosses = int.from_bytes(hashlib.sha256(str(number).encode()).digest(), "big")
    return [bool(tosses >> replica & 1) for replica in range(count)]


@functools.lru_cache(maxsize=1024)
def _random_weights(name: str, length: int, count: int) -> Tensor:
    """(count, length) normal values of variance 1 that sum to 0 over the replicas, the same for ever."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    values = torch.randn(count, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (values - values.mean(dim=0)) * math.sqrt(count / (count - 1))
