"""What the HTTP API accepts: unknown fields are refused, and nothing is coerced from one kind into another.

Names that pydantic does not know (`minimum`, `enum`, `pattern`) go into the OpenAPI document as they are: they say what
is checked elsewhere, by a validator here or by whom the body goes to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Extra, Field, StrictBool, StrictStr, root_validator, validator
from typing_extensions import Self

from agent.annotations import ANNOTATIONS
from agent.candidates import STATES, Reply
from agent.console.examples import EXAMPLES
from agent.console.versions import NOT_GIVEN
from agent.decision import Situation
from agent.drift import DriftSettings
from agent.rewards import SIGNALS
from agent.settings import BLOCKS, LoopSettings
from agent.slates import MOST, SlateSettings
from policies.settings import DEFAULTS

LONGEST_ID = 500
# As a pattern: not of blanks alone. To Python there are some more of them than to others who read a pattern.
SAID = r"[^\s\x1c-\x1f\x85]"
_FAR_OFF = 1e11  # unix seconds: the year 5138; a time in milliseconds lies beyond


class _Number(float):
    """A finite number; true and false are none, nor is text that looks like one."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], float]]:
        yield cls._finite

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema["type"] = "number"

    @classmethod
    def _finite(cls, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError("must be a finite number")
        return number


class _Whole(int):
    """A whole number; 1.0 is one, as to JSON it is 1, and some languages write no other."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], int]]:
        yield cls._whole

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema["type"] = "integer"

    @classmethod
    def _whole(cls, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("must be a whole number")
        return value


class _Id(str):
    """A name that somebody gave to something: 1 to `LONGEST_ID` characters that can be written as UTF-8."""

    __slots__ = ()

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], str]]:
        yield cls._name

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}

    @classmethod
    def _name(cls, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("must be text")
        if not 1 <= len(value) <= LONGEST_ID:
            raise ValueError(f"must have 1 to {LONGEST_ID} characters; got {len(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be text that can be written as UTF-8") from None
        return value


class _Part(_Number):
    """A number from 0 to 1, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "number", "minimum": 0, "maximum": 1}


class _Block(StrictStr):
    """What a context is made of beside the last message, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "enum": list(BLOCKS)}


class _Said(StrictStr):
    """Text that says something, which is seen to elsewhere."""

    @classmethod
    def __modify_schema__(cls, schema: dict[str, Any]) -> None:
        schema |= {"type": "string", "pattern": SAID}


if TYPE_CHECKING:  # to the checker they are what they hold
    Number = Part = float
    Whole = int
    Id = Said = Block = str
else:
    Number, Part, Whole, Id, Said, Block = _Number, _Part, _Whole, _Id, _Said, _Block


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


def _named(names: Iterable[str]) -> dict[str, Any]:
    return {"propertyNames": {"enum": list(names)}}


class LoopBody(_Body):
    """A loop's settings (those left out have their defaults) and candidates."""

    rules = {"allOf": [_needs("default_reward", "wait"), _needs("abstain", "threshold")]}

    policy: Id | None = Field(default=None, enum=list(DEFAULTS))
    learner: dict[str, Any] = Field(default_factory=dict, **_named(_LEARNERS))
    history: Number | None = Field(default=None, minimum=0, maximum=1)
    blocks: list[Block] | None = None
    threshold: Number | None = None
    wait: Number | None = Field(default=None, minimum=1, maximum=1e9)
    default_reward: Number | None = Field(default=None, minimum=0, maximum=1)
    default_weight: Number | None = Field(default=None, minimum=0.001, maximum=1)
    signals: dict[str, Part] | None = Field(default=None, **_named(SIGNALS))
    csat_decay: Number | None = Field(default=None, minimum=0, maximum=1)
    worth: dict[str, Part] | None = Field(default=None, **_named(SIGNALS))
    money: Number | None = Field(default=None, minimum=1e-9, maximum=1e12)
    window: Number | None = Field(default=None, minimum=1, maximum=1e9)
    slate: dict[str, Any] | None = Field(default=None, **_named(field.name for field in fields(SlateSettings)))
    share: Number | None = Field(default=None, anyOf=[{"const": 0}, {"minimum": 0.001, "maximum": 0.999}])
    share_floor: Number | None = Field(default=None, minimum=1, maximum=1e9)
    burst: Number | None = Field(default=None, anyOf=[{"const": 0}, {"minimum": 1, "maximum": 1e9}])
    burst_seconds: Number | None = Field(default=None, minimum=1, maximum=1e9)
    drift: dict[str, Any] | None = Field(default=None, **_named(field.name for field in fields(DriftSettings)))
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
    settings: dict[str, Any] = Field(default_factory=dict, **_named(_CHALLENGING))
    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: Whole | None = None


class StepBody(_Body):
    """Who takes a step with a loop's versions, why, and on which standing (`seen`, a `seq`) it was decided."""

    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: Whole | None = None
