"""A simulation: labelled questions played through the real service, one a round, to see how fast it learns.

Context = the question, candidates = the labels, reward 1 where the label chosen is the right one, else 0. Each row
is decided on before its reward is known: nothing looks ahead.
"""

from __future__ import annotations

import csv
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.candidates import Reply
from agent.decision import Situation, frame
from agent.encoder import Encoder
from agent.errors import InvalidInput
from agent.log import LearningLog
from agent.service import Service
from agent.settings import LoopSettings
from policies.settings import DEFAULTS

_TEXT_COLUMNS = ("text", "sentence")
_LABEL_COLUMNS = ("category", "label", "intent")
_LOOP = "simulation"
# Of the labels of a question one is right.
_RIVALS = 2
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Question:
    """A row of a labelled file."""

    text: str
    label: str


@dataclass(frozen=True)
class Result:
    """What a simulation found. Shares are in [0, 1]; those on test rows are None where there was no test file.

    `zero_shot_accuracy` is the share of in-scope test rows answered right before any feedback, `test_accuracy` after
    all of it, both by the candidate of the highest expected reward.
    """

    rounds: int
    candidates: int
    average_reward: float
    last_half_average_reward: float
    zero_shot_accuracy: float | None
    test_accuracy: float | None
    test_rows: int
    decisions_per_second: float
    policy: str
    seed: int

    def as_json(self) -> dict[str, object]:
        """The result as a JSON object."""
        return asdict(self)


