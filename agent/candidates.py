"""Candidates: what a loop may choose, with every version it has had."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from agent.encoder import reference
from agent.errors import InvalidInput, Unknown
from agent.log import Event
from policies.types import Candidate

STATES = ("enabled", "disabled")


@dataclass(frozen=True)
class Reply:
    """A reply (or an action that gives one) as it is offered to a loop.

    `texts` are its words: the wordings of a response, the label of an action. `features` are named cues that
    speak for it where the context has them too, such as `intent:refund`, each with a strength in [0, 1].
    """

    id: str
    texts: tuple[str, ...]
    features: Mapping[str, float] = field(default_factory=dict)
    state: str = "enabled"
    version: int = 0

    def __post_init__(self) -> None:
        if not self.id or self.state not in STATES:
            raise InvalidInput(f"candidate {self.id!r} needs an id and a state out of {', '.join(STATES)}")

    @property
    def refs(self) -> tuple[str, ...]:
        """The hashes by which the log keeps the embeddings of the texts."""
        return tuple(reference(text) for text in self.texts)

    def as_body(self) -> dict[str, Any]:
        """The body of a candidate event."""
        return {
            "id": self.id,
            "version": self.version,
            "texts": list(self.texts),
            "features": dict(self.features),
            "state": self.state,
        }

    @classmethod
    def of(cls, event: Event) -> Reply:
        """The reply that a candidate event holds."""
        body = event.body
        return cls(body["id"], tuple(body["texts"]), dict(body["features"]), body["state"], body["version"])


class Library:
    """The candidates of one loop: the fold of its candidate events."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], Reply] = {}
        self._latest: dict[str, int] = {}

    def apply(self, event: Event) -> None:
        """Fold one candidate event."""
        reply = Reply.of(event)
        self._versions[reply.id, reply.version] = reply
        self._latest[reply.id] = max(reply.version, self._latest.get(reply.id, 0))

    def __len__(self) -> int:
        return len(self._latest)

    def all(self) -> list[Reply]:
        """Every candidate in its latest version, in the order they first appeared."""
        return [self._versions[item] for item in self._latest.items()]

    def get(self, id: str, version: int | None = None) -> Reply:
        """A candidate, in its latest version unless another is asked for.

        Raises:
            Unknown: the loop has none of this id and version.
        """
        found = self._versions.get((id, self._latest.get(id, 0) if version is None else version))
        if found is None:
            raise Unknown(f"unknown candidate {id!r}" + (f" version {version}" if version is not None else ""))
        return found

    def changes(self, offered: Iterable[Reply]) -> list[Reply]:
        """Those of the offered replies that differ from what the library holds, each as its next version."""
        changed = []
        for reply in offered:
            known = self._latest.get(reply.id)
            if known is None:
                changed.append(replace(reply, version=1))
            elif reply != replace(self._versions[reply.id, known], version=reply.version):
                changed.append(replace(reply, version=known + 1))
        return changed


def candidate(reply: Reply, vectors: Mapping[str, array[float]]) -> Candidate:
    """A reply as the learners see it: its vector (d floats) is the mean direction of its texts' embeddings."""
    rows = [vectors[ref] for ref in reply.refs if ref in vectors]
    vector = None
    if rows:
        vector = unit(torch.stack([torch.frombuffer(row, dtype=torch.float32).double() for row in rows]).mean(0))
    return Candidate(
        id=reply.id,
        vector=vector,
        features=dict(reply.features),
        eligible=reply.state == "enabled",
    )


def blend(vectors: Sequence[array[float]], weights: Sequence[float]) -> torch.Tensor:
    """The direction (d float64, unit length) of a weighted sum of embeddings."""
    total = sum(
        weight * torch.frombuffer(vector, dtype=torch.float32).double()
        for vector, weight in zip(vectors, weights, strict=True)
    )
    assert isinstance(total, torch.Tensor), "a blend of no vectors"
    return unit(total)


def unit(vector: torch.Tensor) -> torch.Tensor:
    """The vector at length 1; a zero vector stays zero."""
    length = torch.linalg.vector_norm(vector)
    return vector / length if length > 0 else vector
