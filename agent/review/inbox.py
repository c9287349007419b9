"""The inbox: unanswered questions that ask the same, in piles, so that one reply answers many."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.bench import Bench, context_of_message
from agent.encoder import reference
from agent.errors import InvalidInput, ModelMissing, Unknown
from agent.model import context_of
from agent.review.clusters import clusters
from agent.review.index import ReviewIndex
from agent.review.unanswered import Question, Search, questions
from agent.service import Service

BINS = 10  # of the curve of how often something was asked
ACTIONS = "actions"  # the loop of whole replies, where a bot has several
_LOOKED_UP = 60  # piles, the largest, of which the closest reply is told: each takes some milliseconds
_DAY = 86_400.0


@dataclass(frozen=True)
class Closest:
    """The reply that the model in force expects most of, and how much."""

    loop: str
    id: str
    text: str
    expected: float


@dataclass(frozen=True)
class Pile:
    """Questions that ask the same, newest first, and their different texts, the most central first.

    `persons` has who asked, by question; `loop` is whose replies would answer.
    """

    questions: Sequence[Question]
    texts: Sequence[str]
    loop: str
    persons: Mapping[str, str]
    closest: Closest | None
    since: float
    now: float

    @property
    def key(self) -> str:
        """The question that stands for all: the latest of the most central words."""
        return next(question.key for question in self.questions if said(question) == said_of(self.texts[0]))

    @property
    def medoid(self) -> str:
        """The words that stand for all."""
        return self.texts[0]

    @property
    def customers(self) -> int:
        """How many people asked; who is not known is told by the conversation."""
        return len({self.persons.get(question.key, question.conversation) for question in self.questions})

    @property
    def counts(self) -> list[tuple[str, int]]:
        """The texts with how often each was asked."""
        times = Counter(said(question) for question in self.questions)
        return [(text, times[said_of(text)]) for text in self.texts]

    @property
    def curve(self) -> list[int]:
        """How often it was asked in each of `BINS` equal stretches of the time looked at."""
        found = [0] * BINS
        for question in self.questions:
            place = (question.at - self.since) / (self.now - self.since) * BINS
            found[min(max(int(place), 0), BINS - 1)] += 1
        return found

    @property
    def trend(self) -> int:
        """How many more in the later half of the time than in the earlier."""
        return sum(self.curve[BINS // 2 :]) - sum(self.curve[: BINS // 2])

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why they are here, the most frequent reason first."""
        found = Counter(reason for question in self.questions for reason in question.reasons)
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))

    def without(self, settled: set[str]) -> Pile | None:
        """What is left of it once some questions were seen to; None if nothing is."""
        left = [question for question in self.questions if question.key not in settled]
        if len(left) == len(self.questions):
            return self
        there = {said(question) for question in left}
        texts = [text for text in self.texts if said_of(text) in there]
        return replace(self, questions=left, texts=texts) if left else None


@dataclass(frozen=True)
class Inbox:
    """The piles, the largest first, as of `seq` of the index and a time; and how many questions there were."""

    piles: Sequence[Pile]
    seq: int
    at: float

    @property
    def size(self) -> int:
        """How many questions there are."""
        return sum(len(pile.questions) for pile in self.piles)

    def without(self, settled: set[str]) -> Inbox:
        """What is left of it once some questions were seen to."""
        left = [pile for pile in (pile.without(settled) for pile in self.piles) if pile is not None]
        return replace(self, piles=_in_order(left))

    def pile(self, key: str) -> Pile:
        """The pile that holds a question.

        Raises:
            Unknown: no pile does: somebody has seen to it, or it is too long ago.
        """
        for pile in self.piles:
            if any(question.key == key for question in pile.questions):
                return pile
        raise Unknown("this question is not in the inbox any more: somebody has seen to it, or it is too long ago")


