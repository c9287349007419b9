"""The people of the simulation: customers, and those who work for the shop. All of them are plainly invented."""

from __future__ import annotations

import random
from dataclasses import dataclass

from agent.demo.plan import CHANNELS, drawn

#: who signs what is done in the console: the one who decides, and those who review.
LEAD, REVIEWERS = "Ida Example", ("Max Muster", "Jo Sample", "Kim Beispiel")


@dataclass(frozen=True)
class Customer:
    """Somebody who writes on one channel, in one language; `id` is the channel's, made up."""

    id: str
    channel: str
    language: str


def customers(number: int, rng: random.Random) -> list[Customer]:
    """So many customers, spread over channels and languages."""
    shares = {channel: share for channel, (share, _) in CHANNELS.items()}
    found = []
    for n in range(number):
        channel = drawn(shares, rng)
        language = "de" if rng.random() < CHANNELS[channel][1] else "en"
        found.append(Customer(f"{channel}/simulated-{n:05d}", channel, language))
    return found
