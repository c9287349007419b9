"""What a comparison stands on: right problems, orders all players share, a game that shows no answer."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import mushroom, problems, replies
from tests.benchmarks.peers import game, roster
from tests.benchmarks.problems import Problem


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small stand-in for the encoder: a text's own random unit vector."""

    def encode(_: object, texts: list[str]) -> np.ndarray:
        rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(problems.Embeddings, "encode", encode)


def easy(rounds: int = 300, blocks: bool = False) -> Problem:
    """Three candidates; a context is near the right one's vector turned: words alone mislead, feedback tells."""
    draws, vectors = np.random.default_rng(0), np.eye(3, 6, dtype=np.float32)
    answers = draws.integers(3, size=rounds)
    contexts = (vectors[(answers + 1) % 3] + 0.1 * draws.normal(size=(rounds, 6))).astype(np.float32)
    more = {"last_reply": np.zeros_like(contexts), "history": contexts} if blocks else {}
    return Problem("easy", contexts, ("a", "b", "c"), vectors, answers, rounds, more, contexts[:50], answers[:50])


def test_hint3_leaves_out_what_nothing_fits(data: Path, words: None) -> None:
    for problem in problems.load(problems.HINT3):
        assert problems.NOTHING_FITS not in problem.candidates
        assert problem.rounds == len(problem.contexts) == len(problem.answers)
        assert problem.test_answers.min() >= 0
        assert problem.test_answers.max() < len(problem.candidates) == len(problem.vectors)
        assert sorted(problem.order(0)) == list(range(problem.rounds))


def test_star_does_not_depend_on_the_order_of_options(
    data: Path, words: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = problems.load(["star/ride_change"])
    (tmp_path / "star").mkdir()
    with gzip.open(data / "star/picks.jsonl.gz", "rt", encoding="utf-8") as lines:
        picks = [json.loads(line) for line in lines]
    for pick in picks:
        pick["options"].reverse()
        pick["chosen"] = len(pick["options"]) - 1 - pick["chosen"]
    with gzip.open(tmp_path / "star/picks.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(pick) + "\n" for pick in picks)
    (tmp_path / "star/label_to_text.json").write_bytes((data / "star/label_to_text.json").read_bytes())
    monkeypatch.setenv("REJOINDER_DATA", str(tmp_path))
    (after,) = problems.load(["star/ride_change"])
    assert before.candidates == after.candidates
    for name in ("contexts", "vectors", "answers"):
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_turns_are_taken_apart() -> None:
    history = [["User", "hi"], ["Wizard", "hello"], ["User", "a ride"], ["Query", "ride_book"]]
    assert problems._turns({"history": history}) == (["a ride"], ["ride_book"], ["hi", "hello"])
    assert problems._turns({"history": [["User", "hi"]]}) == (["hi"], [], [])


def test_embeddings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems.Encoder, "encode", lambda _, texts: [[float(len(text)), 1.0] for text in texts])
    with problems.Embeddings(tmp_path) as first:
        kept = first.encode(["a", "bcd", "a"])
    monkeypatch.setattr(problems.Encoder, "encode", lambda *_: pytest.fail("encoded again"))
    with problems.Embeddings(tmp_path) as second:
        assert np.array_equal(second.encode(["a", "bcd", "a"]), kept)


def test_an_unknown_problem_is_named() -> None:
    with pytest.raises(ValueError, match="no problem is called 'clinc'"):
        problems.load(["clinc"])


@pytest.mark.parametrize("name", ["linucb", "lints"])
def test_our_learners_play(name: str) -> None:
    played = replies.play(easy(blocks=True), name, {}, seed=0)
    assert played.rounds == 300
    assert played.zero_shot_accuracy == 0.0
    assert played.last_half_average_reward > 0.8
    assert played.test_accuracy > 0.9


def test_policies_are_named_with_their_settings() -> None:
    assert replies.named("lints:alpha=0.2,parts=shared") == ("lints", {"alpha": 0.2, "parts": "shared"})
    for wrong in ("oracle", "lints:alpha", "lints:alpha=much"):
        with pytest.raises(ValueError, match=r"oracle|alpha"):
            replies.named(wrong)


class Scripted:
    """Plays fixed choices and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, float]] = []

    def choose(self, row: int) -> int:
        return row % 3

    def learn(self, row: int, choice: int, reward: float) -> None:
        self.told.append((row, choice, reward))

    def best(self, row: int) -> int:
        return 1


def test_the_game_tells_a_player_its_own_rewards_only() -> None:
    player = Scripted()
    result = game.play(player, np.array([4, 0, 2, 1]), np.array([0, 0, 1, 0, 1, 1, 0]), first_test_row=5)
    assert player.told == [(4, 1, 1.0), (0, 0, 1.0), (2, 2, 0.0), (1, 1, 0.0)]
    assert result["average_reward"] == 0.5
    assert result["last_half_average_reward"] == 0.0
    assert result["test_accuracy"] == 0.5


@pytest.mark.parametrize(("form", "width", "cosines"), [("message", 6, 1), ("mean", 6, 1), ("joined", 18, 3)])
def test_peers_are_handed_contexts_and_cosines(form: str, width: int, cosines: int) -> None:
    problem = replace_tests(easy(blocks=True))
    given = roster.handed_over(problem, form)
    assert given["contexts"].shape == (300, width)
    assert given["cosines"].shape == (300, 3, cosines)


def replace_tests(problem: Problem) -> Problem:
    return Problem(
        problem.name, problem.contexts, problem.candidates, problem.vectors, problem.answers, 300, problem.blocks
    )


def test_a_peer_process_imports_nothing_of_ours(root: Path) -> None:
    folder = root / "tests/benchmarks/peers"
    for file in {
        *(folder / f"{module}.py" for module in roster.PACKAGES),
        *(folder / f"{name}.py" for name in ("game", "shop", "__init__")),
    }:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.split(".")[0] in {"agent", "policies", "connectors", "tests"}]
            assert set(ours) <= {"tests.benchmarks.peers.game", "tests.benchmarks.peers.shop"}, file


def test_every_peer_has_a_player_and_packages(root: Path) -> None:
    for name, peer in roster.PEERS.items():
        assert peer.module in roster.PACKAGES, name
        assert (root / f"tests/benchmarks/peers/{peer.module}.py").is_file(), name
        assert peer.context in {"message", "mean", "joined"}, name


def test_mushrooms_are_those_of_the_published_run(data: Path) -> None:
    features, edible = mushroom.one_hot(data / "mushroom/mushroom.data")
    assert features.shape == (8124, 117)
    assert (features.sum(axis=1) == 22).all()
    served = mushroom.meal(features, edible, mushroom.PUBLISHED_SEED)
    assert served.contexts.shape == (2000, 117)
    assert set(served.eaten) == {5.0, -35.0}
    assert served.best == 5.0 * 1064


def test_a_learner_learns_to_leave_the_poisonous(data: Path) -> None:
    features, edible = mushroom.one_hot(data / "mushroom/mushroom.data")
    served = mushroom.meal(features, edible, 0)
    few = mushroom.Meal(served.contexts[:500], served.eaten[:500], 0.0)
    assert mushroom.play(few, alpha=mushroom.ALPHA, ridge=mushroom.RIDGE, seed=0) > 0 > few.eaten.sum()
