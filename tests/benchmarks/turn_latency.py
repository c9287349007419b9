"""How long a customer waits for a turn over HTTP: the shipped assistant, and plain Rasa in its place, turn by turn.

Run with: python -m tests.benchmarks.turn_latency [--turns N] [--json]

Plain Rasa: the same domain, questions, rules and stories and the same tracker store, but n-gram features instead of
sentence embeddings, MemoizationPolicy instead of the bandit, dice instead of chosen wordings, no event broker, and
Rasa's REST channel. Every question is new to both, and each turn is one of a conversation of four.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.rasa.server import RasaServer, run

ROOT = Path(__file__).resolve().parents[2]
TURNS_IN_CONVERSATION = 4
FEATURIZER = {"name": "CountVectorsFeaturizer", "analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4}


def plain_project(folder: Path) -> Path:
    """The shipped assistant with everything of Rejoinder's taken out."""
    shutil.copytree(ROOT / "training_data", folder)
    config = yaml.safe_load((folder / "config.yml").read_text(encoding="utf-8"))
    ours = "agent.plugin."
    config["pipeline"] = [FEATURIZER if c["name"].startswith(ours) else c for c in config["pipeline"]]
    config["policies"] = [
        {"name": "MemoizationPolicy"} if c["name"].startswith(ours) else c for c in config["policies"]
    ]
    (folder / "config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    endpoints = yaml.safe_load((folder / "endpoints.yml").read_text(encoding="utf-8"))
    kept = {"tracker_store": endpoints["tracker_store"]}
    (folder / "endpoints.yml").write_text(yaml.safe_dump(kept), encoding="utf-8")
    (folder / "credentials.yml").write_text("rest: {}\n", encoding="utf-8")
    return folder


def started(project: Path, folder: Path) -> RasaServer:
    """A project's server, trained first."""
    (folder / ".rejoinder").mkdir(parents=True)
    trained = run(
        "-m", "agent", "train", "--project", str(project), "--json", home=folder / ".rejoinder", folder=folder
    )
    return RasaServer(folder, project, Path(json.loads(trained)["model"])).start()


def questions(count: int) -> list[str]:
    """Questions that neither assistant was trained on."""
    held_out = yaml.safe_load((ROOT / "tests/training_data/questions.yml").read_text(encoding="utf-8"))
    by_turns = [text for texts in zip(*(texts[:4] for texts in held_out.values()), strict=True) for text in texts]
    return [by_turns[i % len(by_turns)] + "!" * (i // len(by_turns)) for i in range(count)]


def measure(turns: int) -> dict[str, Any]:
    """Milliseconds of each turn, the two servers taking turns at the same questions."""
    with tempfile.TemporaryDirectory(prefix="rejoinder-latency-") as place:
        folder = Path(place)
        servers = {
            "rejoinder": (started(ROOT / "training_data", folder / "ours"), "/webhooks/rejoinder/webhook"),
            "plain": (started(plain_project(folder / "project"), folder / "plain"), "/webhooks/rest/webhook"),
        }
        taken: dict[str, list[float]] = {name: [] for name in servers}
        try:
            for number, text in enumerate(["hello", "thank you", *questions(turns)]):
                body = {"sender": f"customer-{number // TURNS_IN_CONVERSATION}", "message": text}
                for name, (server, path) in servers.items():
                    begin = time.perf_counter()
                    answer = server.post(path, body)
                    taken[name].append(1000 * (time.perf_counter() - begin))
                    assert answer.status_code == 200, answer.text
                    assert answer.json(), text
        finally:
            for server, _ in servers.values():
                server.stop()
    return {name: _figures(values[2:]) for name, values in taken.items()}


def _figures(values: list[float]) -> dict[str, float]:
    """The first two turns, which load what is loaded once, are left out by the caller."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"turns": len(values), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.turns)
    figures["difference_p50_ms"] = round(figures["rejoinder"]["p50_ms"] - figures["plain"]["p50_ms"], 1)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, values in figures.items():
            print(f"{name:20} {values}")


if __name__ == "__main__":
    main()
