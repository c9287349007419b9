from __future__ import annotations

import random
import re

import pytest

from agent.demo.plan import Plan, is_german, suits
from agent.demo.questions import LANGUAGES, Questions, german
from agent.demo.shop import SHIPPED, TOPIC, responses
from agent.errors import InvalidInput


def test_the_same_seed_asks_the_same():
    assert Questions(3).texts() == Questions(3).texts()
    assert Questions(3).texts() != Questions(4).texts()


def test_every_kind_is_asked_in_many_ways_and_none_has_a_slot_left():
    questions = Questions(0)
    for kind in questions.kinds.values():
        assert len(questions.pool(kind, "en").questions) >= 3
        for language in LANGUAGES:
            assert questions.pool(kind, language).questions
    texts = questions.texts()
    assert 600 < len(texts) < 1_600  # all are encoded before anybody writes
    assert not [text for text in texts if re.search(r"[{}]|\ba [aeiou]", text)]


def test_every_reply_that_satisfies_is_one_of_the_shop():
    said = responses()
    named = {f"{TOPIC}{reply}" for kind in Questions(0).kinds.values() for reply in kind.answers}
    assert named | {f"{TOPIC}{reply}" for reply in german()} <= set(said)
    assert 20 <= len(named) <= 30
    plan = Plan()
    for candidate in (plan.blocked_wording, plan.pinned_wording):
        response, _, id = candidate.partition("/")
        assert id in said[response]


@pytest.mark.parametrize("channel", ["web", "whatsapp", "email", "telegram"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_satisfaction_is_a_probability(channel, language):
    questions, plan, rng = Questions(0), Plan(), random.Random(0)
    said = responses()
    for kind in questions.kinds.values():
        for reply in (f"{TOPIC}{kind.best or 'stock'}", plan.worse_reply):
            for text in said[reply].values():
                when = rng.random()
                chance = plan.satisfies(kind, reply, text, channel=channel, language=language, when=when)
                assert 0.0 <= chance <= 1.0


def test_german_customers_prefer_german_words():
    for text in german().values():
        assert is_german(text)
        of = {language: suits(text, channel="web", language=language, upset=False) for language in LANGUAGES}
        assert of["de"] == of["en"]
    english = next(iter(responses()[f"{TOPIC}late_delivery"].values()))
    assert not is_german(english)
    assert suits(english, channel="web", language="de", upset=False) < suits(
        english, channel="web", language="en", upset=False
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("responses: [", "not YAML"),
        ("- one", "not a mapping"),
        ("responses: {utter_faq_x: hello}", "utter_faq_x must be a list"),
        ("responses: {utter_faq_x: [{id: one}]}", "utter_faq_x has a wording without text"),
    ],
)
def test_a_domain_that_cannot_be_read_is_said_in_one_line(tmp_path, content, says):
    if content is not None:
        (tmp_path / "domain.yml").write_text(content)
    with pytest.raises(InvalidInput, match=says) as error:
        responses(tmp_path)
    assert "\n" not in str(error.value)
    assert "domain.yml" in str(error.value)


def test_the_shipped_domain_is_read_whole():
    said = responses(SHIPPED)
    assert len(said) > 60
    assert all(text for texts in said.values() for text in texts.values())
