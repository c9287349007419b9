"""What every test stands on: no network, no chatter, fixed seeds, a home of its own, and the shared data."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before anything imports torch, TensorFlow or a tokenizer: they read these once. Subprocesses inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_ENABLE_ONEDNN_OPTS="0",  # the same sums in the same order
    CUDA_VISIBLE_DEVICES=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    RASA_TELEMETRY_ENABLED="false",
    SQLALCHEMY_SILENCE_UBER_WARNING="1",
    COLUMNS="110",
)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process has a core: threads of both on all cores wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in [name for name in os.environ if name.startswith("REJOINDER_") and name != "REJOINDER_DATA"]:
    del os.environ[name]

import pydantic.types
import pytest
from hypothesis import HealthCheck, settings

# pydantic's plugin for hypothesis keeps every bounded type ever made, some hundred for each application: 10 GB of them
# in a whole run. No test draws from such a type.
pydantic.types._registered = lambda kind: kind

# The same examples in every run: what CI finds, whoever pushed finds too. `--hypothesis-profile=search` looks further.
settings.register_profile("seeded", derandomize=True, database=None, deadline=None)
settings.register_profile(
    "search", max_examples=2_000, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("seeded")

ROOT = Path(__file__).resolve().parent.parent


# Folders whose tests share what takes long to start, each in one process where several run the tests.
_TOGETHER = {"connectors": "connectors", "rasa": "rasa"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, where tests run in several processes, those that share a server, and those of one file."""
    for item in items:
        place = item.path.relative_to(ROOT / "tests")
        item.add_marker(pytest.mark.xdist_group(_TOGETHER.get(place.parts[0], str(place))))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data sets, beside the repository or where `REJOINDER_DATA` says; else a skip."""
    folder = Path(os.environ.get("REJOINDER_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder} (REJOINDER_DATA names another folder)")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh `REJOINDER_HOME`, not yet made: no test touches what a user's assistant learned."""
    folder = tmp_path / "home"
    monkeypatch.setenv("REJOINDER_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in every run; torch only where a test's module has imported it."""
    random.seed(1)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(1)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(1)


_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium for a module's tests; a skip where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine")
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(_QUIET))
        yield browser
        browser.close()
