"""The pages that people read, one router a file. A page comes to life by being named here."""

from __future__ import annotations

from agent.console.pages import account, decisions, languages, past, people, policies, queue

ROUTERS = (
    queue.router,
    policies.router,
    past.router,
    decisions.router,
    account.router,
    people.router,
    languages.router,
)
