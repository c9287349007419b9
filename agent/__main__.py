"""The command line: `rejoinder …`, or `python -m agent …`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.access.command import keys, users
from agent.demo.command import demo
from agent.errors import RejoinderError
from agent.importance import WINDOW
from agent.items.command import items
from agent.policy_commands import policies
from agent.replies import replies
from agent.settings import LoopSettings, home
from agent.shell import opened, pairs
from policies.settings import DEFAULTS as POLICIES
from policies.types import InvalidInput as PolicyInputError

SHIPPED = Path(__file__).resolve().parent.parent / "training_data"
_err = Console(stderr=True)
_out = Console()

_project = click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=SHIPPED,
    help="Folder of the Rasa assistant; the one that ships with Rejoinder unless given.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rejoinder")
def cli() -> None:
    """Rejoinder learns which reply works. State lives in $REJOINDER_HOME (default: .rejoinder)."""


@cli.command()
@_project
@click.option("--force", is_flag=True, help="Train even if nothing has changed.")
@_as_json
def train(project: Path, force: bool, as_json: bool) -> None:
    """Train the assistant."""
    assistant = _assistant(project)
    with _status() as say:
        model = assistant.train(force=force, progress=say)
    _print({"model": str(model)}, as_json)


@cli.command()
@_project
def chat(project: Path) -> None:
    """Talk to the assistant here; /help lists what can be typed. Input may be piped in."""
    assistant = _assistant(project)
    from agent.plugin.chat import chat as talk

    with _status() as say:
        assistant.train(progress=say)
        say("starting")
        assistant.load()
    talk(assistant, sys.stdin, Console(highlight=False))


@cli.command()
@_project
@click.option("--host", default="127.0.0.1", show_default=True, help="Address both servers listen on.")
@click.option("--port", default=5005, show_default=True, type=click.IntRange(1, 65535), help="Port of Rasa.")
@click.option(
    "--console-port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port of the console."
)
def serve(project: Path, host: str, port: int, console_port: int) -> None:
    """Run the assistant with its channels, and the console, until stopped."""
    from agent.serve import serve as run

    assistant = _assistant(project)
    with _status() as say:
        model = assistant.train(progress=say)
    run(project, model, home(), host=host, port=port, console_port=console_port, say=_err.print)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--test", type=click.Path(path_type=Path), help="Rows to measure accuracy on, before and after.")
@click.option("--replies", type=click.Path(path_type=Path), help="CSV file label,text: the text of each label.")
@click.option("--rounds", type=click.IntRange(1), help="How many rounds; each row once unless given.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Decides order and draws.")
@click.option("--policy", default="linucb", show_default=True, help=f"One of {', '.join(POLICIES)}.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the policy, e.g. alpha=0.2.")
@click.option("--none-label", help="Label of rows that no candidate fits; they are left out.")
@_as_json
def simulate(
    file: Path,
    test: Path | None,
    replies: Path | None,
    rounds: int | None,
    seed: int,
    policy: str,
    settings: tuple[str, ...],
    none_label: str | None,
    as_json: bool,
) -> None:
    """Play a labelled CSV file through the service, one row a round: reward 1 where the label chosen is right."""
    from agent import simulation
    from agent.encoder import Encoder

    questions = simulation.read_questions(file, none_label=none_label)
    tests = simulation.read_questions(test, none_label=none_label) if test else []
    keep = len(questions) + len(tests) + 1_000
    with _bars() as bars:
        result = simulation.simulate(
            questions,
            LoopSettings.of({"policy": policy, **pairs(settings)}, where="--set", base=simulation.settings_for(policy)),
            test=tests,
            replies=simulation.read_replies(replies) if replies else None,
            rounds=rounds,
            seed=seed,
            encoder=lambda name: Encoder(name, keep=keep),
            progress=bars,
        )
    _print(result.as_json(), as_json)


@cli.command()
@click.argument("decision")
@click.option("--words", is_flag=True, help="Which words of the message spoke for the choice, and which against it.")
@click.option(
    "--nearest", type=click.IntRange(1, 1000), help="So many of the nearest past messages, and their rewards."
)
@click.option("--recompute", is_flag=True, help="Fold the log up to the decision and make its probabilities again.")
@_as_json
def explain(decision: str, words: bool, nearest: int | None, recompute: bool, as_json: bool) -> None:
    """Take one DECISION apart: candidates, scores in named parts, uncertainty, probability."""
    from agent import render
    from agent.explain import why

    with opened() as service:
        event = service.decision(decision)
        with _status() as say:
            if words or recompute:
                say("folding the log up to the decision")
            found = why(service, event, words=words, nearest=nearest or 0, recompute=recompute)
    if as_json:
        _print(found, as_json)
    else:
        _out.print(render.explanation(found))


@cli.command()
@click.argument("loop")
@click.argument("candidate")
@click.option("--state", help="enabled, disabled, pinned (only such are chosen from) or blocked (never chosen).")
@click.option("--approve/--no-approve", "approved", default=None, help="Whether strict loops may use its words.")
@click.option("--who", default="command line", show_default=True, help="What the log names as the author.")
@click.option("--why", default="", help="The reason, for the log.")
@_as_json
def mark(
    loop: str, candidate: str, state: str | None, approved: bool | None, who: str, why: str, as_json: bool
) -> None:
    """Pin, block, disable, enable or approve a CANDIDATE of a LOOP."""
    with opened() as service:
        reply = service.mark(loop, candidate, state=state, approved=approved, who=who, why=why)
    said = {"candidate": reply.id, "state": reply.state, "approved": reply.approved, "version": reply.version}
    _print({"loop": loop, **said}, as_json)


@cli.command()
@click.argument("loop")
@click.option("--apply", "in_force", is_flag=True, help="Put what was found in force; the loop is folded again.")
@_as_json
def tune(loop: str, in_force: bool, as_json: bool) -> None:
    """Fit the prior of a LOOP to its rewards: strength, and how much meaning tells (empirical Bayes)."""
    from agent import tuning

    with opened() as service, _status() as say:
        say("reading the rewards")
        found = tuning.tune(service, loop)
        if in_force:
            tuning.apply(service, found, who="tune")
    report = {**found.as_json(), "applied": in_force}
    if not as_json:
        report |= {f"{name} now": found.now[name] for name in found.now}
        report |= {f"{name} fitted": found.fitted[name] for name in found.fitted}
        del report["now"], report["fitted"]
    _print(report, as_json)


@cli.command()
@click.argument("loop")
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="The other assistant's home.")
@click.option("--source-loop", help="Its loop; the same name unless given.")
@click.option("--strength", default=0.3, show_default=True, help="The share of its evidence that counts, up to 1.")
@_as_json
def adopt(loop: str, source: Path, source_loop: str | None, strength: float, as_json: bool) -> None:
    """Let a LOOP begin from what the loop of another assistant has learned."""
    from agent.transfer import adopt as transfer

    with opened() as service:
        settings = transfer(
            service, loop, source=source, source_loop=source_loop or loop, strength=strength, who="adopt"
        )
    _print({"loop": loop, "adopted": settings.adopted, "strength": settings.adopted_strength}, as_json)


@cli.command()
@click.argument("loop")
@click.option(
    "--last", default=WINDOW, show_default=True, type=click.IntRange(1), help="How many decisions to look at."
)
@click.option("--features", is_flag=True, help="By named feature as well: folds the log up to each decision.")
@_as_json
def importance(loop: str, last: int, features: bool, as_json: bool) -> None:
    """What set the candidates of LOOP apart: the share of each part of the scores, and of each named feature."""
    from agent import render
    from agent.importance import importance as measured

    with opened() as service, _bars() as bars:
        found = measured(
            service.log,
            loop,
            last=last,
            features=features,
            snapshots=service.snapshots(loop),
            progress=lambda done, of: bars("decisions", done, of),
        )
    if as_json:
        _print(found, as_json)
    else:
        _out.print(render.importance(found))


@cli.command()
@_as_json
def verify(as_json: bool) -> None:
    """Refold the log from nothing and compare; exit code 1 where log and model disagree."""
    from agent.render import held
    from agent.verification import verify as check

    with opened() as service, _status() as say:
        report = check(service, progress=say)
    if as_json:
        _print(report, as_json)
    else:
        _print({"events": report["events"], "decisions": report["decisions"]}, as_json)
        for loop, figures in report["loops"].items():
            _out.print(f"\nloop {loop}", style="bold")
            _print(figures, as_json)
            for line in held(report["held"][loop]):
                _out.print(line)
        for problem in report["problems"]:
            _err.print(problem, style="red")
        _out.print("\nlog and model agree" if report["ok"] else f"\n{len(report['problems'])} problems")
    if not report["ok"]:
        raise SystemExit(1)


cli.add_command(items)
cli.add_command(users)
cli.add_command(keys)
cli.add_command(replies)
cli.add_command(policies)
cli.add_command(demo)


def main() -> None:
    """Run a command; bad input ends it with exit code 2 and one line that says what and where."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (RejoinderError, PolicyInputError) as error:
        _fail(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _fail(message: str, code: int) -> None:
    one_line = " ".join(message.split())
    click.echo(f"rejoinder: {one_line}", err=True)
    sys.exit(code)


def _assistant(project: Path) -> Any:
    from agent.serve import quiet

    os.environ.update(quiet(home()))  # before Rasa is imported: TensorFlow reads it once
    from agent.plugin.assistant import Assistant

    return Assistant(project, home())


def _print(rows: dict[str, Any], as_json: bool) -> None:
    from agent.render import print_report

    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        print_report(_out, rows)


@contextmanager
def _status() -> Iterator[Any]:
    """Says on stderr what is being done: live in a terminal, a line each elsewhere."""
    if not _err.is_terminal:
        yield lambda text: _err.print(f"{text} …", style="dim", highlight=False)
        return
    with _err.status("") as status:
        yield lambda text: status.update(f"{text} …")


@contextmanager
def _bars() -> Iterator[Any]:
    """Progress bars on stderr, one for each stage that reports."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_err, disable=not _err.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield report


if __name__ == "__main__":
    main()
