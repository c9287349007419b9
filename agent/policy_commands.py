"""The commands on a loop's versions: `rejoinder policies …`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:  # torch takes seconds to import, and every command imports this
    from agent.service import Service
    from agent.standing import Standing

_out = Console()
_who = click.option("--who", default="command line", show_default=True, help="What the log names as the author.")
_why = click.option("--why", default="", help="The reason, for the log.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group()
def policies() -> None:
    """The versions of a loop's model: which is in force, which is on trial, on what share of conversations."""


@policies.command("list")
@click.argument("loop")
@_as_json
def list_(loop: str, as_json: bool) -> None:
    """All versions that LOOP has had."""
    from agent.shell import opened

    with opened() as service:
        found = [version.as_row() for version in service.versions(loop)]
    if as_json:
        click.echo(json.dumps({"loop": loop, "versions": found}, ensure_ascii=False))
        return
    from agent.render import versions

    _out.print(versions(found))


@policies.command()
@click.argument("loop")
@click.option("--share", type=float, required=True, help="Of conversations, from 0 (only folds along) to 1.")
@click.option("--policy", help="Another policy than the champion's.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting that is to differ.")
@_who
@_why
@_as_json
def stage(
    loop: str, share: float, policy: str | None, settings: tuple[str, ...], who: str, why: str, as_json: bool
) -> None:
    """Let a challenger answer a share of LOOP: the champion's settings but for those given.

    Without any given, the share of the challenger that is staged already.
    """
    from agent.errors import InvalidInput
    from agent.settings import LoopSettings
    from agent.shell import pairs

    given = pairs(settings) | ({} if policy is None else {"policy": policy})

    def act(service: Service) -> Standing:
        standing = service.standing(loop)
        challenger = LoopSettings.of(given, where="--set", base=standing.champion) if given else standing.challenger
        if challenger is None:
            raise InvalidInput(f"loop {loop!r} has no challenger yet: say with --policy or --set what is to differ")
        return service.stage(loop, challenger, share=share, who=who, why=why, seen=standing.seq)

    _act(loop, act, as_json)


@policies.command()
@click.argument("loop")
@click.argument("version", required=False)
@_who
@_why
@_as_json
def promote(loop: str, version: str | None, who: str, why: str, as_json: bool) -> None:
    """Put the challenger of LOOP in force, or a VERSION that it has had."""
    from agent.errors import InvalidInput

    def act(service: Service) -> Standing:
        standing = service.standing(loop)
        if version is None and standing.challenger is None:
            raise InvalidInput(f"loop {loop!r} has no challenger to promote")
        chosen = version or (standing.challenger.version if standing.challenger else "")
        return service.promote(loop, chosen, who=who, why=why, seen=standing.seq)

    _act(loop, act, as_json)


@policies.command()
@click.argument("loop")
@_who
@_why
@_as_json
def rollback(loop: str, who: str, why: str, as_json: bool) -> None:
    """Put the version of LOOP back in force that was before this one."""
    _act(loop, lambda service: service.roll_back(loop, who=who, why=why), as_json)


@policies.command()
@click.argument("loop")
@_who
@_why
@_as_json
def withdraw(loop: str, who: str, why: str, as_json: bool) -> None:
    """Take the challenger of LOOP off its conversations."""
    _act(loop, lambda service: service.withdraw(loop, who=who, why=why), as_json)


def _act(loop: str, act: Callable[[Service], Standing], as_json: bool) -> None:
    from agent.shell import opened

    with opened() as service:
        standing = act(service)
    said = {
        "loop": loop,
        "champion": None if standing.champion is None else standing.champion.version,
        "challenger": None if standing.challenger is None else standing.challenger.version,
        "share": standing.share,
        "seq": standing.seq,
    }
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    from agent.render import print_report

    print_report(_out, said)
