"""What a staged challenger costs a decision, and what looking back costs: `python -m tests.benchmarks.versions`.

One customer after another on two arms, encoding aside (directions drawn by hash, 384 dimensions), 20 replies, a thumb
on every second decision. Prints the median of a decision without and with a challenger on half of all conversations,
and how long a slider of 30 positions, one position, a week's changes, the learning curve and a what-if take on that
log, the first time (nothing kept) and again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

from agent.asof import as_of, learning_curve, positions
from agent.candidates import Reply
from agent.changes import changes
from agent.decision import Situation
from agent.encoder import Encoder
from agent.log import LearningLog
from agent.service import Service
from agent.settings import LoopSettings
from agent.whatif import what_if

DIMENSIONS, REPLIES = 384, 20
_LOOP = "replies"
OTHER = LoopSettings(policy="squarecb")


class Directions(Encoder):
    """Any text gets a direction of its own."""

    def _encode(self, texts: Sequence[str]) -> list[array[float]]:
        return [self._direction(text) for text in texts]

    def _direction(self, text: str) -> array[float]:
        rng = random.Random(hashlib.sha256(text.encode()).digest())
        numbers = [rng.gauss(0.0, 1.0) for _ in range(DIMENSIONS)]
        length = sum(x * x for x in numbers) ** 0.5
        return array("f", [x / length for x in numbers])


def talk(service: Service, start: int, number: int, clock: list[float]) -> list[float]:
    """Seconds of processor that each of so many decisions took: others on this machine count for nothing."""
    rng, took = random.Random(start), []
    for n in range(start, start + number):
        clock[0] += 30.0
        situation = Situation([f"question {rng.randrange(500)}"], f"c{n // 4}", f"p{n // 8}", f"m{n}")
        service.encoder(service.standing(_LOOP).champion.encoder).encode(situation.messages)  # type: ignore[union-attr]
        began = time.thread_time()
        decision = service.decide(_LOOP, situation, seed=n)
        took.append(time.thread_time() - began)
        assert decision is not None
        if n % 2:
            good = rng.random() < 0.2 + 0.6 * (int(decision.chosen[1:]) % 5 == n % 5)
            service.record(signal="thumb", value=int(good), decision=decision.id)
    return took


def timed(name: str, act: Callable[[], object]) -> None:
    """Print how long something takes the first time and the next, by the clock and by the processor."""
    took = []
    for _ in range(2):
        began, worked = time.perf_counter(), time.process_time()
        act()
        took.append(f"{time.perf_counter() - began:.2f} s ({time.process_time() - worked:.2f} s of processor)")
    print(f"{name}: {took[0]}, again {took[1]}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--policy", default="linucb")
    given = parser.parse_args()
    clock = [1_700_000_000.0]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        log = LearningLog(home / "learning.db", scratch=True)
        service = Service(home, encoder=Directions, clock=lambda: clock[0], log=log)
        service.configure(_LOOP, LoopSettings(policy=given.policy), who="benchmark")
        service.reconcile(_LOOP, [Reply(f"r{i}", (f"answer {i}",)) for i in range(REPLIES)], who="benchmark")
        block, alone, both = given.decisions // 10, list[float](), list[float]()
        # In turns: the log grows, and with it what a decision costs.
        for turn in range(10):
            if turn % 2:
                service.stage(_LOOP, OTHER, share=0.5, who="benchmark")
            took = talk(service, turn * block, block, clock)
            (both if turn % 2 else alone).extend(took)
            if turn % 2:
                service.withdraw(_LOOP, who="benchmark")
        for name, some in (("alone", alone), ("with a challenger", both)):
            p95 = quantiles(some, n=20)[-1]
            print(f"decide, {name}: p50 {median(some) * 1e3:.2f} ms, p95 {p95 * 1e3:.2f} ms, {len(some)} decisions")
        print(f"ratio of medians: {median(both) / median(alone):.2f}", flush=True)
        seqs = positions(service, _LOOP)
        timed(f"as of, {len(seqs)} positions", lambda: as_of(service, _LOOP, seqs=seqs))
        timed("as of, one position in the middle", lambda: as_of(service, _LOOP, seqs=[seqs[len(seqs) // 2] - 7]))
        end = clock[0] + 1.0
        day = 86_400.0
        timed("changes of a day", lambda: changes(service, _LOOP, since=end - day, until=end))
        timed("learning curve", lambda: learning_curve(service, _LOOP))
        timed("learning curve without hindsight", lambda: learning_curve(service, _LOOP, hindsight=False))
        middle = list(log.read(kinds=("decision",), loop=_LOOP))[given.decisions // 2]
        timed("what if", lambda: what_if(service, middle, OTHER))
        timed("versions", lambda: service.versions(_LOOP))
        kept = sum(path.stat().st_size for path in (home / "snapshots").rglob("*.safetensors"))
        print(f"snapshots and milestones: {kept / 2**20:.0f} MiB")
        service.close()


if __name__ == "__main__":
    main()
