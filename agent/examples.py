"""Examples: how much a message is one of the questions that a reply was written for."""

from __future__ import annotations

from torch import Tensor

#: the named cue that a decision keeps of it.
CUE = "example"
# Cosines of sentences: what share of them ask the same (see tests/rasa/test_library.py for the figures).
UNLIKE, LIKE = 0.45, 0.75


def likeness(message: Tensor, examples: Tensor) -> float:
    """From 0 to 1: how much a message (d,) asks what the nearest of the examples (n, d) asks; all are unit vectors."""
    nearest = float((examples @ message).max())
    return min(max((nearest - UNLIKE) / (LIKE - UNLIKE), 0.0), 1.0)
