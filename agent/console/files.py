"""Files: the styles, scripts and pictures of the pages, which a browser keeps for as long as they stay as they are."""

from __future__ import annotations

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope


class Files(StaticFiles):
    """A folder of files. An address that names the file's version (`rendering.static`) never means another content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, and how long it may be kept."""
        response = await super().get_response(path, scope)
        versioned = scope["query_string"].startswith(b"v=") and response.status_code == 200
        response.headers["cache-control"] = "max-age=31536000, immutable" if versioned else "no-cache"
        return response
