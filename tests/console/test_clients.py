"""The README's clients of the HTTP API, as they stand there, against a real server that wants a key."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.access.door import Door
from agent.console.app import create_app
from agent.service import Service
from tests.console.browser import serving

pytestmark = pytest.mark.slow


def client(root: Path, language: str) -> str:
    fences = re.findall(rf"^```{language}\n(.*?)^```$", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [fence for fence in fences if "/v1/decisions" in fence]
    return str(found)


@pytest.fixture
def environment(service: Service) -> Iterator[dict[str, str]]:
    door = Door(service.home)
    door.users.create("ann", "admin", "a password of the test")
    _, secret = door.keys.create("kiosk", ["decide"], creator="ann")
    service.configure("greetings", service.overview("replies").settings, who="test")
    with serving(create_app(service, door=door)) as base:
        yield {**os.environ, "REJOINDER_URL": base, "REJOINDER_KEY": secret}
    door.close()


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_client_decides_and_tells_what_came_of_it(
    language: str, environment: dict[str, str], service: Service, root: Path, tmp_path: Path
) -> None:
    program = {"python": sys.executable, "javascript": shutil.which("node")}[language]
    if program is None:
        pytest.skip("no node on this machine")
    file = tmp_path / {"python": "client.py", "javascript": "client.mjs"}[language]
    file.write_text(client(root, language))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, str(file)], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    first = run()
    assert first.returncode == 0, first.stderr
    assert re.match(r"(warm|brief) [01]\b", first.stdout)
    # Run again, it tells the event of this id of another decision: refused, and said so.
    second = run()
    assert second.returncode != 0
    assert "409" in second.stderr
    assert len(list(service.log.read(kinds=("outcome",)))) == 1
