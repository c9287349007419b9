"""Letters: a message of the bot's as an e-mail, in plain words and as simple HTML.

Headers are written the plain way of `compat32`: Python's newer policies encode Message-IDs as long as Outlook's, and
then no program finds the thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from html import escape

from connectors.core.content import Content


@dataclass(frozen=True)
class Letter:
    """What a mail says: the bot's content and, where there is one, a question with links (title, address) to answer."""

    content: Content
    question: str = ""
    links: Sequence[tuple[str, str]] = ()

    def message(self, headers: Mapping[str, str]) -> MIMEMultipart:
        """The mail with these headers, whose values are of one line each."""
        message = MIMEMultipart("alternative")
        for name, value in headers.items():
            message[name] = value
        message.attach(MIMEText(self.text(), "plain", "utf-8"))
        message.attach(MIMEText(self.html(), "html", "utf-8"))
        return message

    def text(self) -> str:
        """In words; choices are numbered, to be answered by their number."""
        said = self.content.plain(numbered=True)
        asked = "\n".join([self.question, *(f"{title}: {address}" for title, address in self.links)])
        return f"{said}\n\n-- \n{asked}\n" if self.question else f"{said}\n"

    def html(self) -> str:
        """As simple HTML."""
        blocks = [_paragraph(escape(part)) for part in self.content.text.split("\n\n") if part.strip()]
        blocks += [_paragraph(_image(self.content.image))] if self.content.image else []
        for card in self.content.cards:
            title = f"<b>{escape(card.title)}</b>"
            lines = [_image(card.image) if card.image else "", _link(card.url, title) if card.url else title]
            blocks.append(_paragraph("\n".join(filter(None, [*lines, escape(card.subtitle)]))))
        if self.content.attachment:
            blocks.append(_paragraph(_link(self.content.attachment, escape(self.content.attachment))))
        every = [*self.content.buttons, *(button for card in self.content.cards for button in card.buttons)]
        blocks += [_paragraph(_link(b.url, escape(b.title))) for b in every if b.url and not b.payload]
        if choices := self.content.choices():
            blocks.append(f"<ol>{''.join(f'<li>{escape(button.title)}</li>' for button in choices)}</ol>")
        if self.question:
            links = " · ".join(_link(address, escape(title)) for title, address in self.links)
            blocks.append(_paragraph(f"{escape(self.question)} {links}"))
        return f"<!doctype html>\n<html><body>{''.join(blocks)}</body></html>\n"


def _paragraph(html: str) -> str:
    return f"<p>{html}</p>".replace("\n", "<br>")


def _link(address: str, html: str) -> str:
    return f'<a href="{escape(address)}">{html}</a>'


def _image(address: str) -> str:
    return f'<img src="{escape(address)}" alt="" style="max-width: 30em">'
