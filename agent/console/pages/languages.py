"""The switch between languages."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from agent.console.access import LANGUAGE, anyone
from agent.console.language import COOKIE, LANGUAGES
from agent.errors import InvalidInput

router = APIRouter(include_in_schema=False)
_YEAR = 365 * 86_400


async def _fields(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(errors="replace"), max_num_fields=10))


@router.post(LANGUAGE, dependencies=[Depends(anyone)])
def choose(fields: Annotated[dict[str, str], Depends(_fields)]) -> RedirectResponse:
    """Keep the language chosen, in a cookie, and go back to the page where it was."""
    language = fields.get("language", "")
    if language not in LANGUAGES:
        raise InvalidInput(f"language: {language[:20]!r} is not one of {', '.join(LANGUAGES)}")
    response = RedirectResponse(local(fields.get("back", "")), 303)
    response.set_cookie(COOKIE, language, max_age=_YEAR, httponly=True, samesite="lax")
    return response


def local(path: str) -> str:
    r"""The path if it leads to a page of ours, else the first page. A browser takes `//x` and `/\x` for other hosts."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else "/"