def simulate(
    questions: Sequence[Question],
    settings: LoopSettings,
    *,
    test: Sequence[Question] = (),
    replies: Mapping[str, str] | None = None,
    rounds: int | None = None,
    seed: int = 0,
    encoder: Callable[[str], Encoder] = Encoder,
    progress: Progress = lambda *_: None,
) -> Result:
    """Play `rounds` of the questions (each once unless said otherwise) in an order drawn from the seed.

    `replies` gives a label's text; without it the words of the label are its text. The log of the simulation is a
    scratch one and thrown away.

    Raises:
        InvalidInput: no questions, a label without a reply, or fewer than one round.
    """
    rounds = len(questions) if rounds is None else rounds
    if not questions or rounds < 1:
        raise InvalidInput(f"nothing to play: {len(questions)} questions, {rounds} rounds")
    labels = list(dict.fromkeys(question.label for question in questions))
    offered = [Reply(label, (_text_of(label, replies),)) for label in labels]
    with tempfile.TemporaryDirectory(prefix="rejoinder-") as folder:
        log = LearningLog(Path(folder) / "learning.db", scratch=True)
        service = Service(Path(folder), encoder=encoder, log=log)
        try:
            # Rounds follow one another faster than customers do: many alike in a minute are no sign of anything.
            service.configure(_LOOP, replace(settings, burst=None), who="simulate")
            service.reconcile(_LOOP, offered, who="simulate")
            _encode(service, settings, questions, test, progress)
            zero_shot = _accuracy(service, test)
            rewards, seconds = _play(service, _order(questions, rounds, seed), seed, progress)
            trained = _accuracy(service, test)
        finally:
            log.close()
    later = rewards[rounds // 2 :]
    return Result(
        rounds=rounds,
        candidates=len(labels),
        average_reward=sum(rewards) / rounds,
        last_half_average_reward=sum(later) / len(later),
        zero_shot_accuracy=zero_shot,
        test_accuracy=trained,
        test_rows=len(test),
        decisions_per_second=rounds / seconds,
        policy=settings.policy,
        seed=seed,
    )


def settings_for(policy: str) -> LoopSettings:
    """The settings of a simulation unless others are given.

    Raises:
        InvalidInput: there is no such policy.
    """
    known = DEFAULTS.get(policy, {})
    return LoopSettings(policy=policy, learner={"rivals": _RIVALS} if "rivals" in known else {})


def read_questions(path: Path, *, none_label: str | None = None) -> list[Question]:
    """The rows of a CSV file with a text column (text or sentence) and a label column (category, label or intent).

    Rows labelled `none_label` are out of scope and left out.

    Raises:
        InvalidInput: the file cannot be read, lacks a column, or has a row without text or label (its line is named).
    """
    columns, rows = _read(path)
    text = _column(path, columns, _TEXT_COLUMNS)
    label = _column(path, columns, _LABEL_COLUMNS)
    questions = []
    for line, row in rows:
        if not (row.get(text) or "").strip() or not (row.get(label) or "").strip():
            raise InvalidInput(f"{path}, line {line}: {text!r} or {label!r} is empty")
        if row[label].strip() != none_label:
            questions.append(Question(row[text].strip(), row[label].strip()))
    if not questions:
        raise InvalidInput(f"{path}: no rows in scope")
    return questions


def read_replies(path: Path) -> dict[str, str]:
    """The text of each label, from a CSV file with the columns label and text."""
    columns, rows = _read(path)
    label, text = _column(path, columns, _LABEL_COLUMNS), _column(path, columns, _TEXT_COLUMNS)
    return {(row[label] or "").strip(): (row[text] or "").strip() for _, row in rows}


def _read(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = [(reader.line_num, row) for row in reader]
            return list(reader.fieldnames or ()), rows
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path}: not a CSV file in UTF-8 ({error})") from error


def _column(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in columns:
            return name
    raise InvalidInput(f"{path}: needs a column {' or '.join(wanted)}; it has {', '.join(columns) or 'none'}")


def _text_of(label: str, replies: Mapping[str, str] | None) -> str:
    if replies is None:
        return re.sub(r"[\W_]+", " ", label).strip().lower() or label
    if not replies.get(label):
        raise InvalidInput(f"the replies file has no text for the label {label!r}")
    return replies[label]


def _order(questions: Sequence[Question], rounds: int, seed: int) -> list[Question]:
    """Every question once before any comes twice, each pass in an order of its own."""
    shuffled, order = random.Random(seed), []  # type: tuple[random.Random, list[Question]]
    while len(order) < rounds:
        order += shuffled.sample(questions, len(questions))
    return order[:rounds]


def _encode(
    service: Service,
    settings: LoopSettings,
    questions: Sequence[Question],
    test: Sequence[Question],
    progress: Progress,
) -> None:
    texts = [question.text for question in (*questions, *test)]
    done = 0

    def report(number: int) -> None:
        nonlocal done
        done += number
        progress("encoding", done, len(texts))

    service.encoder(settings.encoder).encode(texts, progress=report)


def _play(service: Service, order: Sequence[Question], seed: int, progress: Progress) -> tuple[list[float], float]:
    rewards: list[float] = []
    start = time.perf_counter()
    for number, question in enumerate(order, 1):
        draw_seed = random.Random(f"{seed}/{number}").getrandbits(53)
        decision = service.decide(_LOOP, Situation([question.text]), seed=draw_seed)
        if decision is None:  # below the threshold, where one is set: nothing was said, nothing earned
            rewards.append(0.0)
            continue
        rewards.append(float(decision.chosen == question.label))
        service.record(signal="reward", value=rewards[-1], decision=decision.id, source="simulate")
        if number % 50 == 0 or number == len(order):
            progress("playing", number, len(order))
    return rewards, time.perf_counter() - start


def _accuracy(service: Service, test: Sequence[Question]) -> float | None:
    if not test:
        return None
    model = service.model(_LOOP)
    encoder = service.encoder(model.settings.encoder)
    right = 0
    for question in test:
        framed = frame(model, encoder, Situation([question.text]), None, at=0.0)
        scores = model.learner.scores(framed.context, framed.candidates, at=time.time())
        best = framed.best(scores, threshold=None)
        right += best is not None and framed.candidates[best].id == question.label
    return right / len(test)
