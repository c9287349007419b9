"""Editing: what people do to candidates: write them, give them other words, a state, a time."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from agent.candidates import ABSTAIN, CONSOLE, WRITTEN, Library, Reply, Version, marked, new_vectors
from agent.encoder import Encoder
from agent.errors import Conflict, InvalidInput
from agent.identity import Identity
from agent.libraries import Libraries
from agent.log import Event, LearningLog
from agent.reports import Reports, new_id
from agent.settings import LoopSettings

MOST_TEXTS, MOST_EXAMPLES, LONGEST = 50, 200, 10_000  # texts of a reply, questions it answers, characters of each
_LONGEST_ID, _LONGEST_SLUG = 200, 40
_TRIES = 5  # edits of others, one after another, that may come before this one


class Editing(Reports):
    """Takes what people write and decide about candidates to the learning log. Safe to use from several threads."""

    def __init__(self, log: LearningLog, identity: Identity, clock: Callable[[], float]) -> None:
        super().__init__(log, identity, clock)
        self._libraries = Libraries(log)

    @abstractmethod
    def settings(self, loop: str) -> LoopSettings:
        """The settings in force in a loop; Unknown where there is no such loop."""

    @abstractmethod
    def encoder(self, name: str) -> Encoder:
        """The encoder of this name."""

    def write(
        self,
        loop: str,
        *,
        texts: Sequence[str],
        who: str,
        id: str | None = None,
        examples: Sequence[str] = (),
        intents: Sequence[str] = (),
        features: Mapping[str, float] | None = None,
        why: str = "",
    ) -> Reply:
        """Add a wholly new reply, enabled and approved, and give it back.

        `examples` are questions that it answers: one that is near to any of them is taken to be one more. `intents` are
        understood ones that it answers, and `features` further cues with strengths in [0, 1]. Its id is made of its
        words unless given, and is never used twice.

        Raises:
            Unknown: there is no such loop.
            InvalidInput: no words, an empty one, too many, or a cue that is no number in [0, 1].
            Conflict: there is a candidate of this id; the message says who made it when.
        """
        said = _texts(texts, MOST_TEXTS, "a reply's words", least=1)
        cues = {f"intent:{intent}": 1.0 for intent in intents} | dict(features or {})
        reply = Reply(
            id=made_id(said[0]) if id is None else id,
            texts=said,
            features={name: _strength(name, value) for name, value in cues.items()},
            version=1,
            examples=_texts(examples, MOST_EXAMPLES, "the questions it answers"),
            origin=CONSOLE,
        )
        if reply.id == ABSTAIN or len(reply.id) > _LONGEST_ID or not reply.id.isprintable():
            raise InvalidInput(f"{reply.id[:_LONGEST_ID]!r} cannot be the id of a reply")
        with self._library(loop) as library:
            if reply.id in library or not self._take(loop, reply, who=who, why=why):
                there = library.history(reply.id)[0]
                raise Conflict(f"candidate {reply.id!r} is there already: {_changed(there)}")
            return library.get(reply.id)

    def edit(
        self,
        loop: str,
        id: str,
        texts: Sequence[str] | None = None,
        *,
        who: str,
        examples: Sequence[str] | None = None,
        typo: bool = False,
        why: str = "",
        version_seen: int | None = None,
    ) -> Reply:
        """Give a candidate other words, or other questions that it answers, as a new version, and give it back.

        The old version is kept. What was learned of other words is where the new ones begin, as uncertain as if nothing
        had been learned; a `typo` inherits all, as do words that an earlier version had. `version_seen` is the version
        that the editor looked at: one that was replaced since is not edited. No event if nothing changes.

        Raises:
            Unknown: there is no such loop or candidate.
            InvalidInput: no words, an empty one, or too many.
            Conflict: it was changed since; the message says who did when.
        """
        said = None if texts is None else _texts(texts, MOST_TEXTS, "a reply's words", least=1)
        asked = None if examples is None else _texts(examples, MOST_EXAMPLES, "the questions it answers")
        with self._library(loop) as library:
            for _ in range(_TRIES):
                held = library.get(id)
                if version_seen is not None and held.version > version_seen:
                    raise Conflict(f"candidate {id!r}: {_changed(library.history(id)[0])}; look at it again")
                edited = replace(
                    held,
                    texts=held.texts if said is None else said,
                    examples=held.examples if asked is None else asked,
                    approved=True,
                    origin=CONSOLE,
                )
                if id == ABSTAIN:
                    raise InvalidInput(f"candidate {id!r} stands for choosing nothing: it has no words")
                if edited.says_the_same(held):
                    return held
                following = library.following(edited, inherits=typo)
                if self._take(loop, following, who=who, why=why):
                    return library.get(id)
                if version_seen is not None:
                    raise Conflict(f"candidate {id!r}: {_changed(library.history(id)[0])}; look at it again")
            raise Conflict(f"candidate {id!r} is being changed by others at the same time; try again")

    def draft(
        self,
        loop: str,
        texts: Sequence[str],
        *,
        id: str | None = None,
        examples: Sequence[str] = (),
        typo: bool = False,
    ) -> Reply:
        """What `write` or, for a candidate that is there, `edit` would make of these words; nothing is logged.

        Raises: as these.
        """
        said = _texts(texts, MOST_TEXTS, "a reply's words", least=1)
        asked = _texts(examples, MOST_EXAMPLES, "the questions it answers")
        with self._library(loop) as library:
            if id is None:
                return Reply(made_id(said[0]), said, version=1, examples=asked, origin=CONSOLE)
            return library.draft(replace(library.get(id), texts=said, examples=asked), inherits=typo)

    def mark(
        self, loop: str, id: str, *, state: str | None = None, approved: bool | None = None, who: str, why: str = ""
    ) -> Reply:
        """Give a candidate a state, or approve its latest words, and give it back. No event if nothing changes.

        Raises:
            Unknown: there is no such loop or candidate.
            InvalidInput: there is no such state, or neither was given.
        """
        with self._library(loop) as library:
            reply = library.get(id)
            self._mark(loop, reply, marked(reply, state=state, approved=approved), who=who, why=why)
            return library.get(id)

    def schedule(
        self, loop: str, id: str, *, since: float | None, until: float | None, who: str, why: str = ""
    ) -> Reply:
        """Let a candidate be chosen from `since` and before `until` (unix seconds; None without end), and give it back.

        Raises:
            Unknown: there is no such loop or candidate.
            InvalidInput: a time that is no number, or an end that is not after the beginning.
        """
        for moment in (since, until):
            if moment is not None and (isinstance(moment, bool) or not math.isfinite(moment)):
                raise InvalidInput(f"candidate {id!r}: {moment!r} is no time in unix seconds")
        if since is not None and until is not None and until <= since:
            raise InvalidInput(f"candidate {id!r}: it would be over ({until:g}) before it begins ({since:g})")
        with self._library(loop) as library:
            reply = library.get(id)
            changed = {} if (reply.since, reply.until) == (since, until) else {"since": since, "until": until}
            self._mark(loop, reply, changed, who=who, why=why)
            return library.get(id)

    def history(self, loop: str, id: str) -> list[Version]:
        """Every version of a candidate, the latest first.

        Raises:
            Unknown: there is no such loop or candidate.
        """
        with self._library(loop) as library:
            return library.history(id)

    def written(self, loop: str) -> list[Reply]:
        """The replies that people wrote for a loop and that may be chosen now: not disabled, blocked or out of time.

        Raises:
            Unknown: there is no such loop.
        """
        now = self._clock()
        with self._library(loop) as library:
            return [reply for reply in library.written() if reply.may_be_chosen(at=now)]

    @contextmanager
    def _library(self, loop: str) -> Iterator[Library]:
        """A loop's library while nobody else of this process has it. It waits for no model: words need no learner."""
        self.settings(loop)  # there must be such a loop
        with self._libraries.held(loop) as library:
            yield library

    def _mark(self, loop: str, reply: Reply, changed: Mapping[str, Any], *, who: str, why: str) -> None:
        if changed:
            body = {"id": reply.id, "version": reply.version, **changed, "who": who, "why": why}
            self.append(Event(new_id(), "mark", self._clock(), loop, body=body))
            self._libraries.catch_up(loop)

    def _take(self, loop: str, reply: Reply, *, who: str, why: str) -> bool:
        """Log a version and fold it; False where somebody logged that version before."""
        vectors = new_vectors(self.log, self.encoder(self.settings(loop).encoder), reply.meant)
        try:
            self.log.append([reply.event(loop, who=who, at=self._clock(), why=why)], vectors=vectors)
        except Conflict:
            return False
        finally:
            self._libraries.catch_up(loop)
        return True


def made_id(text: str) -> str:
    """The id of a new reply, made of its words: the same words are the same reply."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", plain))[:_LONGEST_SLUG].strip("-") or "reply"
    return f"{WRITTEN}{slug}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _changed(version: Version) -> str:
    moment = datetime.fromtimestamp(version.at, tz=timezone.utc)
    return f"version {version.reply.version} is {version.who}'s, of {moment:%Y-%m-%d %H:%M:%S} UTC"


def _texts(given: Sequence[str], most: int, what: str, *, least: int = 0) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(text, str) for text in given):
        raise InvalidInput(f"{what} must be a list of texts; got {given!r}")
    texts = tuple(dict.fromkeys(text.strip() for text in given))
    if not least <= len(texts) <= most or not all(texts):
        raise InvalidInput(f"{what} must be from {least} to {most} texts, none of them empty")
    if any(len(text) > LONGEST for text in texts):
        raise InvalidInput(f"{what}: a text has more than {LONGEST} characters")
    return texts


def _strength(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise InvalidInput(f"feature {name!r}: {value!r} is not a number in [0, 1]")
    return float(value)
