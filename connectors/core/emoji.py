"""Emoji: what a reaction says of a message, as a thumb."""

from __future__ import annotations

# Skin tones, and the mark that asks for a picture, say nothing of their own.
_VARIATIONS = dict.fromkeys([0xFE0F, *range(0x1F3FB, 0x1F400)])
_UP = frozenset("👍👌👏🙏🙌❤🧡💛💚💙💜🥰😍🤩😊😀😃😄💯✅🎉🔥")
_DOWN = frozenset("👎😡😠🤬😤😞😢😭🙁☹💩❌")


def thumb(emoji: str) -> float | None:
    """1 for an emoji that plainly approves, 0 for one that plainly does not, None for any other."""
    plain = emoji.strip().translate(_VARIATIONS)
    return 1.0 if plain in _UP else 0.0 if plain in _DOWN else None
