"""How long the console's pages take over a log of a million decisions, and what memory that takes.

Run with: python -m tests.benchmarks.console [--decisions N] [--keep FOLDER] [--requests N] [--json]

The log is written here as the service would have written it, but for its vectors and scores, which are drawn: words of
a small vocabulary, ten turns a conversation, feedback on one turn in four, 90 days, five channels, three languages, two
loops, three model versions. With `--keep` log and index stay in that folder and are used again. Each page is asked for
over the application itself, without a network: the time is the server's, from the request to the last byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from agent.candidates import Reply
from agent.console.app import create_app
from agent.identity import Identity
from agent.log import Event, LearningLog, Vector
from agent.review.index import ReviewIndex
from agent.service import Service
from agent.settings import LoopSettings

TURNS, DAYS, CANDIDATES, DIMENSIONS = 10, 90, 8, 384
CHANNELS = ("web", "whatsapp", "email", "telegram", "slack")
LANGUAGES = ("en", "de", "fr")
INTENTS = tuple(f"topic_{n:02d}" for n in range(40))
LOOPS = ("actions", "responses")
WORDS = [f"{a}{b}" for a in "bacedifoguhajekiloma" for b in ("rin", "sel", "tor", "vam", "wen", "zil", "pod", "gar")]


def settings(version: int) -> LoopSettings:
    return LoopSettings(policy="linucb", learner={"alpha": 0.1 + version / 10})


def events(decisions: int, seed: int) -> Iterator[Event]:
    """The events of a log, in order of time; conversations overlap."""
    rng = random.Random(seed)
    now = time.time()
    start, step = now - DAYS * 86_400.0, DAYS * 86_400.0 / decisions
    versions = [settings(n).version for n in range(3)]
    for loop in LOOPS:
        yield Event(f"s{loop}", "settings", start, loop, body={"settings": settings(2).as_body(), "who": "benchmark"})
        for n in range(CANDIDATES * 3):
            yield Reply(f"utter_{n:02d}", (f"Answer {n} {rng.choice(WORDS)}.",), version=1).event(
                loop, who="b", at=start
            )
    open_ones: list[list[Any]] = []
    for n in range(decisions):
        at = start + n * step
        if len(open_ones) < 40:
            open_ones.append([uuid.UUID(int=rng.getrandbits(128)).hex, 0, rng.choice(CHANNELS), rng.choice(LANGUAGES)])
        place = rng.randrange(len(open_ones))
        talk = open_ones[place]
        talk[1] += 1
        yield from turn(rng, n, at, talk, versions[min(2, 3 * n // decisions)])
        if talk[1] == TURNS:
            open_ones.pop(place)


def turn(rng: random.Random, n: int, at: float, talk: list[Any], version: str) -> Iterator[Event]:
    conversation, number, channel, language = talk
    where = {"conversation": conversation, "turn": f"{conversation[:24]}{number:08d}"}
    text = " ".join(rng.choices(WORDS, k=rng.randint(3, 12)))
    intent = INTENTS[min(int(rng.expovariate(0.15)), len(INTENTS) - 1)]
    features = {f"intent:{intent}": 0.9, f"language:{language}": 1.0, "turn": 0.1 * number}
    offset = rng.randrange(CANDIDATES * 2)
    ids = [f"utter_{offset + i:02d}" for i in range(CANDIDATES)]
    prior, own = ([round(rng.random() / 2, 4) for _ in ids] for _ in range(2))
    index = max(range(CANDIDATES), key=lambda i: prior[i] + own[i]) if rng.random() < 0.9 else rng.randrange(CANDIDATES)
    share = [0.1 / CANDIDATES] * CANDIDATES
    share[index] += 0.9
    body = {
        "policy": "linucb", "context": {"blocks": {"": [["0" * 32, 1.0]]}, "features": features}, "candidates": ids,
        "versions": [1] * CANDIDATES, "eligible": [True] * CANDIDATES, "barred": {},
        "parts": {"prior": prior, "own": own},
        "deviation": [round(rng.random() / 3, 4) for _ in ids], "probabilities": share, "epsilon": 0.1, "limits": {},
        "seed": n, "index": index, "chosen": ids[index], "propensity": share[index], "live": True,
        "abstained": rng.random() < 0.03, "channel": channel, "text": text, "model_version": version, "model_seq": 1,
        "person": conversation,
    }  # fmt: skip
    id = f"{n:032x}"
    yield Event(id, "decision", at, LOOPS[n % 10 == 0], **where, decision=id, body=body)
    said = {"who": "user", "text": text, "channel": channel, "features": features}
    yield Event(f"message:{where['turn']}:user", "message", at, **where, body=said)
    said = {
        "who": "bot",
        "text": f"Answer to {text[:20]}",
        "channel": channel,
        "features": {f"action:{ids[index]}": 1.0},
    }
    yield Event(f"message:{where['turn']}:bot", "message", at + 1.0, **where, body=said)
    yield Event(f"activated:{id}", "activated", at + 1.0, LOOPS[n % 10 == 0], decision=id)
    if rng.random() < 0.25:
        signal, value = rng.choice(
            [("thumb", rng.randint(0, 1)), ("rating", rng.randint(1, 5)), ("handover", 1), ("thanks", 1)]
        )
        told = {"signal": signal, "value": value, "source": channel}
        yield Event(f"o{n}", "outcome", at + 5.0, None, None, None, id, told)


def embed(log: LearningLog) -> None:
    """Give what was said, and the replies, embeddings: drawn ones, of the length that the encoder's have."""
    rng, encoder = random.Random(1), settings(2).encoder
    replies = [Reply.of(event) for event in log.read(kinds=("candidate",))]
    refs = ["0" * 32, *dict.fromkeys(ref for reply in replies for ref in reply.refs)]
    vectors = [array("f", [rng.gauss(0.0, DIMENSIONS**-0.5) for _ in range(DIMENSIONS)]) for _ in refs]
    log.append([], vectors=[Vector(ref, encoder, vector.tobytes()) for ref, vector in zip(refs, vectors, strict=True)])


