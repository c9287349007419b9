"""Examples: how much a message is one of the questions that a reply was written for."""

from __future__ import annotations

from torch import Tensor

#: the named cue that a decision keeps of it.
CUE = "example"
# Of the shipped assistant's questions, the largest cosine with five others of the same intent is 0.60 in the middle and
# 0.40 at the lowest tenth; with five of another intent it is above 0.54 for one in a hundred.
UNLIKE, LIKE = 0.45, 0.75


def likeness(message: Tensor, examples: Tensor) -> float:
    """From 0 to 1: how much a message (d,) asks what the nearest of the examples (n, d) asks; all are unit vectors."""
    nearest = float((examples @ message).max())
    return min(max((nearest - UNLIKE) / (LIKE - UNLIKE), 0.0), 1.0)
