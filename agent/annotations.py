"""Annotations: what reviewers note about a conversation or a turn. They teach nothing; they order people's work."""

from __future__ import annotations

from agent.errors import InvalidInput

LONGEST = {"tag": 60, "comment": 4_000, "assigned": 100, "reviewed": 40}
#: what can be noted, and what its value is.
ANNOTATIONS = {
    "flag": "true, or false to lower it",
    "tag": "a word or a few",
    "untag": "a tag that is to go",
    "comment": "words",
    "reviewed": "the verdict: good, bad, mixed, or none",
    "assigned": "whose it is to review; empty for nobody's",
}
VERDICTS = ("good", "bad", "mixed", "none")


def annotated(what: str, value: str | bool | None) -> str | bool:
    """The value as the log keeps it.

    Raises:
        InvalidInput: there is no such annotation, or it takes no such value.
    """
    if what not in ANNOTATIONS:
        raise InvalidInput(f"no annotation is called {what!r}; there are {', '.join(ANNOTATIONS)}")
    if what == "flag":
        if value is None or isinstance(value, bool):
            return value is not False
        raise InvalidInput(f"flag: must be true or false; got {value!r}")
    text = " ".join(value.split()) if isinstance(value, str) and what != "comment" else value
    if what == "reviewed":
        text = text or "none"
        if text not in VERDICTS:
            raise InvalidInput(f"reviewed: the verdict must be one of {', '.join(VERDICTS)}; got {value!r}")
    if what == "assigned" and text is None:
        text = ""
    longest = LONGEST.get("tag" if what == "untag" else what, 0)
    if not isinstance(text, str) or (not text.strip() and what != "assigned") or len(text) > longest:
        raise InvalidInput(f"{what}: must be {ANNOTATIONS[what]}, of at most {longest} characters; got {value!r:.80}")
    return text.strip()
