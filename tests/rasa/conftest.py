"""What the tests with Rasa share: the shipped assistant, trained once for each state of its sources, and a server."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rasa.server import RasaServer, run

if TYPE_CHECKING:
    from agent.plugin.runtime import Runtime


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, where slow tests are not wanted, the files that import Rasa: that alone takes half a minute."""
    unwanted = config.option.markexpr in ("not slow", "not rasa") and collection_path.match("test_*.py")
    return True if unwanted and 'importorskip("rasa")' in collection_path.read_text(encoding="utf-8") else None


@pytest.fixture
def shared(home: Path) -> Iterator[Runtime]:
    """The runtime of this test's home."""
    from agent.plugin.runtime import runtime

    found = runtime()
    assert found.home == home
    yield found
    found.close()


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """A folder that lives on between runs: models in it are named by what they were made from."""
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir("rejoinder"))


@pytest.fixture(scope="session")
def shipped_model(cache: Path) -> Path:
    """The shipped assistant's model."""
    with (cache / "training.lock").open("a") as lock:  # the process of another group may want it, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        printed = run("-m", "agent", "train", "--json", home=cache / "shipped", folder=cache)
    return Path(json.loads(printed)["model"])


@pytest.fixture(scope="session")
def shipped(root: Path, shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RasaServer]:
    """The shipped assistant's server. Tests share it: let each use questions and conversations of its own."""
    server = RasaServer(tmp_path_factory.mktemp("shipped"), root / "training_data", shipped_model)
    try:
        yield server.start()
    finally:
        server.stop()
