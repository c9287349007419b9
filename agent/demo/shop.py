"""The shop: the replies of the assistant that ships, read from its domain as plain YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from agent.errors import InvalidInput

#: the assistant that ships: Wrenfold's customer service.
SHIPPED = Path(__file__).resolve().parent.parent.parent / "training_data"
#: what the names of the replies to questions begin with.
TOPIC = "utter_faq_"

# The texts of a response's wordings, by their ids; of all responses, by their names.
Responses = Mapping[str, Mapping[str, str]]


def responses(project: Path = SHIPPED) -> Responses:
    """The responses of an assistant's domain, with the texts of their wordings.

    Raises:
        InvalidInput: the domain cannot be read; the message says which file, and what is wrong with it.
    """
    found: dict[str, dict[str, str]] = {}
    files = sorted((project / "domain").glob("*.yml")) or [project / "domain.yml"]
    for file in files:
        given = mapping(file).get("responses") or {}
        if not isinstance(given, dict):
            raise InvalidInput(f"{file}: responses must map names to wordings")
        for name, wordings in given.items():
            found[str(name)] = _wordings(file, str(name), wordings)
    return found


def mapping(file: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        InvalidInput: it cannot be read, or holds something else.
    """
    try:
        read = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror or error}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(read, dict):
        raise InvalidInput(f"{file}: holds {type(read).__name__}, not a mapping")
    return read


def title(response: str) -> str:
    """What a response's name says, without the prefixes by which responses are sorted."""
    return " ".join(re.sub(r"^utter_(faq_)?", "", response).split("_"))


def _wordings(file: Path, name: str, wordings: Any) -> dict[str, str]:
    if not isinstance(wordings, list) or not all(isinstance(wording, dict) for wording in wordings):
        raise InvalidInput(f"{file}: {name} must be a list of wordings")
    texts = [(str(w.get("id") or number), w["text"]) for number, w in enumerate(wordings) if w.get("text")]
    if not texts or not all(isinstance(text, str) for _, text in texts):
        raise InvalidInput(f"{file}: {name} has a wording without text")
    return dict(texts)
