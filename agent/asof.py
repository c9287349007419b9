"""As of: a loop as it stood at an earlier time, and what its learning came to over time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.album import Album
from agent.apprentice import taught
from agent.errors import InvalidInput, Unknown
from agent.log import Event, LearningLog
from agent.means import Mean, mean_of
from agent.model import Model, context_of
from agent.past import CONTEXTS, Past, Sample, decisions_of, event_at, said_in, seq_at, shown_most, spread, time_of
from agent.service import Service
from agent.settings import LoopSettings
from agent.standing import Standing, standing_of
from policies.types import InvalidInput as Refused

POSITIONS = 30  # of a slider over a loop's past
_NOTHING = 1e-9  # less weight than this is what rounding has left of none
_LOOKED_AT = 8  # decisions of a window of which regret is estimated
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Known:
    """What was known of a candidate: its state, what people made of it, and what was expected of it.

    `feedback` is how much stood on it in thumbs, before any guard, and `mean` the mean reward of that. `expected` is
    the mean over a sample of contexts, of any height, and `deviation` how unsure the model was; None where candidates
    are too many to work it out, or the log has no context by the encoder then in use.
    """

    id: str
    version: int
    state: str
    approved: bool
    feedback: float
    mean: float | None
    expected: float | None
    deviation: float | None


@dataclass(frozen=True)
class AsOf:
    """A loop as it stood after the event at `seq` (`at`, unix seconds), under the settings in force then.

    `rewards` is the number of decisions that had earned something that counted.
    """

    loop: str
    seq: int
    at: float
    settings: LoopSettings
    challenger: LoopSettings | None
    share: float
    rewards: int
    candidates: Sequence[Known]


def as_of(
    service: Service,
    loop: str,
    *,
    at: float | None = None,
    seqs: Sequence[int] | None = None,
    progress: Progress = lambda _done, _all: None,
) -> list[AsOf]:
    """The loop at a time (unix seconds), or after each of the events at `seqs`, in one fold from the first to the last.

    Expectations are means over contexts spread over the decisions in the log, the same for every position, so that
    what differs between two of them is what was learned. The cost is one fold up to the last position, from the last
    milestone before the first one, and for each position the scoring of the sample; what was worked out once is kept
    (`agent.album`) until the log, and so the sample, has grown by a twentieth.

    Raises:
        Unknown: there was no such loop then.
        InvalidInput: neither a time nor any `seqs`, or both.
    """
    if (at is None) == (not seqs):
        raise InvalidInput("as of: give a time, or the seqs of events")
    log, album, past = service.log, Album(service.home, loop), Past(service, loop)
    last = log.last_seq()
    wanted = sorted({min(seq, last) for seq in seqs}) if seqs else [seq_at(log, loop, at if at is not None else 0.0)]
    stand = _stand_for(decisions_of(log, loop))
    kept, fresh, samples = album.read(), dict[str, Any](), dict[str, Sample]()
    found = []
    for number, seq in enumerate(wanted, 1):
        standing = standing_of(log, loop, upto=seq)
        if (settings := standing.champion) is None:
            raise Unknown(f"there was no loop {loop!r} then; known now are {', '.join(service.loops()) or 'none'}")
        name = f"as of {seq} {settings.version} {_digest(stand)}"
        if (known := kept.get(name)) is None:
            if settings.encoder not in samples:
                samples[settings.encoder] = Sample.of(log, stand, encoder=settings.encoder)
            known = fresh[name] = _figures(past.model(seq, settings), samples[settings.encoder], time_of(log, seq))
        found.append(_as_of(loop, seq, standing, known))
        progress(number, len(wanted))
    album.add(fresh)
    return found


def positions(service: Service, loop: str, n: int = POSITIONS) -> list[int]:
    """`seq` of at most n places spread evenly over a loop's decisions, the last being the end of the log.

    They are a round number of decisions apart, and so stay where they are while the log grows a little.

    Raises:
        Unknown: there is no such loop.
    """
    service.settings(loop)  # there must be such a loop
    made, last = decisions_of(service.log, loop), service.log.last_seq()
    apart = _round_up(len(made) / n)
    # Just before the next stretch begins: what was said of a stretch's last decision belongs to it.
    return [*(seq - 1 for seq in made[apart::apart]), last]


def _round_up(number: float) -> int:
    """The least of 1, 2, 5, 10, 20, … that is no less."""
    tens = 1
    while True:
        for digit in (1, 2, 5):
            if digit * tens >= number:
                return digit * tens
        tens *= 10


def _stand_for(made: Sequence[int]) -> list[int]:
    """Decisions whose contexts stand for all, evenly spread over those up to a number that seldom changes."""
    step = max(1, 10 ** (len(str(len(made))) - 2) * 5)
    return spread(made[: len(made) // step * step] or made, CONTEXTS)


def _digest(seqs: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, seqs)).encode()).hexdigest()[:12]


def _figures(model: Model, sample: Sample, at: float) -> dict[str, Any]:
    """What is kept of a position: how many rewards, and a row for each candidate."""
    expected = sample.expected(model, shown_most(model), at=at)
    rows = []
    for reply in model.library.all():
        weight, total = model.ledger.earned(reply.id)
        earned = max(0.0, min(1.0, total / weight)) if weight > _NOTHING else None
        said = (max(0.0, weight), earned, *expected.get(reply.id, (None, None)))
        rows.append([reply.id, reply.version, reply.state, reply.approved, *said])
    return {"at": at, "rewards": len(model.ledger.told), "candidates": rows}


def _as_of(loop: str, seq: int, standing: Standing, figures: Mapping[str, Any]) -> AsOf:
    assert standing.champion is not None, "figures are of a loop that exists"
    candidates = tuple(Known(*row) for row in figures["candidates"])
    known = (figures["rewards"], candidates)
    return AsOf(loop, seq, figures["at"], standing.champion, standing.challenger, standing.share, *known)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a loop's decisions that have feedback, from `since` to `until` (unix seconds; the last is at `seq`).

    `window` is the mean reward of the stretch, `cumulative` that of all up to its end. `forgone` is what the decisions
    looked at gave up by their own model's expectations: best expected less chosen. `hindsight` is the same by the
    expectations of today's model, which knows better; both are estimates by a model, not measurements, and None where
    nothing could be scored. `explored` is the mean probability of any other than the best-expected candidate.
    """

    seq: int
    since: float
    until: float
    window: Mean
    cumulative: Mean
    forgone: float | None
    hindsight: float | None
    explored: float | None


