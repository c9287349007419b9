"""What the HTTP API accepts: unknown fields are refused, and nothing is coerced from one kind into another.

Names that pydantic does not know (`minimum`, `enum`, `pattern`) go into the OpenAPI document as they are: they say what
is checked elsewhere, by a validator here or by whom the body goes to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from pydantic import BaseModel, Extra, Field, StrictBool, StrictStr, root_validator, validator
from typing_extensions import Self

from agent.annotations import ANNOTATIONS
from agent.candidates import STATES, Reply
from agent.console.examples import EXAMPLES
from agent.console.values import SAID, Block, Id, Number, Part, Said, Whole
from agent.console.versions import NOT_GIVEN
from agent.decision import Situation
from agent.drift import DriftSettings
from agent.rewards import SIGNALS
from agent.settings import LoopSettings
from agent.slates import MOST, SlateSettings
from policies.settings import DEFAULTS

_FAR_OFF = 1e11  # unix seconds: the year 5138; a time in milliseconds lies beyond


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _needs(name: str, other: str) -> dict[str, Any]:
    return {"anyOf": [{"properties": {name: {"enum": [None, False]}}}, _given(other)]}


class _Body(BaseModel):
    rules: ClassVar[Mapping[str, Any]] = {}  # what the document says of the fields together

    class Config:
        extra = Extra.forbid

        @staticmethod
        def schema_extra(schema: dict[str, Any], model: type[_Body]) -> None:
            for name, field in model.__fields__.items():
                if field.allow_none:
                    schema["properties"][name] = _or_null(schema["properties"][name])
            schema |= model.rules
            if model.__name__ in EXAMPLES:
                schema["example"] = EXAMPLES[model.__name__]

    @classmethod
    def validate(cls, value: Any) -> Self:
        """Only an object is one: a list of pairs, which could be made into one, is not."""
        if not isinstance(value, dict):
            raise TypeError("must be a JSON object")
        return super().validate(value)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema with null, which pydantic takes for what may be left out and leaves out of the schema."""
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {**schema, "anyOf": [*schema.get("anyOf", ()), {"type": "null"}]}


class ContextBody(_Body):
    """What is known when a choice is made: a text, or the user's messages with the one to answer last.

    `replies` are the bot's before that, the latest last.
    """

    rules = {"oneOf": [_given("text"), _given("messages")]}

    text: StrictStr | None = Field(default=None, pattern=SAID)
    messages: list[StrictStr] | None = Field(default=None, max_items=100, minItems=1)
    replies: list[StrictStr] = Field(default_factory=list, max_items=100)
    channel: Id | None = None
    features: dict[str, Part] = Field(default_factory=dict)

    @validator("features")
    @classmethod
    def _cues(cls, features: dict[str, float]) -> dict[str, float]:
        for name, value in features.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name!r} must be from 0 to 1; got {value:g}")
        return features

    @root_validator(skip_on_failure=True)
    @classmethod
    def _something_said(cls, values: dict[str, Any]) -> dict[str, Any]:
        text, messages = values["text"], values["messages"]
        if (text is None) == (messages is None):
            raise ValueError("give either text or messages")
        last = text if text is not None else (messages[-1] if messages else "")
        if not last.strip():
            raise ValueError("the message to answer is empty")
        return values


class CandidateBody(_Body):
    """A candidate with its words (`text`, or `texts` for several wordings)."""

    rules = {"oneOf": [_given("text"), _given("texts")]}

    id: Id
    text: StrictStr | None = Field(default=None, pattern=SAID)
    texts: list[Said] | None = Field(default=None, min_items=1, max_items=100)
    features: dict[str, Number] | None = None

    @root_validator(skip_on_failure=True)
    @classmethod
    def _words(cls, values: dict[str, Any]) -> dict[str, Any]:
        if (values["text"] is None) == (values["texts"] is None):
            raise ValueError("give either text or texts")
        if not all(text.strip() for text in values["texts"] or [values["text"]]):
            raise ValueError("a text is empty")
        return values

    @property
    def wordings(self) -> tuple[str, ...]:
        """Its words, one wording or several."""
        return tuple(self.texts) if self.texts is not None else (self.text or "",)

    def reply(self) -> Reply:
        """The candidate as a loop takes it: its words wait to be approved."""
        return Reply(self.id, self.wordings, dict(self.features or {}), approved=False)


