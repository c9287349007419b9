"""Poisoned feedback: one person of a hundred presses thumbs down without end; how far does what is expected move?

Run with: python -m tests.benchmarks.poison [--json]

Ninety-nine persons each ask two questions and like what they are told nine times in ten. Then the hundredth asks a
question again and again, gets the same reply, and presses thumb down 200 times, over an hour or within a minute. The
shift is how far the reward expected of that reply falls, on average over everybody's questions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.candidates import Reply
from agent.decision import Situation
from agent.log import LearningLog
from agent.service import Service
from agent.settings import LoopSettings

PERSONS, QUESTIONS, THUMBS = 100, 2, 200
REPLY, OTHER = Reply("refund", ("Your money goes back in five days.",)), Reply("delivery", ("It is on its way.",))
ASKED = ("where is my money", "when do I get my refund", "I sent it back a week ago", "is my money on its way back")
GUARDS = {
    "no guard": {"share": None, "burst": None},
    "share": {"burst": None},
    "share and burst": {},
}


class Clock:
    """Time that goes by as it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def shift(guard: dict[str, Any], *, seconds_apart: float, seed: int) -> float:
    """How far the expected reward of the reply falls, on average over the questions."""
    rng, clock = random.Random(seed), Clock()
    with tempfile.TemporaryDirectory() as folder:
        log = LearningLog(Path(folder) / "learning.db", scratch=True)
        service = Service(Path(folder), clock=clock, log=log)
        learner = {"prior_slope": 0.0, "prior_intercept": 0.5}
        service.configure("replies", LoopSettings(policy="linucb", learner=learner, **guard), who="poison")
        service.reconcile("replies", (REPLY, OTHER), who="poison")
        for number in range((PERSONS - 1) * QUESTIONS):
            _press(service, clock, f"person {number % (PERSONS - 1)}", number, liked=rng.random() < 0.9)
            clock.now += 60.0
        before = _expected(service)
        for number in range(THUMBS):
            _press(service, clock, "the hundredth", 1_000 + number, liked=False)
            clock.now += seconds_apart
        after = _expected(service)
        log.close()
    return before - after


def _press(service: Service, clock: Clock, person: str, number: int, *, liked: bool) -> None:
    situation = Situation([ASKED[number % len(ASKED)]], conversation=person, person=person, message_id=str(number))
    decision = service.decide("replies", situation, candidates=[REPLY.id], seed=number)
    assert decision is not None, "a loop without a threshold decides"
    service.record(signal="thumb", value=int(liked), decision=decision.id, at=clock.now)


def _expected(service: Service) -> float:
    found = []
    for text in ASKED:
        decision = service.decide("replies", Situation([text]), candidates=[REPLY.id], seed=0)
        assert decision is not None, "a loop without a threshold decides"
        body = service.decision(decision.id).body
        found.append(sum(part[0] for part in body["parts"].values()))
    return statistics.fmean(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--seeds", type=int, default=5, help="how many draws of who likes what")
    given = parser.parse_args()
    results = {
        f"{name}, {'over an hour' if apart > 1 else 'within a minute'}": [
            shift(guard, seconds_apart=apart, seed=seed) for seed in range(given.seeds)
        ]
        for name, guard in GUARDS.items()
        for apart in (18.0, 0.3)
    }
    if given.json:
        print(json.dumps(results))
        return
    table = Table("guard and pace", "mean shift", "each seed", title=f"one of {PERSONS} presses {THUMBS} thumbs down")
    for name, found in results.items():
        table.add_row(name, f"{statistics.fmean(found):.3f}", " ".join(f"{one:.3f}" for one in found))
    Console().print(table)


if __name__ == "__main__":
    main()
