"""Keys: the public keys that a service signs its tokens with, fetched from its OpenID metadata and kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import jwt

from agent.errors import InvalidInput
from connectors.core.sending import Client, Later, Undeliverable
from connectors.core.signature import FRESH_SECONDS, Refused

# The one algorithm: what a token says of its own is not asked, or a public key would be taken for a shared secret.
ALGORITHM = "RS256"
KEPT_SECONDS = 86_400.0
# A token may name a key that is not known: by that, strangers make us ask no oftener than this.
REFRESH_SECONDS = 300.0
_FIRST_SECONDS = 2.0  # while there are none at all
_log = logging.getLogger(__name__)


class Keys:
    """The keys of one service: `metadata` is where its OpenID metadata is."""

    def __init__(self, metadata: str) -> None:
        self._metadata = metadata
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def claims(
        self, token: str, client: Client, *, issuer: str, audience: str
    ) -> tuple[dict[str, Any], tuple[str, ...] | None]:
        """What a token claims, and which channels its key is endorsed for (None where the key does not say).

        Raises:
            Refused: it is none (401); it is not signed by one of the keys, for another, or not valid now (403).
            Later: there are no keys to be had.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Refused("the token is none", status=401) from error
        if header.get("alg") != ALGORITHM:
            raise Refused(f"the token is not signed by {ALGORITHM}")
        key = await self._key(str(header.get("kid")), client)
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(dict(key), algorithm=ALGORITHM),
                algorithms=[ALGORITHM],
                issuer=issuer,
                audience=audience,
                leeway=FRESH_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(f"the token is not valid ({type(error).__name__})") from error
        endorsed = key.get("endorsements")
        return found, tuple(map(str, endorsed)) if isinstance(endorsed, list) else None

    async def _key(self, id: str, client: Client) -> Mapping[str, Any]:
        async with self._lock:
            await self._refresh(client, missing=id not in self._keys)
        if id not in self._keys:
            raise Refused("the token is signed by a key that the service does not have")
        return self._keys[id]

    async def _refresh(self, client: Client, *, missing: bool) -> None:
        """Fetch the keys where that is due. Those there are stay in use while others cannot be had."""
        now = time.monotonic()
        due = missing or now > self._fetched + KEPT_SECONDS
        if due and now > self._tried + (REFRESH_SECONDS if self._keys else _FIRST_SECONDS):
            self._tried = now
            try:
                self._keys, self._fetched = await _fetched(self._metadata, client), now
            except (Later, Undeliverable, InvalidInput) as error:
                _log.error("the keys cannot be fetched from %s: %s", urlsplit(self._metadata).hostname, error)
        if not self._keys:
            raise Later("the keys that the service signs with cannot be had now")


def is_safe(url: str) -> bool:
    """Whether a secret may travel to an address: by TLS, or without leaving the machine."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost"))
    return False


async def _fetched(metadata: str, client: Client) -> dict[str, Mapping[str, Any]]:
    """The keys by their ids. Raises as `Client.call`, and InvalidInput where what comes is no key set."""
    found = await client.call("GET", metadata)
    address = found.get("jwks_uri") if isinstance(found, dict) else None
    if not isinstance(address, str) or not is_safe(address):
        raise InvalidInput("the metadata names no key set that is reached by TLS")
    listed = await client.call("GET", address)
    keys = listed.get("keys") if isinstance(listed, dict) else None
    known: dict[str, Mapping[str, Any]] = {
        str(key["kid"]): key for key in keys or () if isinstance(key, dict) and "kid" in key
    }
    usable = {id: key for id, key in known.items() if key.get("kty") == "RSA" and key.get("use", "sig") == "sig"}
    if not usable:
        raise InvalidInput("the key set holds no key to verify with")
    return usable
