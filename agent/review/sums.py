"""Sums: what a mean reward and its interval follow from, kept by day so that a year is read as fast as a week.

Rewards come in clusters: what a customer is told in a conversation is told by one customer. So of each cluster c with
weight n_c and weighted rewards s_c the sums of s_c, n_c, s_c^2, s_c n_c and n_c^2 are kept, and the variance of the
mean is that of a ratio over clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.database import Connection, Row
from agent.review.days import SCRIPTS

_Z = 1.959964  # of a normal interval of 95 %


@dataclass(frozen=True)
class Sums:
    """Sums over `clusters` with `fed` rewards: of weights, of weighted rewards, and of their squares and products."""

    clusters: int = 0
    fed: int = 0
    weight: float = 0.0
    total: float = 0.0
    square: float = 0.0
    cross: float = 0.0
    weights: float = 0.0

    @classmethod
    def of(cls, row: Row) -> Sums:
        """The sums that a row holds under these names."""
        return cls(*(row[name] or 0 for name in cls.__dataclass_fields__))

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __sub__(self, other: Sums) -> Sums:
        """These without some of them. Where no reward is left, nothing is, however it was rounded."""
        left = Sums(*(getattr(self, name) - getattr(other, name) for name in self.__dataclass_fields__))
        return left if left.fed else Sums()

    @property
    def mean(self) -> float | None:
        """The mean reward, in [0, 1]; None where there is none."""
        return self.total / self.weight if self.weight > 0.0 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, in [0, 1].

        Wilson's (1927), of as many independent rewards as the clusters are worth (Korn and Graubard 1998: p (1 - p)
        over the variance of the ratio estimator), at most those there are.
        """
        mean, size = self.mean, self.size
        return None if mean is None or size <= 0.0 else wilson(mean, size)

    @property
    def size(self) -> float:
        """How many independent rewards the clusters are worth, in [0, `fed`]."""
        mean = self.mean
        if mean is None or self.clusters < 1:
            return 0.0
        if self.clusters > 1:
            spread = max(0.0, self.square - 2.0 * mean * self.cross + mean * mean * self.weights)
            variance = spread / self.weight**2 * self.clusters / (self.clusters - 1)
            if variance > 0.0:
                return min(float(self.fed), max(1.0, mean * (1.0 - mean) / variance))
        return float(self.clusters)


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's interval of a share out of `size` trials."""
    z2 = _Z * _Z / size
    centre = (share + z2 / 2.0) / (1.0 + z2)
    half = _Z / (1.0 + z2) * math.sqrt(share * (1.0 - share) / size + z2 / (4.0 * size))
    # The share lies in it, however they are rounded.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def renew(db: Connection, day: int) -> None:
    """Make a day's sums anew from its decisions, outcomes and conversations."""
    for table in ("days", "chosen_days", "reply_days", "signal_days", "intent_days", "conversation_days"):
        db.execute(f"delete from {table} where day = ?", (day,))
    _renew_rewards(db, day, "chosen")
    _renew_rewards(db, day, "''")
    _renew_replies(db, day)
    for script in SCRIPTS:
        db.execute(script, {"day": day})


def _renew_rewards(db: Connection, day: int, chosen: str) -> None:
    keys = f"loop, coalesce(channel, '') as channel, coalesce(language, '') as language, model_version, {chosen} as c"
    db.execute(
        f"""
        insert into days
        select ?, loop, channel, language, model_version, c, sum(n), sum(live), sum(explored), sum(abstained),
            sum(activated), sum(fed > 0), sum(fed), sum(w), sum(s), sum(s * s), sum(s * w), sum(w * w), sum(expected)
        from (
            select {keys}, count(*) as n, sum(live) as live, sum(explored and live) as explored,
                sum(abstained) as abstained, sum(activated) as activated, count(reward) as fed,
                coalesce(sum(case when reward is not null then weight end), 0.0) as w,
                coalesce(sum(reward * weight), 0.0) as s, sum(expected) as expected
            from decisions where day = ? group by loop, 2, 3, model_version, 5, conversation
        ) group by loop, channel, language, model_version, c
        """,
        (day, day),
    )


def _renew_replies(db: Connection, day: int) -> None:
    db.execute(
        """
        insert into reply_days
        select ?, loop, chosen, version, intent, sum(live), sum(activated), sum(fed > 0), sum(fed), sum(w), sum(s),
            sum(s * s), sum(s * w), sum(w * w)
        from (
            select loop, chosen, version, coalesce(intent, '') as intent, sum(live) as live,
                sum(activated) as activated, count(reward) as fed,
                coalesce(sum(case when reward is not null then weight end), 0.0) as w,
                coalesce(sum(reward * weight), 0.0) as s
            from decisions where day = ? group by loop, chosen, version, 4, conversation
        ) group by loop, chosen, version, intent
        """,
        (day, day),
    )
    added = ", ".join(f"sum({name})" for name in ("live", "activated", *Sums.__dataclass_fields__))
    db.execute(
        f"insert into reply_days select day, loop, '', 0, intent, {added} from reply_days where day = ? "
        "group by loop, intent",
        (day,),
    )
