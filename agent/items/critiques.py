"""Critiques: what a message says of items it wants, or of those it was shown, in English.

"Under 30", "cheaper", "not wool", "something like the second one", "none of these" (McGinty and Reilly, On the
evolution of critiquing recommenders, Recommender Systems Handbook, 2011). Pure: a text and the shop's own words go in.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_COINS = r"(?:pounds?|quid|gbp|euros?|eur|dollars?|usd|[£$€])"
# Not of people, days or centimetres.
_UNITS = (
    r"people|persons?|guests?|friends?|kids?|child(?:ren)?|days?|weeks?|months?|years?|yrs?|hours?|hrs?|minutes?|mins?"
    r"|[cm]?m|met(?:re|er)s?|inch(?:es)?|feet|k?g|grams?|kilos?|m?l|lit(?:re|er)s?|items?|pieces?|times|[ap]m|of"
    r"|o'clock|stars?|per ?cent"
)
_NUMBER = (
    rf"[£$€]?\s?(?<!\d)(\d{{1,3}}(?:,\d{{3}}){{1,2}}(?:\.\d{{1,2}})?|\d{{1,9}}(?:[.,]\d{{1,2}})?)(?:\s?{_COINS})?"
    rf"(?![\w%]|[.,]\d|[ -]?(?:{_UNITS})\b)"
)
_RANGE = re.compile(
    rf"(?:\b(?:between|from|spend)\s+|(?=[£$€])|(?=\b[\d.,]{{1,12}}\s?(?:-|\u2013|to)\s?[\d.,]{{1,12}}\s?{_COINS}))"
    rf"{_NUMBER}\s*(?:and|to|-|\u2013)\s*{_NUMBER}"
)
# "Not more than" is at most, and "nothing under" at least.
_BOUND = re.compile(
    r"(?P<not>\b(?:no|not|nothing|never|don't|doesn't|can't|cannot|won't)\s+"
    r"(?:(?:want|to|spend|pay|go|be|cost|costs|anything|much|that|is)\s+)*)?"
    r"\b(?:(?P<low>under|below|less than|cheaper than)|(?P<high>over|above|(?:more|dearer|more expensive) than)"
    r"|(?P<most>up to|at most|within|max(?:imum)?(?: of)?|budget (?:of|is)|spend)"
    rf"|(?P<least>at least|starting at|min(?:imum)?(?: of)?))\s+(?:about |around )?{_NUMBER}"
    rf"|{_NUMBER}\s+(?:(?P<less>or (?:less|under|below|cheaper)|max(?:imum)?|at (?:the )?most|tops)"
    r"|(?P<more>or (?:more|over|above)|at least|min(?:imum)?))\b"
)
_ABOUT = re.compile(rf"(?<!how )(?<!what )(?<!more )(?<!me )\b(?:around|about|roughly)\s+{_NUMBER}")
_ANY_PRICE = re.compile(r"\b(?:any price|price (?:does not|doesn't) matter|money is no object)\b")
# A price that says when something else is free.
_OTHER_PRICE = re.compile(r"\b(?:delivery|shipping|postage|orders?|discounts?|purchases?)\s+(?:\w+\s+){0,3}$")
_CHEAPER = re.compile(r"\b(?:(?<!not )cheaper|less expensive|(?:too|so) (?:expensive|dear|pricey)|more affordable)\b")
_DEARER = re.compile(
    r"\b(?:(?<!not )(?<!nothing )more expensive|dearer|pricier|fancier|more luxurious|better quality|too cheap)\b"
)
_YEARS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_AGE = re.compile(
    rf"\b(\d{{1,2}}|{'|'.join(_YEARS)})(?:[- ](?P<unit>year|yr|month)s?[- ]olds?| ?yo)\b|\baged? (\d{{1,2}})\b"
)
_MORE = re.compile(
    r"\b(?:(?:something|anything|what) else(?! than)|(?:show|see|got|give) (?:me )?(?:more|others)"
    r"|more (?:ideas|options)|other (?:ideas|ones|options|suggestions)|different ones)\b"
)
_NONE = re.compile(
    r"\b(?:(?:none|neither|not one) of (?:these|those|them)|not (?:these|those)"
    r"|(?:don't|do not|didn't) (?:really )?like (?:(?:any of )?(?:these|those|them)|any(?=\s*(?:[.,;!?]|$)))"
    r"|nothing (?:here|there|for me))(?!\w)"
)
_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3, "last": -1}
_NTH = "|".join(_ORDINALS)
_WHICH = re.compile(
    rf"\b(?<!my )(?:({_NTH}) (?:one|item|thing)s?\b|the ({_NTH})(?=\s*$|\s+(?:and|or|please)\b))"
    r"|(?:(?<!order )\bnumber ?|(?<!order )#)(\d)\b"
)
_NTH_OF = re.compile(rf"\bthe ({_NTH}) ([^\W\d_]+)")
_NUMERO = re.compile(r"\bno\.? ?(?=\d\b)")
_NOT = re.compile(
    r"\b(?:(?<!why )not(?! (?:only|just|sure|know|mind|necessarily)\b)|no(?! (?:idea|problem|matter|rush|preference)\b)"
    r"|nothing(?! but\b)|never|without|isn't|aren't|hates?|dislikes?|unlike|except|other than|else than"
    r"|(?:anything|everything) but|(?:do not|don't|does not|doesn't|did not|didn't|would not|wouldn't) (?:really )?"
    r"(?:want|like|need|fancy|care for|show)|(?:can't|cannot) (?:stand|bear)|allergic to|avoid|instead of|rather than"
    r"|leave out|take away|remove|drop|skip)\b"
)
# Said of what stands before it.
_NOT_THAT = re.compile(
    r"\b(?:is not|isn't|are not|aren't|not) (?:really |quite )?(?:for (?:me|us|him|her|them)\b"
    r"|(?:my|our|his|her|their) (?:taste|style|thing|colour)\b|what i\b|right\b|nice\b)"
)
_RATHER = re.compile(r"\brather\b([^.;!?,\n]+?)\bthan\b")
# A negation reaches to the end of its clause.
_CLAUSE_END = re.compile(
    r"[.;!?,\n]+|(?<!anything )(?<!everything )(?<!nothing )\bbut\b|\bhowever\b"
    r"|\band (?:rather|preferably|ideally|something|please|maybe|in)\b"
)
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_ABOUT_LOW, _ABOUT_HIGH = 0.7, 1.2
_BANDS = {"low": ("cheap", "inexpensive", "affordable"), "high": ("luxurious", "luxury", "premium")}
# Words that tell nothing of what somebody looks for.
_FILLERS = (
    "a about an and any anything are as at be bit budget but can could describe detail details did do does find for "
    "from give got have he help her him hm hmm how i i'd i'll i'm idea ideas if in instead is isn't it it's item "
    "items its just know like looking love made maybe me more my need of ok okay one ones or perhaps please possible "
    "prefer price rather really recommend see she show similar so some something sorry spend suggest suggestion take "
    "tell than thank thanks that that's the them then there these they thing things think this those though to too um "
    "us want was we well what what's which who why with would yes you"
)
_IGNORED = frozenset(_FILLERS.split())


@dataclass(frozen=True)
class Critique:
    """What one message says; what it does not say is None or empty.

    `lowest` and `highest` bound the price (infinite: any price); `dearer` asks for another price than what was shown
    (False: a lower one). `wanted` and `unwanted` are cues; `like` and `unlike` are positions of what was shown, from 0
    (-1 the last); `none` turns all of it down, `more` asks for others. `age` is that of a child it is for (years);
    `words` is how many words are left that could tell what to look for.
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
        if self.wanted or self.age is not None:
            return False
        if self.none or self.more or self.like or self.unlike or self.unwanted:
            return self.words <= 1
        return self.words == 0 and (self.dearer, self.lowest, self.highest) != (None, None, None)


