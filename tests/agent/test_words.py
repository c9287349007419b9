"""Words: cut rightly, and each weighed as if the message had come without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.decision import Situation, frame
from agent.encoder import Encoder
from agent.errors import InvalidInput, ModelMissing
from agent.explain import why
from agent.model import Model
from agent.settings import LoopSettings
from agent.words import MOST, effects, rests, spans
from tests.agent.conftest import SETTINGS, HashEncoder, asked
from tests.agent.test_moment import moment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("?!", []),
        ("Where's my re-order, please?", ["Where's", "my", "re-order", "please"]),
        ("Das kostet 3.50 für Straße 7", ["Das", "kostet", "3.50", "für", "Straße", "7"]),
        ("l\u2019été où ça", ["l\u2019été", "où", "ça"]),
        ("cafe\u0301 nai\u0308f", ["cafe\u0301", "nai\u0308f"]),
        ("मेरा पार्सल कहाँ है", ["मेरा", "पार्सल", "कहाँ", "है"]),
        ("где мой заказ", ["где", "мой", "заказ"]),
        ("أين طلبي؟", ["أين", "طلبي"]),
        ("我的包裹 OK", ["我", "的", "包", "裹", "OK"]),
        ("send [number] to [email].", ["send", "[number]", "to", "[email]"]),
        ("-'a'- 'b", ["a", "b"]),
    ],
)
def test_words_are_words_in_any_script(text, words):
    assert [text[start:end] for start, end in spans(text)] == words


def test_what_is_left_is_the_text_without_the_word():
    text = "Where is  my parcel?"
    assert rests(text, spans(text)) == ["is my parcel?", "Where my parcel?", "Where is parcel?", "Where is my ?"]
    assert rests("parcel?!", spans("parcel?!")) == [""]


@pytest.mark.parametrize("number", [1, 39, 40, 41, 80, 1000])
def test_of_a_long_message_neighbours_go_together_and_none_is_forgotten(number):
    text = " ".join(f"w{n}" for n in range(number))
    found = spans(text)
    assert len(found) == min(number, MOST)
    assert " ".join(text[start:end] for start, end in found) == text
    sizes = {len(text[start:end].split()) for start, end in found}
    assert max(sizes) - min(sizes) <= 1


def margin(service, decision, messages, chosen, rival):
    """The difference that a decision on these messages would have had then, by the path that decisions take."""
    model = Model(service.log, "replies")
    model.catch_up(decision.body["model_seq"])
    framed = frame(
        model, service.encoder("any"), Situation(messages, features=decision.body["context"]["features"]), None, at=0.0
    )
    expected = model.learner.scores(framed.context, framed.candidates, at=decision.at).mean.tolist()
    names = [candidate.id for candidate in framed.candidates]
    return expected[names.index(chosen)] - expected[names.index(rival)]


@pytest.mark.parametrize("history", [0.0, 0.5])
@pytest.mark.parametrize("learner", [{}, {"degree": 2}, {"parts": "shared"}])
def test_effects_are_those_of_brute_force(service, history, learner):
    service.configure("replies", LoopSettings(learner={"prior_slope": 1.0, **learner}, history=history), who="test")
    for n in range(8):
        decision = service.decide("replies", asked(f"give my money back {n % 3}", message=f"m{n}"))
        service.record(signal="thumb", value=n % 2, decision=decision.id)
    earlier, text = ["good morning", "it is about a refund"], "give me my money back, back!"
    situation = replace(asked(message="last"), messages=[*earlier, text], features={"intent:refund": 0.5})
    made = service.decision(service.decide("replies", situation).id)
    # What is learned afterwards must not show.
    service.record(signal="thumb", value=0, decision=made.id)
    found = why(service, made, words=True)["words"]
    assert {found["chosen"], found["runner_up"]} == {"refund", "delivery"}

    def brute(said):
        return margin(service, made, [*earlier, said], found["chosen"], found["runner_up"])

    assert found["margin"] == pytest.approx(brute(text), abs=1e-12)
    assert found["margin_without_words"] == pytest.approx(brute(""), abs=1e-12)
    assert not found["approximate"]
    assert [word["text"] for word in found["words"]] == ["give", "me", "my", "money", "back", "back"]
    left = (
        "me my money back, back!",
        "give my money back, back!",
        "give me money back, back!",
        "give me my back, back!",
        "give me my money , back!",
        "give me my money back, !",
    )
    for word, rest in zip(found["words"], left, strict=True):
        assert text[word["start"] : word["end"]] == word["text"]
        assert word["effect"] == pytest.approx(brute(text) - brute(rest), abs=1e-12)
    assert any(abs(word["effect"]) > 0.01 for word in found["words"])


def test_of_a_redacted_message_the_words_in_the_log_are_weighed_and_it_says_so(service):
    made = service.decide("replies", asked("write to ann@example.org please"))
    found = effects(moment(service, made.id), HashEncoder("any"))
    assert found["approximate"]
    assert [word["text"] for word in found["words"]] == ["write", "to", "[email]", "please"]


def test_with_nothing_else_to_choose_words_raise_or_lower_what_is_expected(service):
    made = service.decide("replies", asked("one two"), candidates=["refund"])
    service.record(signal="thumb", value=0, decision=made.id)
    again = service.decide("replies", asked("one two", message="m2"), candidates=["refund"])
    found = effects(moment(service, again.id), HashEncoder("any"))
    assert found["runner_up"] is None
    body = service.decision(again.id).body
    assert found["margin"] == pytest.approx(sum(part[0] for part in body["parts"].values()), abs=1e-12)


def test_a_message_of_no_words_has_none(service):
    found = effects(moment(service, service.decide("replies", asked("?!")).id), HashEncoder("any"))
    assert found["words"] == []


def test_what_was_said_must_be_in_the_log(service):
    made = moment(service, service.decide("replies", asked()).id)
    silent = replace(made, decision=replace(made.decision, body={**made.decision.body, "text": None}))
    with pytest.raises(InvalidInput, match="the log does not hold what was said"):
        effects(silent, HashEncoder("any"))


def test_an_encoder_that_is_not_installed_is_named(service, monkeypatch, tmp_path):
    missing = str(tmp_path / "nowhere")
    service.configure("replies", replace(SETTINGS, encoder=missing), who="test")
    service.reconcile("replies", [], who="test")
    made = service.decision(service.decide("replies", asked(), candidates=["refund"]).id)
    service._encoders[missing] = Encoder(missing)
    assert why(service, made, nearest=1, recompute=True)["recomputed"]["repeats_vector"]
    with pytest.raises(ModelMissing, match="nowhere"):
        why(service, made, words=True)