def learning_curve(
    service: Service, loop: str, *, n: int = POSITIONS, upto: int | None = None, hindsight: bool = True
) -> list[Stretch]:
    """What the decisions of a loop earned over time, in n stretches of equally many with feedback.

    The rewards are those that stand at the end (`upto`, a `seq`), in the order in which the decisions were made;
    defaults that nobody gave are left out. Intervals resample persons. The log has no true regret, since nobody
    knows what the others would have earned: `forgone` and `hindsight` stand in for it, on a sample of each stretch.
    `hindsight` scores that sample anew, which is most of the cost where it is small otherwise.

    Raises:
        Unknown: there is no such loop.
    """
    log, upto = service.log, service.log.last_seq() if upto is None else upto
    settings = standing_of(log, loop, upto=upto).champion
    if settings is None:
        raise Unknown(f"unknown loop {loop!r}; known are {', '.join(service.loops()) or 'none yet'}")
    model = Past(service, loop).model(upto, settings)
    rows = sorted((seq, said) for _, seq, said in said_in(model.ledger).values())
    number, found, start = min(n, len(rows)), list[Stretch](), 0
    for i in range(1, number + 1):
        end = i * len(rows) // number
        seqs = [seq for seq, _ in rows[start:end]]
        some = [event_at(log, seq) for seq in spread(seqs, _LOOKED_AT)]
        found.append(
            Stretch(
                seq=seqs[-1],
                since=time_of(log, seqs[0]),
                until=time_of(log, seqs[-1]),
                window=mean_of(said for _, said in rows[start:end]),
                cumulative=mean_of(said for _, said in rows[:end]),
                forgone=_mean([_forgone(event.body) for event in some if event.body["live"]]),
                hindsight=_mean([_hindsight(log, model, event) for event in some if hindsight]),
                explored=_mean([_explored(event.body) for event in some]),
            )
        )
        start = end
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _expected(body: Mapping[str, Any]) -> list[float]:
    return [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]


def _forgone(body: Mapping[str, Any]) -> float:
    expected = _expected(body)
    best = max(mean for mean, eligible in zip(expected, body["eligible"], strict=True) if eligible)
    return float(best - expected[body["index"]])


def _explored(body: Mapping[str, Any]) -> float:
    expected = _expected(body)
    eligible = [i for i, free in enumerate(body["eligible"]) if free]
    return 1.0 - float(body["probabilities"][max(eligible, key=expected.__getitem__)])


def _hindsight(log: LearningLog, model: Model, decision: Event) -> float | None:
    """What a decision gave up by a model's expectations; None where that cannot score it."""
    body = decision.body
    if (used := taught(decision, () if body["live"] else log.evidence(decision))) is None:
        return None
    try:
        context = context_of(decision, log, encoder=model.settings.encoder)
        offered = [
            model.offer(id, version=version) for id, version in zip(body["candidates"], body["versions"], strict=True)
        ]
        means = model.learner.scores(context, offered, at=decision.at).mean.tolist()
    except (InvalidInput, Refused):
        return None
    return float(max(mean for mean, free in zip(means, body["eligible"], strict=True) if free) - means[used])
