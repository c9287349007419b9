"""The album of a loop: what was worked out of its past, kept so that nobody has to fold for it twice.

Such a figure follows from the log up to a `seq`, which never changes; so losing it costs time, never knowledge.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.snapshots import Milestones

MOST = 300  # figures kept of a loop, those added last


class Album:
    """Figures by name, as JSON, in one file. Of two processes that add at once, one's are lost."""

    def __init__(self, home: Path, loop: str) -> None:
        self._path = Milestones(home, loop).folder / "album.json"

    def read(self) -> dict[str, Any]:
        """All that is kept; nothing where the file cannot be read."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def add(self, figures: Mapping[str, Any]) -> None:
        """Keep more: written aside and renamed, so that a reader never sees half of it."""
        if not figures:
            return
        kept = {**self.read(), **figures}
        kept = dict(list(kept.items())[-MOST:])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            aside.write_text(json.dumps(kept, separators=(",", ":")), encoding="utf-8")
            aside.replace(self._path)
        finally:
            aside.unlink(missing_ok=True)
