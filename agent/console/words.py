"""`make words`: the messages of templates and code, brought into the catalogues; what was translated stays."""

from __future__ import annotations

import io
from pathlib import Path

import click
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from agent.console.language import DEFAULT, FOLDER, LANGUAGES

_SOURCE = Path(__file__).parent
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_OPTIONS = {"templates/**.html": {"trimmed": "true", "extensions": "jinja2.ext.do"}}
_KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}
_WIDTH = 120
_HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: {language}\\n"
"Plural-Forms: {plural}\\n"

"""


def extracted() -> Catalog:
    """Every message that the templates and the code of the console mark."""
    found = Catalog(charset="utf-8")
    for _, _, message, _, _ in extract_from_dir(str(_SOURCE), _METHODS, _OPTIONS, keywords=_KEYWORDS):
        found.add(message)
    return found


def kept(language: str) -> Catalog:
    """The catalogue of a language as it is in its file."""
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> bytes:
    """What the file of a language would be: the messages there are now, in the order of their English words.

    A message whose words changed a little keeps its translation, marked as fuzzy: it is not shown until it was read.
    """
    catalogue = kept(language)
    catalogue.update(extracted(), update_creation_date=False)
    written = io.BytesIO()
    # Without places, which change with every edit and would get in the way of merging.
    write_po(written, catalogue, width=_WIDTH, sort_output=True, omit_header=True, no_location=True)
    return _HEADER.format(language=language, plural=catalogue.plural_forms).encode() + written.getvalue()


@click.command()
def main() -> None:
    """Bring the catalogues of the console up to date with its templates and code."""
    for language in LANGUAGES:
        if language != DEFAULT:
            (FOLDER / f"{language}.po").write_bytes(updated(language))
            catalogue = kept(language)
            missing = [message for message in catalogue if message.id and (message.fuzzy or not message.string)]
            click.echo(f"{language}: {len(catalogue)} messages, {len(missing)} to translate")


if __name__ == "__main__":
    main()
