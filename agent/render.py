"""How results look in a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_SHOWN = 8  # candidates
_HELD = 20  # persons and bursts
_FAINT = 0.005  # a cue weaker than this would be shown as 0.00


def explanation(found: dict[str, Any]) -> RenderableType:
    """A decision taken apart, as `agent.explain` gives it: the candidates, and whatever else was asked for."""
    common = _common([row["candidate"] for row in found["candidates"]])
    shown = [row for row in found["candidates"] if row["eligible"]][:_SHOWN]
    table = _Candidates(shown, common)
    barred = [row for row in found["candidates"] if not row["eligible"]]
    lines: list[RenderableType] = [_headline(found), table]
    if rest := len(found["candidates"]) - len(barred) - len(shown):
        lines.append(Text(f"… and {rest} more", style="dim"))
    if barred:
        why = (f"{row['candidate'].removeprefix(common)} ({row['barred'] or 'not eligible'})" for row in barred)
        lines.append(Text(f"could not be chosen: {', '.join(why)}", style="dim"))
    lines += _outcomes(found)
    for name, section in (("recomputed", _recomputed), ("words", _words), ("nearest", _nearest)):
        if name in found:
            lines += [Text(), *section(found[name])]
    return Group(*lines)


def importance(found: dict[str, Any]) -> RenderableType:
    """What told the candidates of a loop apart, as `agent.importance.importance` gives it."""
    days = " to ".join(time.strftime("%Y-%m-%d", time.localtime(found[end])) for end in ("since", "until"))
    lines: list[RenderableType] = [
        Text.assemble((f"loop {found['loop']}", "bold"), f"  {found['decisions']} decisions, {days}"),
        Text(f"scores lie {found['spread']:.3f} from their mean, on average over candidates; what sets them apart:"),
        _shares("part", found["parts"]),
    ]
    if found["features"]:
        lines += [Text(), _shares("named feature", found["features"])]
    return Group(*lines)


def versions(found: Sequence[dict[str, Any]]) -> Table:
    """The versions of a loop, as `rejoinder policies list` gives them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("version", "policy", "role"):
        table.add_column(name, no_wrap=True)
    for name in ("share", "decisions"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("since", "until", "by", "why"):
        table.add_column(name, overflow="fold")
    for row in found:
        role = row["role"] or ("a roll-back returns to it" if row["returns"] else "-")
        until = "-" if row["until"] is None else _clock(row["until"])
        numbers = (f"{row['share']:.0%}", str(row["decisions"]))
        cells = (row["version"], row["policy"], role, *numbers, _clock(row["since"]), until, row["who"], row["why"])
        table.add_row(*map(Text, cells), style="bold" if row["role"] == "champion" else None)
    return table


def print_report(console: Console, rows: dict[str, Any]) -> None:
    """Names and values under one another; shares and speeds with a sensible number of digits."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows.items():
        shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)


def held(found: dict[str, Any]) -> list[Text]:
    """Whose feedback the guard on influence holds back, as `agent.verification.verify` reports it: a line each."""
    lines = [
        f"{row['candidate']}: person {row['person'][:8]}… gave {row['weight']:.1f} thumbs, of which "
        f"{row['counted']:.1f} count"
        for row in found["persons"]
    ]
    lines += [
        f"{row['candidate']}: a burst of {row['weight']:.1f} thumbs worth {row['value']:g} at "
        f"{_clock(row['at'])}, of which {row['counted']:.1f} count"
        for row in found["bursts"]
    ]
    more = len(lines) - _HELD
    return [Text(line, style="dim") for line in lines[:_HELD] + ([f"… and {more} more"] if more > 0 else [])]


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


@dataclass(frozen=True)
class _Candidates:
    """Candidates with the parts of their scores: a column each where there is room for them, else a line of them."""

    rows: Sequence[dict[str, Any]]
    common: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(columns=True)
        needed = console.measure(wide, options=options.update(max_width=1_000)).minimum
        yield wide if needed <= options.max_width else self._table(columns=False)

    def _table(self, *, columns: bool) -> Table:
        names = list(self.rows[0]["parts"])
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("candidate", overflow="fold")
        for name in (*(names if columns else ()), "expected", "±", "probability"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            parts = {name: f"{row['parts'][name]:+.3f}" for name in names}
            told = (f"{row['expected']:.3f}", f"{row['deviation']:.3f}", f"{row['probability']:.3f}")
            name = Text(row["candidate"].removeprefix(self.common))
            if not columns:
                name.append(
                    "\n" + "  ".join(f"{part}\N{NO-BREAK SPACE}{value}" for part, value in parts.items()),
                    style="dim not bold",
                )
            table.add_row(name, *(parts.values() if columns else ()), *told, style="bold" if row["chosen"] else None)
        return table


def _common(names: list[str]) -> str:
    """What all names begin with up to a slash: of the wordings of one response its name, which the headline tells."""
    head = "".join(names[0].rpartition("/")[:2])
    return head if all(name.startswith(head) for name in names) else ""


def _headline(found: dict[str, Any]) -> Text:
    when = f"loop {found['loop']}, {found['policy']}, {_clock(found['at'])}"
    line = Text.assemble((found["chosen"], "bold"), f"  {when}")
    cues = [f"{name} {value:.2f}" for name, value in found["features"].items() if abs(value) >= _FAINT]
    if cues:
        line.append(f"\ncues: {', '.join(cues)}", style="dim")
    if said := _limits(found["limits"]):
        line.append(f"\nlimits: {said}", style="dim")
    if not found["live"]:
        proposed = "; it would have abstained" if found["abstained"] else ""
        done = f"; {found['observed']} was used" if found["observed"] else ""
        line.append(f"\nonly watched{proposed}{done}", style="dim")
    if not found["repeats"]:
        line.append("\nthe logged draw does not repeat: run `rejoinder verify`", style="bold red")
    return line


def _limits(limits: dict[str, Any]) -> str:
    """The limits that bind, in words."""
    free = {"floor": 0.0, "budget": 1.0, "widen": 0.0}
    said = [f"{name} {limits[name]:g}" for name in free if limits.get(name, free[name]) != free[name]]
    if condition := limits.get("conservative"):
        slack = f"slack {condition['slack']:.2f}"
        said.append(f"may lose {condition['alpha']:.0%} of what {condition['baseline']} would earn ({slack})")
    return ", ".join(said)


def _outcomes(found: dict[str, Any]) -> list[Text]:
    if not found["outcomes"]:
        return [Text("no feedback on it yet", style="dim")]
    said = ", ".join(
        f"{o['signal']} {o['value']:g}" if o["kind"] == "outcome" else o["kind"] for o in found["outcomes"]
    )
    reward = found["reward"]
    earned = "nothing" if reward is None else f"{reward['value']:.2f} (weight {reward['weight']:g})"
    return [Text(f"feedback: {said}; earned {earned}", style="dim")]


def _recomputed(found: dict[str, Any]) -> list[RenderableType]:
    if found["repeats_vector"]:
        return [
            Text(
                f"the folded model gives the logged probabilities again (largest difference {found['difference']:.1g})"
            )
        ]
    gap = f"{found['difference']:.3g} (expected rewards by {found['expected_difference']:.3g})"
    return [Text(f"the folded model gives other probabilities than those logged, by up to {gap}", style="bold red")]


def _words(found: dict[str, Any]) -> list[RenderableType]:
    head = Text.assemble("words for ", (found["chosen"], "bold"))
    if found["runner_up"] is not None:
        head.append(f" against {found['runner_up']}")
    head.append(f": {found['margin']:+.3f} ahead, without any words {found['margin_without_words']:+.3f}", style="dim")
    line, end = Text("  "), 0
    least = max([_FAINT, *(abs(word["effect"]) / 10 for word in found["words"])])  # what is weaker says little
    for word in found["words"]:
        line.append(found["text"][end : word["start"]])
        effect = word["effect"]
        telling = abs(effect) >= least
        line.append(word["text"], style=("bold green" if effect > 0 else "bold red") if telling else None)
        if telling:
            line.append(f" {effect:+.2f}", style="dim")
        end = word["end"]
    line.append(found["text"][end:])
    note = "of the redacted message, which is all that the log keeps: approximate"
    return [head, line, *([Text(note, style="dim")] if found["approximate"] else [])]


def _nearest(found: list[dict[str, Any]]) -> list[RenderableType]:
    if not found:
        return [Text("no earlier decision of this loop had earned anything", style="dim")]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("similarity", "earned"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("chosen", overflow="fold")
    table.add_column("nearest past messages", overflow="fold")
    for row in found:
        cells = (f"{row['similarity']:.3f}", f"{row['reward']['value']:.2f}", row["chosen"], row["text"] or "")
        table.add_row(*map(Text, cells))
    return [table]


def _shares(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for name in ("share", "spread", "changes the best", "in decisions"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        share = "-" if row["share"] is None else f"{row['share']:.1%}"
        cells = (row["name"], share, f"{row['spread']:.3f}", f"{row['changes_best']:.1%}", str(row["present"]))
        table.add_row(*map(Text, cells))
    return table
