"""Wishes: what somebody wants of items, as far as they have said: a price, what to have, what not, which to be like.

A fold over the conversation: each message can add to what was wanted, change it, or take it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from agent.items.critiques import Critique, Vocabulary, read
from agent.items.item import Item

# What is still wanted of a cue with each message that does not name it, and when it is forgotten.
_FADING, _FORGOTTEN = 0.8, 0.1
_MODELS = 3  # of the latest items that others should be like
_PENNY = 0.01


@dataclass(frozen=True)
class Turn:
    """A message, and the ids of the items that were shown when it was written, the first on top.

    `like` and `unlike` are items that a pressed button was about.
    """

    text: str
    shown: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What is wanted.

    `lowest` and `highest` bound the price. `likes` are cues that speak for an item, each with how much (0 to 1];
    `dislikes` are cues that no item may have. `like` are items that others should be like, `dismissed` those that were
    turned down, `seen` all that were shown. `age` is that of a child it is for (years).
    """

    lowest: float = 0.0
    highest: float = math.inf
    likes: Mapping[str, float] = field(default_factory=dict)
    dislikes: frozenset[str] = frozenset()
    like: tuple[str, ...] = ()
    dismissed: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    age: int | None = None

    def allow(self, item: Item) -> bool:
        """Whether an item may be shown: available, of the price and for the age, not turned down or disliked."""
        if not item.available or item.id in self.dismissed or self.dislikes & item.cues.keys():
            return False
        if self.age is not None and self.age < item.minimum_age:
            return False
        if item.price is None:  # nobody knows
            return self.highest == math.inf and self.lowest == 0.0
        return self.lowest <= item.price <= self.highest

    def lasting(self) -> Wishes:
        """What of it holds beyond a conversation: tastes, not a price or what was shown."""
        return Wishes(likes=self.likes, dislikes=self.dislikes, like=self.like)


def wishes(
    turns: Sequence[Turn], items: Mapping[str, Item], vocabulary: Vocabulary, *, before: Wishes | None = None
) -> Wishes:
    """What is wanted after these messages, oldest first; `before` is what was wanted before them."""
    found = before or Wishes()
    for turn in turns:
        shown = [items.get(id) for id in turn.shown]
        found = _after(replace(found, seen=found.seen | set(turn.shown)), read(turn.text, vocabulary), shown)
        found = _pointed(found, turn.like, turn.unlike)
    return found


def pointed_at(critique: Critique, shown: Sequence[Item | None]) -> tuple[list[Item], list[Item]]:
    """The items shown that a critique likes, and those that it turns down; None stands for one that is gone."""

    def at(positions: Sequence[int]) -> list[Item]:
        found = [shown[at] for at in positions if -len(shown) <= at < len(shown)]
        return [item for item in found if item is not None]

    like, unlike = at(critique.like), at(critique.unlike)
    if critique.none:
        liked = {item.id for item in like}
        unlike = [item for item in shown if item is not None and item.id not in liked]
    return like, unlike


def _after(wanted: Wishes, critique: Critique, shown: Sequence[Item | None]) -> Wishes:
    like, unlike = pointed_at(critique, shown)
    lowest, highest = _price(wanted, critique, like or [item for item in shown if item is not None])
    likes = {cue: value * _FADING for cue, value in wanted.likes.items() if value * _FADING > _FORGOTTEN}
    likes |= dict.fromkeys(critique.wanted, 1.0)
    wanted = _pointed(wanted, [item.id for item in like], [item.id for item in unlike])
    return replace(
        wanted,
        lowest=lowest,
        highest=highest,
        likes={cue: value for cue, value in likes.items() if cue not in critique.unwanted},
        dislikes=(wanted.dislikes - set(critique.wanted)) | set(critique.unwanted),
        age=wanted.age if critique.age is None else critique.age,
    )


def _pointed(wanted: Wishes, like: Sequence[str], unlike: Sequence[str]) -> Wishes:
    """The wishes once these items were liked, the latest last, and those turned down."""
    like = [id for id in dict.fromkeys(like) if id not in unlike]
    models = [*(id for id in wanted.like if id not in {*like, *unlike}), *like]
    dismissed = (wanted.dismissed - set(like)) | set(unlike)
    return replace(wanted, like=tuple(models)[-_MODELS:], dismissed=dismissed)


def _price(wanted: Wishes, critique: Critique, about: Sequence[Item]) -> tuple[float, float]:
    """The bounds of the price. Where old and new contradict one another, the new one holds."""
    lowest, highest = critique.lowest, critique.highest
    prices = [item.price for item in about if item.price is not None]
    if lowest is None and highest is None and critique.dearer is not None and prices:
        # Than most of what was shown: nobody means the cheapest of three.
        if critique.dearer:
            lowest = round(median(prices) + _PENNY, 2)
        else:
            highest = max(round(median(prices) - _PENNY, 2), 0.0)
    if lowest is None:
        lowest = wanted.lowest if highest is None or wanted.lowest <= highest else 0.0
    if highest is None:
        highest = wanted.highest if wanted.highest >= lowest else math.inf
    return lowest, highest
