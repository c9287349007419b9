"""What a change of the best reply costs: with forgetting, with a detector that widens exploration, with both, without.

Run with: python -m tests.benchmarks.drift [--seeds N] [--policy NAME] [--half-life ROUNDS] [--over ROUNDS], or --help

The world is `policies.simulate.DriftingWorld`, a round a minute, each with one reward of 0 or 1; the best reply changes
in the middle. Regret is what the best reply was expected to earn in a round less what the chosen one was; figures are
means over the seeds, with their standard error. Widening spreads a share of 0.3, which fades over 300 credits.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

import policies
from agent.drift import Drift
from agent.log import Event
from agent.settings import LoopSettings
from policies.safety import Limits
from policies.simulate import DriftingWorld

SECONDS = 60.0  # between rounds
WIDEN = {"widen": 0.3, "widen_for": 300}


@dataclass(frozen=True)
class Run:
    """What one seed's run lost before the change and after it, and the rounds in which alerts were raised."""

    before: float
    after: float
    alerts: list[int]


def play(seed: int, settings: LoopSettings, *, rounds: int, changes_at: int, over: int = 0) -> Run:
    """Play a loop with these settings through a world that changes at a round (none if it lies past the end)."""
    world = DriftingWorld(changes_at=changes_at, over=over, seed=seed)
    learner = policies.create(settings.policy, **settings.learner)
    drift = Drift("replies")
    drift.configure(Event("s", "settings", 0.0, body={"settings": settings.as_body()}))
    lost = {False: 0.0, True: 0.0}
    for number in range(1, rounds + 1):
        context, at = world.context(), SECONDS * number
        limits = Limits(widen=drift.widening())
        choice = learner.choose(context, world.candidates, seed=f"{seed}/{number}", at=at, limits=limits)
        index = choice.index
        chances = world.expected(context)
        lost[number >= changes_at] += float(chances.max() - chances[index])
        reward = world.reward(context, index)
        learner.learn(context, world.candidates[index], reward, at=at)
        parts = {name: part.tolist() for name, part in choice.scores.parts.items()}
        drift.credit(Event("d", "decision", at, body={"index": index, "parts": parts}), policies.Reward(reward))
        drift.settle(Event("o", "outcome", at, decision="d", seq=number))
    return Run(lost[False], lost[True], [int(alert.at / SECONDS) for alert in drift.alerts])


def regret(given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Regret before and after the change, alerts before it, and the delay of the first after it, for each way."""
    for name, forgets, widen in (
        ("plain", 0.0, {}),
        ("forgetting", given.half_life, {}),
        ("widening", 0.0, WIDEN),
        ("both", given.half_life, WIDEN),
    ):
        settings = _settings(given, forgets, widen)
        runs = [
            play(seed, settings, rounds=2 * given.changes_at, changes_at=given.changes_at, over=given.over)
            for seed in range(given.seeds)
        ]
        late = [[at - given.changes_at for at in run.alerts if at >= given.changes_at] for run in runs]
        yield (
            name,
            {
                "regret_before": _mean([run.before for run in runs]),
                "regret_after": _mean([run.after for run in runs]),
                "false_alerts": sum(at < given.changes_at for run in runs for at in run.alerts),
                "delays": sorted(delays[0] for delays in late if delays),
                "further_alerts": sum(len(delays) - 1 for delays in late if delays),
            },
        )


def false_alarms(given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Alerts in 10,000 credits where nothing changes, one figure a seed, without forgetting and with it."""
    for name, forgets in (("plain", 0.0), ("forgetting", given.half_life)):
        settings = _settings(given, forgets, {})
        runs = [play(seed, settings, rounds=10_000, changes_at=10_001) for seed in range(given.seeds)]
        yield name, [len(run.alerts) for run in runs]


def _settings(given: argparse.Namespace, forgets: float, drift: dict[str, float]) -> LoopSettings:
    # The world is linear, and its rewards are noisy: a reward of 0 or 1 deviates from its mean by about 0.5.
    learner = {"degree": 1, "alpha": given.alpha, "half_life": SECONDS * forgets}
    return LoopSettings(policy=given.policy, learner=learner, drift={"sensitivity": given.sensitivity, **drift})


def _mean(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.1f} ± {error:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--changes-at", type=int, default=1_000, help="round of the change; as many follow")
    parser.add_argument("--over", type=int, default=0, help="rounds in which it comes about")
    parser.add_argument("--policy", default="lints", choices=("linucb", "lints"))
    parser.add_argument("--alpha", type=float, default=0.2)
    parser.add_argument("--half-life", type=float, default=500.0, help="in rounds")
    parser.add_argument("--sensitivity", type=float, default=LoopSettings().drift["sensitivity"])
    parser.add_argument("--stationary", action="store_true", help="count false alarms instead")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = false_alarms(given) if given.stationary else regret(given)
    if given.json:
        print(json.dumps(dict(figures)))
    else:
        for name, values in figures:
            print(f"{name:12} {values}", flush=True)


if __name__ == "__main__":
    main()
