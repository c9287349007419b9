"""Fingerprints: Rasa retrains a component when its class changes; ours hang on more than their class."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType


def source_of(*modules: ModuleType) -> str:
    """A hash of the modules' source (16 hex digits): trained again when any of them changes."""
    digest = hashlib.sha256()
    for module in modules:
        assert module.__file__ is not None, f"{module.__name__} has no source"
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]
