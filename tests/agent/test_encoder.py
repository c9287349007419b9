from __future__ import annotations

import math
import subprocess
import sys

import pytest

import agent.encoder
from agent.encoder import Encoder, reference
from agent.errors import ModelMissing


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def cosine(encoder: Encoder, one: str, other: str) -> float:
    a, b = encoder.encode([one, other])
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_texts_become_unit_vectors_and_like_is_near_like(encoder):
    (vector,) = encoder.encode(["Where is my parcel?"])
    assert len(vector) == 384
    assert math.fsum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)
    near = cosine(encoder, "Where is my parcel?", "Has my package been delivered?")
    assert near > cosine(encoder, "Where is my parcel?", "I forgot my password.") + 0.2


def test_any_text_can_be_encoded(encoder):
    texts = ["", " ", "x" * 20_000, "word " * 4_000, "\x00", "😀", "\ud800"]
    assert [len(vector) for vector in encoder.encode(texts)] == [384] * len(texts)


def test_a_text_is_encoded_once(encoder, monkeypatch):
    (first,) = encoder.encode(["once"])
    monkeypatch.setattr(encoder, "_encode", None)
    assert encoder.encode(["once"]) == [first]


def test_what_is_kept_is_bounded():
    encoder = Encoder(keep=2)
    encoder.encode(["one", "two", "three"])
    assert len(encoder._cache) == 2


def test_references_are_the_texts_own():
    assert reference("a") == reference("a") != reference("b")
    assert len(reference("\ud800")) == 32


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ModelMissing, match=r"the encoder '\./no/such/folder' cannot be loaded"):
        Encoder("./no/such/folder").encode(["x"])


def test_a_model_that_is_not_the_published_one_is_refused(monkeypatch):
    monkeypatch.setattr(agent.encoder, "_PUBLISHED_SHA256", {"tokenizer.json": "0" * 64})
    with pytest.raises(ModelMissing, match=r"tokenizer\.json .* is not the published one"):
        Encoder().encode(["x"])


@pytest.mark.slow
def test_it_loads_without_a_word_on_stdout():
    script = "from agent.encoder import Encoder; Encoder().encode(['x'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
