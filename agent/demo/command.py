"""The command `rejoinder demo`: a log full of simulated traffic, and the console on it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.settings import home as home_in_force

_HOST = "127.0.0.1"
_err = Console(stderr=True)
_out = Console()


@click.command()
@click.option(
    "--conversations",
    default=1_500,
    show_default=True,
    type=click.IntRange(50, 100_000),
    help="How many conversations.",
)
@click.option("--weeks", default=8.0, show_default=True, type=click.FloatRange(1.0, 104.0), help="Over how many weeks.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Decides all that is drawn.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port of the console.")
@click.option("--home", type=click.Path(path_type=Path), help="Folder of the log; $REJOINDER_HOME/demo if not given.")
@click.option("--serve/--no-serve", default=True, help="Whether to open the console on it.")
@click.option("--fresh", is_flag=True, help="Make a new log, even if one was simulated there before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def demo(
    conversations: int,
    weeks: float,
    seed: int,
    port: int,
    home: Path | None,
    serve: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    """Fill a log with simulated customers, and open the console on it.

    All of it is invented and marked as such; a log with anything else in it is never written to. Run again, the command
    opens what is there; --fresh makes a new one.
    """
    from agent.demo.making import Size

    folder = (home or home_in_force() / "demo").absolute()
    if serve:
        _check_free(port)
    size = Size(conversations=conversations, weeks=weeks, seed=seed, end=time.time())
    report = {"home": str(folder), "address": f"http://{_HOST}:{port}/" if serve else None}
    report |= _made(folder, size, fresh=fresh)
    _say(report, as_json)
    if serve:
        from agent.console.server import run

        run(folder, _HOST, port)


def _made(folder: Path, size: Any, *, fresh: bool) -> dict[str, Any]:
    """Make the log unless it is there already; what it holds."""
    from agent.demo.making import made, make

    started = time.monotonic()
    if not fresh and (events := made(folder)) is not None:
        return {"made": False, "seconds": 0.0, "events": events}
    with _bars() as progress:
        events = make(folder, size, progress=progress, fresh=fresh)
    return {"made": True, "seconds": round(time.monotonic() - started, 1), "events": events}


def _say(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report))
        return
    events = report["events"]
    what = "simulated" if report["made"] else "simulated before; --fresh makes a new one"
    _out.print(f"{events['decision']:,} decisions, {events['outcome']:,} outcomes: {what}", highlight=False)
    _out.print(f"log      {report['home']}", highlight=False, soft_wrap=True)
    if report["address"]:
        _out.print(f"console  {report['address']}", highlight=False)
        _out.print("stop with Ctrl-C", style="dim")


def _check_free(port: int) -> None:
    """Raise InvalidInput where the console could not listen: said before the log is made, which takes a while."""
    from agent.errors import InvalidInput

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InvalidInput(f"port {port} cannot be used ({error.strerror}): give another --port") from error


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on stderr: bars in a terminal, a line for each stage elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, disable=not _err.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
                if not _err.is_terminal:
                    _err.print(f"{stage}: {total:,} …", style="dim", highlight=False)
            progress.update(tasks[stage], completed=done)

        yield report
