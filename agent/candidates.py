"""Candidates: what a loop may choose, with every version it has had."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import torch

from agent.encoder import reference
from agent.errors import InvalidInput, Unknown
from agent.log import Event, LearningLog, Vector
from policies.types import Candidate

STATES = ("enabled", "disabled", "pinned", "blocked")
#: choosing nothing, so that others answer: the candidate that a loop with `abstain` has beside its own.
ABSTAIN = "abstain"
#: what the ids of replies begin with that somebody wrote and no domain knows; and where such words come from.
WRITTEN, CONSOLE = "reply:", "console"
#: the kinds of events that a library is folded from.
LIBRARY = ("candidate", "mark")
#: whose candidates wait to be approved.
_OVER_HTTP = "api"


@dataclass(frozen=True)
class Reply:
    """A reply (or an action that gives one) as it is offered to a loop.

    `texts` are its words: the wordings of a response. `title` is the label of an action and `examples` are questions
    that it answers: what it means, beside its words, and never said. `features` are named cues that speak for it where
    the context has them too, such as `intent:refund`, each with a strength in [0, 1]. `prior` is what it is expected to
    earn before anything is learned, where its words do not tell.

    Words belong to a version, and so does whether they are `approved`, and their `origin` ("console" where a person
    wrote them there). The `state` is the candidate's, and so is when it may be chosen: from `since`, before `until`
    (unix seconds; None without end). What is learned of a version begins from what was learned before: from the mean
    alone where it is `fresh`, else from all that is known of the version it is `like`, or of the one before it.
    `lineage` names what is learned, as `policies.types.Candidate` has it; the library knows it.
    """

    id: str
    texts: tuple[str, ...]
    features: Mapping[str, float] = field(default_factory=dict)
    state: str = "enabled"
    version: int = 0
    approved: bool = True
    prior: float | None = None
    title: str = ""
    examples: tuple[str, ...] = ()
    origin: str = ""
    since: float | None = None
    until: float | None = None
    fresh: bool = field(default=False, compare=False)
    like: int | None = field(default=None, compare=False)
    lineage: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.id or self.state not in STATES:
            raise InvalidInput(f"candidate {self.id!r} needs an id and a state out of {', '.join(STATES)}")

    @property
    def core(self) -> tuple[str, ...]:
        """Its title and its words."""
        return (self.title, *self.texts) if self.title else self.texts

    @property
    def meant(self) -> tuple[str, ...]:
        """All the texts that its embedding is made of."""
        return (*self.core, *self.examples)

    @property
    def refs(self) -> tuple[str, ...]:
        """The hashes by which the log keeps the embeddings of these texts."""
        return tuple(reference(text) for text in self.meant)

    def may_be_chosen(self, *, at: float, strict: bool = False) -> bool:
        """Whether nothing bars it by itself at a time (unix seconds)."""
        return _barred(self, strict, at) is None

    def says_the_same(self, other: Reply) -> bool:
        """Whether nothing that is said or learned from differs: neither needs another version than the other."""
        mine, theirs = ((r.id, r.title, r.texts, r.examples, r.features, r.prior) for r in (self, other))
        return mine == theirs

    def as_body(self) -> dict[str, Any]:
        """The body of a candidate event."""
        since: dict[str, Any] = {"title": self.title, "examples": list(self.examples), "origin": self.origin}
        since |= {"fresh": self.fresh, "like": self.like}
        return {
            "id": self.id,
            "version": self.version,
            "texts": list(self.texts),
            "features": dict(self.features),
            "state": self.state,
            "approved": self.approved,
            "prior": self.prior,
            **{name: value for name, value in since.items() if value},
        }

    def event(self, loop: str, *, who: str, at: float, why: str = "") -> Event:
        """The candidate event by which a loop gets this version."""
        body = {**self.as_body(), "who": who, **({"why": why} if why else {})}
        return Event(version_id(loop, self.id, self.version), "candidate", at, loop, body=body)

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
            title=body.get("title", ""),
            examples=tuple(body.get("examples", ())),
            origin=body.get("origin", ""),
            fresh=body.get("fresh", False),
            like=body.get("like"),
        )


class Version(NamedTuple):
    """One version of a candidate: its words, who gave them when (unix seconds), and why."""

    reply: Reply
    who: str
    at: float
    why: str


class Library:
    """The candidates of one loop: the fold of its candidate events (words) and marks (states, times, approvals)."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], Reply] = {}
        self._authors: dict[tuple[str, int], tuple[str, float, str]] = {}
        self._latest: dict[str, int] = {}
        self._kept: dict[str, dict[str, Any]] = {}  # what is the candidate's, whatever its words
        self._offers: dict[tuple[str, str], int] = {}  # the latest version that somebody offered, console aside

    def apply(self, event: Event) -> None:
        """Fold one event of the kinds of `LIBRARY`."""
        if event.kind == "mark":
            self._mark(event.body)
            return
        reply, who = Reply.of(event), event.body.get("who", "")
        lineage = self._lineage(reply)
        # What somebody decided outlasts new words, whoever offers them, and in whatever order both were logged.
        self._versions[reply.id, reply.version] = replace(reply, lineage=lineage, **self._kept.get(reply.id, {}))
        self._authors[reply.id, reply.version] = (who, event.at, event.body.get("why", ""))
        self._latest[reply.id] = max(reply.version, self._latest.get(reply.id, 0))
        if not reply.origin:
            self._offers[reply.id, who] = reply.version

    def _lineage(self, reply: Reply) -> tuple[str, ...]:
        before = self._versions.get((reply.id, reply.like or reply.version - 1))
        before = before or self._versions.get((reply.id, self._latest.get(reply.id, 0)))
        known = before.lineage if before is not None else (reply.id,)
        return (*known, f"{reply.id}\x1f{reply.version}") if reply.fresh and before is not None else known

    def _mark(self, body: Mapping[str, Any]) -> None:
        id = body["id"]
        given = {name: body[name] for name in ("state", "since", "until") if name in body}
        if given:
            self._kept[id] = {**self._kept.get(id, {}), **given}
        changes = [(self._latest.get(id, 0), given)]
        if "approved" in body:
            changes.append((body["version"], {"approved": body["approved"]}))
        for version, change in changes:
            if (known := self._versions.get((id, version))) is not None:
                self._versions[id, version] = replace(known, **change)

    def __len__(self) -> int:
        return len(self._latest)

    def __contains__(self, id: str) -> bool:
        return id in self._latest

    def written(self) -> list[Reply]:
        """Those that somebody wrote and no domain knows, in their latest versions."""
        return [self._versions[id, version] for id, version in self._latest.items() if id.startswith(WRITTEN)]

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

    def history(self, id: str) -> list[Version]:
        """Every version of a candidate, the latest first.

        Raises:
            Unknown: the loop has no such candidate.
        """
        latest = self.get(id).version
        places = [(id, version) for version in range(latest, 0, -1) if (id, version) in self._versions]
        return [Version(self._versions[place], *self._authors[place]) for place in places]

    def changes(self, offered: Iterable[Reply], *, who: str, inherits: bool = False) -> list[Reply]:
        """Those of the replies that `who` offers that say something else than the library, as their next versions.

        Words of the console's hold until those that `who` offers change. The state of a candidate that is there already
        stays: only a mark changes it. `inherits`: of whatever words, what was learned holds in full.
        """
        changed = []
        for reply in offered:
            known = self._latest.get(reply.id)
            if known is None:
                changed.append(replace(reply, version=1))
                continue
            held = self._versions[reply.id, known]
            last = self._versions.get((reply.id, self._offers.get((reply.id, who), 0)))
            edited = held.origin and last is not None and last.core == reply.core
            wanted = replace(held, title=reply.title, features=reply.features, prior=reply.prior) if edited else reply
            if not wanted.says_the_same(held):
                changed.append(self.following(wanted, inherits=inherits))
        return changed

    def draft(self, reply: Reply, *, inherits: bool = False) -> Reply:
        """A reply as it would be learned of as the next version of its candidate; a new one as it is."""
        if reply.id not in self._latest:
            return reply
        following = self.following(reply, inherits=inherits)
        return replace(following, lineage=self._lineage(following))

    def following(self, reply: Reply, *, inherits: bool = False) -> Reply:
        """A reply as the next version of its candidate: like an earlier one of the same words, else fresh."""
        latest = self._versions[reply.id, self._latest[reply.id]]
        before = [self._versions.get((reply.id, version)) for version in range(latest.version, 0, -1)]
        same = next((old.version for old in before if old is not None and old.core == reply.core), None)
        if inherits or same == latest.version:
            like, fresh = None, False
        else:
            like, fresh = same, same is None
        reply = replace(reply, state=latest.state, since=latest.since, until=latest.until)
        return replace(reply, version=latest.version + 1, fresh=fresh, like=like)


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


