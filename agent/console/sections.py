"""Sections: the parts of the console, in the order in which one works through them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fastapi import Request
from starlette.routing import BaseRoute

from agent.console.language import N_


class Section(NamedTuple):
    """A part of the console: where it begins, its name in English, its picture in `icons.html`, where else it is."""

    path: str
    name: str
    icon: str
    also: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether the page at a path lies in this section."""
        return any(path == begin or path.startswith(f"{begin}/") for begin in (self.path, *self.also))


SECTIONS = (
    Section("/", N_("Overview"), "overview"),
    Section("/conversations", N_("Conversations"), "conversations"),
    Section("/queue", N_("Review"), "review"),
    Section("/unanswered", N_("Unanswered"), "unanswered"),
    Section("/replies", N_("Replies"), "replies"),
    Section("/policies", N_("Policies"), "policies"),
    Section("/decisions", N_("Decisions"), "decisions"),
    Section("/operations", N_("Operations"), "operations", also=("/people", "/docs")),
)


def existing(routes: Iterable[BaseRoute]) -> tuple[Section, ...]:
    """The sections that have a page: what is not built yet is not shown."""
    paths = {getattr(route, "path", None) for route in routes}
    return tuple(section for section in SECTIONS if section.path in paths)


def current(request: Request) -> str:
    """The path of the section that a request's page lies in; empty where it lies in none."""
    return next((s.path for s in SECTIONS if s.holds(request.url.path)), "")
