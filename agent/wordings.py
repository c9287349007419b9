"""Wordings: the variations of a domain's responses, and the names by which the log knows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Variation = Mapping[str, Any]


def names_of(utter: str, variations: Sequence[Variation]) -> list[str]:
    """A name for each variation: its id, else (or where that occurs twice) a hash of what it holds."""
    ids = [variation.get("id") for variation in variations]
    return [
        f"{utter}/{id if id and ids.count(id) == 1 else _hash(variation)}"
        for id, variation in zip(ids, variations, strict=True)
    ]


def _hash(variation: Variation) -> str:
    text = json.dumps(variation, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
