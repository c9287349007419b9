"""How long `rejoinder demo` takes to fill a log: encoding all texts, then weeks of conversations in simulated time.

Run with: python -m tests.benchmarks.demo [--conversations N] [--json]

Prints seconds by the clock and of the processor for both, beside the load of the machine at the start: on a busy one
only the latter say much, and not even they are what a quiet one needs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from agent.demo.making import CONVERSATIONS, Size, make

BUDGET_SECONDS = 45.0  # of traffic, on a quiet machine of two cores


def measured(conversations: int) -> dict[str, Any]:
    """Make a log of so many conversations and throw it away; what it took."""
    load, began = os.getloadavg()[0], (time.perf_counter(), time.process_time())
    encoded = began

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal encoded
        if stage == "encoding" and done >= total:
            encoded = (time.perf_counter(), time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        events = make(Path(folder), Size(conversations=conversations, end=time.time()), progress=progress)
    ended = (time.perf_counter(), time.process_time())
    return {
        "conversations": conversations,
        "events": sum(events.values()),
        "decisions": events["decision"],
        "load": round(load, 2),
        "encoding_seconds": round(encoded[0] - began[0], 1),
        "encoding_processor_seconds": round(encoded[1] - began[1], 1),
        "traffic_seconds": round(ended[0] - encoded[0], 1),
        "traffic_processor_seconds": round(ended[1] - encoded[1], 1),
        "budget_seconds": BUDGET_SECONDS,
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.conversations)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):30} {value}")


if __name__ == "__main__":
    main()