class DecisionBody(_Body):
    """A choice to make in a loop. Candidates with words that the loop does not know are added to it."""

    rules = _needs("message_id", "conversation")

    loop: Id
    context: ContextBody
    conversation: Id | None = None
    person: Id | None = None
    message_id: Id | None = None
    candidates: list[Id | CandidateBody] | None = Field(default=None, min_items=1, max_items=10_000)
    update_candidates: StrictBool = False
    k: Whole = Field(default=1, minimum=1, maximum=MOST)
    seed: Whole | None = Field(default=None, minimum=0, maximum=2**53 - 1)

    @validator("k")
    @classmethod
    def _few(cls, k: int) -> int:
        if not 1 <= k <= MOST:
            raise ValueError(f"must be a whole number from 1 to {MOST}; got {k}")
        return k

    @validator("seed")
    @classmethod
    def _exact(cls, seed: int | None) -> int | None:
        if seed is not None and not 0 <= seed < 2**53:
            raise ValueError("must be a whole number from 0 to 2**53 - 1, which every JSON reader keeps exactly")
        return seed

    @root_validator(skip_on_failure=True)
    @classmethod
    def _addressed(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["message_id"] is not None and values["conversation"] is None:
            raise ValueError("message_id needs the conversation it belongs to")
        names = [c if isinstance(c, str) else c.id for c in values["candidates"] or []]
        if len(set(names)) < len(names):
            raise ValueError("candidates: an id occurs twice")
        return values

    def situation(self) -> Situation:
        """The situation as the service takes it."""
        context = self.context
        return Situation(
            messages=context.messages if context.messages is not None else [context.text or ""],
            conversation=self.conversation,
            person=self.person,
            message_id=self.message_id,
            channel=context.channel,
            features=context.features,
            replies=[reply for reply in context.replies if reply.strip()],
        )

    def names(self) -> list[str] | None:
        """The ids of the candidates, None for all that the loop has."""
        if self.candidates is None:
            return None
        return [candidate if isinstance(candidate, str) else candidate.id for candidate in self.candidates]

    def offered(self) -> list[CandidateBody]:
        """The candidates that came with their words."""
        return [candidate for candidate in self.candidates or [] if isinstance(candidate, CandidateBody)]


class SuggestionBody(DecisionBody):
    """A message that a person answers. Candidates with words that the loop does not know are added to it."""

    k: Whole = Field(default=1, enum=[1])

    @validator("k")
    @classmethod
    def _one(cls, k: int) -> int:
        if k != 1:
            raise ValueError(f"must be 1: replies are suggested instead of each other, not shown together; got {k}")
        return k


class OutcomeBody(_Body):
    """A reaction to exactly one of a decision, a turn or a conversation."""

    rules = {"oneOf": [_given("decision_id"), _given("turn_id"), _given("conversation")]}

    decision_id: Id | None = None
    turn_id: Id | None = None
    conversation: Id | None = None
    signal: Id = Field(enum=list(SIGNALS))
    value: Number
    event_id: Id | None = None
    at: Number | None = Field(default=None, minimum=0, exclusiveMaximum=_FAR_OFF)
    actor: Id | None = None

    @validator("at")
    @classmethod
    def _seconds(cls, at: float | None) -> float | None:
        if at is not None and not 0.0 <= at < _FAR_OFF:
            raise ValueError("must be in unix seconds (not milliseconds)")
        return at


class ReplyBody(_Body):
    """What a person wrote to whom replies were suggested."""

    text: StrictStr = Field(max_length=20_000)
    event_id: Id | None = None
    actor: Id | None = None


class CorrectionBody(_Body):
    """A value in place of an outcome's."""

    value: Number
    who: Id
    why: StrictStr = ""


class AnnotationBody(_Body):
    """What a reviewer notes about a conversation, or about a turn of it (as the log names it)."""

    what: Id = Field(enum=list(ANNOTATIONS))
    value: StrictBool | StrictStr | None = None
    turn_id: Id | None = None
    event_id: Id | None = None
    who: Id


class MarkBody(_Body):
    """A state for a candidate, or whether its words are approved."""

    rules = {"anyOf": [_given("state"), _given("approved")]}

    state: Id | None = Field(default=None, enum=list(STATES))
    approved: StrictBool | None = None
    who: Id
    why: StrictStr = ""


class ObservationBody(_Body):
    """What was used in a watched decision's place."""

    candidate: Id


_LEARNERS = sorted({name for settings in DEFAULTS.values() for name in settings})


# The names that a mapping may have.
_OF_LEARNERS = {"enum": _LEARNERS}
_OF_SIGNALS = {"enum": list(SIGNALS)}
_OF_SLATES = {"enum": [field.name for field in fields(SlateSettings)]}
_OF_DRIFT = {"enum": [field.name for field in fields(DriftSettings)]}


class LoopBody(_Body):
    """A loop's settings (those left out have their defaults) and candidates."""

    rules = {"allOf": [_needs("default_reward", "wait"), _needs("abstain", "threshold")]}

    policy: Id | None = Field(default=None, enum=list(DEFAULTS))
    learner: dict[str, Any] = Field(default_factory=dict, propertyNames=_OF_LEARNERS)
    history: Number | None = Field(default=None, minimum=0, maximum=1)
    blocks: list[Block] | None = None
    threshold: Number | None = None
    wait: Number | None = Field(default=None, minimum=1, maximum=1e9)
    default_reward: Number | None = Field(default=None, minimum=0, maximum=1)
    default_weight: Number | None = Field(default=None, minimum=0.001, maximum=1)
    signals: dict[str, Part] | None = Field(default=None, propertyNames=_OF_SIGNALS)
    csat_decay: Number | None = Field(default=None, minimum=0, maximum=1)
    worth: dict[str, Part] | None = Field(default=None, propertyNames=_OF_SIGNALS)
    money: Number | None = Field(default=None, minimum=1e-9, maximum=1e12)
    window: Number | None = Field(default=None, minimum=1, maximum=1e9)
    slate: dict[str, Any] | None = Field(default=None, propertyNames=_OF_SLATES)
    share: Number | None = Field(default=None, anyOf=[{"const": 0}, {"minimum": 0.001, "maximum": 0.999}])
    share_floor: Number | None = Field(default=None, minimum=1, maximum=1e9)
    burst: Number | None = Field(default=None, anyOf=[{"const": 0}, {"minimum": 1, "maximum": 1e9}])
    burst_seconds: Number | None = Field(default=None, minimum=1, maximum=1e9)
    drift: dict[str, Any] | None = Field(default=None, propertyNames=_OF_DRIFT)
    floor: Number | None = Field(default=None, minimum=0, maximum=1)
    budget: Number | None = Field(default=None, minimum=0, maximum=1)
    conservative: Number | None = Field(default=None, minimum=0, maximum=1)
    width: Number | None = Field(default=None, minimum=0)
    baseline: Id | None = None
    strict: StrictBool | None = None
    abstain: StrictBool | None = None
    apprentice: StrictBool | None = None
    candidates: list[CandidateBody] = Field(default_factory=list, max_items=10_000)


_CHALLENGING = sorted(({field.name for field in fields(LoopSettings)} | set(_LEARNERS)) - {"learner", *NOT_GIVEN})


class ChallengerBody(_Body):
    """Settings that are to challenge a loop's champion, as far as they differ from its, on a share of traffic.

    `seen` is the `seq` of the standing that this was decided on; without it, it holds whatever others did meanwhile.
    """

    share: Number = Field(minimum=0, maximum=1)
    policy: Id | None = Field(default=None, enum=list(DEFAULTS))
    settings: dict[str, Any] = Field(default_factory=dict, propertyNames={"enum": _CHALLENGING})
    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: Whole | None = None


class StepBody(_Body):
    """Who takes a step with a loop's versions, why, and on which standing (`seen`, a `seq`) it was decided."""

    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: Whole | None = None
