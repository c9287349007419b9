"""The assistant in this process: what it lacks is named."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rasa")

from agent.errors import ModelMissing
from agent.plugin.assistant import Assistant

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def test_a_missing_assistant_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"config\.yml"):
        Assistant(tmp_path, tmp_path / "home").train()
    with pytest.raises(ModelMissing, match="not trained"):
        Assistant(tmp_path, tmp_path / "home").load()
