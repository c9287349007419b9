"""Slates: what the positions of one list must keep to beside the scores of each candidate alone.

A slate is chosen position after position (`Learner.choose_slate`), and what stands above changes what may come next and
what it is worth: a near-copy of one above is worth less (`Layout.scores`), a group that has its share is out, and those
pinned come first (`Layout.eligible`). Each position's probabilities are computed from these, so its propensity is exact
given those above.

Diversity is taken over the candidates' unit vectors v, as a further part of the score in [-strength, 0]:

- "mmr": -strength max_j max(0, cos(v_i, v_j)) over those j above (maximal marginal relevance: Carbonell and Goldstein
  1998, whose lambda weighs the same two terms; here the score keeps its scale);
- "dpp": strength log(max(d_i^2, f)) / log(1 / f), where d_i^2 in [0, 1] is the squared length of what v_i has outside
  the span of those above: the gain in log-determinant of the greedy MAP step of a determinantal point process (Chen,
  Zhang and Zhou 2018, equation 9), which sees when one is a blend of several above. f = LEAST_RESIDUAL bounds it.

Under both, what is orthogonal to all above loses nothing and a copy loses `strength`, on the scale of rewards.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from policies.features import as_vector
from policies.types import DIVERSITY, Candidate, InvalidInput, Scores

#: the squared residual at which a candidate counts as a copy of those above ("dpp"): its logarithm is unbounded.
LEAST_RESIDUAL = 0.01
#: a vector with less than this left of its squared length lies in the span of the others, up to rounding.
NOTHING_LEFT = 1e-12
#: log-odds follow a probability within this far of 0 and 1, and their tangent beyond.
EDGE = 0.01


@dataclass(frozen=True)
class Layout:
    """What a slate must keep to beside the scores.

    diversity: "mmr" or "dpp"; strength: [0, 1], what a copy of one above loses, in units of reward. groups: of each
    candidate, the group that it is in, or None; most: of how many of one group a slate may have (>= 1), None for any
    number. pinned: of each candidate, whether it comes before all that are not. groups and pinned have one entry per
    candidate, or are empty. Raises InvalidInput for values that do not fit.
    """

    diversity: str = "mmr"
    strength: float = 0.0
    groups: Sequence[str | None] = ()
    most: int | None = None
    pinned: Sequence[bool] = ()

    def __post_init__(self) -> None:
        if self.diversity not in ("mmr", "dpp"):
            raise InvalidInput(f"layout: diversity {self.diversity!r} is none of mmr, dpp")
        if not _is_number(self.strength) or not 0.0 <= self.strength <= 1.0:
            raise InvalidInput(f"layout: strength {self.strength!r} is outside [0, 1]")
        if self.most is not None and (not _is_number(self.most) or self.most != int(self.most) or self.most < 1):
            raise InvalidInput(f"layout: most {self.most!r} is not a whole number from 1 on")
        _check_entries("groups", self.groups, (str, type(None)))
        _check_entries("pinned", self.pinned, (bool,))

    def eligible(self, eligible: Sequence[bool], above: Sequence[int]) -> list[bool]:
        """Say who of k candidates may come next, given who is eligible and the indices of those above.

        Those above are out, and whose group has `most` above; while a pinned one is left, so is all that is not pinned.
        Raises InvalidInput where groups or pinned are not of k candidates, or an index above is not one of them.
        """
        self._check_lengths(len(eligible), above)
        left = list(eligible)
        for index in above:
            left[index] = False
        if self.most is not None and self.groups:
            shown = Counter(self.groups[index] for index in above)
            full = {group for group, count in shown.items() if group is not None and count >= self.most}
            left = [able and group not in full for able, group in zip(left, self.groups, strict=True)]
        first = [able and pinned for able, pinned in zip(left, self.pinned, strict=True)] if self.pinned else []
        return first if any(first) else left

    def scores(self, scores: Scores, candidates: Sequence[Candidate], above: Sequence[int]) -> Scores:
        """Score k candidates for the next position, given the indices of those above.

        With strength 0 or nothing above, the very same scores. Else they have one part more, "diversity" (k,) <= 0; how
        uncertain each is stays as it was. A candidate without a vector (or with one of length 0) is like no other: its
        part is 0. Raises InvalidInput for vectors of different lengths, and as `eligible` does.
        """
        self._check_lengths(len(candidates), above)
        if not self.strength or not above:
            return scores
        units = _units(tuple(candidates), scores.deviation.device)
        cost = _likeness if self.diversity == "mmr" else _redundancy
        return _shifted(scores, cost(units, above) * -self.strength)

    def _check_lengths(self, k: int, above: Sequence[int]) -> None:
        for name, entries in (("groups", self.groups), ("pinned", self.pinned)):
            if entries and len(entries) != k:
                raise InvalidInput(f"layout: {name} has {len(entries)} entries, but there are {k} candidates")
        if not all(0 <= index < k for index in above):
            raise InvalidInput(f"layout: above {list(above)} names others than the {k} candidates")


def _likeness(units: Tensor, above: Sequence[int]) -> Tensor:
    """The greatest cosine (k,) in [0, 1] of each of the units (k, d) with those above."""
    return (units @ units[list(above)].T).amax(dim=1).clamp(0.0, 1.0)


def _redundancy(units: Tensor, above: Sequence[int]) -> Tensor:
    """How much of each of the units (k, d) those above have said: 0 where orthogonal, 1 from LEAST_RESIDUAL on."""
    left = units.clone()
    for index in above:  # Gram and Schmidt, in the modified order, which keeps the digits
        length = torch.linalg.vector_norm(left[index])
        if float(length) ** 2 > NOTHING_LEFT:
            direction = left[index] / length
            left -= torch.outer(torch.mv(left, direction), direction)
    residual = left.square().sum(dim=1).clamp(LEAST_RESIDUAL, 1.0)
    bare = ~units.any(dim=1)  # no vector, nothing said
    return (residual.log() / math.log(LEAST_RESIDUAL)).masked_fill(bare, 0.0)


def _shifted(scores: Scores, shift: Tensor) -> Scores:
    """Add the part "diversity" (k,) to the scores, on every scale that they have.

    Replicas shift by as much as the estimate, so they differ from it as before. A shift of a reward is none of
    log-odds: those move to where the model would expect the shifted reward (`_log_odds`), so that estimates within
    [EDGE, 1 - EDGE] keep on both scales the order that they have after the shift; their deviation stays.
    """
    latent = scores.latent
    if latent is not None:
        mean = scores.mean
        moved = _log_odds(mean + shift) - _log_odds(mean)
        latent = replace(latent, parts={**latent.parts, DIVERSITY: moved})
    replicas = None if scores.replicas is None else scores.replicas + shift
    return replace(scores, parts={**scores.parts, DIVERSITY: shift}, latent=latent, replicas=replicas)


def _log_odds(p: Tensor) -> Tensor:
    """Log-odds of p, continued beyond [EDGE, 1 - EDGE] by their tangents: a shifted probability may be below 0."""
    within = p.clamp(EDGE, 1.0 - EDGE)
    return torch.logit(within) + (p - within) / (EDGE * (1.0 - EDGE))


@lru_cache(maxsize=1)  # one slate asks for the same candidates at each of its positions
def _units(candidates: tuple[Candidate, ...], device: torch.device) -> Tensor:
    """Unit vectors (k, d) float64; 0 of candidates without one. Candidates are told apart by identity."""
    rows: list[Tensor | None] = []
    for candidate in candidates:
        if candidate.vector is None:
            rows.append(None)
        else:
            vector, length = as_vector(candidate.vector, f"vector of candidate {candidate.id!r}", device)
            rows.append(vector / length if length else vector)
    sizes = {row.numel() for row in rows if row is not None} or {1}
    if len(sizes) > 1:
        raise InvalidInput(f"candidate vectors: of different lengths ({', '.join(map(str, sorted(sizes)))})")
    zero = torch.zeros(sizes.pop(), dtype=torch.float64, device=device)
    return torch.stack([zero if row is None else row for row in rows])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_entries(name: str, entries: Any, kinds: tuple[type, ...]) -> None:
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise InvalidInput(f"layout: {name} {entries!r} is not a list with an entry per candidate")
    for place, entry in enumerate(entries):
        if not isinstance(entry, kinds):
            raise InvalidInput(f"layout: {name}[{place}] {entry!r} is none of {', '.join(k.__name__ for k in kinds)}")
