"""Words: which of a message spoke for the reply that was chosen, and which against it, by leaving each out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import regex

from agent.encoder import Encoder, reference
from agent.errors import InvalidInput
from agent.moment import Moment, said

MOST = 40  # words left out one by one: each is a text more to encode
# Of scripts written without spaces, a character with its marks comes closer to a word than a line does.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTERS = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+"
_WORD = regex.compile(
    rf"\[(?:email|link|number)\]|[{_UNSPACED}]\p{{M}}*|{_LETTERS}(?:['’.·-]{_LETTERS})*",  # noqa: RUF001
    flags=regex.VERSION1,
)

Span = tuple[int, int]


def effects(moment: Moment, encoder: Encoder) -> dict[str, Any]:
    """What each word of the message did, for the candidate chosen and against the runner-up.

    The runner-up is the best of the other eligible candidates. The margin is the expected reward of the chosen one
    less that of the runner-up, under the model of that moment; a word's effect is the margin less the margin of the
    message without that word (leave-one-out: Robnik-Šikonja and Kononenko 2008; Li, Monroe and Jurafsky 2016).
    Words work together, so effects need not add up to the margin. Earlier messages and named features stay as they
    were. The log keeps redacted text only: where redaction had changed the message, all of this is about
    the redacted one, and `approximate`.

    Returns:
        `chosen`, `runner_up` (None where nothing else was eligible: then all is about the chosen one alone), `text`,
        `approximate`, `margin`, `margin_without_words` (of an empty message), and `words`: `text`, `start`, `end`
        (characters) and `effect` of each. Of a message of more than `MOST` words, neighbours are left out together.

    Raises:
        InvalidInput: the log does not hold what was said.
        ModelMissing: the encoder is not installed.
    """
    body = moment.decision.body
    if body.get("text") is None:
        raise InvalidInput(f"decision {moment.decision.id}: the log does not hold what was said")
    text, rival = body["text"], _runner_up(moment)
    found = spans(text)
    full, empty, *others = _margins(moment, encoder, [text, "", *rests(text, found)], rival)
    return {
        "chosen": body["chosen"],
        "runner_up": None if rival is None else body["candidates"][rival],
        "text": text,
        "approximate": reference(text) != said(moment.decision)[-1][0],
        "margin": full,
        "margin_without_words": empty,
        "words": [
            {"text": text[start:end], "start": start, "end": end, "effect": full - other}
            for (start, end), other in zip(found, others, strict=True)
        ],
    }


def spans(text: str, *, most: int = MOST) -> list[Span]:
    """Start and end of each word; of more than `most` words, of `most` runs of neighbours, as even as can be."""
    words = [found.span() for found in _WORD.finditer(text)]
    if len(words) <= most:
        return words
    edges = [len(words) * i // most for i in range(most + 1)]
    return [(words[first][0], words[last - 1][1]) for first, last in pairwise(edges)]


def rests(text: str, found: Sequence[Span]) -> list[str]:
    """What is left of the text without each of its spans; once all words are gone, nothing: signs alone say nothing."""
    if len(found) == 1:
        return [""]
    return [" ".join((text[:start] + text[end:]).split()) for start, end in found]


def _margins(moment: Moment, encoder: Encoder, texts: Sequence[str], rival: int | None) -> list[float]:
    """The margin of each text, had it been the message."""
    chosen = moment.decision.body["index"]
    expected = [moment.scores(moment.had_said(row)).mean.tolist() for row in encoder.encode(texts)]
    return [means[chosen] - (0.0 if rival is None else means[rival]) for means in expected]


def _runner_up(moment: Moment) -> int | None:
    """Index of the eligible candidate of the highest expected reward besides the chosen one."""
    body, expected = moment.decision.body, moment.scores().mean.tolist()
    others = [i for i, eligible in enumerate(body["eligible"]) if eligible and i != body["index"]]
    return max(others, key=expected.__getitem__, default=None)