def barred(
    offered: Sequence[Reply], *, strict: bool, several: bool = False, at: float | None = None
) -> list[str | None]:
    """Why each of the replies offered together may not be chosen `at` a time (unix seconds); None for those that may.

    Where one that may be chosen is pinned, all that are not pinned may not, unless `several` are chosen at once.
    """
    found = [_barred(reply, strict, at) for reply in offered]
    if not several and any(why is None and reply.state == "pinned" for reply, why in zip(offered, found, strict=True)):
        return [why or (None if r.state == "pinned" else "not pinned") for r, why in zip(offered, found, strict=True)]
    return found


def _barred(reply: Reply, strict: bool, at: float | None) -> str | None:
    if reply.state in ("blocked", "disabled"):
        return reply.state
    if at is not None and reply.since is not None and at < reply.since:
        return "not yet"
    if at is not None and reply.until is not None and at >= reply.until:
        return "no longer"
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
    return Candidate(
        id=reply.id,
        vector=unit(stacked(rows).mean(0)) if rows else None,
        features=dict(reply.features),
        eligible=eligible,
        prior=reply.prior,
        lineage=reply.lineage,
    )


def stacked(rows: Sequence[array[float]]) -> torch.Tensor:
    """Embeddings (n of d floats, at least one) as a matrix (n, d) float64."""
    return torch.stack([torch.frombuffer(row, dtype=torch.float32).double() for row in rows])


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
