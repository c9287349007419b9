"""Critiques: what a message says of items it wants, or of those it was shown, in English.

"Under 30", "cheaper", "not wool", "something like the second one", "none of these" (McGinty and Reilly, On the
evolution of critiquing recommenders, Recommender Systems Handbook, 2011). Pure: a text and the shop's own words go in.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_NUMBER = r"[£$€]?\s?(\d+(?:[.,]\d{1,2})?)(?:\s?(?:pounds?|quid|gbp|euros?|eur|dollars?|usd|[£$€]))?(?![\w%])"
_BETWEEN = re.compile(rf"\b(?:between|from)\s+{_NUMBER}\s*(?:and|to|-)\s*{_NUMBER}")
_AT_MOST = re.compile(
    r"\b(?:under|below|less than|cheaper than|up to|at most|within|max(?:imum)?(?: of)?|(?:no|not) more than|not over"
    rf"|budget (?:of|is)|spend)\s+(?:about |around )?{_NUMBER}"
)
_AT_LEAST = re.compile(rf"\b(?:over|above|more than|at least|starting at|min(?:imum)?(?: of)?)\s+{_NUMBER}")
_ABOUT = re.compile(rf"\b(?:around|about|roughly)\s+{_NUMBER}")
_ANY_PRICE = re.compile(r"\b(?:any price|price (?:does not|doesn't) matter|money is no object)\b")
_CHEAPER = re.compile(r"\b(?:cheaper|less expensive|(?:too|so) (?:expensive|dear|pricey)|more affordable)\b")
_DEARER = re.compile(r"\b(?:more expensive|dearer|pricier|fancier|more luxurious|better quality|too cheap)\b")
_AGE = re.compile(r"\b(\d{1,2})[- ](?:years?|months?)[- ]olds?\b")
_MORE = re.compile(
    r"\b(?:something else|anything else|what else|(?:show|see|got) (?:me )?(?:more|others)|more (?:ideas|options)"
    r"|other (?:ideas|ones|options|suggestions)|different ones)\b"
)
_NONE = re.compile(
    r"\b(?:(?:none|neither|not one) of (?:these|those|them)|not (?:these|those)"
    r"|(?:don't|do not|didn't) (?:really )?like (?:any|these|those|them)|nothing (?:here|there|for me))\b"
)
_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3, "last": -1}
_WHICH = re.compile(rf"\b(?:({'|'.join(_ORDINALS)}) (?:one|item|thing)\b|(?:number|no\.?) ?(\d)\b)|#(\d)\b")
_NOT = re.compile(
    r"\b(?:not|no|without|isn't|aren't|hates?|dislikes?|(?:do not|don't|does not|doesn't) (?:really )?(?:want|like)"
    r"|except|other than|anything but|allergic to|avoid|instead of|rather than)\b"
)
# A negation reaches to the end of its clause.
_CLAUSE_END = re.compile(r"[.;!?,\n]+|\bbut\b|\bhowever\b|\band (?:rather|preferably|ideally)\b")
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_ENDINGS = ("len", "en", "es", "s", "y")
_ABOUT_LOW, _ABOUT_HIGH = 0.7, 1.2
_SHORT = 4  # words: nobody says what they look for in so few, beside a price


@dataclass(frozen=True)
class Critique:
    """What one message says; what it does not say is None or empty.

    `lowest` and `highest` bound the price (infinite: any price); `dearer` asks for another price than what was shown
    (False: a lower one). `wanted` and `unwanted` are cues; `like` and `unlike` are positions of what was shown, from 0
    (-1 the last); `none` turns all of it down, `more` asks for others. `age` is that of a child it is for (years);
    `words` is how many words there are.
    """

    lowest: float | None = None
    highest: float | None = None
    dearer: bool | None = None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    like: tuple[int, ...] = ()
    unlike: tuple[int, ...] = ()
    none: bool = False
    more: bool = False
    age: int | None = None
    words: int = 0

    @property
    def bare(self) -> bool:
        """Whether it is about what was shown, or a price, and tells nothing of what to look for."""
        about = self.none or self.more or self.dearer is not None or self.like or self.unlike or self.unwanted
        priced = (self.lowest, self.highest) != (None, None) and self.words <= _SHORT
        return not self.wanted and bool(about or priced)


class Vocabulary:
    """Which words name which cues: a shop's categories, and the values of its items' attributes."""

    def __init__(self, cues: Collection[str]) -> None:
        self._cues: dict[str, list[str]] = {}
        for cue in sorted(cues):
            name = " ".join(_words(cue.partition(":")[2]))
            if name:
                self._cues.setdefault(_stem(name), []).append(cue)
        self._longest = max((name.count(" ") + 1 for name in self._cues), default=0)

    def named(self, text: str) -> list[str]:
        """The cues that a text names, in their order."""
        words, found = _words(text), dict[str, None]()
        for start in range(len(words)):
            for end in range(start + 1, min(start + self._longest, len(words)) + 1):
                found |= dict.fromkeys(self._cues.get(_stem(" ".join(words[start:end])), ()))
        return list(found)


def read(text: str, vocabulary: Vocabulary) -> Critique:
    """What a message says of items."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    lowest, highest, rest = _price(text)
    age = _AGE.search(rest)
    # Others are asked for before "don't like any" is read as a negation.
    none, more = bool(_NONE.search(rest)), bool(_MORE.search(rest))
    rest = _MORE.sub(" ", _NONE.sub(" ", _AGE.sub(" ", rest)))
    dearer = False if _CHEAPER.search(rest) else True if _DEARER.search(rest) else None
    said: dict[bool, tuple[dict[str, None], dict[int, None]]] = {True: ({}, {}), False: ({}, {})}
    for clause in _CLAUSE_END.split(_DEARER.sub(" ", _CHEAPER.sub(" ", rest))):
        positive, negation, negative = clause, _NOT.search(clause), ""
        if negation is not None:
            positive, negative = clause[: negation.start()], clause[negation.end() :]
        for good, part in ((True, positive), (False, negative)):
            said[good][0].update(dict.fromkeys(vocabulary.named(part)))
            said[good][1].update(dict.fromkeys(_positions(part)))
    return Critique(
        lowest=lowest,
        highest=highest,
        dearer=dearer,
        wanted=tuple(said[True][0]),
        unwanted=tuple(said[False][0]),
        like=tuple(said[True][1]),
        unlike=tuple(said[False][1]),
        none=none,
        more=more,
        age=int(age[1]) if age and "year" in age[0] else 0 if age else None,
        words=len(_words(text)),
    )


