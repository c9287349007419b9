"""Signals: what each kind of reaction is called on pages."""

from __future__ import annotations

from agent.console.language import N_
from agent.console.language import gettext as _

_NAMES = {
    "thumb": N_("Thumb"),
    "rating": N_("Rating in stars"),
    "csat": N_("Rating of the conversation"),
    "reward": N_("Reward"),
    "click": N_("Click"),
    "suggestion": N_("Suggestion used"),
    "thanks": N_("Thanks"),
    "rephrased": N_("Asked again in other words"),
    "handover": N_("Handed over"),
    "left": N_("Left in the middle"),
    "returned": N_("Came back with it"),
    "resolved_assumed": N_("Resolved, assumed"),
    "resolved_confirmed": N_("Resolved, confirmed"),
    "asked_about": N_("Asked about an item"),
    "asked_for_more": N_("Asked for more items"),
    "added": N_("Put into the basket"),
    "dismissed": N_("Item dismissed"),
    "bought": N_("Bought"),
}


def called(signal: str) -> str:
    """What a kind of signal is called, in the language spoken."""
    return _(_NAMES[signal]) if signal in _NAMES else signal
