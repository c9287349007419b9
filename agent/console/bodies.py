"""What the HTTP API accepts: unknown fields are refused, and nothing is coerced from one kind into another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Extra, Field, StrictBool, StrictInt, StrictStr, root_validator, validator
from typing_extensions import Self

from agent.candidates import Reply
from agent.console.examples import EXAMPLES
from agent.decision import Situation
from agent.slates import MOST

LONGEST_ID = 500
_FAR_OFF = 1e11  # unix seconds: the year 5138; a time in milliseconds lies beyond


class _Number(float):
    """A finite number; true and false are none, nor is text that looks like one."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], float]]:
        yield cls._finite

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


class _Id(str):
    """A name that somebody gave to something: 1 to `LONGEST_ID` characters that can be written as UTF-8."""

    __slots__ = ()

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], str]]:
        yield cls._name

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


if TYPE_CHECKING:  # to the checker they are what they hold
    Number = float
    Id = str
else:
    Number, Id = _Number, _Id


class _Body(BaseModel):
    class Config:
        extra = Extra.forbid

        @staticmethod
        def schema_extra(schema: dict[str, Any], model: type[BaseModel]) -> None:
            if model.__name__ in EXAMPLES:
                schema["example"] = EXAMPLES[model.__name__]

    @classmethod
    def validate(cls, value: Any) -> Self:
        """Only an object is one: a list of pairs, which could be made into one, is not."""
        if not isinstance(value, dict):
            raise TypeError("must be a JSON object")
        return super().validate(value)


class ContextBody(_Body):
    """What is known when a choice is made: a text, or the user's messages with the one to answer last.

    `replies` are the bot's before that, the latest last.
    """

    text: StrictStr | None = None
    messages: list[StrictStr] | None = Field(default=None, max_items=100)
    replies: list[StrictStr] = Field(default_factory=list, max_items=100)
    channel: Id | None = None
    features: dict[str, Number] = Field(default_factory=dict)

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

    id: Id
    text: StrictStr | None = None
    texts: list[StrictStr] | None = Field(default=None, min_items=1, max_items=100)
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

    loop: Id
    context: ContextBody
    conversation: Id | None = None
    person: Id | None = None
    message_id: Id | None = None
    candidates: list[Id | CandidateBody] | None = Field(default=None, min_items=1, max_items=10_000)
    update_candidates: StrictBool = False
    k: StrictInt = 1
    seed: StrictInt | None = None

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


class OutcomeBody(_Body):
    """A reaction to exactly one of a decision, a turn or a conversation."""

    decision_id: Id | None = None
    turn_id: Id | None = None
    conversation: Id | None = None
    signal: Id
    value: Number
    event_id: Id | None = None
    at: Number | None = None
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

    what: Id
    value: StrictBool | StrictStr | None = None
    turn_id: Id | None = None
    event_id: Id | None = None
    who: Id


class MarkBody(_Body):
    """A state for a candidate, or whether its words are approved."""

    state: Id | None = None
    approved: StrictBool | None = None
    who: Id
    why: StrictStr = ""


class ObservationBody(_Body):
    """What was used in a watched decision's place."""

    candidate: Id


class LoopBody(_Body):
    """A loop's settings (those left out have their defaults) and candidates."""

    policy: Id | None = None
    learner: dict[str, Any] = Field(default_factory=dict)
    history: Number | None = None
    blocks: list[StrictStr] | None = None
    threshold: Number | None = None
    wait: Number | None = None
    default_reward: Number | None = None
    default_weight: Number | None = None
    signals: dict[str, Number] | None = None
    csat_decay: Number | None = None
    worth: dict[str, Number] | None = None
    money: Number | None = None
    window: Number | None = None
    slate: dict[str, Any] | None = None
    share: Number | None = None
    share_floor: Number | None = None
    burst: Number | None = None
    burst_seconds: Number | None = None
    drift: dict[str, Any] | None = None
    floor: Number | None = None
    budget: Number | None = None
    conservative: Number | None = None
    width: Number | None = None
    baseline: Id | None = None
    strict: StrictBool | None = None
    abstain: StrictBool | None = None
    apprentice: StrictBool | None = None
    candidates: list[CandidateBody] = Field(default_factory=list, max_items=10_000)


class ChallengerBody(_Body):
    """Settings that are to challenge a loop's champion, as far as they differ from its, on a share of traffic.

    `seen` is the `seq` of the standing that this was decided on; without it, it holds whatever others did meanwhile.
    """

    share: Number
    policy: Id | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: StrictInt | None = None


class StepBody(_Body):
    """Who takes a step with a loop's versions, why, and on which standing (`seen`, a `seq`) it was decided."""

    who: Id | None = None
    why: StrictStr = Field(default="", max_length=1_000)
    seen: StrictInt | None = None
