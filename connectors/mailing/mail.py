"""Mail: what an e-mail says, to whom an answer goes, and whether a person wrote it at all.

Only what is new in it counts: quoted mails and signatures are left out, where they are plainly that; when in doubt,
words stay. Headers are read the plain way of `compat32`: Python's newer parser stumbles over some malformed ones.
"""

from __future__ import annotations

import email
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from html import unescape

from agent.errors import InvalidInput

LONGEST_TEXT, LONGEST_SUBJECT, MOST_REFERENCES, MOST_PARTS = 10_000, 200, 20, 100
# Nobody writes more; reading it would hold up everybody else. (Characters; bytes.)
LONGEST_HEADER, LONGEST_PART = 8_000, 100_000
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_ID = re.compile(r"<[^<>\s]{3,250}>")
# How programs introduce the mail that they quote in full below what was written.
_QUOTED_BELOW = re.compile(
    r"(?:On|Am|Le|El|Il|Op|Em|Den) .{5,200}(?:wrote|schrieb.{0,100}|a écrit|escribió|ha scritto|schreef.{0,100}|"
    r"escreveu|skrev.{0,100}) ?:|"
    r"-{2,} ?(?:Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d'origine|Mensaje original|"
    r"Messaggio originale|Oorspronkelijk bericht|Forwarded message|Weitergeleitete Nachricht) ?-{2,}|_{20,}",
    re.IGNORECASE,
)
_HEADER_BELOW = re.compile(r"\*?(?:From|Von|De|Da|Van|Från):\*? .*@", re.IGNORECASE)
_SENT_FROM = re.compile(
    r"(?:Sent from|Get Outlook for|Von meinem .{1,40} gesendet|Gesendet von|Envoyé de|"
    r"Enviado desde|Inviato da) ?.{0,60}",
    re.IGNORECASE,
)

# HTML: what is a tag, what is not shown or quoted, and what begins a line.
_TAG, _NAME = re.compile(r"(<[^<>]{1,4000}>)"), re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})\b.*>$", re.DOTALL)
_UNSEEN = frozenset(("script", "style", "head", "title", "template", "blockquote"))
_BLOCKS = frozenset(("p", "div", "br", "li", "tr", "table", "ul", "ol", "h1", "h2", "h3", "h4", "hr", "pre"))
_QUOTES = re.compile(r"gmail_quote|yahoo_quoted|moz-cite-prefix|divRplyFwdMsg|appendonsend")
_DEEPEST = 100


@dataclass(frozen=True)
class Mail:
    """A mail. `automatic` says why it needs no answer, where it needs none: answering machines would talk for ever."""

    id: str
    sender: str | None
    reply_to: str | None
    subject: str
    references: tuple[str, ...]
    text: str
    automatic: str | None


def read_mail(raw: bytes) -> Mail:
    """The mail in these bytes; its end may be missing.

    Raises:
        InvalidInput: they are none.
    """
    try:
        message = email.message_from_bytes(raw)
        sender = address_of(message.get("From"))
        ids = _ID.findall(str(message.get("Message-ID") or "")[:LONGEST_HEADER])
        named = _ID.findall(f"{_words(message.get('References'))} {_words(message.get('In-Reply-To'))}")
        return Mail(
            id=ids[0] if ids else f"<{hashlib.sha256(raw).hexdigest()}@no-id>",
            sender=sender,
            reply_to=address_of(message.get("Reply-To")) or sender,
            subject=_words(message.get("Subject"))[:LONGEST_SUBJECT],
            references=tuple(dict.fromkeys(named))[-MOST_REFERENCES:],
            text=_text(message)[:LONGEST_TEXT],
            automatic=_automatic(message),
        )
    except (AttributeError, LookupError, MessageError, RecursionError, TypeError, ValueError) as error:
        raise InvalidInput(f"this is not an e-mail ({type(error).__name__})") from error


def address_of(value: object) -> str | None:
    """The one address in a header, in lower case; None where there is none, or several, or one of a rare form."""
    text = re.sub(r"\([^()]*\)\s*$", "", str(value or "")[:LONGEST_HEADER]).strip()
    inside = re.findall(r"<([^<>]*)>", text)
    address = inside[0].strip() if len(inside) == 1 else text
    return address.lower() if _ADDRESS.fullmatch(address) else None


def new_words(text: str) -> str:
    """What was written anew: without the mail that it answers, and without a signature. All of it, where none is."""
    kept: list[str] = []
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    for at, line in enumerate(lines):
        if line == "--" or _starts_quotation(lines, at):
            break
        if line.startswith(">"):
            _drop_introduction(kept)
        else:
            kept.append(line)
    found = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    first, _, last = found.rpartition("\n")
    if first and _SENT_FROM.fullmatch(last):
        found = first.strip()
    return found or text.strip()


