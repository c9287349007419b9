"""Into your Rasa assistant: the lines of the README, in the project that `rasa init` makes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.log import LearningLog
from tests.rasa.server import RasaServer, run

# Three trainings with TensorFlow take minutes, and on a busy machine many.
TRAINING_SECONDS = 1500.0
pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.timeout(TRAINING_SECONDS + 300.0)]

WORDINGS = ["Hey! How are you?", "Good to see you. How is it going?"]
SAYINGS = ["hello", "I am sad", "yes", "bye", "are you a bot?", "hi", "I feel great"]
# Fewer rounds than Rasa trains by default: this small talk is learned long before.
EPOCHS = {"DIETClassifier": 30, "ResponseSelector": 1, "TEDPolicy": 5, "UnexpecTEDIntentPolicy": 2}


def project(folder: Path) -> Path:
    """What `rasa init --no-prompt` makes, with the policies and the pipeline it names uncommented."""
    scaffold = "from rasa.cli.scaffold import create_initial_project as make; make('.')"
    folder.mkdir(parents=True)
    run("-c", scaffold, home=folder / "unused", folder=folder)
    config = folder / "config.yml"
    text = re.sub(r"^# {3}( *)", r"  \1", config.read_text(encoding="utf-8"), flags=re.MULTILINE)
    read = yaml.safe_load(text)
    for component in (*read["pipeline"], *read["policies"]):
        if component["name"] in EPOCHS:
            component["epochs"] = EPOCHS[component["name"]]
    config.write_text(yaml.safe_dump(read, sort_keys=False), encoding="utf-8")
    domain = folder / "domain.yml"
    domain.write_text(
        domain.read_text(encoding="utf-8").replace(
            f'  - text: "{WORDINGS[0]}"\n', "".join(f'  - text: "{wording}"\n' for wording in WORDINGS)
        ),
        encoding="utf-8",
    )
    return folder


def plug_in(folder: Path, lines: dict[str, str], *, enabled: bool = True) -> None:
    """Add the README's lines to config.yml, endpoints.yml and credentials.yml."""
    for name, block in lines.items():
        path = folder / name
        kept, added = yaml.safe_load(path.read_text(encoding="utf-8")) or {}, yaml.safe_load(block)
        if not enabled:
            for part in (*added.get("policies", ()), added.get("nlg"), added.get("event_broker")):
                if part is not None:
                    part["enabled"] = False
        for key, value in added.items():
            kept[key] = [*kept[key], *value] if isinstance(value, list) else value
        path.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def lines(root: Path) -> dict[str, str]:
    """The README's blocks, by the file that each is for."""
    section = (root / "README.md").read_text(encoding="utf-8").split("## Into your Rasa assistant")[1].split("\n## ")[0]
    found = dict(re.findall(r"^`(\w+\.yml)`:.*?^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
    assert found.keys() == {"config.yml", "endpoints.yml", "credentials.yml"}
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before anything is plugged in."""
    return project(tmp_path_factory.mktemp("init") / "plain")


@pytest.fixture(scope="module")
def tried(plain: Path, lines: dict[str, str], cache: Path) -> dict[str, Any]:
    """The project trained plain, plugged in and disabled (all in one process: Rasa takes long to import), and what
    the first and the last answer to all sayings, and who predicted that; dice thrown alike.
    """
    for name, enabled in (("plugged-in", True), ("disabled", False)):
        shutil.copytree(plain, plain.parent / name)
        plug_in(plain.parent / name, lines, enabled=enabled)
    code = """
import asyncio, json, os, sys
import numpy
from rasa.api import train
from rasa.core.agent import load_agent
from rasa.core.channels.channel import UserMessage
from rasa.core.utils import AvailableEndpoints

async def talk():
    agent = await load_agent("models/model.tar.gz", endpoints=AvailableEndpoints.read_endpoints("endpoints.yml"))
    numpy.random.seed(7)
    answers = [await agent.handle_message(UserMessage(text, sender_id="a")) for text in sys.argv[2:]]
    tracker = await agent.tracker_store.retrieve("a")
    events = [event.as_dict() for event in tracker.events]
    return answers, [(e.get("name"), e.get("policy"), (e.get("metadata") or {}).get("utter_action")) for e in events]

os.environ["RASA_CACHE_DIRECTORY"] = sys.argv[1]
found = {}
for name in ("plugged-in", "plain", "disabled"):
    os.chdir(os.path.join("..", name))
    os.environ["REJOINDER_HOME"] = os.path.abspath("state")
    result = train("domain.yml", "config.yml", ["data"], "models", fixed_model_name="model")
    assert result.code == 0, result
    if name != "plugged-in":
        found[name] = asyncio.run(talk())
print(json.dumps(found))
"""
    arguments = ("-c", code, str(cache / "init"), *SAYINGS)
    printed = run(*arguments, home=plain / "state", folder=plain, seconds=TRAINING_SECONDS)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def plugged_in(plain: Path, tried: dict[str, Any]) -> Iterator[RasaServer]:
    folder = plain.parent / "plugged-in"
    server = RasaServer(folder, folder, folder / "models" / "model.tar.gz")
    try:
        yield server.start()
    finally:
        server.stop()


def test_the_wording_that_is_liked_is_preferred(plugged_in: RasaServer) -> None:
    for _ in range(40):
        message = plugged_in.say("hello there")[0]
        assert message["text"] in WORDINGS
        plugged_in.thumb(message, int(message["text"] == WORDINGS[1]))
        if _chance(plugged_in, message) > 0.9:
            break
    message = plugged_in.say("hello")[0]
    assert _chance(plugged_in, message) > 0.8


def _chance(server: RasaServer, message: dict[str, Any]) -> float:
    """With which probability the second wording was chosen in the latest decision on greetings."""
    log = LearningLog(server.home / "learning.db")
    texts = {e.body["id"]: e.body["texts"] for e in log.read(kinds=("candidate",), loop="responses")}
    decision = log.event(message["decision_ids"][-1])
    log.close()
    assert decision is not None
    by_text = {texts[c][0]: p for c, p in zip(decision.body["candidates"], decision.body["probabilities"], strict=True)}
    return float(by_text[WORDINGS[1]])


def test_without_candidates_the_policy_only_watches(plugged_in: RasaServer) -> None:
    plugged_in.say("hello", sender="sad")
    message = plugged_in.say("I am sad", sender="sad")[0]
    assert message["text"] == "Here is something to cheer you up:"
    log = LearningLog(plugged_in.home / "learning.db")
    actions = [e.body for e in log.read(kinds=("decision",), loop="actions")]
    log.close()
    assert actions
    assert not any(body["live"] for body in actions)
    assert all("utter_cheer_up" in body["candidates"] for body in actions)


def test_disabled_it_is_plain_rasa(plain: Path, tried: dict[str, Any]) -> None:
    answers, events = tried["plain"]
    assert sum(map(bool, answers)) > len(SAYINGS) / 2
    assert any(policy for _, policy, _ in events)
    assert tried["disabled"] == tried["plain"]
    assert not list((plain.parent / "disabled").rglob("learning.db"))
