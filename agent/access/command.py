"""The commands on who may do what: `rejoinder users …` and `rejoinder keys …`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agent.access.visitor import ROLES, SCOPES
from agent.errors import InvalidInput
from agent.settings import home

if TYPE_CHECKING:  # hashing passwords is loaded by who needs it: every command imports this
    from agent.access.door import Door
    from agent.access.keys import Key
    from agent.access.users import User

_WHO = "command line"  # in the trail: whoever may write the file may do everything
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_from_stdin = click.option("--password-stdin", "stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def users() -> None:
    """Who may log in at the console, and in which role."""


@users.command("add")
@click.argument("name")
@click.option("--role", required=True, metavar="ROLE", help=f"One of {', '.join(ROLES)}.")
@_from_stdin
@_as_json
def add_user(name: str, role: str, stdin: bool, as_json: bool) -> None:
    """Make the user NAME. The first one is an admin; from then on everybody has to log in."""
    from agent.access.names import checked_user
    from agent.access.visitor import checked_role

    checked_user(name), checked_role(role)  # before a password is asked for
    with _door() as door:
        user = door.users.create(name, role, _password(stdin))
        _note(door, f"user added as {role}", user.name)
        _say(_user(user), as_json)


@users.command("list")
@_as_json
def list_users(as_json: bool) -> None:
    """Every user, with role and state."""
    with _door() as door:
        found = [_user(user) for user in door.users.listed()]
    _table("users", found, as_json)


@users.command("role")
@click.argument("name")
@click.argument("role")
@_as_json
def set_role(name: str, role: str, as_json: bool) -> None:
    """Give the user NAME another ROLE; where they are logged in, they log in again."""
    with _door() as door:
        user = door.users.set_role(name, role)
        _note(door, f"role changed to {role}", user.name)
        _say(_user(user), as_json)


@users.command()
@click.argument("name")
@_as_json
def disable(name: str, as_json: bool) -> None:
    """Let the user NAME log in no longer, and log them out."""
    _set_enabled(name, enabled=False, as_json=as_json)


@users.command()
@click.argument("name")
@_as_json
def enable(name: str, as_json: bool) -> None:
    """Let the user NAME log in again."""
    _set_enabled(name, enabled=True, as_json=as_json)


@users.command()
@click.argument("name")
@_from_stdin
@_as_json
def password(name: str, stdin: bool, as_json: bool) -> None:
    """Give the user NAME another password, and log them out everywhere."""
    with _door() as door:
        name = door.users.find(name).name
        user = door.users.set_password(name, _password(stdin))
        _note(door, "password reset", user.name)
        _say(_user(user), as_json)


@click.group()
def keys() -> None:
    """What programs show to the HTTP API."""


@keys.command("add")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help=f"Out of {', '.join(SCOPES)}; repeatable.")
@click.option("--days", type=float, help="How long it is good; until revoked unless given.")
@_as_json
def add_key(name: str, scopes: tuple[str, ...], days: float | None, as_json: bool) -> None:
    """Make the API key NAME, and show it, this once."""
    with _door() as door:
        key, secret = door.keys.create(name, scopes, creator=_WHO, days=days)
        _note(door, f"key added for {' '.join(sorted(key.scopes))}", key.name)
        _say({"key": secret, **_key(key)}, as_json)


@keys.command("list")
@_as_json
def list_keys(as_json: bool) -> None:
    """Every key, without what is secret about it."""
    with _door() as door:
        found = [_key(key) for key in door.keys.listed()]
    _table("keys", found, as_json)


@keys.command()
@click.argument("name")
@_as_json
def revoke(name: str, as_json: bool) -> None:
    """Make the key NAME good for nothing, at once and for good."""
    with _door() as door:
        key = door.keys.revoke(name)
        _note(door, "key revoked", key.name)
        _say(_key(key), as_json)


@contextmanager
def _door() -> Iterator[Door]:
    from agent.access.door import Door

    door = Door(home())
    try:
        yield door
    finally:
        door.close()


def _set_enabled(name: str, *, enabled: bool, as_json: bool) -> None:
    with _door() as door:
        user = door.users.set_enabled(name, enabled)
        _note(door, "user enabled" if enabled else "user disabled", user.name)
        _say(_user(user), as_json)


def _password(stdin: bool) -> str:
    """A password, asked for twice without echo, or the first line of standard input."""
    if not stdin and not sys.stdin.isatty():
        raise InvalidInput("there is no terminal to ask for the password at: give it with --password-stdin")
    if not stdin:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline()
    if not line.rstrip("\r\n"):
        raise InvalidInput("there is no password on standard input")
    return line.rstrip("\r\n")


def _note(door: Door, action: str, what: str) -> None:
    """Keep it in the trail, with the account of this machine that did it."""
    door.audit.write_as(_WHO, "admin", action, what, address=f"account {_account()}")


def _account() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _user(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role, "enabled": user.enabled, "created": user.created}


def _key(key: Key) -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires, "used": key.used, "revoked": key.revoked}
    scopes = sorted(key.scopes)
    return {"name": key.name, "hint": key.hint, "scopes": scopes, "valid": key.valid(time.time()), **times}


def _say(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    for name, value in _shown(row).items():
        click.echo(f"{name:10}{value}")


def _table(what: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({what: rows}, ensure_ascii=False))
        return
    if not rows:
        click.echo(f"there are no {what} yet")
        return
    shown = [_shown(row) for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in shown)) + 2 for name in shown[0]}
    for line in ({name: name for name in widths}, *shown):
        click.echo("".join(f"{text:{widths[name]}}" for name, text in line.items()).rstrip())


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as people read it: times by the clock of this machine."""
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(value))
    return ", ".join(value) if isinstance(value, list) else str(value)
