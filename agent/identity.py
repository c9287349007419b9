"""Who said it, without saying who: keyed hashes of the ids that channels give to people and conversations."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from agent.errors import LogUnavailable

_KEY_BYTES = 32


class Identity:
    """Hashes ids with a key of this installation's own, kept beside the log and readable by its owner alone.

    The same id gives the same hash for as long as the key lives; without the key a hash cannot be traced back by
    trying all telephone numbers. Copying an installation means copying the key with the log.

    Raises:
        LogUnavailable: the key can be neither read nor made.
    """

    def __init__(self, home: Path) -> None:
        path = home / "identity.key"
        try:
            self._key = kept_key(path)
        except OSError as error:
            raise LogUnavailable(f"the key {path} cannot be read or made: {error}") from error

    def conversation(self, id: str) -> str:
        """The hash of a channel's conversation id (32 hex digits)."""
        return self._hash("conversation", id)

    def person(self, id: str) -> str:
        """The hash of a channel's id of a person (32 hex digits)."""
        return self._hash("person", id)

    def turn(self, conversation: str, message: str) -> str:
        """The hash of one turn: what the bot does after this message of the conversation (32 hex digits)."""
        return self._hash("turn", f"{conversation}\x00{message}")

    def place(self, conversation: str | None, message: str | None) -> tuple[str | None, str | None]:
        """The hashes of a conversation and of the turn that answers its message, as far as they are named."""
        if conversation is None:
            return None, None
        return self.conversation(conversation), None if message is None else self.turn(conversation, message)

    def _hash(self, kind: str, id: str) -> str:
        message = f"{kind}\x00{id}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]


def kept_key(path: Path) -> bytes:
    """The secret key that a file holds, readable by its owner alone; made when it is first asked for.

    Raises:
        OSError: it can be neither read nor made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        # A link never replaces: of two processes that start at once, one's key holds for both.
        with suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise OSError(f"it holds {len(key)} bytes, not {_KEY_BYTES}")
    return key
