"""A decision's moment: the model, the context and the candidates it was made with, rebuilt from the log."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from agent.candidates import blend
from agent.errors import InvalidInput
from agent.log import Event, LearningLog
from agent.model import Model, blocks_of, context_of
from agent.safety import limits_from
from agent.settings import LoopSettings
from agent.slates import cued, layout_from
from agent.snapshots import Snapshots
from agent.standing import settings_of
from policies.features import VECTOR
from policies.safety import limit
from policies.types import Candidate, Context, Scores
from policies.types import InvalidInput as Refused

# Another machine may add the same numbers up in another order; nothing larger is rounding.
TOLERANCE = 1e-9
SAMPLE = 50  # decisions of a loop of which the vector is made again


@dataclass(frozen=True)
class Recomputed:
    """How far a vector made again lies from the one logged: the largest absolute difference of any candidate's.

    `difference` is that of the probabilities, `expected_difference` that of the expected rewards.
    """

    difference: float
    expected_difference: float

    @property
    def repeats(self) -> bool:
        """Whether the probabilities are those logged, but for rounding."""
        return self.difference <= TOLERANCE

    def as_body(self) -> dict[str, Any]:
        """What a report holds of it."""
        return {"repeats_vector": self.repeats, **asdict(self)}


@dataclass(frozen=True, eq=False)
class Moment:
    """One decision, with all that the model needs to make it again: k candidates, and the model as it was."""

    decision: Event
    log: LearningLog
    model: Model
    context: Context
    candidates: tuple[Candidate, ...]

    @classmethod
    def of(cls, decision: Event, log: LearningLog, model: Model) -> Moment:
        """Fold the model, which must not be past it, up to where the decision's was.

        Raises:
            InvalidInput: the log holds no embedding of what was said by the encoder then in use.
            Unknown: the log does not hold the loop's settings, or one of the candidates.
        """
        body = decision.body
        assert model.seq <= body["model_seq"], "a model cannot be unfolded"
        model.catch_up(body["model_seq"])
        offered = zip(body["candidates"], body["versions"], body["eligible"], strict=True)
        candidates = [replace(model.offer(id, version=version), eligible=free) for id, version, free in offered]
        context = context_of(decision, log, encoder=model.settings.encoder)
        return cls(decision, log, model, context, tuple(cued(candidates, body.get("cues", {}))))

    def had_said(self, message: array[float]) -> Context:
        """The decision's context with another message to answer, given as its embedding (d floats)."""
        refs = said(self.decision)
        known = self.log.vectors([ref for ref, _ in refs[:-1]], encoder=self.model.settings.encoder)
        earlier = [known[ref] for ref, _ in refs[:-1]]
        return replace(self.context, vector=blend([*earlier, message], [weight for _, weight in refs]))

    def scores(self, context: Context | None = None) -> Scores:
        """What the candidates would have been expected to earn then, in the decision's context or in another."""
        scores = self.model.learner.scores(context or self.context, self.candidates, at=self.decision.at)
        if (slate := self.decision.body.get("slate")) is None:
            return scores
        return layout_from(slate).scores(scores, self.candidates, slate["above"])

    def probabilities(self, scores: Scores) -> Tensor:
        """Probabilities (k,) of the candidates. The one place that repeats what a decision does to the scores."""
        body = self.decision.body
        probabilities = self.model.learner.distribution(scores, body["eligible"])
        limits = limits_from(body.get("limits", {}), body["candidates"])
        return probabilities if limits is None else limit(probabilities, scores, body["eligible"], limits)

    def recompute(self) -> Recomputed:
        """Make the decision's vector again and compare it with the one logged."""
        scores, body = self.scores(), self.decision.body
        expected = [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]
        return Recomputed(
            difference=_largest_gap(self.probabilities(scores).tolist(), body["probabilities"]),
            expected_difference=_largest_gap(scores.mean.tolist(), expected),
        )


class Moments:
    """Moments of a loop's decisions, asked for in order of `model_seq`.

    Each is made with a model folded under the settings of the decision's own arm, from one to the next. Of models that
    took turns the `kept` last used are at hand; another begins again, from a snapshot where there is one.
    """

    def __init__(self, log: LearningLog, loop: str, *, snapshots: Snapshots | None = None, kept: int = 3) -> None:
        self._log, self._loop, self._snapshots, self._most = log, loop, snapshots, kept
        self._models: dict[str, Model] = {}  # by version, the one used last at the end

    def of(self, decision: Event) -> Moment:
        """The decision, with its model as it was.

        Raises:
            InvalidInput: the log has no such arm at that time, or no embedding of what was said by its encoder.
            Unknown: the log does not hold one of the candidates.
        """
        return Moment.of(decision, self._log, self.model(settings_of(self._log, decision)))

    def model(self, settings: LoopSettings) -> Model:
        """The model that folds under these settings, as far as it is folded."""
        version = settings.version
        model = self._models.pop(version, None)
        model = model or Model(self._log, self._loop, snapshots=self._snapshots, settings=settings)
        self._models[version] = model
        if len(self._models) > self._most:
            del self._models[next(iter(self._models))]
        return model


def repeated(moments: Moments, decisions: Sequence[Event]) -> tuple[float, list[str]]:
    """Make the vectors of a sample of decisions again.

    Returns:
        The largest difference to what is logged, and what is wrong, one line each.
    """
    ordered = sorted(decisions, key=lambda decision: decision.body["model_seq"])
    number = min(SAMPLE, len(ordered))
    largest, problems = 0.0, []
    for decision in (ordered[len(ordered) * i // number] for i in range(number)):
        place = f"decision {decision.id} (seq {decision.seq})"
        try:
            again = moments.of(decision).recompute()
        except (InvalidInput, Refused) as error:
            problems.append(f"{place}: it cannot be made again: {error}")
            continue
        largest = max(largest, again.difference)
        if not again.repeats:
            problems.append(f"{place}: its probabilities made again differ by {again.difference:g}")
    return largest, problems


def said(decision: Event) -> list[tuple[str, float]]:
    """Hash and weight of each text that a decision's context vector is made of, the message to answer last."""
    return blocks_of(decision)[VECTOR]


def _largest_gap(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
