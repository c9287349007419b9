"""Reasons: why an item was shown, in words, from the exact split of its score."""

from __future__ import annotations

from agent.items.item import Item
from agent.log import Event

_NEAR, _ASKED, _DIFFERENT, _LEARNED = (
    "its words are near yours",
    "it is what you asked for",
    "so that not all are alike",
    "what people made of it and of things like it",
)
_PARTS = {"prior": _NEAR, "match": _ASKED, "diversity": _DIFFERENT}
_FAINT = 0.005  # what would be shown as 0.00


def reasons(decision: Event, item: Item) -> str:
    """One line: what the item was expected to earn, and the parts of that, which add up to it but for rounding."""
    body = decision.body
    index = body["index"]
    groups: dict[str, float] = {}
    for name, part in body["parts"].items():
        groups[_PARTS.get(name, _LEARNED)] = groups.get(_PARTS.get(name, _LEARNED), 0.0) + part[index]
    asked = _asked(decision, item)
    told = sorted(groups.items(), key=lambda pair: -abs(pair[1]))
    said = [f"{value:+.2f} {what}{asked if what == _ASKED else ''}" for what, value in told if abs(value) >= _FAINT]
    expected = round(sum(groups.values()), 2) + 0.0  # no -0.00
    parts = ", ".join(said)
    chance = f"shown here with a chance of {body['propensity']:.0%}"
    return f"{item.title}: {expected:.2f} expected{f' ({parts})' if parts else ''}; {chance}."


def _asked(decision: Event, item: Item) -> str:
    """Which of the things asked for the item is, in brackets."""
    wanted = decision.body["context"]["features"]
    names = [cue.partition(":")[2] for cue in item.cues if wanted.get(cue)]
    names += ["like one you pointed at"] if wanted.get("similar") else []
    return f" ({', '.join(names)})" if names else ""
