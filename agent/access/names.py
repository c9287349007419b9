"""Names that people give to users, keys and views: any writing, but nothing that hides or imitates."""

from __future__ import annotations

import unicodedata

from agent.errors import InvalidInput

LONGEST = 100
# Names that the trail uses for others than users.
_TAKEN = frozenset({"somebody", "nobody", "api", "command line"})
# Controls, formats (they turn the direction of writing around), surrogates, private ones, ends of lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def checked_name(name: str, *, what: str) -> str:
    """The name as it is kept, in Unicode's composed form.

    Raises:
        InvalidInput: it is empty, longer than `LONGEST` characters, begins or ends with a space, or holds characters
            that cannot be seen.
    """
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= LONGEST:
        raise InvalidInput(f"the name of a {what} has 1 to {LONGEST} characters; got {len(name)}")
    if name != name.strip():
        raise InvalidInput(f"the name of a {what} begins or ends with a space")
    if any(unicodedata.category(character) in _HIDDEN for character in name):
        raise InvalidInput(f"the name of a {what} holds a character that cannot be seen")
    return name


def checked_user(name: str) -> str:
    """The name of a user, which no other word of the trail is.

    Raises:
        InvalidInput: as `checked_name`; or the trail uses it for something else.
    """
    name = checked_name(name, what="user")
    if folded(name) in _TAKEN or folded(name).startswith("key:"):
        raise InvalidInput(f"a user cannot be called {name!r}: the console uses that name for others")
    return name


def folded(name: str) -> str:
    """What two names have in common that look alike: `Ann`, `ann` and a full-width one are one person's."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