def _price(text: str) -> tuple[float | None, float | None, str]:
    """The least and the highest price that a text names, and the text without them."""
    if match := _BETWEEN.search(text):
        lowest, highest = sorted(map(_amount, match.groups()))
    elif match := _AT_MOST.search(text):
        lowest, highest = None, _amount(match[1])
    elif match := _AT_LEAST.search(text):
        lowest, highest = _amount(match[1]), None
    elif match := _ABOUT.search(text):
        lowest, highest = _amount(match[1]) * _ABOUT_LOW, _amount(match[1]) * _ABOUT_HIGH
    elif match := _ANY_PRICE.search(text):
        lowest, highest = 0.0, float("inf")
    else:
        return None, None, text
    return lowest, highest, f"{text[: match.start()]} {text[match.end() :]}"


def _amount(number: str) -> float:
    return float(number.replace(",", "."))


def _positions(text: str) -> list[int]:
    """Positions that a text refers to."""
    return [
        _ORDINALS[match[1]] if match[1] else int(match[2] or match[3]) - 1
        for match in _WHICH.finditer(text)
        if match[1] or int(match[2] or match[3]) > 0
    ]


def _words(text: str) -> list[str]:
    return [match[0] for match in _WORD.finditer(text.lower())]


def _stem(name: str) -> str:
    """A name without the ending of its last word: woollen and wool, mugs and mug are one."""
    for ending in _ENDINGS:
        if name.endswith(ending) and len(name) - len(ending) >= 3:
            return name[: -len(ending)]
    return name
