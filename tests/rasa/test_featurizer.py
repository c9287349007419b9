"""The featurizer: the shapes of its features, one encoding for each message, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.engine.graph import ExecutionContext, GraphSchema
from rasa.engine.storage.resource import Resource
from rasa.nlu.tokenizers.whitespace_tokenizer import WhitespaceTokenizer
from rasa.shared.exceptions import InvalidConfigException
from rasa.shared.nlu.training_data.message import Message

from agent.decision import Situation
from agent.errors import ModelMissing
from agent.plugin import runtime as runtime_module
from agent.plugin.featurizer import SentenceFeaturizer
from agent.plugin.runtime import Runtime
from agent.settings import LoopSettings
from tests.rasa.components import REPLIES

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def featurizer(**config: Any) -> SentenceFeaturizer:
    given = {**SentenceFeaturizer.get_default_config(), **config}
    context = ExecutionContext(GraphSchema({}), node_name="sentence")
    return SentenceFeaturizer.create(given, None, Resource("sentence"), context)  # type: ignore[arg-type]


def test_features_have_the_shapes_that_classifiers_expect() -> None:
    tokenizer = WhitespaceTokenizer(WhitespaceTokenizer.get_default_config())
    messages = [
        Message.build("where is my parcel"),
        Message({"intent": "hours"}),
        Message({"action_text": "hello you"}),
    ]
    tokenizer.process(messages[:1])
    featurizer(scale=2.0).process(messages)
    sequence, sentence = messages[0].get_dense_features("text")
    assert sequence is not None
    assert sentence is not None
    assert (sequence.features.shape, sentence.features.shape) == ((4, 384), (1, 384))
    assert (sentence.features**2).sum() == pytest.approx(4.0, rel=1e-5)
    assert not sequence.features.any()
    assert messages[1].features == []
    assert messages[2].get_dense_features("action_text")[1] is not None


def test_a_message_is_encoded_once(monkeypatch: pytest.MonkeyPatch, shared: Runtime) -> None:
    component = featurizer()
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    encoded: list[str] = []
    encoder = runtime_module.encoder("all-MiniLM-L6-v2")
    original = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda texts: (encoded.extend(texts), original(texts))[1])
    text = "a question that nobody has asked before"
    component.process([Message.build(text)])
    shared.decide("actions", Situation([text], "ann", None, "m9"), candidates=["hours", "parcel"])
    assert encoded == [text]


@pytest.mark.parametrize("scale", [0, -1, "long", float("nan"), True])
def test_a_wrong_scale_is_refused(scale: Any) -> None:
    with pytest.raises(InvalidConfigException, match="scale"):
        featurizer(scale=scale)


def test_a_missing_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no-such-model"):
        featurizer(model_name=str(tmp_path / "no-such-model"))
