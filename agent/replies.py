"""The commands on replies: `rejoinder replies …`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from agent.errors import InvalidInput
from agent.shell import opened

if TYPE_CHECKING:  # torch takes seconds to import, and every command imports this
    from agent.candidates import Reply, Version

_out = Console()
_SHIPPED = Path(__file__).resolve().parent.parent / "training_data"
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_why = click.option("--why", default="", help="The reason, for the log.")
_who = click.option("--who", default="command line", show_default=True, help="What the log names as the author.")
_loop = click.option("--loop", default="actions", show_default=True, help="Whose candidates: actions, responses, …")
_text = click.option("--text", "texts", multiple=True, help="What is said; several are wordings of the same.")
_example = click.option("--example", "examples", multiple=True, help="A question that it answers; never said.")


@click.group()
def replies() -> None:
    """What can be said: written, edited, switched and scheduled here, used by the running bot at once."""


@replies.command("list")
@_loop
@_as_json
def list_(loop: str, as_json: bool) -> None:
    """Every candidate of a loop, as it stands."""
    with opened() as service:
        rows = [_row(reply) for reply in service.overview(loop).candidates]
    if as_json:
        click.echo(json.dumps({"loop": loop, "replies": rows}, ensure_ascii=False))
        return
    for row in rows:
        _say(f"{row['id']}  version {row['version']}, {row['state']}{_times(row)}", style="bold")
        for text in row["texts"]:
            _say(f"    {text}")


@replies.command()
@click.argument("id")
@_loop
@_as_json
def show(id: str, loop: str, as_json: bool) -> None:
    """A candidate with every version that it has had, the latest first."""
    with opened() as service:
        versions = [_version(version) for version in service.history(loop, id)]
    if as_json:
        click.echo(json.dumps({"loop": loop, "id": id, "versions": versions}, ensure_ascii=False))
        return
    _say(f"{id}  {versions[0]['state']}{_times(versions[0])}", style="bold")
    for row in versions:
        _say(f"version {row['version']}, {_clock(row['at'])}, {row['who']}" + (f": {row['why']}" if row["why"] else ""))
        for text in (*row["texts"], *(f"for: {example}" for example in row["examples"])):
            _say(f"    {text}")


@replies.command()
@_text
@_example
@click.option("--intent", "intents", multiple=True, help="An intent that it answers.")
@click.option("--id", help="Its id; made of its words unless given.")
@_loop
@_who
@_why
@_as_json
def write(
    texts: tuple[str, ...],
    examples: tuple[str, ...],
    intents: tuple[str, ...],
    id: str | None,
    loop: str,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Add a new reply, which the running bot may give from its next turn on."""
    with opened() as service:
        reply = service.write(loop, texts=texts, examples=examples, intents=intents, id=id, who=who, why=why)
    _done(loop, reply, as_json)


@replies.command()
@click.argument("id")
@_text
@_example
@click.option("--typo", is_flag=True, help="The meaning stays: all that was learned of the old words holds.")
@click.option("--seen", type=int, help="The version looked at: refused if somebody has changed it since.")
@_loop
@_who
@_why
@_as_json
def edit(
    id: str,
    texts: tuple[str, ...],
    examples: tuple[str, ...],
    typo: bool,
    seen: int | None,
    loop: str,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Give a candidate other words, or other examples, as a new version; the old one is kept."""
    if not texts and not examples:
        raise InvalidInput("an edit needs a --text or an --example")
    with opened() as service:
        reply = service.edit(
            loop, id, texts or None, examples=examples or None, who=who, typo=typo, why=why, version_seen=seen
        )
    _done(loop, reply, as_json)


@replies.command()
@click.argument("id")
@click.option("--state", help="enabled, disabled, pinned (only such are chosen from) or blocked (never chosen).")
@click.option("--approve/--no-approve", "approved", default=None, help="Whether strict loops may use its words.")
@_loop
@_who
@_why
@_as_json
def mark(id: str, state: str | None, approved: bool | None, loop: str, who: str, why: str, as_json: bool) -> None:
    """Pin, block, disable, enable or approve a candidate."""
    with opened() as service:
        reply = service.mark(loop, id, state=state, approved=approved, who=who, why=why)
    _done(loop, reply, as_json)


@replies.command()
@click.argument("id")
@click.option("--from", "since", help="When it may first be chosen: 2026-12-01T09:00, or unix seconds.")
@click.option("--until", help="From when on it may not be chosen any more.")
@_loop
@_who
@_why
@_as_json
def schedule(id: str, since: str | None, until: str | None, loop: str, who: str, why: str, as_json: bool) -> None:
    """Say when a candidate may be chosen; without --from and --until, whenever. Times are this machine's own."""
    begins, ends = _moment(since), _moment(until)
    with opened() as service:
        reply = service.schedule(loop, id, since=begins, until=ends, who=who, why=why)
    _done(loop, reply, as_json)


@replies.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=_SHIPPED,
    help="Folder of the Rasa assistant; the one that ships with Rejoinder unless given.",
)
@_as_json
def export(out: Path, project: Path, as_json: bool) -> None:
    """Write to OUT, as a file for the assistant's domain, what was written and edited here."""
    from agent.domains import export as exported

    with opened() as service:
        text, names = exported(service, project)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error}") from error
    if as_json:
        click.echo(json.dumps({"file": str(out), "responses": names}, ensure_ascii=False))
    else:
        _say(f"{len(names)} responses written to {out}")


def _row(reply: Reply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "version": reply.version,
        "state": reply.state,
        "approved": reply.approved,
        "since": reply.since,
        "until": reply.until,
        "origin": reply.origin,
        "texts": list(reply.texts),
        "examples": list(reply.examples),
        "features": dict(reply.features),
    }


def _version(version: Version) -> dict[str, Any]:
    return {**_row(version.reply), "who": version.who, "at": version.at, "why": version.why}


def _done(loop: str, reply: Reply, as_json: bool) -> None:
    row = _row(reply)
    if as_json:
        click.echo(json.dumps({"loop": loop, **row}, ensure_ascii=False))
    else:
        _say(f"{row['id']}  version {row['version']}, {row['state']}{_times(row)}")


def _times(row: dict[str, Any]) -> str:
    named = (("from", row["since"]), ("until", row["until"]))
    return "".join(f", {name} {_clock(at)}" for name, at in named if at is not None)


def _clock(at: float) -> str:
    """A time as this machine's clock shows it."""
    return datetime.fromtimestamp(at, tz=timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")


def _moment(given: str | None) -> float | None:
    """Unix seconds of a time as people write it.

    Raises:
        InvalidInput: it is none.
    """
    if given is None:
        return None
    readings: tuple[Callable[[str], float], ...] = (float, lambda text: datetime.fromisoformat(text).timestamp())
    for reading in readings:
        try:
            moment = reading(given)
            if math.isfinite(moment) and 0.0 <= moment < 1e11:
                return moment
        except (ValueError, OverflowError, OSError):  # noqa: PERF203
            continue
    raise InvalidInput(f"{given!r} is no time: write 2026-12-01T09:00, or unix seconds")


def _say(text: str, *, style: str | None = None) -> None:
    _out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
