"""The review index as a request finds it: what was done a moment ago is in it."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from agent.review.index import BATCH, ReviewIndex
from agent.review.later import Later


def index_of(request: Request) -> ReviewIndex:
    """The index that the application was made with, caught up unless that would take long."""
    index = request.app.state.index
    assert isinstance(index, ReviewIndex)
    if index.behind() <= BATCH:  # more than that is for whoever follows the log
        index.catch_up(most=BATCH)
    return index


def later_of(request: Request) -> Later[Any]:
    """What takes longer than a page may, kept by the application."""
    later = request.app.state.later
    assert isinstance(later, Later)
    return later
