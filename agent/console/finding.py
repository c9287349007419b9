"""Finding: the filters of conversations as addresses carry them and as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from agent.console.formats import date as written_day
from agent.console.formats import short
from agent.console.language import N_
from agent.console.language import gettext as _
from agent.review.conversations import SORTS, facets
from agent.review.filters import KINDS, Filter
from agent.review.index import ReviewIndex
from agent.rewards import SIGNALS

PATH = "/conversations"
Pairs = Sequence[tuple[str, str]]
WHENS = {
    "today": N_("Today"),
    "yesterday": N_("Yesterday"),
    "7d": N_("Last 7 days"),
    "30d": N_("Last 30 days"),
    "90d": N_("Last 90 days"),
}
SORT_NAMES = {
    "latest": N_("Latest first"),
    "oldest": N_("Oldest first"),
    "worst": N_("Lowest reward first"),
    "uncertain": N_("Most uncertain first"),
    "longest": N_("Longest first"),
    "useful": N_("Most useful to review"),
}
NAMES = {
    "q": N_("Words"),
    "when": N_("Time"),
    "from": N_("From"),
    "to": N_("To"),
    "reward": N_("Reward"),
    "uncertainty": N_("Uncertainty"),
    "channel": N_("Channel"),
    "language": N_("Language"),
    "loop": N_("Loop"),
    "intent": N_("Intent"),
    "reply": N_("Reply"),
    "signal": N_("Signal"),
    "outcome": N_("Feedback"),
    "said": N_("The customer was"),
    "was": N_("What happened"),
    "tag": N_("Tag"),
    "verdict": N_("Verdict"),
    "reviewer": N_("Reviewed by"),
    "assigned": N_("Assigned to"),
    "version": N_("Model version"),
    "hour": N_("Hour of the day"),
}
# What the index calls things, as people do. What is not here is said as it is.
_WORDS = {
    ("said", "good"): N_("satisfied"),
    ("said", "bad"): N_("dissatisfied"),
    ("was", "handed over"): N_("handed over"),
    ("was", "abstained"): N_("the bot abstained"),
    ("was", "explored"): N_("something new was tried"),
    ("was", "watched"): N_("watched only"),
    ("was", "corrected"): N_("feedback was corrected"),
    ("was", "commented by the customer"): N_("the customer commented"),
    ("was", "disagreeing"): N_("signals disagree"),
    ("was", "flagged"): N_("flagged"),
    ("was", "reviewed"): N_("reviewed"),
    ("was", "discussed"): N_("reviewers commented"),
    ("outcome", "thumb good"): N_("thumbs up"),
    ("outcome", "thumb bad"): N_("thumbs down"),
    ("verdict", "good"): N_("good"),
    ("verdict", "bad"): N_("bad"),
    ("verdict", "mixed"): N_("mixed"),
    ("verdict", "none"): N_("none"),
}
SIGNAL_NAMES = {
    "thumb": N_("Thumb"),
    "rating": N_("Rating"),
    "csat": N_("Satisfaction"),
    "reward": N_("Reward"),
    "click": N_("Click"),
    "suggestion": N_("Suggestion used"),
    "thanks": N_("Thanks"),
    "rephrased": N_("Asked again in other words"),
    "handover": N_("Handed over"),
    "left": N_("Left"),
    "returned": N_("Came back"),
    "resolved_assumed": N_("Resolved, presumably"),
    "resolved_confirmed": N_("Resolved, as confirmed"),
    "asked_about": N_("Asked about"),
    "asked_for_more": N_("Asked for others"),
    "added": N_("Put into the basket"),
    "dismissed": N_("Dismissed"),
    "bought": N_("Bought"),
}
#: fields of a form that make a range together.
_RANGES = ("reward", "uncertainty")


class Chip(NamedTuple):
    """A filter in force, and the address without it."""

    text: str
    remove: str


def address(pairs: Iterable[tuple[str, str]], *, sort: str = "latest", path: str = PATH, **more: str | None) -> str:
    """Where the conversations of a filter are."""
    rest = [(name, value) for name, value in more.items() if value]
    query = urlencode([*pairs, *([("sort", sort)] if sort != "latest" else []), *rest])
    return f"{path}?{query}" if query else path


def given(pairs: Pairs) -> tuple[list[tuple[str, str]], str]:
    """What the fields of a form say, as an address says it; and the sort. Fields left empty say nothing."""
    known = {"q", "when", "from", "to", "not", *KINDS, *_RANGES}
    found = [(name, value.strip()) for name, value in pairs if name in known and value.strip()]
    fields = dict(pairs)
    for name in _RANGES:
        low, high = (fields.get(f"{name}_{end}", "").strip() for end in ("from", "to"))
        if low or high:
            found.append((name, f"{low}..{high}"))
    sort = fields.get("sort", "")
    return found, sort if sort in SORTS else "latest"


def of_query(query: str) -> tuple[Filter, str]:
    """The filter and the sort that a query string says.

    Raises:
        InvalidInput: a value means nothing.
    """
    found, sort = given(parse_qsl(query))
    return Filter.of(found), sort


def chips(asked: Filter, sort: str) -> list[Chip]:
    """The filters in force, each with the address without it."""
    pairs = asked.pairs()
    return [
        Chip(_chip(name, value), address([p for p in pairs if p != (name, value)], sort=sort)) for name, value in pairs
    ]


def _chip(name: str, value: str) -> str:
    if name == "q":
        return _("“%(words)s”") % {"words": value}
    if name == "when":
        return _(WHENS[value])
    if name == "not":
        kind, _colon, of = value.partition(":")
        return _("not: %(what)s") % {"what": worded(kind, of)}
    if name in ("from", "to"):
        value = written_day(_noon(value))
    elif name in _RANGES:
        value = _between(*value.split(".."))
    else:
        value = worded(name, value)
    return f"{_(NAMES[name])}: {value}"


def _between(low: str, high: str) -> str:
    low, high = (short(float(end)) if end else "" for end in (low, high))
    if low and high:
        return _("%(low)s to %(high)s") % {"low": low, "high": high}
    return f"≥ {low}" if low else f"≤ {high}"


def _noon(day: str) -> float:
    return datetime.fromisoformat(f"{day}T12:00").astimezone().timestamp()


def worded(kind: str, value: str) -> str:
    """A facet's value as people say it."""
    if (kind, value) in _WORDS:
        return _(_WORDS[kind, value])
    if kind == "hour":
        return f"{value}:00"
    if kind == "signal":
        return signal_named(value)
    if kind == "outcome":
        signal, _space, how = value.rpartition(" ")
        return (
            _("%(signal)s: good") % {"signal": signal_named(signal)}
            if how == "good"
            else (_("%(signal)s: bad") % {"signal": signal_named(signal)})
        )
    return value


def signal_named(name: str) -> str:
    """A signal as people say it."""
    return _(SIGNAL_NAMES[name]) if name in SIGNAL_NAMES else name


def outcome_named(name: str, value: float) -> str:
    """An outcome as people say it: thumbs down, 4 of a rating, handed over."""
    signal = SIGNALS.get(name)
    if name == "thumb":
        return worded("outcome", "thumb good" if value > 0.0 else "thumb bad")
    if signal is not None and signal.whole_numbers and abs(signal.best - signal.worst) == 1.0:
        return signal_named(name) if value > 0.0 else _("%(signal)s: no") % {"signal": signal_named(name)}
    return f"{signal_named(name)} {short(value)}"


def options(index: ReviewIndex, pairs: Pairs) -> Mapping[str, list[tuple[str, str]]]:
    """Of each kind the values to choose from, with what they are called; one that is asked for is among them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind in KINDS:
        values = facets(index, kind)
        values += [value for name, value in pairs if name == kind and value not in values]
        found[kind] = [("", _("any")), *((value, worded(kind, value)) for value in values)]
    return found