def _starts_quotation(lines: list[str], at: int) -> bool:
    two = f"{lines[at]} {lines[at + 1]}" if at + 1 < len(lines) else ""
    if any(_QUOTED_BELOW.fullmatch(line.strip()) for line in (lines[at], two) if len(line) < 500):
        return True
    # Outlook's: From, then Sent, To and Subject, all with a colon.
    block = lines[at : at + 4]
    headed = len(block) == 4 and all(":" in line[:20] for line in block)
    return bool(headed and len(block[0]) < 500 and _HEADER_BELOW.match(block[0]))


def _drop_introduction(kept: list[str]) -> None:
    """Take away the line before a quotation that says who wrote it: in any language, it ends with a colon."""
    while kept and not kept[-1]:
        kept.pop()
    if kept and kept[-1].endswith(":") and re.search(r"@|\d\d", kept[-1]):
        kept.pop()


def _text(message: Message) -> str:
    """The new words of the first part that is plain text; else of the first that is HTML."""
    html = ""
    for part in _parts(message):
        if part.get_content_type() == "text/plain" and (found := new_words(_payload(part))):
            return found
        if part.get_content_type() == "text/html":
            html = html or _payload(part)
    return new_words(html_words(html))


def _parts(message: Message) -> Iterator[Message]:
    """What was written, without what is attached, such as other mails."""
    waiting, seen = [message], 0
    while waiting and seen < MOST_PARTS:
        part, seen = waiting.pop(0), seen + 1
        payload = part.get_payload()
        if isinstance(payload, list) and part.get_content_maintype() == "multipart":
            waiting = [*payload, *waiting]
        elif not isinstance(payload, list) and part.get_content_disposition() != "attachment":
            yield part


def _payload(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    content = content[:LONGEST_PART]
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _words(value: object) -> str:
    raw = str(value or "")[-LONGEST_HEADER:]
    try:
        text = str(make_header(decode_header(raw)))
    except (LookupError, ValueError, MessageError):
        text = raw
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _automatic(message: Message) -> str | None:
    """Why no person wrote it, or none wants an answer (RFC 3834, RFC 2369, RFC 3464, and what Exchange asks for)."""
    submitted = re.split(r"[;(\s]", str(message.get("Auto-Submitted") or "no").strip(), maxsplit=1)[0]
    suppressed = re.split(r"[,\s]+", str(message.get("X-Auto-Response-Suppress") or "").lower())
    sender = str(address_of(message.get("From")) or "")
    reasons = {
        "automatic": submitted.lower() != "no" or "all" in suppressed or "autoreply" in suppressed,
        "a list's": any(name.lower().startswith("list-") for name in message),
        "bulk": str(message.get("Precedence") or "").strip().lower() in ("bulk", "junk", "list", "auto_reply"),
        "a bounce": str(message.get("Return-Path") or "").strip() == "<>"
        or message.get_content_type() in ("multipart/report", "message/delivery-status")
        or sender.startswith(("mailer-daemon@", "postmaster@")),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def html_words(page: str) -> str:
    """The words of a page, a line a block; without quoted mails.

    Python's own parser takes minutes over pages of 100 KB that are made for that.
    """
    said: list[str] = []
    unseen: list[str] = []  # the tags that are open of what is not shown, or quoted
    for piece in _TAG.split(_without_comments(page)):
        tag = _NAME.match(piece)
        if tag is None:
            said += [] if unseen else [re.sub(r"\s+", " ", unescape(piece))]
            continue
        ends, name = bool(tag[1]), tag[2].lower()
        if not unseen and name in _BLOCKS:
            said.append("\n")
        if ends and name in unseen:
            del unseen[len(unseen) - 1 - unseen[::-1].index(name) :]
        elif not ends and len(unseen) < _DEEPEST and (name in unseen or _is_aside(name, piece)):
            unseen.append(name)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in "".join(said).split("\n"))).strip()


def _is_aside(name: str, tag: str) -> bool:
    return name in _UNSEEN or (name == "div" and _QUOTES.search(tag) is not None)


def _without_comments(page: str) -> str:
    kept, at = [], 0
    while (start := page.find("<!--", at)) >= 0 and (end := page.find("-->", start)) >= 0:
        kept.append(page[at:start])
        at = end + 3
    return "".join([*kept, page[at:]])
