"""The words: all of them translated, none of them left in a template where nobody can translate it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from agent.console import words
from agent.console.language import COOKIE, DEFAULT, LANGUAGES, accepted, gettext, ngettext, speaking
from agent.console.rendering import HERE, templates

OTHERS = [language for language in LANGUAGES if language != DEFAULT]
TEMPLATES = sorted(path.relative_to(HERE / "templates").as_posix() for path in (HERE / "templates").rglob("*.html"))
# Names, which are the same in every language; and a variable's value inside a word of markup.
NAMES = {"Rejoinder", "English", "Deutsch"}
SHOWN = {"alt", "title", "aria-label", "placeholder", "data-label", "data-key-label", "data-hint", "data-then"}


def strings(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, tuple) else [message.string or ""]


def ids(message: Message) -> list[str]:
    return list(message.id) if isinstance(message.id, tuple) else [message.id]


@pytest.mark.parametrize("language", OTHERS)
def test_the_catalogue_is_what_make_words_would_write(language: str) -> None:
    path = HERE / "locales" / f"{language}.po"
    assert path.read_bytes() == words.updated(language), "make words brings it up to date"


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_keeps_what_is_put_in(language: str) -> None:
    kept = {message.id: message for message in words.kept(language)}
    found = [message for message in words.extracted() if message.id]
    assert len(found) > 100
    for message in found:
        translated = kept[message.id]
        assert not translated.fuzzy, message.id
        for text, english in zip(strings(translated), ids(message), strict=True):
            assert text.strip(), message.id
            assert marks(text) == marks(english), message.id


def marks(text: str) -> tuple[Counter[str], Counter[str]]:
    """The placeholders and the tags in a message."""
    return Counter(re.findall(r"%\(\w+\)\w|%.", text)), Counter(re.findall(r"</?\w+", text))


class Bare(HTMLParser):
    """The words of a template that stand in it as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag == "code"
        self.found += [value for name, value in attrs if name in SHOWN and value and wordy(value)]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "code"

    def handle_data(self, data: str) -> None:
        if not self._code and wordy(data) and data.strip(" \n·") not in NAMES:
            self.found.append(data.strip())


def wordy(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}", text))


def said(node: nodes.Expr) -> str:
    """What an expression puts out of its own, if it may put out words of the template."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    if isinstance(node, nodes.Const):
        return str(node.value)
    if isinstance(node, nodes.CondExpr):
        return said(node.expr1) + (said(node.expr2) if node.expr2 else "")
    if isinstance(node, nodes.Or):
        return said(node.left) + said(node.right)
    if isinstance(node, nodes.Concat):
        return "".join(said(part) for part in node.nodes)
    return ""


def bare(source: str) -> Iterator[str]:
    """Words in a template's markup or in what it hands to a macro, that go through no catalogue."""
    tree = templates.parse(source)
    page = Bare()
    page.feed("".join(said(part) for output in tree.find_all(nodes.Output) for part in output.nodes))
    yield from page.found
    for call in tree.find_all(nodes.Call):
        name = call.node.name if isinstance(call.node, nodes.Name) else ""
        if name not in {"_", "gettext", "ngettext", "static"}:
            given = [*call.args, *(pair.value for pair in call.kwargs)]
            texts = [part.value for part in given if isinstance(part, nodes.Const) and isinstance(part.value, str)]
            yield from (text for text in texts if re.match(r"[A-Z]\w*[a-z]|\w+ \w", text) and text not in NAMES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_says_what_nobody_can_translate(name: str) -> None:
    assert list(bare((HERE / "templates" / name).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Hello there</p>",
        "<p>{% if x %}Hello{% endif %}</p>",
        "<p>{{ 'Hello' if x else y }}</p>",
        "<p>{{ x or '(no words)' }}</p>",
        '<a title="Go on">{{ x }}</a>',
        '{{ heading("Replies") }}',
        '{{ field("name", label="your name") }}',
        "{% call empty(_('x'), 'Nothing here') %}{% endcall %}",
    ],
)
def test_bare_words_are_seen(source: str) -> None:
    assert list(bare(source))


@pytest.mark.parametrize(
    "source",
    [
        "<p class='big one'>{{ _('Hello') }} <code>rejoinder chat</code> → 1</p>",
        "{% trans %}Hello <b>you</b>{% endtrans %}",
        "<p class=\"{{ 'worse' if x }}\">{{ button_post('/undo', _('Undo'), kind='primary') }}</p>",
    ],
)
def test_translated_words_pass(source: str) -> None:
    assert not list(bare(source))


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, en;q=0.5, de;q=0.7", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("de;q=0, en", "en"),
        ("de;q=often", "en"),
        ("fr", "en"),
    ],
)
def test_the_browser_is_asked_for_its_languages(header: str, language: str) -> None:
    assert accepted(header) == language


@given(st.text())
def test_whatever_a_browser_names_there_is_a_language(header: str) -> None:
    assert accepted(header) in LANGUAGES


def test_a_language_is_spoken_until_the_block_ends() -> None:
    with speaking("de"):
        assert gettext("Decisions") == "Entscheidungen"
        assert gettext("no such message") == "no such message"
        assert ngettext("one of none", "many of none", 2) == "many of none"
    assert gettext("Decisions") == "Decisions"


def test_pages_and_their_errors_are_german_where_the_reader_is(client: TestClient) -> None:
    german = {"accept-language": "de"}
    assert "Noch keine Entscheidungen" in client.get("/decisions", headers=german).text
    found = client.get("/decisions/nope", headers=german)
    assert found.status_code == 404
    assert "<h1>Nicht gefunden</h1>" in found.text
    client.cookies.set(COOKIE, "en")
    assert "No decisions yet" in client.get("/decisions", headers=german).text


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/decisions?loop=a%20b", "/decisions?loop=a%20b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_the_switch_leads_back_and_never_away(client: TestClient, back: str, leads: str) -> None:
    answer = client.post("/language", data={"language": "de", "back": back}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, leads)
    assert answer.cookies[COOKIE] == "de"


def test_no_other_language_is_kept(client: TestClient) -> None:
    answer = client.post("/language", data={"language": "../../etc", "back": "/"}, follow_redirects=False)
    assert answer.status_code == 422
    assert COOKIE not in answer.cookies


def test_the_vendored_files_are_those_that_came(root: Path) -> None:
    import hashlib

    folder = root / "agent/console/static/vendor"
    table = re.findall(r"^\| (\S+/\S+) \|.*\| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*s") if path.is_file()}
    assert {name for name, _ in table} == there
    for name, digest in table:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        assert (folder / name).with_name("LICENSE").is_file()
