"""`python -m agent.console`: the console's server alone."""

from __future__ import annotations

import click

from agent.access.limits import API
from agent.console.server import HOST, PORT, run
from agent.errors import RejoinderError
from agent.settings import home


@click.command()
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--allow-host", "hosts", multiple=True, help="A further name that requests may address it by.")
@click.option("--proxy", metavar="ADDRESS", help="A proxy in front: its X-Forwarded-For and -Proto are believed.")
@click.option("--rate", default=API, show_default=True, help="How often a caller of the HTTP API may call.")
def main(host: str, port: int, hosts: tuple[str, ...], proxy: str | None, rate: str) -> None:
    """Serve the console and the HTTP API over the learning log in $REJOINDER_HOME."""
    try:
        run(home(), host, port, hosts=hosts, proxy=proxy, rate=rate)
    except RejoinderError as error:
        click.echo(f"rejoinder: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
