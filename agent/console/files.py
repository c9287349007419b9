"""Files: the styles, scripts and pictures of the pages, which a browser keeps for as long as they stay as they are."""

from __future__ import annotations

import os

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope


class Files(StaticFiles):
    """A folder of files. An address that names the file's version (`rendering.static`) never means another content."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where a file is. A name with a zero in it, which no file system takes, is none."""
        return ("", None) if "\0" in path else super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, and how long it may be kept."""
        response = await super().get_response(path, scope)
        versioned = scope["query_string"].startswith(b"v=") and response.status_code == 200
        response.headers["cache-control"] = "max-age=31536000, immutable" if versioned else "no-cache"
        return response
