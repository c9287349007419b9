"""Passwords: kept as Argon2id hashes, judged by length, not by kinds of characters."""

from __future__ import annotations

import os
import threading
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from agent.errors import InvalidInput

SHORTEST, LONGEST = 12, 256  # characters
_FEWEST = 5  # different ones
# OWASP's least for Argon2id: 19 MiB, 2 passes, 1 lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
# Each takes 19 MiB and a core: however many log in at once, the machine is not filled.
_HASHING = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


def checked(password: str, *, name: str) -> str:
    """The password that a user may have.

    Raises:
        InvalidInput: it is too short or too long, repeats few characters, or is the user's name.
    """
    plain = _normal(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise InvalidInput(f"a password has {SHORTEST} to {LONGEST} characters; got {len(plain)}")
    if len(set(plain)) < _FEWEST:
        raise InvalidInput(f"a password has at least {_FEWEST} different characters")
    if plain.casefold() == _normal(name).casefold():
        raise InvalidInput("a password is not the user's name")
    return password


def hashed(password: str) -> str:
    """The hash to keep, salted at random."""
    with _HASHING:
        return _HASHER.hash(_bytes(password))


def verified(password: str, kept: str) -> bool:
    """Whether it is the password of a hash; compared in constant time."""
    with _HASHING:
        try:
            return _HASHER.verify(kept, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than those in use."""
    return _HASHER.check_needs_rehash(kept)


def _normal(password: str) -> str:
    """One form for what keyboards write in several; cut where no password is as long."""
    return unicodedata.normalize("NFKC", password[: 4 * LONGEST])


def _bytes(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


# What the password of a name that nobody has is compared with, so that it takes as long as any.
NOBODYS = _HASHER.hash(os.urandom(32))
