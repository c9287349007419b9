"""The README's lines for credentials.yml: every channel takes them, and every channel has some."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

import yaml
from rasa.shared.exceptions import RasaException
from rasa.shared.utils.common import class_from_module_path

from connectors.base import Channel

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").split("## Support channels")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^( *)```yaml\n(.*?)^ *```$", SECTION, re.MULTILINE | re.DOTALL)
NOT_CHANNELS = {"base", "template", "rejoinder"}


def _value(variable: re.Match[str]) -> str:
    """What somebody may have in the environment."""
    return "123456:from-the-environment" if variable[1] == "TELEGRAM_TOKEN" else "from-the-environment"


def documented() -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for _, block in BLOCKS:
        filled = re.sub(r"\$\{(\w+)\}", _value, textwrap.dedent(block))
        found.update(yaml.safe_load(filled))
    return found


@pytest.mark.parametrize("path", sorted(documented()))
def test_the_documented_options_are_taken(path):
    kind, options = class_from_module_path(path), dict(documented()[path])
    assert issubclass(kind, Channel)
    assert kind.from_credentials(options).name() == kind.label
    with pytest.raises(RasaException, match=f"{path} in credentials.yml: no option 'colour'"):
        kind.from_credentials({**options, "colour": "red"})
    for name in kind.Settings.__dataclass_fields__:
        assert re.search(rf"\b{name}\b", SECTION), f"{path}: {name} is not documented"


def test_every_channel_is_documented():
    files = {path.stem for path in (ROOT / "connectors").glob("*.py")} - NOT_CHANNELS
    channels = {stem for stem in files if re.search(r"class \w+Input\(", (ROOT / f"connectors/{stem}.py").read_text())}
    assert {path.split(".")[1] for path in documented()} == channels


def test_a_variable_that_is_not_set_is_named():
    kind = class_from_module_path("connectors.telegram.TelegramInput")
    with pytest.raises(RasaException, match="token is empty, or names a variable that is not set"):
        kind.from_credentials({"token": "${TELEGRAM_TOKEN}", "secret": "s"})
