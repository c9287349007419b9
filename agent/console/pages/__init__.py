"""The pages that people read, one router a file. A page comes to life by being named here."""

from __future__ import annotations

from agent.console.pages import (
    account,
    bulk,
    conversation,
    conversations,
    decisions,
    languages,
    operations,
    overview,
    past,
    people,
    policies,
    queue,
    replies,
    unanswered,
    undo,
)

ROUTERS = (
    overview.router,
    bulk.router,
    conversations.router,  # before those of one conversation, which take any name
    conversation.router,
    undo.router,
    queue.router,
    policies.router,
    past.router,
    decisions.router,
    replies.router,
    unanswered.router,
    operations.router,
    account.router,
    people.router,
    languages.router,
)
