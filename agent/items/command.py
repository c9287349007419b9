"""The commands on items: `rejoinder items …`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if TYPE_CHECKING:  # torch takes seconds to import, and every command imports this
    from agent.items.catalogue import Gathered

_err = Console(stderr=True)
_out = Console()


@click.group()
def items() -> None:
    """The items that are recommended, and where they come from."""


@items.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(source: str, as_json: bool) -> None:
    """Read SOURCE as a catalogue, and say what loads and what is wrong in which line.

    SOURCE is a CSV, JSON lines or JSON file, a SQLite file (shop.db, or shop.db?table=products), or an http(s)
    address of such. Exit code 2 only where nothing loads.
    """
    from agent.errors import InvalidInput
    from agent.items.catalogue import gather
    from agent.items.feeds import source_of

    reading = source_of(source).read()
    assert reading is not None, "nothing to be unchanged from"
    with _counted() as progress:
        found = gather(reading.rows, progress=progress)
    if not found.items:
        first = f"; line {found.problems[0].line}: {found.problems[0].message}" if found.problems else ""
        raise InvalidInput(f"{source}: nothing loads{first}")
    report = _report(source, found)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    for problem in found.problems:
        _out.print(
            f"line {problem.line}: {problem.message}", style="red", markup=False, highlight=False, soft_wrap=True
        )
    for warning in found.warnings:
        _out.print(
            f"line {warning.line}: {warning.message}", style="dim", markup=False, highlight=False, soft_wrap=True
        )
    from agent.render import print_report

    print_report(_out, {**report, **{name: len(report[name]) for name in ("categories", "problems", "warnings")}})


def _report(source: str, found: Gathered) -> dict[str, Any]:
    loaded = found.items.values()
    categories: dict[str, int] = {}
    for item in loaded:
        categories[item.category] = categories.get(item.category, 0) + 1
    return {
        "source": source,
        "items": len(loaded),
        "available": sum(item.available for item in loaded),
        "age_restricted": sum(item.minimum_age > 0 for item in loaded),
        "categories": categories,
        "problems": [problem._asdict() for problem in found.problems],
        "warnings": [warning._asdict() for warning in found.warnings],
    }


@contextmanager
def _counted() -> Iterator[Callable[[str, int, int], None]]:
    """Counts rows on stderr, where somebody looks."""
    if not _err.is_terminal:
        yield lambda *_: None
        return
    with _err.status("rows …") as status:
        yield lambda stage, done, _: status.update(f"{done:,} {stage} …")
