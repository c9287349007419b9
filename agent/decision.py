"""One decision: the situation it answers, how its candidates weighed, and what the log keeps of it."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent import examples, safety, slates
from agent.candidates import ABSTAIN, Reply, barred, stacked
from agent.encoder import Encoder, reference
from agent.errors import InvalidInput, NoneEligible
from agent.log import Event, Vector
from agent.model import Model, context_from
from agent.settings import LoopSettings
from agent.standing import CHAMPION
from policies.base import Learner, position_seed
from policies.features import VECTOR
from policies.safety import Limits
from policies.slate import Layout
from policies.types import Candidate, Choice, Context, Scores

_EARLIER_MESSAGES = 3
# What was said a turn earlier weighs this much less; texts further back than so many are not looked at.
_FADING, _LONGEST_HISTORY = 0.7, 8


@dataclass(frozen=True)
class Situation:
    """What is known when a choice is made, as the caller has it: ids and texts in the clear, nothing hashed yet.

    `messages` are the user's, oldest first, the one to answer last; `replies` are the bot's before that, the latest
    last. `features` are named cues in [0, 1], such as `intent:refund` with the confidence in it. `message_id` is the
    channel's id of the last message.
    """

    messages: Sequence[str]
    conversation: str | None = None
    person: str | None = None
    message_id: str | None = None
    channel: str | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    replies: Sequence[str] = ()


@dataclass(frozen=True)
class Decision:
    """One choice, as logged: its id, the candidate chosen, and the probability of every candidate.

    `version` is that of the chosen one's words. One that is not `live` is only watched; `abstained` says of such that
    nothing would have been chosen. `arm` is who decided, the champion or a challenger, and `share` how likely it was to
    be them.
    """

    id: str
    loop: str
    chosen: str
    propensity: float
    probabilities: Mapping[str, float]
    model_version: str
    model_seq: int
    turn: str | None
    live: bool
    abstained: bool
    slate: str | None = None
    position: int = 0
    version: int = 0
    arm: str = CHAMPION
    share: float = 1.0

    @classmethod
    def of(cls, event: Event) -> Decision:
        """The decision that a decision event holds."""
        body = event.body
        return cls(
            id=event.id,
            loop=event.loop or "",
            chosen=body["chosen"],
            propensity=body["propensity"],
            probabilities=dict(zip(body["candidates"], body["probabilities"], strict=True)),
            model_version=body["model_version"],
            model_seq=body["model_seq"],
            turn=event.turn,
            live=body["live"],
            abstained=body.get("abstained", False),
            slate=(slate := body.get("slate") or {}).get("id"),
            position=slate.get("position", 0),
            version=body["versions"][body["index"]],
            arm=body.get("arm", CHAMPION),
            share=body.get("share", 1.0),
        )


@dataclass(frozen=True)
class Frame:
    """A situation and its k candidates as the learner takes them, before anything is scored."""

    context: Context
    refs: Mapping[str, Sequence[tuple[str, float]]]
    vectors: Sequence[Vector]
    candidates: Sequence[Candidate]
    versions: Sequence[int]
    barred: Sequence[str | None]
    cues: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def with_cues(self, cues: Mapping[str, tuple[float, Mapping[str, float]]]) -> Frame:
        """The same with what holds only now: named numbers of candidates by id, and how much each speaks for them."""
        weights = {name: weight for name, (weight, _) in cues.items()}
        columns = {name: [float(of.get(c.id, 0.0)) for c in self.candidates] for name, (_, of) in cues.items()}
        context = replace(self.context, features={**self.context.features, **weights})
        return replace(
            self, context=context, candidates=slates.cued(self.candidates, columns), cues={**self.cues, **columns}
        )

    def best(self, scores: Scores, *, threshold: float | None) -> int | None:
        """Index of the eligible candidate of the highest expected reward; None if even that is below the threshold."""
        means = scores.mean.tolist()
        eligible = [i for i, candidate in enumerate(self.candidates) if candidate.eligible]
        best = max(eligible, key=means.__getitem__)
        return None if threshold is not None and means[best] < threshold else best


def frame(
    model: Model,
    encoder: Encoder,
    situation: Situation,
    names: Sequence[str] | None,
    *,
    at: float,
    several: bool = False,
) -> Frame:
    """Make a situation and the named candidates (all of the loop's unless named) ready for the learner.

    Where abstaining is a candidate, it comes last. `at` is when the choice is made (unix seconds). `several` are to be
    chosen at once.

    Raises:
        InvalidInput: no message, no candidates, or an unknown name.
        NoneEligible: none of the candidates may be chosen.
    """
    if not situation.messages:
        raise InvalidInput("there is no message to decide on")
    replies = _offered(model, names)
    reasons = barred(replies, strict=model.settings.strict, several=several, at=at)
    if None not in reasons:
        raise NoneEligible(f"loop {model.loop!r}: none of its {len(replies)} candidates is eligible{_counted(reasons)}")
    candidates = [model.offer(reply.id, eligible=why is None) for reply, why in zip(replies, reasons, strict=True)]
    blocks = _blocks(situation, model.settings)
    texts = list(dict.fromkeys(text for block in blocks.values() for text, _ in block))
    vectors = {reference(text): row for text, row in zip(texts, encoder.encode(texts), strict=True)}
    refs = {name: [(reference(text), weight) for text, weight in block] for name, block in blocks.items()}
    framed = Frame(
        context=context_from(vectors, refs, dict(situation.features)),
        refs=refs,
        vectors=[Vector(ref, encoder.name, row.tobytes()) for ref, row in vectors.items()],
        candidates=candidates,
        versions=[reply.version for reply in replies],
        barred=reasons,
    )
    like = _likeness(model, replies, vectors[reference(situation.messages[-1])])
    return framed.with_cues({examples.CUE: (1.0, like)}) if like else framed


def _likeness(model: Model, replies: Sequence[Reply], message: array[float]) -> dict[str, float]:
    """How much the message is one of the questions that a reply was written for, for those for which it is at all."""
    found, vector = dict[str, float](), None
    for reply in replies:
        if (questions := model.examples(reply)) is not None:
            vector = stacked([message])[0] if vector is None else vector
            if like := examples.likeness(vector, questions):
                found[reply.id] = like
    return found


def _blocks(situation: Situation, settings: LoopSettings) -> dict[str, list[tuple[str, float]]]:
    """The texts of each block of the context, each with its weight: the message to answer, and the dialogue before it.

    The bot's last reply is a block of its own; what was said before it, by either side, fades from turn to turn.
    """
    said, replies = list(situation.messages), list(situation.replies)
    message = said[-1 - (_EARLIER_MESSAGES if settings.history else 0) :]
    blocks = {VECTOR: [(text, settings.history**age) for age, text in _aged(message)]}
    if "last_reply" in settings.blocks and replies:
        blocks["last_reply"] = [(replies[-1], 1.0)]
    if "history" in settings.blocks and (earlier := [*_aged(said[:-1]), *_aged(replies[:-1])]):
        blocks["history"] = [(text, _FADING**age) for age, text in sorted(earlier)[:_LONGEST_HISTORY]]
    return blocks


def _aged(texts: Sequence[str]) -> list[tuple[int, str]]:
    """Texts with how many came after each, the oldest first."""
    return [(len(texts) - 1 - place, text) for place, text in enumerate(texts)]


def _offered(model: Model, names: Sequence[str] | None) -> list[Reply]:
    """The candidates named, or all; and abstaining where that is one, though nobody needs to name it."""
    if names is None:
        # Where abstaining has ceased to be a candidate, the log still knows it.
        names = [reply.id for reply in model.library.all() if reply.id != ABSTAIN or reply.prior is None]
    named = [model.library.get(name) for name in names if name != ABSTAIN or not model.settings.abstain]
    return [*named, model.library.get(ABSTAIN)] if named and model.settings.abstain else named


def _counted(reasons: Sequence[str | None]) -> str:
    """How many candidates may not be chosen for which reason, to be put behind a sentence."""
    counts = {why: reasons.count(why) for why in dict.fromkeys(reasons)}
    return f" ({', '.join(f'{count} {why}' for why, count in counts.items())})" if counts else ""


@dataclass(frozen=True)
class Placing:
    """What a slate of at most `k` keeps to; `looked_at` is the chance that a position (from 0) is looked at."""

    layout: Layout
    k: int
    limits: Limits | None
    looked_at: Callable[[int], float]


def slate_bodies(
    framed: Frame,
    learner: Learner,
    placing: Placing,
    *,
    seed: int,
    at: float,
    live: bool,
) -> list[dict[str, Any]]:
    """Choose a slate: the body of a decision event for each position, from the first on."""
    layout, limits = placing.layout, placing.limits
    eligible = [candidate.eligible for candidate in framed.candidates]
    k = min(placing.k, sum(eligible))
    choices = learner.choose_slate(
        framed.context, framed.candidates, k=k, seed=seed, at=at, limits=limits, layout=layout
    )
    slate, above, bodies = uuid.uuid4().hex, list[int](), list[dict[str, Any]]()
    for position, choice in enumerate(choices):
        left = layout.eligible(eligible, above)
        barred = [why or (None if free else "not here") for why, free in zip(framed.barred, left, strict=True)]
        here = replace(framed, candidates=_eligible(framed.candidates, left), barred=barred)
        body = body_of(here, choice, learner, seed=int(position_seed(seed, position)), live=live, limits=limits)
        where = slates.body_of(
            layout, slate=slate, position=position, above=above, examination=placing.looked_at(position)
        )
        bodies.append({**body, "abstained": False, "slate": where})
        limits = limits and limits.after(choice.scores, left, choice.index)
        above = [*above, choice.index]
    return bodies


def _eligible(candidates: Sequence[Candidate], eligible: Sequence[bool]) -> list[Candidate]:
    return [replace(candidate, eligible=free) for candidate, free in zip(candidates, eligible, strict=True)]


def body_of(
    framed: Frame, choice: Choice, learner: Learner, *, seed: int, live: bool, limits: Limits | None = None
) -> dict[str, Any]:
    """The body of a decision event: enough to repeat the draw, to explain it, and to judge other policies by it."""
    ids = [candidate.id for candidate in framed.candidates]
    return {
        "policy": learner.name,
        "context": {
            "blocks": {name: [list(ref) for ref in refs] for name, refs in framed.refs.items()},
            "features": dict(framed.context.features),
        },
        "candidates": ids,
        "versions": list(framed.versions),
        **({"cues": {name: list(values) for name, values in framed.cues.items()}} if framed.cues else {}),
        "eligible": [candidate.eligible for candidate in framed.candidates],
        "barred": {id: why for id, why in zip(ids, framed.barred, strict=True) if why is not None},
        "parts": {name: part.tolist() for name, part in choice.scores.parts.items()},
        "deviation": choice.scores.deviation.tolist(),
        "probabilities": choice.probabilities.tolist(),
        "epsilon": learner.epsilon,
        "limits": {} if limits is None else safety.body_of(limits, choice, framed.candidates),
        "seed": seed,
        "index": choice.index,
        "chosen": ids[choice.index],
        "propensity": choice.probability,
        "live": live,
    }
