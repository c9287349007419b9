"""Versions of a loop as pages show them, and a challenger's settings as people give them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidInput, Unknown
from agent.review.index import ReviewIndex
from agent.review.versions import Record, records
from agent.service import Service
from agent.settings import LoopSettings
from agent.shell import pairs
from agent.standing import Standing, standing_of
from agent.versions import Version

# Of these, the first two are another command's, and where to compute is each machine's own.
NOT_GIVEN = ("adopted", "adopted_strength", "device")


@dataclass(frozen=True)
class Difference:
    """A setting that differs from the champion's: its name (`signals.thumb` within a group), its value and theirs.

    Values are JSON; empty where there is no such setting.
    """

    name: str
    value: str
    champions: str


@dataclass(frozen=True)
class Shown:
    """A version, its settings by name, how they differ from the champion's, and what it did."""

    version: Version
    settings: Mapping[str, str]
    differences: list[Difference]
    record: Record


@dataclass(frozen=True)
class LoopVersions:
    """A loop's versions, those that came into use last first, and its standing."""

    loop: str
    standing: Standing
    champion: Shown
    challenger: Shown | None
    returns: Shown | None
    all: list[Shown]


def versions_of(service: Service, index: ReviewIndex, loop: str) -> LoopVersions:
    """The versions of a loop; neither folds nor counts decisions, so that it takes as long in a large log.

    Raises:
        Unknown: there is no such loop.
    """
    standing = standing_of(service.log, loop)
    known = service.versions(loop, counted=False)
    champion = next(version.settings for version in known if version.is_champion)
    found = records(index, loop)
    shown = [
        Shown(
            version,
            dict(flat(version.settings.as_body())),
            differences(version.settings, champion),
            found.get(version.version, Record()),
        )
        for version in known
    ]
    return LoopVersions(
        loop,
        standing,
        next(one for one in shown if one.version.is_champion),
        next((one for one in shown if one.version.is_challenger), None),
        next((one for one in shown if one.version.returns), None),
        shown,
    )


def differences(settings: LoopSettings, champion: LoopSettings) -> list[Difference]:
    """Where settings differ from the champion's, by name."""
    own, theirs = dict(flat(settings.as_body())), dict(flat(champion.as_body()))
    names = dict.fromkeys([*theirs, *own])
    return [
        Difference(name, own.get(name, ""), theirs.get(name, "")) for name in names if own.get(name) != theirs.get(name)
    ]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by name as JSON: those of the learner beside the loop's own, as people write them."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, "" if name == "learner" else f"{prefix}{name}.")
        elif name != "learner":
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)


def typed(text: str, policy: str, *, base: LoopSettings) -> LoopSettings:
    """Settings out of a form: NAME=VALUE a line beside the name of a policy; `base` where nothing is said.

    Raises:
        InvalidInput: a line or a value is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return given(pairs(lines, where="settings"), policy or None, base=base)


def given(settings: Mapping[str, Any], policy: str | None, *, base: LoopSettings) -> LoopSettings:
    """The settings of a challenger, as far as they are said to differ from `base`.

    Raises:
        InvalidInput: a setting is unknown, is not given here, or has a value that it cannot have.
    """
    for name in NOT_GIVEN:
        if name in settings:
            raise InvalidInput(f"settings: {name!r} is not given here")
    try:
        json.dumps(settings, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise InvalidInput("settings: a value is not text that can be written as UTF-8") from None
    return LoopSettings.of({**settings, **({"policy": policy} if policy else {})}, where="settings", base=base)


def version_of(service: Service, loop: str, version: str) -> Version:
    """The version of a loop that came into use last under this name.

    Raises:
        Unknown: there is no such loop or version.
    """
    for known in service.versions(loop, counted=False):
        if known.version == version:
            return known
    raise Unknown(f"loop {loop!r} has had no version {version!r}")
