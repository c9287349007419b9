"""What a message keeps when it is written to the log: its words, not the numbers and addresses that name a person."""

from __future__ import annotations

import re

_RULES = (
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (re.compile(r"\bhttps?://\S+|\bwww\.\S+", re.IGNORECASE), "[link]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), "[number]"),  # IBAN
    # Card, telephone, customer and order numbers: five digits or more, grouped in any of the usual ways.
    (re.compile(r"\+?\b[A-Z]{0,4}\d(?:[ ./()-]{0,2}\d){4,}\b", re.IGNORECASE), "[number]"),
)
LONGEST = 4_000


def redact(text: str) -> str:
    """The text with e-mail addresses, links and long numbers replaced, cut at `LONGEST` characters."""
    # A lone surrogate, which JSON can carry in, cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode()
    if len(text) > LONGEST:
        # Cut at a space, so that no half of a number escapes the rules.
        text = text[:LONGEST].rpartition(" ")[0] + " …"
    for pattern, word in _RULES:
        text = pattern.sub(word, text)
    return text
