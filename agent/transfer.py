"""Transfer: a loop begins from what the loop of another assistant has learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import load, save

import policies
from agent.errors import InvalidInput
from agent.log import blob_reference
from agent.service import Service
from agent.settings import LoopSettings
from policies.types import InvalidInput as Refused


def adopt(service: Service, loop: str, *, source: Path, source_loop: str, strength: float, who: str) -> LoopSettings:
    """Let a loop begin from what another one has learned, as a prior of `strength` (0, 1] of its evidence.

    What this loop has learned itself is folded again on top. Candidates are known by their ids: those that both loops
    have are transferred, with disjoint models. The other's knowledge is copied into this log: it hangs on nothing else.

    Raises:
        Unknown: there is no such loop, here or there.
        InvalidInput: there is no log in the folder, or the two loops learn under settings that do not agree.
    """
    if not (source / "learning.db").is_file():
        raise InvalidInput(f"there is no learning log in {source}")
    mine = service.settings(loop)
    other = Service(source)
    try:
        theirs = other.settings(source_loop)
        if theirs.encoder != mine.encoder:
            raise InvalidInput(f"{source}: encoded by {theirs.encoder!r}, the loop {loop!r} by {mine.encoder!r}")
        blob = save(other.model(source_loop).learner.state_dict())
    finally:
        other.close()
    settings = replace(mine, adopted=blob_reference(blob), adopted_strength=strength)
    _check(settings, blob, place=f"{source}, loop {source_loop!r}")
    service.configure(loop, settings, who=who, blobs=[blob])
    return settings


def _check(settings: LoopSettings, blob: bytes, *, place: str) -> None:
    """Raise where a learner of these settings cannot begin from a state."""
    try:
        policies.create(settings.policy, **settings.learner).adopt(load(blob), strength=settings.adopted_strength)
    except Refused as error:
        raise InvalidInput(f"{place} cannot be adopted: {error}") from error
