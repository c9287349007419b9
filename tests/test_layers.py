"""Arrows run one way: connectors -> agent -> policies; and each heavy library has one place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

# What each top-level folder may import of the others.
LAYERS = {
    "policies": {"policies"},
    "agent": {"agent", "policies"},
    "connectors": {"connectors", "agent", "policies"},
}

# Who alone may import a library: a folder (with all below it) or a file.
PLACES = {
    "rasa": ("agent/plugin/", "connectors/"),
    "tensorflow": ("agent/plugin/", "connectors/"),
    "sanic": ("agent/plugin/", "connectors/"),
    "fastapi": ("agent/console/",),
    "starlette": ("agent/console/",),
    "uvicorn": ("agent/console/",),
    "sqlite_utils": ("agent/log.py", "agent/migrations.py"),
    "sqlite3": (
        "agent/log.py",
        "agent/migrations.py",
        "agent/database.py",
        "agent/items/feeds.py",  # feeds read the databases of others
    ),
}

# Importing these packages loads a heavy library, so others import them inside functions only.
HEAVY = {"agent.plugin": ("agent/plugin/", "connectors/"), "agent.console": ("agent/console/",)}

# No I/O and no clock in the learning.
IMPURE = {
    "asyncio",
    "datetime",
    "http",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "shelve",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}


class Import(NamedTuple):
    """One module that a file imports, and whether it does so when it is itself imported."""

    module: str
    line: int
    at_once: bool


def imports(source: str, path: str) -> Iterator[Import]:
    """Every import in `source`, dynamic ones with a constant name too; those for types only are late."""
    package = PurePosixPath(path).parent.parts

    def visit(node: ast.AST, at_once: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_once)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield Import(module, node.lineno, at_once)
            for alias in node.names:  # `from agent import plugin` imports agent.plugin
                yield Import(f"{module}.{alias.name}", node.lineno, at_once)
        elif isinstance(node, ast.Call) and (name := dynamic(node)):
            yield Import(name, node.lineno, at_once)
        late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        )
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_once and not late)

    return visit(ast.parse(source), at_once=True)


def dynamic(call: ast.Call) -> str | None:
    """The module that `importlib.import_module("x")` or `__import__("x")` names."""
    named = ast.unparse(call.func) in {"importlib.import_module", "import_module", "__import__"}
    if named and call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
        return call.args[0].value
    return None


def within(path: str, places: tuple[str, ...]) -> bool:
    """Whether `path` is one of the files, or lies in one of the folders, that `places` names."""
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


def breaches(source: str, path: str) -> list[str]:
    """What is wrong with the imports of the file at `path` (relative to the repository), a line for each."""
    layer = path.split("/", maxsplit=1)[0]
    found = []
    for module, line, at_once in imports(source, path):
        top = module.split(".", maxsplit=1)[0]
        reasons = [
            (top in LAYERS and top not in LAYERS[layer], f"{layer} may not import {top}"),
            (top in PLACES and not within(path, PLACES.get(top, ())), f"{top} has its place elsewhere"),
            (layer == "policies" and top in IMPURE, "the learning does no I/O and reads no clock"),
            (
                layer == "policies" and top not in {"policies", "torch", *sys.stdlib_module_names},
                "the learning is torch and the standard library",
            ),
            *(
                (
                    at_once and f"{module}.".startswith(f"{heavy}.") and not within(path, places),
                    f"{heavy} loads late",
                )
                for heavy, places in HEAVY.items()
            ),
        ]
        found += [f"{path}:{line}: {module}: {reason}" for broken, reason in reasons if broken]
    return found


def test_arrows_run_one_way(root: Path) -> None:
    files = [file for layer in LAYERS for file in sorted((root / layer).rglob("*.py"))]
    assert {file.relative_to(root).parts[0] for file in files} == set(LAYERS)
    found = [
        line for file in files for line in breaches(file.read_text(encoding="utf-8"), file.relative_to(root).as_posix())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("policies/linear.py", "import agent"),
        ("policies/linear.py", "from agent.log import LearningLog"),
        ("policies/linear.py", "from connectors import rejoinder"),
        ("policies/linear.py", "import numpy as np"),
        ("policies/linear.py", "from time import monotonic"),
        ("policies/linear.py", "def now():\n    import datetime"),
        ("policies/linear.py", "import importlib\nimportlib.import_module('rasa.core')"),
        ("agent/service.py", "import connectors.rejoinder"),
        ("agent/service.py", "from rasa.core.agent import Agent"),
        ("agent/service.py", "def train():\n    import rasa"),
        ("agent/service.py", "__import__('rasa')"),
        ("agent/service.py", "import sqlite3"),
        ("agent/service.py", "from fastapi import FastAPI"),
        ("agent/service.py", "from agent import plugin"),
        ("agent/service.py", "from agent.plugin.policy import BanditPolicy"),
        ("agent/service.py", "from .plugin import policy"),
        ("agent/plugin/policy.py", "from .. import console"),
        ("agent/__main__.py", "import agent.console.app"),
        ("agent/__main__.py", "def serve():\n    import uvicorn"),
        ("agent/console/app.py", "import sqlite_utils"),
        ("agent/console/app.py", "class A:\n    from agent.plugin import policy"),
        ("agent/plugin/policy.py", "import starlette.requests"),
        ("agent/logging.py", "import sqlite3"),
        ("connectors/rejoinder.py", "from sqlite_utils import Database"),
    ],
)
def test_a_forbidden_import_is_seen(path: str, source: str) -> None:
    assert breaches(source, path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "policies/linear.py",
            "import math\nimport torch\nfrom torch import nn\nfrom policies.types import Context",
        ),
        ("agent/service.py", "from policies import create\nfrom agent.log import LearningLog"),
        ("agent/log.py", "import sqlite3\nfrom sqlite_utils import Database"),
        (
            "agent/__main__.py",
            "def serve():\n    from agent.console import app\n    from agent.plugin import server",
        ),
        (
            "agent/plugin/policy.py",
            "from rasa.core.policies.policy import Policy\nfrom agent.service import Service",
        ),
        ("agent/console/app.py", "from fastapi import FastAPI"),
        ("agent/console/app.py", "if TYPE_CHECKING:\n    from agent.plugin.policy import BanditPolicy"),
        (
            "connectors/rejoinder.py",
            "from rasa.core.channels.channel import InputChannel\nimport agent.plugin.turns",
        ),
    ],
)
def test_a_rightful_import_passes(path: str, source: str) -> None:
    assert breaches(source, path) == []


def test_the_engine_runs_without_rasa(root: Path) -> None:
    """All of policies and agent but the plug-in and the console loads neither rasa nor a web framework."""
    modules = [
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for layer in ("policies", "agent")
        for file in sorted((root / layer).rglob("*.py"))
        if not within(file.relative_to(root).as_posix(), ("agent/plugin/", "agent/console/"))
    ]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted({set(PLACES) - {'sqlite3', 'sqlite_utils'}!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_build_files_name_no_machine_and_no_registry(root: Path) -> None:
    """They work anywhere: no address, no index, no path of one machine."""
    named = re.compile(
        r"https?://|--(extra-)?index-url|--find-links|pypi|/(home|root|Users|tmp|work|opt)/", re.IGNORECASE
    )
    files = ["Makefile", "pyproject.toml", "requirements.txt", ".gitignore", ".python-version", ".ci/run"]
    found = [
        f"{name}: {line.strip()[:100]}"
        for name in files
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if named.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_requirement_is_pinned_with_hashes(root: Path) -> None:
    text = (root / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) > 100
    assert not [line[:80] for line in lines if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)]
