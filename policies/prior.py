"""The semantic prior: what a candidate is worth in a context before anything was learned, from meaning alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import torch
from torch import Tensor

from policies.features import Seen, as_vector
from policies.types import Candidate, InvalidInput

#: standard deviations (at ridge 1) of what the prior's intercept and slope are off by, and of what else a score is,
#: where coordinates of the vectors tell differently much (at products spread evenly over them).
INTERCEPT_SCALE, SLOPE_SCALE, PRODUCT_SCALE = 0.3, 1.0, 0.5


@dataclass(frozen=True, eq=False)
class Field:
    """Candidates made ready: unit vectors (k, d), None if none has one; known (k,) is 1 where one has."""

    candidates: tuple[Candidate, ...]
    units: Tensor | None
    known: Tensor


class SemanticPrior:
    """`intercept + slope cos(context, candidate) + match sum_f context[f] candidate[f]` over features f of one name.

    A candidate without a vector has no cosine and no intercept: instead of them it has `unknown`. Of one that brings a
    prior of its own, that holds.
    """

    def __init__(self, settings: dict[str, Any], device: torch.device, *, unknown: float = 0.0) -> None:
        self.device, self._unknown = device, unknown
        self._slope, self._intercept = settings["prior_slope"], settings["prior_intercept"]
        self._match_scale = settings["prior_match"]
        self._field: Field | None = None

    def prepare(self, candidates: Sequence[Candidate]) -> Field:
        """Convert candidates, or recall the conversion of the very same ones, or of one among them."""
        last = self._field
        if last and len(last.candidates) == len(candidates) and all(map(is_, last.candidates, candidates)):
            return last
        if last and len(candidates) == 1:
            for i, candidate in enumerate(last.candidates):
                if candidate is candidates[0]:
                    units = None if last.units is None else last.units[i : i + 1]
                    return Field((candidate,), units, last.known[i : i + 1])
        self._field = self._convert(candidates)
        return self._field

    def parts(self, seen: Seen, field: Field) -> dict[str, Tensor]:
        """The parts of the score, each (k,): "prior", and "match" where that is set."""
        prior = field.known * (self._intercept - self._unknown) + self._unknown
        if field.units is not None and self._slope:
            self._check_lengths(seen, field.units)
            prior = prior.add_(torch.mv(field.units, seen.unit), alpha=self._slope)
        for index, candidate in enumerate(field.candidates):
            if candidate.prior is not None:
                prior[index] = _given(candidate)
        parts = {"prior": prior}
        if self._match_scale:
            parts["match"] = self._match(seen, field)
        return parts

    def of(self, seen: Seen, field: Field) -> float:
        """The prior score of a field of one candidate."""
        return sum(float(part) for part in self.parts(seen, field).values())

    def terms(self, seen: Seen, field: Field) -> Tensor:
        """What the prior is affine in, (k, 2): 1 and the cosine, scaled to what each may have to be corrected by."""
        cosine = field.known.new_zeros(len(field.candidates))
        if field.units is not None:
            self._check_lengths(seen, field.units)
            cosine = torch.mv(field.units, seen.unit)
        return torch.stack([torch.ones_like(cosine) * INTERCEPT_SCALE, cosine * SLOPE_SCALE], dim=1)

    def products(self, seen: Seen, field: Field) -> Tensor:
        """What the cosine is the sum of, (k, d): unit vectors multiplied elementwise, of about the same length as they.

        Of a candidate without a vector, the context's unit vector: what contexts are worth whatever is chosen.
        """
        if field.units is None:
            return seen.unit.expand(len(field.candidates), -1) * PRODUCT_SCALE
        self._check_lengths(seen, field.units)
        bare = (field.known == 0.0)[:, None]
        evenly = field.units * math.sqrt(seen.unit.numel())
        return torch.where(bare, seen.unit, evenly * seen.unit) * PRODUCT_SCALE

    def cues(self, field: Field, scales: Mapping[str, float]) -> Tensor:
        """Named numbers of the candidates, (k, m) for m names, each times its scale; 0 where one has none of a name.

        Raises InvalidInput for what is not finite.
        """
        rows = [[scale * c.features.get(name, 0.0) for name, scale in scales.items()] for c in field.candidates]
        found = torch.tensor(rows, dtype=torch.float64, device=self.device)
        if not bool(torch.isfinite(found).all()):
            raise InvalidInput(f"features: one of {', '.join(scales)} of a candidate is not finite")
        return found

    def _match(self, seen: Seen, field: Field) -> Tensor:
        products = [
            sum(value * candidate.features.get(name, 0.0) for name, value in seen.features.items())
            for candidate in field.candidates
        ]
        match = self._tensor(products).mul_(self._match_scale)
        if not bool(torch.isfinite(match).all()):
            raise InvalidInput("features: the match of context and candidates is not finite")
        return match

    def _convert(self, candidates: Sequence[Candidate]) -> Field:
        units: list[Tensor | None] = []
        for candidate in candidates:
            if candidate.vector is None:
                units.append(None)
            else:
                vector, length = as_vector(candidate.vector, f"vector of candidate {candidate.id!r}", self.device)
                units.append(vector / length if length else vector)
        known = self._tensor([float(unit is not None) for unit in units])
        return Field(tuple(candidates), self._stack(units, candidates), known)

    def _stack(self, units: list[Tensor | None], candidates: Sequence[Candidate]) -> Tensor | None:
        sizes = {unit.numel(): c.id for unit, c in zip(units, candidates, strict=True) if unit is not None}
        if not sizes:
            return None
        if len(sizes) > 1:
            detail = ", ".join(f"{size} in {name!r}" for size, name in sizes.items())
            raise InvalidInput(f"candidate vectors: of different lengths ({detail})")
        zero = torch.zeros(next(iter(sizes)), dtype=torch.float64, device=self.device)
        return torch.stack([zero if unit is None else unit for unit in units])

    def _tensor(self, numbers: list[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self.device)

    def _check_lengths(self, seen: Seen, units: Tensor) -> None:
        if units.shape[1] != seen.unit.numel():
            detail = f"{units.shape[1]} numbers, the context vector {seen.unit.numel()}"
            raise InvalidInput(f"candidate vectors: {detail}; a cosine needs the same")


def _given(candidate: Candidate) -> float:
    if candidate.prior is None or not math.isfinite(candidate.prior):
        raise InvalidInput(f"prior of candidate {candidate.id!r}: {candidate.prior!r} is not a finite number")
    return candidate.prior
