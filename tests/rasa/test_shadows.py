"""Modules that hide our packages."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rasa")

from agent.plugin import Shadowed, check_shadows

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def test_a_module_that_hides_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_shadows()
    (tmp_path / "unlikely_name.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Shadowed, match=r"unlikely_name\.py"):
        check_shadows(names=("unlikely_name",))
