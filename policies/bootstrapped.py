"""Bootstrapped Thompson sampling: replicas of the linear learner that were taught differently, and vote.

Each replica sees a reward twice or not at all, by a fair coin of its own (double or nothing: Eckles and Kaptein 2014),
so that replicas differ by as much as the rewards' own noise makes them, whatever that is. About what no reward has told
them they differ, too: each starts from a random function of its own, drawn from the prior, and learns what rewards
add to it (Osband and Van Roy 2015; randomised priors: Osband, Aslanides and Cassirer 2018). One model that sees
every reward once, from no random function, is the estimate around which they differ.
"""

from __future__ import annotations

import dataclasses
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
    """An estimate and J replicas; a candidate is chosen as often as it is the best to one of them."""

    additive: ClassVar[bool] = False
    kind: ClassVar[str] = "bootstrapped"
    meaning: ClassVar[tuple[str, ...]] = (*ResidualLearner.meaning, "replicas")

    @property
    def model_count(self) -> int:
        """How many models learn: the estimate, then the replicas."""
        return 1 + int(self.settings["replicas"])

    def scores(self, context: Context, candidates: Sequence[Candidate], *, at: float = 0.0) -> Scores:
        """Score as the linear learner does, by the estimate; `replicas` holds what each replica expects."""
        check_candidates(candidates)
        seen, field = self._features.see(context), self._prior.prepare(candidates)
        prior, step = self._prior.parts(seen, field), self._forgetting.step(at)
        estimate, *found = [model.score(seen, field, dict(prior), step=step) for model in self._models]
        replicas = torch.stack([scores.mean for scores in found]).add_(self._random(seen, field))
        return dataclasses.replace(estimate, replicas=replicas)

    def _explore(self, scores: Scores) -> Tensor:
        """Let replicas vote, each as far from the estimate as `alpha` says.

        One replica's worth of votes is spread evenly at first, and ever less with the square root of the rewards:
        what never ended would cost the same for ever.
        """
        assert scores.replicas is not None
        samples = torch.lerp(scores.mean.expand_as(scores.replicas), scores.replicas, self.settings["alpha"])
        return exploration.votes(samples, 1.0 / math.sqrt(1.0 + self.count))

    def _replace(
        self,
        seen: Seen,
        candidate: Candidate,
        old: Reward | None,  # noqa: ARG002
        new: Reward | None,
        step: int,
    ) -> None:
        if new is None or new.weight == 0.0:
            return
        field = self._prior.prepare((candidate,))
        replicas = self.settings["replicas"]
        expected = self._prior.of(seen, field)
        starts = [expected, *(self._random(seen, field)[:, 0] + expected).tolist()]
        weights = [1.0, *(2.0 if heads else 0.0 for heads in coins(self.count, replicas))]
        lessons = [
            (model, weight * new.weight, weight * new.weight * (new.value - start))
            for model, weight, start in zip(self._models, weights, starts, strict=True)
            if weight
        ]
        if not all(math.isfinite(1.0 / weight) and math.isfinite(response) for _, weight, response in lessons):
            raise InvalidInput(f"reward: {new} is too large or too small to learn from")
        for model, weight, response in lessons:
            model.update(seen, field, weight=weight, response=response, step=step)

    def _random(self, seen: Seen, field: Field) -> Tensor:
        """The replicas' random functions (J, k): linear in x, with the prior's variance everywhere."""
        parts, spans, replicas = self.settings["parts"], seen.point.spans, self.settings["replicas"]
        total = torch.zeros(replicas, len(field.candidates), dtype=torch.float64, device=self.device)
        if parts != "shared":
            for index, candidate in enumerate(field.candidates):
                for name, (start, stop) in spans.items():
                    weights = _random_weights(f"{candidate.id}\0{name}", stop - start, replicas).to(self.device)
                    total[:, index].addmv_(weights, seen.point.x[start:stop])
            total.mul_(math.sqrt(self.settings["degree"]))
        if parts != "disjoint":
            z = self._common(seen, field)
            total.addmm_(_random_weights("", z.shape[1], replicas).to(self.device), z.T)
        return total.div_(math.sqrt(self.settings["ridge"]))


def coins(number: int, count: int) -> list[bool]:
    """Toss a fair coin for each of up to 256 replicas, the same for ever for a reward of that number."""
    tosses = int.from_bytes(hashlib.sha256(str(number).encode()).digest(), "big")
    return [bool(tosses >> replica & 1) for replica in range(count)]


@functools.lru_cache(maxsize=1024)
def _random_weights(name: str, length: int, count: int) -> Tensor:
    """(count, length) normal values of variance 1 that sum to 0 over the replicas, the same for ever."""
    seed = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:7], "big")
    values = torch.randn(count, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (values - values.mean(dim=0)) * math.sqrt(count / (count - 1))
