"""Turns: a conversation as its page shows it: what was said, what was decided, what came of it, who changed what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from agent.console.finding import signal_named
from agent.console.formats import short
from agent.console.language import gettext as _
from agent.console.views import Detail, Reaction, detail_of, reactions
from agent.database import Row
from agent.domains import ACTIONS, RESPONSES
from agent.errors import Unknown
from agent.log import Event
from agent.review.thread import Thread, Turn
from agent.rewards import SIGNALS, Signal, taken_back
from agent.service import Service

MOST_OPENED = 12  # decisions of a turn that are taken apart: a slate has as many


@dataclass(frozen=True)
class Told:
    """An outcome that can be put right: as it stands, its signal, who gave it in the customer's place, and of what.

    `seen` are the ids of what was changed about it; `put_back` is the taking back that can be taken back.
    """

    reaction: Reaction
    signal: Signal
    by: str
    why: str
    comment: str
    seen: Sequence[str]
    put_back: str | None


@dataclass(frozen=True)
class Opened:
    """A turn taken apart. `teaches`: whether what people say of it reaches a model."""

    turn: Turn
    details: Sequence[Detail]
    told: Sequence[Told]
    teaches: bool
    loop: str
    loops: Sequence[str]


@dataclass(frozen=True)
class Done:
    """What somebody did to a conversation, in words, and whether that was taken back since."""

    event: str
    at: float
    who: str
    what: str
    why: str
    gone: bool


def turn_of(thread: Thread, name: str) -> Turn:
    """A turn of a conversation.

    Raises:
        Unknown: it has none of this name.
    """
    for turn in thread.turns:
        if turn.name == name:
            return turn
    raise Unknown(f"unknown turn {name[:80]!r}")


def opened(service: Service, turn: Turn) -> Opened:
    """Take a turn apart: its decisions, and the outcomes on them, which may be about the turn or each of them."""
    rows = turn.decisions[:MOST_OPENED]
    events = [service.decision(row["id"]) for row in rows]
    evidence = {e.id: e for event in events for e in service.log.evidence(event)}
    found = told_of(service, sorted(evidence.values(), key=lambda event: event.seq))
    loops = [loop for loop in service.loops() if not loop.startswith(_ITEMS)]
    # A wholly new reply is chosen where replies are, not where one is worded.
    asked = [row["loop"] for row in rows if row["loop"] in loops and row["loop"] != RESPONSES]
    loop = next(iter([*asked, *(name for name in loops if name == ACTIONS), *loops]), "")
    return Opened(
        turn=turn,
        details=[detail_of(service, event.id) for event in events],
        told=[one for one in found if one.reaction.about != "conversation"],
        teaches=any(row["activated"] or not row["live"] for row in rows),
        loop=loop,
        loops=loops,
    )


def told_of(service: Service, events: Sequence[Event]) -> list[Told]:
    """The outcomes among events in the order of the log, each with what was changed about it."""
    return [_told(service, reaction, event) for reaction, event in _outcomes(events)]


def _outcomes(events: Sequence[Event]) -> Iterable[tuple[Reaction, Event]]:
    by_id = {event.id: event for event in events}
    return [(reaction, by_id[reaction.event_id]) for reaction in reactions(events)]


def _told(service: Service, reaction: Reaction, event: Event) -> Told:
    changes = service.changes(event)
    gone = taken_back(changes)
    back = [e.id for e in changes if e.kind == "revoked" and e.body["event_id"] == event.id and e.id not in gone]
    return Told(
        reaction=reaction,
        signal=SIGNALS[event.body["signal"]],
        by=str(event.body.get("who") or ""),
        why=str(event.body.get("why") or ""),
        comment=str(event.body.get("comment") or ""),
        seen=[change.id for change in changes],
        put_back=back[-1] if back else None,
    )


def words_of(service: Service, turn: Turn) -> Mapping[str, Sequence[str]]:
    """The words of what was chosen in a turn of which the log has no message of the bot's, by decision."""
    if turn.said:
        return {}
    found = {}
    for row in turn.decisions:
        reply = service.reply(row["loop"], row["chosen"], row["version"]) if row["live"] else None
        if reply is not None and reply.texts and reply.texts != (reply.id,):
            found[row["id"]] = reply.texts
    return found


def history(thread: Thread) -> list[Done]:
    """What people did to a conversation, the latest first."""
    notes = {
        note["id"]: note for note in (*thread.annotations, *(n for turn in thread.turns for n in turn.annotations))
    }
    told = {o["id"]: o for o in (*thread.outcomes, *(o for turn in thread.turns for o in turn.outcomes))}
    said: dict[str, str] = {}
    for change in thread.changes:
        said[change["id"]] = _in_words(change, notes, told, said)
    return [
        Done(c["id"], c["at"], c["who"], said[c["id"]], c["why"], c["id"] in thread.gone)
        for c in reversed(thread.changes)
    ]


def _in_words(change: Row, notes: Mapping[str, Row], told: Mapping[str, Row], said: Mapping[str, str]) -> str:
    kind, about = change["kind"], change["about"]
    if kind == "annotation" and change["id"] in notes:
        return noted(notes[change["id"]]["what"], notes[change["id"]]["value"])
    if kind == "outcome" and change["id"] in told:
        return _("gave a reward of %(value)s") % {"value": about.rpartition(" ")[2]}
    if kind == "correction":
        event, _colon, value = about.rpartition(": ")
        given = {"signal": _named(told, event), "value": short(float(value))}
        return _("corrected “%(signal)s” to %(value)s") % given
    if kind == "revoked":
        if about in said:
            return _("took back: %(what)s") % {"what": said[about]}
        return _("took back “%(signal)s”") % {"signal": _named(told, about)}
    return f"{kind} {about}"


def _named(told: Mapping[str, Row], event: str) -> str:
    return signal_named(told[event]["signal"]) if event in told else event


def noted(what: str, value: str) -> str:
    """A note in words."""
    if what == "flag":
        return _("raised the flag") if value == "1" else _("lowered the flag")
    if what == "assigned" and not value:
        return _("assigned it to nobody")
    words = {
        "tag": _("put the tag “%(value)s”"),
        "untag": _("took off the tag “%(value)s”"),
        "comment": _("commented: %(value)s"),
        "reviewed": _("verdict: %(value)s"),
        "assigned": _("assigned it to %(value)s"),
    }
    return words[what] % {"value": value} if what in words else f"{what} {value}"


def has_what_if(app: FastAPI) -> bool:
    """Whether the console can say what another policy would have said: then its pages lead there."""
    return any(_WHAT_IF.fullmatch(str(getattr(route, "path", ""))) for route in app.routes)


def choices(signal: Signal) -> dict[str, Any]:
    """The attributes of a field for a signal's value."""
    low, high = sorted((signal.worst, signal.best))
    ends = {"min": f"{low:g}", **({} if high == float("inf") else {"max": f"{high:g}"})}
    return {**ends, "step": "1" if signal.whole_numbers else "any", "required": True}


_WHAT_IF = re.compile(r"/decisions/\{\w+\}/what-if")
_ITEMS = "items:"  # what the loops of catalogues are called begins with it
