"""The vocabulary of the engine: what is known, what can be chosen, what was chosen, what it earned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

#: the part of a score that a slate's layout adds (`policies.slate`): a preference among candidates, no reward.
DIVERSITY = "diversity"


class InvalidInput(ValueError):
    """The engine was given what it cannot use; the message names what and where, and nothing has changed."""


class Vector(Protocol):
    """A sequence of d floats: a list, a tuple, a numpy array or a tensor. Learners convert it to float64."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Context:
    """What is known when a choice is made.

    vector: (d,) floats, such as a sentence embedding; d is fixed by the first context learned from.
    features: named numbers, matched by name against those of a candidate.
    blocks: further named vectors, such as the embedding of the bot's last reply; each name has a length of its own.
    Instances are equal only to themselves: a vector may be an array, which has no single truth value.
    """

    vector: Vector
    features: Mapping[str, float] = field(default_factory=dict)
    blocks: Mapping[str, Vector] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What can be chosen: a reply or an item.

    id: names the candidate for ever; what is learned about it is kept under this name.
    vector: (d,) floats, the embedding of its text, or None for a candidate without a meaning (a tabular
    problem).
    features: named numbers.
    eligible: whether it may be chosen in this context; an ineligible one has probability exactly 0.
    prior: what it is expected to earn before anything is learned, where that does not follow from its vector (a finite
    number; None where it does).
    lineage: the names under which what is learned is kept, where that is not the id: the last is its own, and begins at
    the mean of what is known under the one before, with the prior's width (a new version of a candidate's words).
    """

    id: str
    vector: Vector | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    eligible: bool = True
    prior: float | None = None
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reward:
    """What an outcome amounts to: any finite value, and a finite weight >= 0 (0 teaches nothing)."""

    value: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InvalidInput(f"reward value: {self.value!r} is not finite")
        if not (math.isfinite(self.weight) and self.weight >= 0.0):
            raise InvalidInput(f"reward weight: {self.weight!r} is not a finite number >= 0")


@dataclass(frozen=True, eq=False)
class Offer:
    """What a past choice was made among: the candidates as offered then, and the propensity of the one chosen.

    rivals: the other eligible candidates by the reward expected of them then, the best first.
    Only learners that weigh what they do by what they might have done (an ensemble), or that take one candidate's
    success as another's failure (`rivals`), need it.
    """

    candidates: Sequence[Candidate]
    propensity: float
    rivals: Sequence[Candidate] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.propensity <= 1.0:
            raise InvalidInput(f"offer: the propensity {self.propensity!r} is outside (0, 1]")


@dataclass(frozen=True, eq=False)
class Scores:
    """Estimated rewards of k candidates, taken apart.

    parts: named summands, each (k,) float64; their sum is the estimate, which makes them its explanation.
    deviation: (k,) float64 >= 0, the posterior standard deviation of each estimate, without any exploration
    factor.
    covariance: (k, k) float64 where the estimates are correlated (a shared model), else None.
    latent: the estimates on the scale on which their posterior is normal, where that is another one (log-odds).
    replicas: (J, k) float64, what each of J replicas estimates, where there are any.
    """

    parts: Mapping[str, Tensor]
    deviation: Tensor
    covariance: Tensor | None = None
    latent: Scores | None = None
    replicas: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """(k,) float64: the sum of the parts."""
        return _sum(self.parts.values())

    @property
    def expected(self) -> Tensor:
        """(k,) float64: the reward expected of each, which is the mean but for what a layout adds."""
        return _sum(part for name, part in self.parts.items() if name != DIVERSITY)

    def select(self, where: Tensor) -> Scores:
        """The scores of some candidates only, by their indices."""
        return Scores(
            {name: part[where] for name, part in self.parts.items()},
            self.deviation[where],
            None if self.covariance is None else self.covariance[where][:, where],
            None if self.latent is None else self.latent.select(where),
            None if self.replicas is None else self.replicas[:, where],
        )


@dataclass(frozen=True, eq=False)
class Choice:
    """One choice: its index among the candidates given, its propensity, and what it was drawn from.

    probabilities: (k,) float64, sums to 1; `probability` is its entry at `index`.
    scores: what the distribution was made of, so that whoever logs the choice need not score twice.
    """

    index: int
    probability: float
    probabilities: Tensor
    scores: Scores

    def offer(self, candidates: Sequence[Candidate]) -> Offer:
        """What the choice was made among, for `Learner.learn`; the candidates as they were given to `choose`."""
        means = self.scores.expected.tolist()
        others = [i for i, c in enumerate(candidates) if c.eligible and i != self.index]
        others.sort(key=lambda i: -means[i])
        return Offer(candidates, self.probability, tuple(candidates[i] for i in others))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first
