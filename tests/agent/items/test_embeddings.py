from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from array import array

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import agent.items.embeddings
from agent.items.embeddings import BATCH, Embeddings
from tests.agent.conftest import DIMENSIONS, HashEncoder

TEXTS = [f"text {i}" for i in range(300)]


class Counting(HashEncoder):
    """Keeps what it has embedded, and remembers no text: each that it is given, it embeds."""

    def __init__(self, name="counting", *, after=None):
        super().__init__(name, keep=0)
        self.embedded = []
        self.after = after

    def _encode(self, texts):
        if self.after is not None and len(self.embedded) >= self.after:
            raise KeyboardInterrupt
        self.embedded += texts
        return super()._encode(texts)


def directions(texts):
    rows = [torch.frombuffer(row, dtype=torch.float32) for row in HashEncoder("x").encode(texts)]
    return torch.stack(rows) if rows else torch.empty(0, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=20), st.booleans()), max_size=6))
def test_each_text_is_embedded_once_whatever_comes_and_goes(tmp_path_factory, calls):
    folder, encoder = tmp_path_factory.mktemp("kept"), Counting()
    embeddings = Embeddings(folder, encoder)
    for numbers, restarted in calls:
        if restarted:
            embeddings = Embeddings(folder, encoder)
        texts = [TEXTS[number] for number in numbers]
        assert torch.equal(embeddings.of(texts), directions(texts))
    assert sorted(encoder.embedded) == sorted({TEXTS[number] for numbers, _ in calls for number in numbers})


def test_they_are_a_sound_file_of_their_own_for_each_encoder(tmp_path):
    one, other = Embeddings(tmp_path, Counting("one")), Embeddings(tmp_path, Counting("other"))
    one.of(TEXTS[:3])
    other.of(TEXTS[:2])
    assert one.path != other.path
    found = load_file(one.path)  # the library reads what we write
    assert found["vectors"].shape == (3, DIMENSIONS)
    assert found["refs"].shape == (3, 2)
    assert set(tmp_path.iterdir()) == {one.path, other.path}


def test_progress_counts_what_is_new(tmp_path):
    said = []
    embeddings = Embeddings(tmp_path, Counting())
    embeddings.of(TEXTS[:50])
    embeddings.of(TEXTS, progress=lambda *what: said.append(what))
    assert [done for _, done, _ in said] == [BATCH, 2 * BATCH, 3 * BATCH, 250]
    assert {(stage, of) for stage, _, of in said} == {("embedding", 250)}


def test_what_was_embedded_before_a_crash_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(agent.items.embeddings, "_SAVE_AT_LEAST", BATCH)
    with pytest.raises(KeyboardInterrupt):
        Embeddings(tmp_path, Counting(after=3 * BATCH)).of(TEXTS)
    after = Counting()
    assert torch.equal(Embeddings(tmp_path, after).of(TEXTS), directions(TEXTS))
    assert len(after.embedded) == len(TEXTS) - 3 * BATCH


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_half_a_file_costs_time_alone(tmp_path, share, caplog):
    first = Embeddings(tmp_path, Counting())
    first.of(TEXTS)
    content = first.path.read_bytes()
    first.path.write_bytes(content[: int(share * len(content))])
    again = Counting()
    assert torch.equal(Embeddings(tmp_path, again).of(TEXTS), directions(TEXTS))
    assert len(again.embedded) == len(TEXTS)
    assert "embedding anew" in caplog.text
    assert first.path.read_bytes() == content


@pytest.mark.parametrize(
    "tensors",
    [
        {"refs": torch.zeros(2, 2, dtype=torch.int64)},
        {"refs": torch.zeros(2, 2, dtype=torch.int64), "vectors": torch.zeros(3, DIMENSIONS)},
        {"refs": torch.zeros(2, 2), "vectors": torch.zeros(2, DIMENSIONS)},
        {"refs": torch.zeros(2, 2, dtype=torch.int64), "vectors": torch.zeros(2, DIMENSIONS).double()},
    ],
)
def test_a_file_of_something_else_costs_time_alone(tmp_path, tensors, caplog):
    embeddings = Embeddings(tmp_path, Counting())
    save_file(tensors, embeddings.path)
    assert torch.equal(embeddings.of(TEXTS), directions(TEXTS))
    assert "embedding anew" in caplog.text


def test_another_model_of_the_same_name_embeds_all_anew(tmp_path, caplog):
    class Wider(HashEncoder):
        def _encode(self, texts):
            return [array("f", [*row, 0.0]) for row in super()._encode(texts)]

    Embeddings(tmp_path, Counting()).of(TEXTS[:100])
    found = Embeddings(tmp_path, Wider("counting")).of(TEXTS[:200])
    assert torch.equal(found, torch.nn.functional.pad(directions(TEXTS[:200]), (0, 1)))
    assert "of other dimensions" in caplog.text


def test_of_texts_no_longer_in_use_the_latest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(agent.items.embeddings, "_RETIRED", 5)
    embeddings = Embeddings(tmp_path, Counting())
    for number in range(20):
        embeddings.of([TEXTS[number]])
    assert len(load_file(embeddings.path)["refs"]) == 6
    again = Counting()
    Embeddings(tmp_path, again).of(TEXTS[13:20])
    assert again.embedded == [TEXTS[13]]


def test_what_cannot_be_written_is_said_and_embedded_again_another_time(tmp_path, caplog):
    (tmp_path / "taken").write_text("a file where the folder should be")
    encoder = Counting()
    embeddings = Embeddings(tmp_path / "taken", encoder)
    assert torch.equal(embeddings.of(TEXTS[:9]), directions(TEXTS[:9]))
    assert torch.equal(embeddings.of(TEXTS[:10]), directions(TEXTS[:10]))
    assert sorted(encoder.embedded) == sorted(TEXTS[:10])
    assert "cannot be written" in caplog.text


def test_what_a_crash_left_aside_is_cleared_away(tmp_path):
    embeddings = Embeddings(tmp_path, Counting())
    old, new = (embeddings.path.with_name(f"{embeddings.path.name}.{end}") for end in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    embeddings.of(TEXTS)
    assert set(tmp_path.iterdir()) == {embeddings.path, new}


SCRIPT = """
import sys
from pathlib import Path
import agent.items.embeddings as it
from tests.agent.conftest import HashEncoder
it._SAVE_AT_LEAST = it._SAVE_SHARE = 0
print("ready", flush=True)
while True:
    for n in range(64, 2000, 64):
        it.Embeddings(Path(sys.argv[1]), HashEncoder("counting")).of([f"text {i}" for i in range(n)])
"""


@pytest.mark.slow
def test_killed_while_it_writes_it_leaves_a_sound_file(tmp_path):
    for tenths in (1, 2, 4):
        writing = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writing.stdout is not None
        with writing.stdout:
            assert writing.stdout.readline() == "ready\n"
            time.sleep(tenths * 0.13)
            writing.send_signal(signal.SIGKILL)
            writing.wait()
        again = Counting()
        embeddings = Embeddings(tmp_path, again)
        found = load_file(embeddings.path)
        assert torch.equal(embeddings.of(TEXTS), directions(TEXTS))
        assert torch.isfinite(found["vectors"]).all()
        assert len(again.embedded) < len(TEXTS)