class Vocabulary:
    """Which words name which cues: a shop's categories, and the values of its items' attributes.

    What is true or not goes by its attribute's name (`vegan:yes` by "vegan"), a price's band by words for it.
    """

    def __init__(self, cues: Collection[str]) -> None:
        self._cues: dict[str, list[str]] = {}
        for cue in sorted(cues):
            for name in _names(cue):
                self._cues.setdefault(_singular(name), []).append(cue)
        self._longest = max((name.count(" ") + 1 for name in self._cues), default=0)

    def named(self, text: str) -> list[str]:
        """The cues that a text names, in their order."""
        words, found = _words(text), dict[str, None]()
        for start in range(len(words)):
            for end in range(start + 1, min(start + self._longest, len(words)) + 1):
                forms = _forms(" ".join(words[start:end]))
                found |= dict.fromkeys(next((self._cues[form] for form in forms if form in self._cues), ()))
        return list(found)


def read(text: str, vocabulary: Vocabulary) -> Critique:
    """What a message says of items."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    lowest, highest, rest = _price(_NUMERO.sub("#", text))
    ages = [_years(match) for match in _AGE.finditer(rest)]
    # Others are asked for before "don't like any" is read as a negation.
    none, more = bool(_NONE.search(rest)), bool(_MORE.search(rest))
    rest = _RATHER.sub(r"\1 rather than", _MORE.sub(" ", _NONE.sub(" ", _AGE.sub(" ", rest))))
    dearer = False if _CHEAPER.search(rest) else True if _DEARER.search(rest) else None
    said: dict[bool, tuple[dict[str, None], dict[int, None]]] = {True: ({}, {}), False: ({}, {})}
    left = 0
    for clause in _CLAUSE_END.split(_DEARER.sub(" ", _CHEAPER.sub(" ", rest))):
        for good, part in zip((True, False), _halves(clause), strict=True):
            positions, other = _positions(part, vocabulary)
            said[good][0].update(dict.fromkeys(vocabulary.named(other)))
            said[good][1].update(dict.fromkeys(positions))
            left += sum(word not in _IGNORED for word in _words(other)) if good else 0
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
        age=min(ages, default=None),
        words=left,
    )


def _halves(clause: str) -> tuple[str, str]:
    """What a clause says yes to, and what no."""
    if (match := _NOT_THAT.search(clause)) and clause[: match.start()].strip():
        return "", clause[: match.start()]
    negation = _NOT.search(clause)
    return (clause, "") if negation is None else (clause[: negation.start()], clause[negation.end() :])


def _price(text: str) -> tuple[float | None, float | None, str]:
    """The least and the highest price that a text names, and the text without them."""
    lowest: float | None = None
    highest: float | None = None
    if match := _RANGE.search(text):
        lowest, highest = sorted(map(_amount, match.groups()))
        return lowest, highest, _without(text, match)
    rest = text
    for match in reversed([match for match in _BOUND.finditer(text) if not _OTHER_PRICE.search(text[: match.start()])]):
        rest, found = _without(rest, match), match.groupdict()
        price = _amount(next(group for group in match.groups() if group and group[0].isdigit()))
        upper = found["most"] or found["less"] or found["high" if found["not"] else "low"]
        # The last of what contradicts itself holds.
        if upper and highest is None and (lowest is None or lowest <= price):
            highest = price
        elif not upper and lowest is None and (highest is None or price <= highest):
            lowest = price
    if (lowest, highest) == (None, None):
        if match := _ABOUT.search(text):
            return _amount(match[1]) * _ABOUT_LOW, _amount(match[1]) * _ABOUT_HIGH, _without(text, match)
        if match := _ANY_PRICE.search(text):
            return 0.0, float("inf"), _without(text, match)
    return lowest, highest, rest


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}"


def _amount(number: str) -> float:
    """The number, of points and commas the last being the decimal one unless three digits follow a comma."""
    whole, comma, decimals = number.rpartition(",")
    return float(f"{whole}.{decimals}" if comma and len(decimals) < 3 else number.replace(",", ""))


def _years(match: re.Match[str]) -> int:
    number = match[1] or match[3]
    age = int(number) if number.isdigit() else _YEARS.index(number) + 1
    return age // 12 if match["unit"] == "month" else age


def _positions(text: str, vocabulary: Vocabulary) -> tuple[list[int], str]:
    """Positions that a text refers to, and the text without that."""
    found: list[int] = []

    def noted(match: re.Match[str]) -> str:
        if match.re is _NTH_OF:
            if not vocabulary.named(match[2]):
                return match[0]
            found.append(_ORDINALS[match[1]])
        elif nth := match[1] or match[2]:
            found.append(_ORDINALS[nth])
        elif number := int(match[3]):
            found.append(number - 1)
        return " "

    return found, _NTH_OF.sub(noted, _WHICH.sub(noted, text))


def _words(text: str) -> list[str]:
    return [match[0] for match in _WORD.finditer(text.lower())]


def _names(cue: str) -> list[str]:
    """The words that name a cue."""
    attribute, _, value = cue.partition(":")
    if attribute == "price":
        return list(_BANDS.get(value, ()))
    name = " ".join(_words({"yes": attribute, "no": ""}.get(value, value)))
    return [name] if len(name) > 1 else []  # a letter, such as that of a size, stands in many a sentence


def _singular(name: str) -> str:
    """A name whose last word is in the singular: mugs and mug are one, glass is one already."""
    if name.endswith("ies") and len(name) > 4:
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) and len(name) > 3 else name


def _forms(name: str) -> list[str]:
    """A name as it stands, and what it may be made of: woollen of wool, wooden of wood, silky of silk."""
    name = _singular(name)
    endings = [ending for ending in ("en", "len", "y", "ly") if name.endswith(ending) and len(name) - len(ending) >= 3]
    return [name, *(name[: -len(ending)] for ending in endings)]
