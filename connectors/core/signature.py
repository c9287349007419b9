"""Signatures: is a request from who it says, unaltered and fresh? Compared in constant time, over the raw bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from agent.errors import RejoinderError

# How old a signed request may be, and how far ahead of our clock (seconds).
FRESH_SECONDS = 300.0


class Refused(RejoinderError):
    """The request is not from who it should be from: 401 where nothing proves it, 403 where the proof is wrong."""

    def __init__(self, why: str, *, status: int = 403) -> None:
        super().__init__(why)
        self.status = status


def check_hmac(
    secret: str, signed: bytes, given: str | None, *, algorithm: str = "sha256", encoding: str = "hex", prefix: str = ""
) -> None:
    """Check that `given` is `prefix` and the HMAC of what was signed, in hex or base64.

    Raises:
        Refused: it is missing (401) or wrong (403).
    """
    if not given:
        raise Refused("the request carries no signature", status=401)
    digest = hmac.new(secret.encode(), signed, getattr(hashlib, algorithm)).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    # As bytes: a signature that is not ASCII is wrong, not an error.
    if not hmac.compare_digest(f"{prefix}{text}".encode(), given.encode("utf-8", "surrogateescape")):
        raise Refused("the signature is wrong")


def check_secret(secret: str, given: str | None) -> None:
    """Check a secret that is sent as it is.

    Raises:
        Refused: it is missing (401) or wrong (403).
    """
    if not given:
        raise Refused("the request carries no secret", status=401)
    if not hmac.compare_digest(secret.encode(), given.encode("utf-8", "surrogateescape")):
        raise Refused("the secret is wrong")


def check_fresh(timestamp: str | None, *, within: float = FRESH_SECONDS) -> None:
    """Check a time of signing (unix seconds).

    Raises:
        Refused: it is missing or no number (401), or lies too far in the past or the future (403).
    """
    try:
        at = float(timestamp or "")
    except ValueError:
        raise Refused("the request carries no time of signing", status=401) from None
    if not abs(time.time() - at) <= within:
        raise Refused(f"the request was signed more than {within:.0f} seconds from now")
