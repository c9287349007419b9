"""Domains: the responses in an assistant's files, and what people wrote, as a file that goes back among them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from agent.candidates import CONSOLE, WRITTEN, Reply
from agent.errors import InvalidInput, Unknown
from agent.service import Service
from agent.wordings import names_of

ACTIONS, RESPONSES = "actions", "responses"
_HEAD = "Written in the console. Put these in place of the domain's responses of the same names, then train."


def responses_in(project: Path) -> dict[str, list[dict[str, Any]]]:
    """The variations of each response, in the files of an assistant's domain: `domain.yml`, or a folder `domain`.

    Raises:
        InvalidInput: there are no such files, or one is no YAML or holds no domain.
    """
    files = [path for path in (project / "domain.yml", project / "domain.yaml") if path.is_file()]
    files += sorted(path for end in ("yml", "yaml") for path in (project / "domain").rglob(f"*.{end}"))
    if not files:
        raise InvalidInput(f"there is no domain in {project}: neither domain.yml nor a folder domain")
    found: dict[str, list[dict[str, Any]]] = {}
    for path in files:
        found |= _responses(path)
    return found


def _responses(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        responses = (YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}).get("responses") or {}
        return {name: [dict(variation) for variation in given] for name, given in responses.items()}
    except (OSError, UnicodeError, YAMLError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: it cannot be read as a domain: {error}") from error


def export(service: Service, project: Path) -> tuple[str, list[str]]:
    """What people wrote, as a domain file: its text, and the names of the responses in it.

    A response that was edited comes with all its variations, as the project's domain has them but for the words; a
    wholly new reply that is not disabled or blocked comes as a response of its own.

    Raises:
        InvalidInput: as `responses_in`.
    """
    actions, wordings = _replies(service, ACTIONS), _replies(service, RESPONSES)
    found = CommentedMap()
    for utter, variations in responses_in(project).items():
        names = names_of(utter, variations)
        edits = [wordings.get(name) for name in names] if len(variations) > 1 else [actions.get(utter)]
        if any(edits):
            reworded = (_reworded(one, edit) for one, edit in zip(variations, edits, strict=True))
            found[utter] = [variation for several in reworded for variation in several]
    for reply in actions.values():
        if reply.id.startswith(WRITTEN) and reply.state not in ("disabled", "blocked"):
            name = _response_name(reply.id)
            found[name] = [{"text": text} for text in reply.texts]
            if reply.examples:
                asked = "".join(f"\n  {' '.join(example.split())}" for example in reply.examples)
                found.yaml_set_comment_before_after_key(
                    name, before=f"{reply.id}, for questions such as{asked}", indent=2
                )
    domain = CommentedMap({"version": "3.1", "responses": found})
    domain.yaml_set_start_comment(_HEAD)
    return _dumped(domain), list(found)


def _replies(service: Service, loop: str) -> dict[str, Reply]:
    """Those of a loop's replies whose words were written in the console."""
    try:
        candidates = service.overview(loop).candidates
    except Unknown:
        return {}
    return {reply.id: reply for reply in candidates if reply.origin == CONSOLE and reply.texts}


def _reworded(variation: Mapping[str, Any], edit: Reply | None) -> Iterator[dict[str, Any]]:
    texts: Sequence[str] = [variation.get("text", "")] if edit is None else edit.texts
    for number, text in enumerate(texts):
        # An id names one variation.
        kept = {key: value for key, value in variation.items() if key != "id" or number == 0}
        yield {**kept, "text": text} if "text" in kept or edit is not None else kept


def _response_name(id: str) -> str:
    return "utter_" + re.sub(r"\W+", "_", id.removeprefix(WRITTEN)).strip("_")


def _dumped(domain: CommentedMap) -> str:
    yaml = YAML()
    yaml.width = 110  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(domain, stream)
    return stream.getvalue()
