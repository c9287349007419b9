"""The templates filled in: every value is escaped, and every page knows who looks at it."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.access.visitor import STRANGER
from agent.drift import described

HERE = Path(__file__).parent


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the templates folder."""
    visitor = getattr(request.state, "visitor", STRANGER)

    def csrf_field() -> Markup:
        return Markup('<input type="hidden" name="csrf" value="{}">').format(visitor.csrf)

    text = _templates.get_template(template).render(visitor=visitor, csrf_field=csrf_field, **values)
    return HTMLResponse(text, status)


def _moment(at: float) -> datetime:
    """A unix time on this machine's clock, which the console's reader sits at; far-off times are cut."""
    return datetime.fromtimestamp(min(max(at, 0.0), 32_503_680_000.0)).astimezone()


def _day(at: float) -> str:
    moment = _moment(at)
    if moment.date() == _moment(time.time()).date():
        return "today"
    return f"{moment.day} {moment:%b %Y}"


def _clock(at: float) -> str:
    return f"{_moment(at):%H:%M:%S}"


def _iso(at: float) -> str:
    return _moment(at).isoformat(timespec="seconds")


def _percent(share: float) -> str:
    """A probability as people read it; a small one never looks like zero, nor a large one like certainty."""
    if 0.0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1.0:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if share not in (0.0, 1.0) else f"{100 * share:.0f} %"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "\N{MINUS SIGN}")


def _slight(number: float) -> str:
    return f"{number:+.2f}".replace("-", "\N{MINUS SIGN}")


def _share(number: float) -> str:
    return f"{100 * number:.1f} %".replace("-", "\N{MINUS SIGN}")


def _plain(number: float) -> str:
    return f"{number:.3f}".replace("-", "\N{MINUS SIGN}")


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    extensions=["jinja2.ext.i18n"],
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
_templates.filters.update(
    described=described,
    day=_day,
    clock=_clock,
    iso=_iso,
    percent=_percent,
    share=_share,
    signed=_signed,
    slight=_slight,
    plain=_plain,
    short="{:g}".format,
)
