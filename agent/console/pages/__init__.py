"""The pages that people read, one router a file. A page comes to life by being named here."""

from __future__ import annotations

from agent.console.pages import account, decisions, languages, overview, people, queue

ROUTERS = (
    overview.router,
    queue.router,
    decisions.router,
    account.router,
    people.router,
    languages.router,
)
