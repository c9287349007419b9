"""Who the peers are, and how one is played: in a virtual environment of its own, for its pins are not ours.

An environment is made at the first use, under `REJOINDER_PEERS` (default: the system's folder for scratch files).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.problems import ROOT, Problem


@dataclass(frozen=True)
class Peer:
    """A peer and how it plays.

    module: the file here that plays it, in an environment with the packages. context: what it is given of a dialogue,
    "message" (the last), "mean" or "joined" (of the message and the problem's blocks). rounds: the most it plays,
    None where it is fast enough for all.
    """

    module: str
    settings: Mapping[str, Any]
    context: str = "message"
    rounds: int | None = None


PACKAGES = {
    "vowpal_wabbit": ("vowpalwabbit==9.11.9", "numpy"),
    "mabwiser": ("mabwiser==2.7.4", "numpy"),
    "bayesianbandits": ("bayesianbandits==1.5.0", "numpy"),
    "mab2rec": ("mab2rec==1.3.1", "numpy"),
}
_EXPLORERS = {
    "epsilon": "--epsilon 0.02 --coin",
    "first": "--first 1000 --coin",
    "bag": "--bag 5 --coin",
    "cover": "--cover 5 --coin",
    "softmax": "--softmax --lambda 20 --coin",
    "rnd": "--rnd 3 --epsilon 0.0 --coin",
}
_GAMMAS = (1000, 3000, 10000, 30000, 100000)
_SQUARECB = {f"squarecb {gamma}": f"--squarecb --coin --gamma_scale {gamma}" for gamma in _GAMMAS}
# The slow ones play as many rounds as take minutes: an inverse, or a Gaussian draw, in d dimensions, per arm and round.
PEERS = {
    **{f"vw {name}": Peer("vowpal_wabbit", {"options": options}) for name, options in (_SQUARECB | _EXPLORERS).items()},
    "vw squarecb 30000 mean": Peer("vowpal_wabbit", {"options": _SQUARECB["squarecb 30000"]}, context="mean"),
    "vw squarecb 30000 joined": Peer("vowpal_wabbit", {"options": _SQUARECB["squarecb 30000"]}, context="joined"),
    "mabwiser linucb": Peer("mabwiser", {"policy": "LinUCB", "alpha": 1.0}, rounds=500),
    "mabwiser lints": Peer("mabwiser", {"policy": "LinTS", "alpha": 0.1}, rounds=500),
    "bayesianbandits": Peer("bayesianbandits", {"policy": "thompson", "alpha": 0.1}, rounds=500),
    "bayesianbandits shared": Peer("bayesianbandits", {"policy": "thompson", "alpha": 0.3, "parts": "shared"}),
}


def python(module: str) -> Path:
    """The interpreter of a peer's environment, which is made where there is none.

    Raises:
        CalledProcessError: it cannot be made, or a package cannot be installed.
    """
    folder = Path(os.environ.get("REJOINDER_PEERS", Path(tempfile.gettempdir()) / "rejoinder-peers")) / module
    interpreter, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PACKAGES[module]], check=True)
        ready.touch()
    return interpreter


def play(problem: Problem, peer: Peer, *, seed: int, order: np.ndarray) -> dict[str, Any]:
    """Play a problem in an order: average_reward, last_half_average_reward, test_accuracy (or None), seconds.

    Raises:
        RuntimeError: the peer failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="rejoinder-peer-") as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **handed_over(problem, peer.context), order=order, seed=seed)
        ran = subprocess.run(
            [python(peer.module), "-m", f"tests.benchmarks.peers.{peer.module}", path, json.dumps(peer.settings)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if ran.returncode != 0:
        raise RuntimeError(f"{peer.module} {dict(peer.settings)} failed on {problem.name}: {ran.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def handed_over(problem: Problem, form: str) -> dict[str, np.ndarray]:
    """The arrays a peer's process reads: contexts and cosines, test rows last, and answers, which its game keeps.

    Raises:
        ValueError: no such form.
    """
    given = [problem.contexts, *problem.blocks.values()]
    if form == "message":
        contexts, seen = problem.contexts, [problem.contexts]
    elif form == "joined":
        contexts, seen = np.concatenate(given, axis=1), given
    elif form == "mean":
        contexts = sum(given) / len(given)
        seen = [contexts]
    else:
        raise ValueError(f"context: {form!r} is none of message, mean, joined")
    cosines = np.stack([rows @ problem.vectors.T for rows in seen], axis=2)
    answers, first_test_row = problem.answers, len(problem.answers)
    if problem.test_contexts is not None and problem.test_answers is not None:
        contexts = np.concatenate([contexts, problem.test_contexts])
        cosines = np.concatenate([cosines, (problem.test_contexts @ problem.vectors.T)[:, :, None]])
        answers = np.concatenate([answers, problem.test_answers])
    return {
        "contexts": contexts,
        "cosines": cosines,
        "answers": answers,
        "first_test_row": np.array(first_test_row),
    }