def sort(service: Service, index: ReviewIndex, search: Search, *, now: float) -> Inbox:
    """Bring the questions without an answer into piles. Takes seconds where they are many or without embeddings.

    Without an encoder, those that have no embedding stay alone.
    """
    seq = index.seq
    asked = questions(index, search, now=now)
    benches = {loop: service.bench(loop) for loop in {question.loop or _loop(service) for question in asked} if loop}
    texts = _texts(asked)
    vectors = _vectors(service, texts.values(), next(iter(benches.values()), None))
    by_text = {text: [q for q in asked if texts[said(q)] == text] for text in texts.values()}
    persons = _persons(service, asked)
    since = now - search.days * _DAY
    groups = [cluster.texts for cluster in clusters(vectors)]
    groups += [[text] for text in sorted(by_text) if text not in vectors]
    piles = []
    for group in groups:
        some = sorted((q for text in group for q in by_text[text]), key=lambda question: -question.seq)
        loop = Counter(q.loop for q in some if q.loop).most_common(1)
        name = loop[0][0] if loop else _loop(service)
        piles.append(Pile(some, list(group), name, persons, None, since, now))
    piles = _in_order(piles)
    for place, pile in enumerate(piles[:_LOOKED_UP]):
        closest = _closest(service, benches.get(pile.loop), pile, vectors.get(pile.medoid))
        piles[place] = replace(pile, closest=closest)
    return Inbox(piles, seq, now)


def said(question: Question) -> str:
    """A question's words, without what makes no difference."""
    return said_of(question.text)


def said_of(text: str) -> str:
    """Words without what makes no difference: case, spaces, and the signs at their end."""
    return " ".join(text.casefold().split()).rstrip(" .!?…") or text.strip()


def _in_order(piles: Sequence[Pile]) -> list[Pile]:
    return sorted(piles, key=lambda pile: (-len(pile.questions), -pile.questions[0].at, pile.medoid))


def _texts(asked: Sequence[Question]) -> dict[str, str]:
    """For what was said, the way in which it was written most often."""
    written: dict[str, Counter[str]] = {}
    for question in asked:
        written.setdefault(said(question), Counter())[question.text] += 1
    return {words: min(found, key=lambda text: (-found[text], text)) for words, found in written.items()}


def _vectors(service: Service, texts: Collection[str], bench: Bench | None) -> dict[str, array[float]]:
    """The embeddings of texts: those in the log, else made now."""
    wanted = list(dict.fromkeys(texts))
    if bench is None or not wanted:
        return {}
    known = service.log.vectors([reference(text) for text in wanted], encoder=bench.encoder)
    found = {text: known[reference(text)] for text in wanted if reference(text) in known}
    missing = [text for text in wanted if text not in found]
    with suppress(ModelMissing):
        found |= dict(zip(missing, service.encoder(bench.encoder).encode(missing), strict=True)) if missing else {}
    return found


def _persons(service: Service, asked: Sequence[Question]) -> dict[str, str]:
    known = service.log.persons(question.seq for question in asked)
    return {question.key: known[question.seq] for question in asked if question.seq in known}


def _loop(service: Service) -> str:
    """The loop whose replies answer questions that no loop was asked: the one of whole replies, else the first."""
    loops = [loop for loop in service.loops() if loop != "responses" and not loop.startswith("items:")]
    return ACTIONS if ACTIONS in loops else next(iter(loops), "")


def _closest(service: Service, bench: Bench | None, pile: Pile, vector: array[float] | None) -> Closest | None:
    """What the model in force would say to the words that stand for all, in the context they were said in."""
    if bench is None or vector is None:
        return None
    context = context_of_message(vector)
    same = [q.decision for q in pile.questions if q.loop == bench.loop and q.text == pile.medoid]
    decided = next((decision for decision in same if decision is not None), None)
    if decided is not None and (event := next(service.log.read(after=decided - 1, upto=decided), None)) is not None:
        with suppress(InvalidInput):  # made with another encoder
            context = context_of(event, service.log, encoder=bench.encoder)
    found = bench.nearest(context, vector)
    if found is None:
        return None
    reply, expected = found
    return Closest(bench.loop, reply.id, next(iter(reply.texts), reply.title), expected)
