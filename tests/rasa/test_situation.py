"""The situation that a tracker describes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rasa")

from rasa.shared.core.events import BotUttered, UserUttered

from agent.plugin.situation import situation_of, words
from tests.rasa.components import conversation

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def test_what_the_bot_said_before_belongs_to_the_situation() -> None:
    before = (UserUttered("hello"), BotUttered("Hi, how can I help?"))
    situation = situation_of(conversation("where is it", "parcel", before=before))
    assert situation is not None
    assert list(situation.replies) == ["Hi, how can I help?"]


def test_the_situation_is_what_the_user_said() -> None:
    tracker = conversation('/track_order{"number": "1"}', "parcel", before=(UserUttered("hello"),))
    situation = situation_of(tracker)
    assert situation is not None
    assert list(situation.messages) == ["hello", "track order"]
    assert (situation.conversation, situation.message_id) == ("ann", "m1")
    features = {name: value for name, value in situation.features.items() if not name.startswith("time:")}
    assert features == {"intent:parcel": 0.9, "turn": 0.2}
    assert sum(name.startswith("time:") for name in situation.features) == 2
    assert words("/ not a payload") == "/ not a payload"
    assert situation_of(SimpleNamespace(latest_message=None)) is None  # type: ignore[arg-type]
