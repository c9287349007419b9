"""The pages that people read, one router a file. A page comes to life by being named here."""

from __future__ import annotations

from agent.console.pages import account, decisions, languages, operations, overview, people, queue

ROUTERS = (
    overview.router,
    queue.router,
    decisions.router,
    operations.router,
    account.router,
    people.router,
    languages.router,
)
