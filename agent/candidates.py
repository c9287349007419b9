"""Candidates: what a loop may choose, with every version it has had."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from agent.encoder import reference
from agent.errors import InvalidInput, Unknown
from agent.log import Event, LearningLog, Vector
from policies.types import Candidate

STATES = ("enabled", "disabled", "pinned", "blocked")
#: choosing nothing, so that others answer: the candidate that a loop with `abstain` has beside its own.
ABSTAIN = "abstain"
#: the kinds of events that a library is folded from.
LIBRARY = ("candidate", "mark")
#: whose candidates wait to be approved.
_OVER_HTTP = "api"


@dataclass(frozen=True)
class Reply:
    """A reply (or an action that gives one) as it is offered to a loop.

    `texts` are its words: the wordings of a response, the label of an action. `features` are named cues that
    speak for it where the context has them too, such as `intent:refund`, each with a strength in [0, 1]. `prior` is
    what it is expected to earn before anything is learned, where its words do not tell.

    Words belong to a version, and so does whether they are `approved`; the `state` is the candidate's.
    """

    id: str
    texts: tuple[str, ...]
    features: Mapping[str, float] = field(default_factory=dict)
    state: str = "enabled"
    version: int = 0
    approved: bool = True
    prior: float | None = None

    def __post_init__(self) -> None:
        if not self.id or self.state not in STATES:
            raise InvalidInput(f"candidate {self.id!r} needs an id and a state out of {', '.join(STATES)}")

    @property
    def refs(self) -> tuple[str, ...]:
        """The hashes by which the log keeps the embeddings of the texts."""
        return tuple(reference(text) for text in self.texts)

    def says_the_same(self, other: Reply) -> bool:
        """Whether nothing that is learned from differs: neither needs another version than the other."""
        mine, theirs = ((r.id, r.texts, r.features, r.prior) for r in (self, other))
        return mine == theirs

    def as_body(self) -> dict[str, Any]:
        """The body of a candidate event."""
        return {
            "id": self.id,
            "version": self.version,
            "texts": list(self.texts),
            "features": dict(self.features),
            "state": self.state,
            "approved": self.approved,
            "prior": self.prior,
        }

    def event(self, loop: str, *, who: str, at: float) -> Event:
        """The candidate event by which a loop gets this version."""
        return Event(
            version_id(loop, self.id, self.version), "candidate", at, loop, body={**self.as_body(), "who": who}
        )

    @classmethod
    def of(cls, event: Event) -> Reply:
        """The reply that a candidate event holds."""
        body = event.body
        return cls(
            body["id"],
            tuple(body["texts"]),
            dict(body["features"]),
            body["state"],
            body["version"],
            # A log from before there were approvals.
            approved=body.get("approved", body.get("who") != _OVER_HTTP),
            prior=body.get("prior"),
        )


class Library:
    """The candidates of one loop: the fold of its candidate events (words) and marks (states, approvals)."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], Reply] = {}
        self._latest: dict[str, int] = {}
        self._states: dict[str, str] = {}

    def apply(self, event: Event) -> None:
        """Fold one event of the kinds of `LIBRARY`."""
        if event.kind == "mark":
            self._mark(event.body)
            return
        reply = Reply.of(event)
        # A state that somebody gave outlasts new words, whoever offers them, and in whatever order both were logged.
        self._versions[reply.id, reply.version] = replace(reply, state=self._states.get(reply.id, reply.state))
        self._latest[reply.id] = max(reply.version, self._latest.get(reply.id, 0))

    def _mark(self, body: Mapping[str, Any]) -> None:
        id = body["id"]
        if "state" in body:
            self._states[id] = body["state"]
        changes = [(self._latest.get(id, 0), "state"), (body["version"], "approved")]
        for version, name in changes:
            if name in body and (known := self._versions.get((id, version))) is not None:
                self._versions[id, version] = replace(known, **{name: body[name]})

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
        """Those of the offered replies that say something else than what the library holds, as their next versions.

        The state of a candidate that is there already stays: only a mark changes it.
        """
        changed = []
        for reply in offered:
            known = self._latest.get(reply.id)
            if known is None:
                changed.append(replace(reply, version=1))
            elif not reply.says_the_same(held := self._versions[reply.id, known]):
                changed.append(replace(reply, version=known + 1, state=held.state))
        return changed


def version_id(loop: str, id: str, version: int) -> str:
    """The id of the event by which a loop gets a version of a candidate."""
    return f"candidate:{loop}:{id}:{version}"


class Encodes(Protocol):
    """What gives texts their embeddings, d float32 each: an `Encoder`, or whoever has them already."""

    name: str

    def encode(self, texts: Sequence[str], /) -> Sequence[array[float]]:
        """Unit vectors of the texts."""


def new_vectors(log: LearningLog, encoder: Encodes, texts: Sequence[str]) -> list[Vector]:
    """Embeddings of those texts that the log has none of by this encoder."""
    known = log.vectors([reference(text) for text in texts], encoder=encoder.name)
    missing = [text for text in dict.fromkeys(texts) if reference(text) not in known]
    rows = encoder.encode(missing) if missing else []
    return [Vector(reference(text), encoder.name, row.tobytes()) for text, row in zip(missing, rows, strict=True)]


def barred(offered: Sequence[Reply], *, strict: bool, several: bool = False) -> list[str | None]:
    """Why each of the replies offered together may not be chosen; None for those that may.

    Where one that may be chosen is pinned, all that are not pinned may not, unless `several` are chosen at once.
    """
    found = [_barred(reply, strict) for reply in offered]
    if not several and any(why is None and reply.state == "pinned" for reply, why in zip(offered, found, strict=True)):
        return [why or (None if r.state == "pinned" else "not pinned") for r, why in zip(offered, found, strict=True)]
    return found


def _barred(reply: Reply, strict: bool) -> str | None:
    if reply.state in ("blocked", "disabled"):
        return reply.state
    return "not approved" if strict and not reply.approved else None


def marked(reply: Reply, *, state: str | None, approved: bool | None) -> dict[str, Any]:
    """What a mark on the reply is to say: the state and the approval where they differ from what it has.

    Raises:
        InvalidInput: there is no such state, or neither is given.
    """
    if state is None and approved is None:
        raise InvalidInput(f"candidate {reply.id!r}: a mark gives a state, or says whether it is approved")
    if state not in (None, *STATES):
        raise InvalidInput(f"candidate {reply.id!r}: no state is called {state!r}; there are {', '.join(STATES)}")
    given = {"state": state, "approved": approved}
    return {name: value for name, value in given.items() if value is not None and getattr(reply, name) != value}


def candidate(reply: Reply, vectors: Mapping[str, array[float]], *, eligible: bool = True) -> Candidate:
    """A reply as the learners see it: its vector (d floats) is the mean direction of its texts' embeddings."""
    rows = [vectors[ref] for ref in reply.refs if ref in vectors]
    vector = None
    if rows:
        vector = unit(torch.stack([torch.frombuffer(row, dtype=torch.float32).double() for row in rows]).mean(0))
    return Candidate(id=reply.id, vector=vector, features=dict(reply.features), eligible=eligible, prior=reply.prior)


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
