"""The pages that people read, one router a file. A page comes to life by being named here."""

from __future__ import annotations

from agent.console.pages import account, decisions, languages, people, replies, unanswered

ROUTERS = (
    decisions.router,
    replies.router,
    unanswered.router,
    people.router,
    account.router,
    languages.router,
)
