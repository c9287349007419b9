"""The situation that a tracker describes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rasa")

from rasa.shared.core.events import UserUttered

from agent.plugin.situation import situation_of, words
from tests.rasa.components import conversation

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def test_the_situation_is_what_the_user_said() -> None:
    tracker = conversation('/track_order{"number": "1"}', "parcel", before=(UserUttered("hello"),))
    situation = situation_of(tracker)
    assert situation is not None
    assert list(situation.messages) == ["hello", "track order"]
    assert (situation.conversation, situation.message_id, situation.features) == ("ann", "m1", {"intent:parcel": 0.9})
    assert words("/ not a payload") == "/ not a payload"
    assert situation_of(SimpleNamespace(latest_message=None)) is None  # type: ignore[arg-type]
