"""Pages: the web chat's files for browsers, kept in memory, with the headers that caches and browsers go by."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanic.request import Request
from sanic.response import HTTPResponse, raw

FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"


class Pages:
    """The files of a folder. Each is served under `static/<version>/`, where it never changes."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _KINDS}
        content = b"".join(name.encode() + data for name, data in self._files.items())
        self.version = hashlib.sha256(content).hexdigest()[:12]

    def file(self, request: Request, name: str, *, version: str | None = None) -> HTTPResponse | None:
        """A file; None where there is none."""
        data = self._files.get(name)
        if data is None:
            return None
        cache = _FOR_GOOD if version == self.version else _ASK_AGAIN
        return self._answer(request, data, _KINDS[Path(name).suffix], {"Cache-Control": cache})

    def chat(self, request: Request, options: Mapping[str, Any], origins: Sequence[str]) -> HTTPResponse:
        """The chat's page; pages of these origins may hold it in a frame."""
        page = self._files["chat.html"].decode()
        filled = page.replace("{{version}}", self.version)
        filled = filled.replace("{{options}}", html.escape(json.dumps(options, ensure_ascii=False)))
        frames = " ".join(("'self'", *origins))
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https: data:; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
        )
        return self._answer(
            request,
            filled.encode(),
            _KINDS[".html"],
            {
                "Cache-Control": _ASK_AGAIN,
                "Content-Security-Policy": policy,
                "Referrer-Policy": "same-origin",
                "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
            },
        )

    def _answer(self, request: Request, data: bytes, kind: str, headers: Mapping[str, str]) -> HTTPResponse:
        tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
        shared = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}
        more = {**headers, **shared, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return raw(b"", status=304, headers=more, content_type=kind)
        return raw(data, headers=more, content_type=kind)
