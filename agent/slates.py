"""Slates: several candidates shown at once, and what the log keeps of each position.

A slate is a decision for each position, made among those that are not above it already: so each has probabilities it
was drawn from, and outcomes of its own. Positions of one slate have its id in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from agent.errors import InvalidInput
from policies.slate import Layout
from policies.types import Candidate
from policies.types import InvalidInput as Refused

MOST = 10
# What one has earned is drawn to what all have, as if that had come this often first; and that of all to a guess.
_SHRINK, _FEW, _GUESS = 20.0, 5.0, 0.2


@dataclass(frozen=True)
class SlateSettings:
    """How several are shown at once.

    `k`: how many (1 to 10). `diversity` is how they are kept apart (`mmr` or `dpp`, see `policies.slate.Layout`) and
    `strength` (0 to 1) how much that counts against what each is expected to earn. `most`: at most so many of one
    group, such as a category. `examination` (0 to 10): position p, counted from 1, is looked at with the chance
    `p ** -examination`; 0 is everybody looking at everything. `popularity` and `novelty` (0 to 1) speak for what
    earns more than others (-1: nothing, 0: as much as all, 2: three times that or more), and for what has had little
    feedback (1: none); a learner with these `cues` learns how much they tell.
    """

    k: int = 3
    diversity: str = "mmr"
    strength: float = 0.2
    most: int | None = None
    examination: float = 0.5
    popularity: float = 0.0
    novelty: float = 0.0

    def __post_init__(self) -> None:
        """Raises InvalidInput."""
        for name, (low, high) in {"k": (1, MOST), "most": (1, MOST)}.items():
            value = getattr(self, name)
            if name == "most" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InvalidInput(f"slate: {name} must be a whole number from {low} to {high}; got {value!r}")
        for name, highest in {"strength": 1.0, "examination": 10.0, "popularity": 1.0, "novelty": 1.0}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= highest:
                raise InvalidInput(f"slate: {name} must be a number from 0 to {highest:g}; got {value!r}")
        try:
            self.layout(())
        except Refused as error:
            raise InvalidInput(f"slate: {error}") from error

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> SlateSettings:
        """Settings from a mapping. Raises InvalidInput."""
        if not isinstance(given, Mapping):
            raise InvalidInput(f"slate must map names to values; got {given!r}")
        known = [f.name for f in fields(cls)]
        if unknown := set(given) - set(known):
            raise InvalidInput(f"slate: there is no {min(unknown)!r}; known are {', '.join(known)}")
        return cls(**given)

    def layout(self, groups: Sequence[str | None], pinned: Sequence[bool] = ()) -> Layout:
        """What a slate of candidates of these groups must keep to."""
        return Layout(self.diversity, self.strength, tuple(groups), self.most, tuple(pinned))

    def cues(
        self, ids: Sequence[str], earned: Callable[[str | None], tuple[float, float]], *, learned: Collection[str] = ()
    ) -> dict[str, tuple[float, dict[str, float]]]:
        """What the feedback so far says of candidates by id, and how much it speaks for them here.

        `earned` gives how much feedback stands on one (or on all), in thumbs, and the sum of its rewards; `learned` are
        cues that the learner weighs by itself.
        """
        weight, total = earned(None)
        mean = (total + _FEW * _GUESS) / (weight + _FEW)
        popularity, novelty = {}, {}
        for id in ids:
            weight, total = earned(id)
            rate = (total + _SHRINK * mean) / (weight + _SHRINK)
            popularity[id] = min(rate / mean - 1.0, 2.0)
            novelty[id] = 1.0 / math.sqrt(1.0 + max(weight, 0.0))
        found = {"popularity": (self.popularity, popularity), "novelty": (self.novelty, novelty)}
        return {name: cue for name, cue in found.items() if cue[0] or name in learned}

    def looked_at(self, position: int) -> float:
        """The chance that a position (from 0) is looked at."""
        return float((position + 1) ** -self.examination)


def body_of(layout: Layout, *, slate: str, position: int, above: Sequence[int], examination: float) -> dict[str, Any]:
    """What a decision event keeps of the slate that it is a position of."""
    return {
        "id": slate,
        "position": position,
        "above": list(above),
        "examination": examination,
        "diversity": layout.diversity,
        "strength": layout.strength,
    }


def cued(candidates: Sequence[Candidate], cues: Mapping[str, Sequence[float]]) -> list[Candidate]:
    """The candidates with further named numbers, (k,) each."""
    return [
        replace(candidate, features={**candidate.features, **{name: values[i] for name, values in cues.items()}})
        if cues
        else candidate
        for i, candidate in enumerate(candidates)
    ]


def layout_from(body: Mapping[str, Any]) -> Layout:
    """The layout of a logged position, as far as it decides about scores: what may be chosen is logged beside it."""
    return Layout(body["diversity"], body["strength"])