def fill(log: LearningLog, decisions: int, seed: int) -> int:
    """Write the log; the number of events."""
    batch: list[Event] = []
    total = 0
    for event in events(decisions, seed):
        batch.append(event)
        if len(batch) == 20_000:
            log.append(batch, durable=False)
            total += len(batch)
            batch = []
            print(f"\r{total:,} events", end="", file=sys.stderr)
    log.append(batch)
    print(file=sys.stderr)
    return total + len(batch)


def pages(client: TestClient) -> list[str]:
    """The addresses to ask for: each page as it opens, and as people narrow it."""
    key = client.get("/v1/decisions?limit=1").json()["decisions"][0]["decision_id"]
    talk = client.get("/v1/conversations?limit=1").json()["conversations"][0]["key"]
    return [
        "/", "/?when=today", "/?when=90d", "/?when=90d&channel=email", "/conversations", "/conversations?channel=email",
        "/conversations?outcome=thumb+bad&when=yesterday&channel=web", "/conversations?q=barin+vam",
        "/conversations?said=bad&language=de&reply=actions%2Futter_03&sort=worst", "/conversations?sort=uncertain",
        "/conversations?was=flagged", "/conversations?not=was%3Areviewed&sort=useful", f"/conversations/{talk}",
        "/queue", "/replies", "/replies/actions/utter_03", "/policies", "/policies/actions", "/decisions",
        "/decisions?loop=actions", f"/decisions/{key}", "/operations", "/operations/health", "/docs",
        # From here on the models are folded beside it.
        "/policies/actions/importance", "/unanswered", "/policies/actions/learning", "/policies/actions/changes",
        "/policies/actions/as-of",
    ]  # fmt: skip


def measure(client: TestClient, path: str, requests: int) -> dict[str, Any]:
    taken = []
    client.get(path)  # the first compiles its template
    for _ in range(requests):
        start = time.perf_counter()
        answer = client.get(path)
        taken.append(time.perf_counter() - start)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[-2_000:])
    taken.sort()
    p95 = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
    row = {"page": path, "p50_ms": 1e3 * statistics.median(taken), "p95_ms": 1e3 * p95, "bytes": len(answer.content)}
    print(f"{row['p50_ms']:8.1f} {row['p95_ms']:8.1f} ms {row['bytes']:8,} B  {path}", file=sys.stderr)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    home = asked.keep or Path(tempfile.mkdtemp(prefix="rejoinder-console-"))
    log = LearningLog(home / "learning.db", scratch=True)
    result: dict[str, Any] = {"decisions": asked.decisions}
    if log.last_seq() == 0:
        start = time.perf_counter()
        Identity(home)
        result["events"] = fill(log, asked.decisions, 0)
        result["fill_s"] = time.perf_counter() - start
    embed(log)
    index = ReviewIndex(log, home)
    start, before = time.perf_counter(), index.seq
    index.catch_up(progress=lambda seq, last: print(f"\r{seq:,} of {last:,} events indexed", end="", file=sys.stderr))
    index.renew()
    result["index_s"], result["indexed"] = time.perf_counter() - start, index.seq - before
    print(f"\nindexed {result['indexed']:,} events in {result['index_s']:.0f} s", file=sys.stderr)
    index.close()
    service = Service(home, log=log)
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        result["pages"] = [measure(client, path, asked.requests) for path in pages(client)]
    result["log_mb"], result["index_mb"] = (
        sum(file.stat().st_size for file in home.glob(f"{name}*")) / 1e6 for name in ("learning.db", "review.db")
    )
    result["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps(result) if asked.json else json.dumps({k: v for k, v in result.items() if k != "pages"}, indent=1))
    if asked.keep is None:
        shutil.rmtree(home)
    sys.stdout.flush()
    os._exit(0)  # the models are still being folded, for nobody now


if __name__ == "__main__":
    main()
