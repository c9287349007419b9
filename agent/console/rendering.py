"""Rendering: a template and values become a page. Every value is escaped, and a name that nobody gave is an error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.console import language, notices, sections
from agent.console.formats import FILTERS

HERE = Path(__file__).parent
STATIC = HERE / "static"
# Macros see no values of the page that calls them, and forms stand in macros.
_token: ContextVar[str] = ContextVar("token", default="")


def render(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A template of the templates folder, filled in: a page, or a fragment where htmx asked.

    Beside the values given it has: `visitor` (agent.access.visitor.Visitor, or None), `csrf`, `csrf_field()`,
    `language`, `_`, `ngettext`, `sections` and `section` (the one the page is in),
    `simulated` (the log is a demo's), `indexed` (how much of the log is, while it is not all), `notice` (what the last
    post said, once), `static(path)` and the filters of `formats`.
    """
    fragment = "hx-request" in request.headers
    notice = None if fragment else notices.heard(request)
    visitor = getattr(request.state, "visitor", None)
    csrf = getattr(visitor, "csrf", "")
    given = {
        "visitor": visitor,
        "csrf": csrf,
        "sections": request.app.state.sections if visitor else (),  # the log-in page leads nowhere
        "section": sections.current(request),
        "simulated": request.app.state.simulated(),
        "indexed": request.app.state.indexed(),
        "notice": notice,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "language": (spoken := language.language_of(request)),
        **values,
    }
    token = _token.set(csrf)
    try:
        with language.speaking(spoken):
            content = templates.get_template(template).render(given)
    finally:
        _token.reset(token)
    response = HTMLResponse(content, status, headers)
    if notice is not None:
        notices.forget(response)
    return response


def csrf_field() -> Markup:
    """The hidden input that every form that posts carries."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(_token.get())


@cache
def static(path: str) -> str:
    """The address of a file of the static folder; it changes with the file, so a browser may keep what it has."""
    version = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={version}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    made.policies["ext.i18n.trimmed"] = True
    # Values are put into the translated words by Jinja, which escapes them.
    made.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(FILTERS)
    made.globals.update(csrf_field=csrf_field, static=static, languages=tuple(language.LANGUAGES))
    return made


templates = _environment()
