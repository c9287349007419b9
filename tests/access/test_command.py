"""`rejoinder users` and `rejoinder keys`."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.access.door import Door
from tests.access.conftest import PASSWORD


@pytest.fixture
def run(monkeypatch, capsys, cheap):
    """Runs a command line in this process, with something on standard input; exit code, stdout, stderr."""

    def run(*arguments: str, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


@pytest.fixture
def ann(run) -> None:
    assert run("users", "add", "ann", "--role", "admin", "--password-stdin", given=f"{PASSWORD}\n")[0] == 0


def test_a_user_is_made_listed_changed_and_disabled(run, ann, home: Path) -> None:
    def said(*arguments: str, given: str = "") -> dict:
        code, out, err = run(*arguments, "--json", given=given)
        assert (code, err) == (0, ""), err
        return json.loads(out)

    bob = said("users", "add", "bob smith", "--role", "viewer", "--password-stdin", given=f"{PASSWORD}\r\n")
    assert (bob["name"], bob["role"], bob["enabled"]) == ("bob smith", "viewer", True)
    assert said("users", "role", "Bob Smith", "reviewer")["role"] == "reviewer"
    assert said("users", "disable", "bob smith")["enabled"] is False
    assert said("users", "enable", "bob smith")["enabled"] is True
    said("users", "password", "bob smith", "--password-stdin", given="another passphrase")
    assert [user["name"] for user in said("users", "list")["users"]] == ["ann", "bob smith"]
    door = Door(home)
    assert door.users.check("bob smith", "another passphrase")
    assert [entry.action for entry in door.audit.read(who="command line")][::-1] == [
        "user added as admin",
        "user added as viewer",
        "role changed to reviewer",
        "user disabled",
        "user enabled",
        "password reset",
    ]
    door.close()
    code, out, _ = run("users", "list")
    assert (code, len(out.splitlines())) == (0, 3)


def test_a_key_is_shown_once(run, ann, home: Path) -> None:
    made = json.loads(run("keys", "add", "bot", "--scope", "decide", "--scope", "read", "--days", "2", "--json")[1])
    assert made["scopes"] == ["decide", "read"]
    door = Door(home)
    assert door.keys.visitor(made["key"])
    listed = run("keys", "list", "--json")[1] + run("keys", "list")[1]
    assert made["key"] not in listed
    assert made["hint"] in listed
    assert json.loads(run("keys", "revoke", "bot", "--json")[1])["valid"] is False
    assert door.keys.visitor(made["key"]) is None
    door.close()


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (["users", "add", "eve", "--role", "root", "--password-stdin"], PASSWORD, "no role is called 'root'"),
        (["users", "add", "Ann", "--role", "viewer", "--password-stdin"], PASSWORD, "there is a user 'ann' already"),
        (["users", "add", " eve", "--role", "viewer", "--password-stdin"], PASSWORD, "begins or ends with a space"),
        (["users", "add", "eve", "--role", "viewer", "--password-stdin"], "short", "12 to 256 characters"),
        (["users", "add", "eve", "--role", "viewer", "--password-stdin"], "", "no password on standard input"),
        (["users", "add", "eve", "--role", "viewer"], "", "--password-stdin"),
        (["users", "add", "eve"], "", "--role"),
        (["users", "role", "eve", "viewer"], "", "unknown user 'eve'"),
        (["users", "role", "ann", "viewer"], "", "last admin"),
        (["users", "disable", "ann"], "", "last admin"),
        (["users", "password", "eve", "--password-stdin"], PASSWORD, "unknown user 'eve'"),
        (["keys", "add", "bot"], "", "at least one scope"),
        (["keys", "add", "bot", "--scope", "root"], "", "no scope is called 'root'"),
        (["keys", "add", "bot", "--scope", "read", "--days", "0"], "", "days"),
        (["keys", "revoke", "bot"], "", "unknown key 'bot'"),
    ],
)
def test_bad_input_ends_with_2_and_one_clear_line(run, ann, arguments, given, says) -> None:
    code, out, err = run(*arguments, given=given)
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("rejoinder: ")
    assert err.count("\n") == 1


def test_the_first_user_is_an_admin(run) -> None:
    assert "first user" in run("users", "add", "ann", "--role", "viewer", "--password-stdin", given=PASSWORD)[2]
    assert run("users", "list")[1] == "there are no users yet\n"


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(home: Path, root: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "users", "add", "ann", "--role", "admin"],
        cwd=root,
        env={**os.environ, "REJOINDER_HOME": str(home)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # the terminal that a password is asked for at
    )
    os.close(theirs)
    shown = b""

    def read() -> bool:
        """Take in what is shown; False once the other side is closed."""
        nonlocal shown
        if not select.select([ours], [], [], 0.05)[0]:
            return True
        try:
            shown += os.read(ours, 1_000)
        except OSError:
            return False
        return True

    try:
        deadline = time.monotonic() + 60
        for prompts in (1, 2):
            # Typed before the echo is off, it would be shown, and then thrown away.
            while shown.count(b":") < prompts or termios.tcgetattr(ours)[3] & termios.ECHO:
                assert read(), shown
                assert time.monotonic() < deadline, shown
            os.write(ours, PASSWORD.encode() + b"\n")
        while read() and time.monotonic() < deadline:
            pass
        assert process.wait(timeout=60) == 0, shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert PASSWORD.encode() not in shown
    door = Door(home)
    assert door.users.check("ann", PASSWORD)
    door.close()
