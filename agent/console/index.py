"""The review index as a request finds it: what was done a moment ago is in it."""

from __future__ import annotations

from fastapi import Request

from agent.review.index import BATCH, ReviewIndex


def index_of(request: Request) -> ReviewIndex:
    """The index that the application was made with, caught up unless that would take long."""
    index = request.app.state.index
    assert isinstance(index, ReviewIndex)
    if index.behind() <= BATCH:  # more than that is for whoever follows the log
        index.catch_up(most=BATCH)
    return index
