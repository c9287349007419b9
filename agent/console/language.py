"""Language: which one a page is written in, and the words of it. English is in the code, others in `locales/*.po`.

A catalogue is read as it is edited, at start-up: there is no step that compiles it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(__file__).parent / "locales"
COOKIE = "language"
# Each with the locale by which its numbers and dates are written.
LANGUAGES = {"en": Locale("en", "GB"), "de": Locale("de", "DE")}
DEFAULT = "en"
_spoken: ContextVar[str] = ContextVar("language", default=DEFAULT)


class Language:
    """ASGI middleware: `gettext` and the filters speak, while a request is answered, the language it asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with speaking(language_of(Request(scope))):
            await self._app(scope, receive, send)


def language_of(request: Request) -> str:
    """A key of LANGUAGES: the one that was chosen, else the best of those that the browser names, else English."""
    chosen = request.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else accepted(request.headers.get("accept-language", ""))


def accepted(header: str) -> str:
    """The best of LANGUAGES by an Accept-Language header (RFC 9110, 12.5.4); a malformed part counts for nothing."""
    best, weight = DEFAULT, 0.0
    for part in header.split(","):
        tag, _, quality = part.partition(";")
        language = tag.strip().lower().split("-", 1)[0]
        try:
            wanted = float(quality.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
        if language in LANGUAGES and weight < wanted <= 1.0:
            best, weight = language, wanted
    return best


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak a language, a key of LANGUAGES, until the block ends."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The language spoken now, a key of LANGUAGES."""
    return _spoken.get()


def locale() -> Locale:
    """How numbers and dates are written now."""
    return LANGUAGES[_spoken.get()]


def gettext(message: str) -> str:
    """The message in the language spoken now; in English where it has no translation."""
    return catalogue(_spoken.get()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """The message for a count, in the language spoken now."""
    return catalogue(_spoken.get()).ngettext(singular, plural, count)


def N_(message: str) -> str:  # noqa: N802 - as everybody calls it
    """The message itself: marks one that is translated later, where it is shown."""
    return message


@cache
def catalogue(language: str) -> NullTranslations:
    """The words of a language. English needs none."""
    path = FOLDER / f"{language}.po"
    if language == DEFAULT:
        return NullTranslations()
    with path.open("rb") as file:
        found = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, found)
    compiled.seek(0)
    return GNUTranslations(compiled)
