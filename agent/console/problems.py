"""Errors as RFC 9457 has them: `application/problem+json` with type, title, status and detail, and no other form."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
# What any call of the HTTP API may answer, beside what it is for: one form for the OpenAPI document too.
_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "about:blank: the status says what kind of problem it is"},
        "title": {"type": "string", "description": "the status in words"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line: what is wrong, and where"},
    },
}
_MAY_BE = {
    400: "The request is malformed, or addressed to another machine",
    401: "Nobody is logged in, and no API key that is good is shown",
    403: "Role or scope do not allow it, or the request comes from another site",
    404: "Unknown decision, outcome, loop, candidate or path",
    405: "The path knows no such method",
    409: "An id or name was used before for something else",
    413: "The body is too large",
    422: "A value cannot be used",
    429: "Too many calls; Retry-After says when to go on",
    500: "Something went wrong in the console",
    503: "The learning log or the encoder is not available now",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}} for status, said in _MAY_BE.items()
}


class Problem(JSONResponse):
    """An error as JSON. `detail` is one line."""

    media_type = MEDIA_TYPE

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(
            {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail},
            status,
            headers,
        )
