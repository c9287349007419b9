"""Features: a context as one vector, block after block, each block with a scale of its own."""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from policies.types import Context, InvalidInput, Vector

#: the name of a context's own vector among its blocks; a named feature is a block of one number.
VECTOR, FEATURE = "", "feature:"
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Point:
    """Where a posterior is asked, and learns.

    x: (D,) all blocks, each times its scale. norm: the length of x. spans: where each block lies in x. key: 16 bytes,
    the same for the same x, whatever the order in which blocks came to be known.
    """

    x: Tensor
    norm: float
    spans: Mapping[str, tuple[int, int]]
    key: bytes


@dataclass(frozen=True, eq=False)
class Seen:
    """A context made ready.

    point: its blocks as one vector. unit: (d,) its own vector at length 1 (0 where it is 0). features: its named
    numbers.
    """

    point: Point
    unit: Tensor
    features: Mapping[str, float]


class FeatureMap:
    """Where each block lies in x. Blocks find their place when they are first learned from, and keep it.

    scales: the scale of each block by name ("" is the context's vector), 1 for those not named; 0 leaves it out.
    feature_scale: the scale of every named feature.
    """

    def __init__(self, scales: Mapping[str, float], feature_scale: float, device: torch.device) -> None:
        self.device = device
        self.spans: dict[str, tuple[int, int]] = {}
        self._scales, self._feature_scale = scales, feature_scale

    @property
    def dimension(self) -> int:
        """The number of places given so far."""
        return max((stop for _, stop in self.spans.values()), default=0)

    def see(self, context: Context) -> Seen:
        """Make a context ready. Blocks not learned from before come after all others, and have no place yet.

        Raises InvalidInput for what is not a vector of finite numbers, or of another length than learned from.
        """
        vector, length = as_vector(context.vector, "context vector", self.device)
        blocks = {VECTOR: vector}
        for name, block in context.blocks.items():
            blocks[name] = as_vector(block, f"block {name!r} of the context", self.device)[0]
        blocks = {name: block * self._scales.get(name, 1.0) for name, block in blocks.items()}
        blocks = {name: block for name, block in blocks.items() if name == VECTOR or bool(block.any())}
        numbers = {}
        if self._feature_scale:
            for name, value in context.features.items():
                if number := self._number(name, value):
                    numbers[FEATURE + name] = number
        x, spans = self._placed(blocks, numbers)
        squared = float(torch.dot(x, x))
        if not math.isfinite(squared):
            raise InvalidInput("context: its blocks are too large together")
        unit = vector / length if length else vector
        return Seen(Point(x, math.sqrt(squared), spans, key_of(blocks, numbers)), unit, context.features)

    def admit(self, seen: Seen) -> None:
        """Give the blocks of a context that is learned from their places."""
        self.spans.update(seen.point.spans)

    def _placed(
        self, blocks: Mapping[str, Tensor], numbers: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, tuple[int, int]]]:
        spans, end = {}, self.dimension
        for name, size in [*((name, block.numel()) for name, block in blocks.items()), *((n, 1) for n in numbers)]:
            start, stop = self.spans.get(name, (end, end + size))
            if stop - start != size:
                what = "vector" if name == VECTOR else f"block {name!r}"
                raise InvalidInput(f"context {what}: {size} numbers, but {stop - start} were learned from")
            spans[name] = (start, stop)
            end = max(end, stop)
        if len(spans) == 1 and spans.get(VECTOR) == (0, end):
            return blocks[VECTOR], spans
        x = torch.zeros(end, dtype=torch.float64, device=self.device)
        for name, block in blocks.items():
            start, stop = spans[name]
            x[start:stop] = block
        if numbers:
            # All at once: they are many, and each assignment of its own costs as much.
            places = torch.tensor([spans[name][0] for name in numbers], device=self.device)
            x[places] = torch.tensor(list(numbers.values()), dtype=torch.float64, device=self.device)
        return x, spans

    def _number(self, name: str, value: float) -> float:
        number = float(value) * self._feature_scale
        if not math.isfinite(number):
            raise InvalidInput(f"feature {name!r} of the context: {value!r} is not finite")
        return number


class RandomFeatures:
    """Products of degree 2 to `degree` of x as `size` numbers each: their inner products estimate powers of cosines.

    For unit vectors x, y the features of degree p have E[f(x).f(y)] = (x.y)^p (random Maclaurin features, Kar and
    Karnick 2012), and a vector of another length is scaled by it. The signs of a block hang on its name alone.
    """

    def __init__(self, degree: int, size: int, device: torch.device) -> None:
        self.degree, self.size, self.device = degree, size, device

    @property
    def dimension(self) -> int:
        """How many numbers a context becomes."""
        return self.size * (self.degree - 1)

    def of(self, x: Tensor, spans: Mapping[str, tuple[int, int]]) -> Tensor:
        """The features (n, dimension) of X (n, D), whose blocks lie at the spans."""
        if not self.dimension:
            return x.new_zeros(len(x), 0)
        tiny = torch.finfo(torch.float64).tiny
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(tiny)
        found, product = [], self._projected(x, spans, 0)
        for degree in range(2, self.degree + 1):
            product = product * self._projected(x, spans, degree - 1) / norms
            found.append(product / math.sqrt(self.size))
        return torch.cat(found, dim=1)

    def _projected(self, x: Tensor, spans: Mapping[str, tuple[int, int]], number: int) -> Tensor:
        total = x.new_zeros(len(x), self.size)
        for name, (start, stop) in spans.items():
            signs = _signs(name, number, stop - start, self.size).to(self.device)
            total.addmm_(x[:, start:stop], signs)
        return total


@functools.lru_cache(maxsize=256)
def _signs(name: str, number: int, length: int, size: int) -> Tensor:
    """(length, size) of +1 and -1, the same for ever."""
    seed = int.from_bytes(hashlib.sha256(f"{number}/{name}".encode("utf-8", "surrogatepass")).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (length, size), generator=generator).double().mul_(2.0).sub_(1.0)


def as_vector(vector: Vector, what: str, device: torch.device) -> tuple[Tensor, float]:
    """Convert to (d,) float64 and its length. A copy, so that nothing outside can change it."""
    try:
        x: Any = vector
        if isinstance(vector, Tensor):
            x = vector.detach().to(device, torch.float64, copy=True)
        else:
            x = torch.tensor(vector, dtype=torch.float64, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{what}: not a sequence of numbers ({error})") from error
    if x.dim() != 1 or x.numel() == 0:
        raise InvalidInput(f"{what}: shape {tuple(x.shape)}, expected (d,)")
    squared = float(torch.dot(x, x))
    if not math.isfinite(squared):
        raise InvalidInput(f"{what}: holds a number that is not finite or too large")
    return x, math.sqrt(squared)


def key_of(blocks: Mapping[str, Tensor], numbers: Mapping[str, float] = _NONE) -> bytes:
    """A digest (16 bytes) of named vectors and numbers, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted([*blocks, *numbers]):
        size = blocks[name].numel() if name in blocks else 1
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogatepass"))
        digest.update(blocks[name].cpu().numpy().tobytes() if name in blocks else struct.pack("=d", numbers[name]))
    return digest.digest()[:16]
