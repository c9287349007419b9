"""Rasa's side: the components that config.yml and endpoints.yml name. Only this package and connectors import rasa."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from agent.errors import RejoinderError

_ROOT = Path(__file__).resolve().parents[2]


class Shadowed(RejoinderError):
    """Another module has the name of one of our packages and is found first."""


def check_shadows(root: Path = _ROOT, names: tuple[str, ...] = ("agent", "policies", "connectors")) -> None:
    """Make sure that our packages are the ones that Python finds under their names.

    Rasa puts the folder it is started in before everything else, so a bot's own `policies.py` would win.

    Raises:
        Shadowed: with the path of the module that is found instead.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        found = [Path(place).resolve() for place in places if place]
        if found and not any(root / name in (place, place.parent) for place in found):
            raise Shadowed(f"{found[0]} has the name of Rejoinder's package {name!r} and hides it: rename yours")


check_shadows()
