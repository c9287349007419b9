"""The HTTP API on a loop's versions: see them, stage a challenger, promote, roll back, withdraw."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from agent.console.access import author_of
from agent.console.api import ADMIN, PAST, READ, WHO, LoopName, service_of
from agent.console.bodies import ChallengerBody, StepBody
from agent.console.problems import RESPONSES
from agent.console.values import LONGEST_ID
from agent.console.versions import given
from agent.standing import Standing

router = APIRouter(prefix="/v1/loops/{loop}/versions", responses=RESPONSES)
VersionName = Annotated[str, Path(min_length=1, max_length=LONGEST_ID)]


@router.get("", dependencies=READ)
def versions(request: Request, loop: LoopName) -> dict[str, Any]:
    """All versions that a loop has had, and its standing. Its `seq` is what later calls may say they have `seen`."""
    service = service_of(request)
    found = [version.as_row() for version in service.versions(loop)]
    return {**_told(loop, service.standing(loop)), "versions": found}


@router.post("", dependencies=ADMIN)
def stage(request: Request, loop: LoopName, body: ChallengerBody) -> dict[str, Any]:
    """Let settings challenge the champion on a share (0 to 1) of conversations; of a challenger, change the share.

    What is not given is as the champion has it; without any setting or policy, it is the challenger there is.
    """
    service = service_of(request)
    standing = service.standing(loop)
    assert standing.champion is not None, "a loop that exists has a champion"
    same = standing.challenger if not body.settings and body.policy is None else None
    settings = same or given(body.settings, body.policy, base=standing.champion)
    seen = standing.seq if body.seen is None else body.seen
    who = author_of(request, body.who or WHO)
    return _told(loop, service.stage(loop, settings, share=body.share, who=who, why=body.why, seen=seen))


@router.post("/roll-back", dependencies=ADMIN)
def roll_back(request: Request, loop: LoopName, body: StepBody) -> dict[str, Any]:
    """Bring the champion before this one back, as it would be had it stayed."""
    who = author_of(request, body.who or WHO)
    return _told(loop, service_of(request).roll_back(loop, who=who, why=body.why, seen=body.seen))


@router.post("/{version}/promote", dependencies=ADMIN)
def promote(request: Request, loop: LoopName, version: VersionName, body: StepBody) -> dict[str, Any]:
    """Make the challenger, or any version that the loop has had, the champion on all traffic."""
    who = author_of(request, body.who or WHO)
    return _told(loop, service_of(request).promote(loop, version, who=who, why=body.why, seen=body.seen))


@router.delete("/challenger", dependencies=ADMIN)
def withdraw(
    request: Request,
    loop: LoopName,
    who: Annotated[str, Query(min_length=1, max_length=LONGEST_ID)] = WHO,
    why: Annotated[str, Query(max_length=1_000)] = "",
    seen: Annotated[int | None, Query(ge=0, lt=PAST)] = None,
) -> dict[str, Any]:
    """Take the challenger off traffic."""
    author = author_of(request, who)
    return _told(loop, service_of(request).withdraw(loop, who=author, why=why, seen=seen))


def _told(loop: str, standing: Standing) -> dict[str, Any]:
    return {
        "loop": loop,
        "seq": standing.seq,
        "champion": None if standing.champion is None else standing.champion.version,
        "challenger": None if standing.challenger is None else standing.challenger.version,
        "share": standing.share,
    }
