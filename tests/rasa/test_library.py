"""Replies that people write while the bot runs: used at once, over HTTP, without a restart or a training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.candidates import Reply
from agent.log import LearningLog
from agent.service import Service
from agent.verification import verify
from tests.rasa.server import RasaServer
from tests.rasa.test_locked_log import locked

pytestmark = [pytest.mark.rasa, pytest.mark.slow]

DOGS = "Dogs on a lead are welcome in all our shops."
# What an inbox of unanswered questions would hold, and what others ask the same later.
ASKED = ("can I bring my dog into the shop", "are dogs allowed in your stores", "is the store dog friendly")
LATER = ("may my dog come into the store with me?", "are pets allowed in your shops", "do you let dogs in?")
ELSEWHERE = (
    "asdf qwer",
    "what is the meaning of life?",
    "tell me a joke about ducks",
    "my cat is ill",
    "who won the football yesterday",
    "my dog ate the cushion",
)


@pytest.fixture(scope="module")
def server(root: Path, shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RasaServer]:
    """A server of these tests' own: what they write would answer other tests' questions."""
    server = RasaServer(tmp_path_factory.mktemp("library"), root / "training_data", shipped_model)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def editor(server: RasaServer) -> Iterator[Service]:
    """Another process's access to the same log, as the console has it."""
    server.say("do you wrap presents?")  # from then on, the loops exist
    service = Service(server.home)
    yield service
    service.close()


@pytest.fixture
def dogs(editor: Service) -> Iterator[Reply]:
    """A reply for the questions about dogs, new in each test, and switched off after it."""
    texts = [f"{DOGS} ({time.monotonic_ns()})"]
    reply = editor.write("actions", texts=texts, examples=ASKED, who="ann", why="asked three times")
    yield reply
    editor.mark("actions", reply.id, state="disabled", who="ann")


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message.get("text")]


def responses(root: Path) -> dict[str, str]:
    """The name of the response that says a text; long ones come in parts."""
    found = {}
    for path in (root / "training_data" / "domain").glob("*.yml"):
        for name, variations in (yaml.safe_load(path.read_text(encoding="utf-8")).get("responses") or {}).items():
            found |= {part: name for variation in variations for part in variation["text"].strip().split("\n\n")}
    return found


def test_a_reply_is_used_for_its_questions_at_once_and_for_no_others(
    server: RasaServer, editor: Service, root: Path
) -> None:
    known = responses(root)

    def answered(question: str) -> set[str]:
        return {known.get(text, text) for text in texts_of(server.say(question))}

    questions = yaml.safe_load((root / "tests/training_data/questions.yml").read_text(encoding="utf-8"))
    topics = [texts[1] for intent, texts in questions.items() if f"utter_faq_{intent}" in known.values()]
    others = [*topics, *ELSEWHERE]
    assert len(others) >= 30
    before = {question: answered(question) for question in others}
    assert "utter_out_of_scope" in set().union(*(answered(question) for question in (*ASKED, *LATER)))
    reply = editor.write("actions", texts=[DOGS], examples=ASKED, who="ann")
    try:
        assert [answered(question) for question in (*ASKED, *LATER)] == [{DOGS}] * 6
        after = {question: answered(question) for question in others}
        assert not [question for question, said in after.items() if DOGS in said]
        # The bandit explores a little among its own.
        changed = [question for question in others if after[question] != before[question]]
        assert len(changed) <= 1, changed
    finally:
        editor.mark("actions", reply.id, state="disabled", who="ann")


def test_its_decision_is_logged_and_feedback_on_it_is_learned(
    server: RasaServer, editor: Service, dogs: Reply, root: Path
) -> None:
    message = server.say(ASKED[1])[0]
    assert message["text"] == dogs.texts[0]
    (decision,) = message["decision_ids"]
    body = editor.decision(decision).body
    assert (body["chosen"], body["candidates"], body["barred"]) == (dogs.id, [dogs.id], {})  # a rule owns the rest
    for _ in range(12):
        server.thumb(message, 0)
        message = server.say(ASKED[1])[0]
        if message["text"] != dogs.texts[0]:
            break
    assert message["text"] in [text for text, name in responses(root).items() if name == "utter_out_of_scope"]
    assert "activated" in {event.kind for event in editor.log.evidence(editor.decision(decision))}
    assert verify(editor)["ok"]


def test_other_words_are_said_at_once(server: RasaServer, editor: Service, dogs: Reply) -> None:
    # Braces that are no slot's, one that is, and one that is empty: Rasa's templates would fail at the first.
    editor.edit("actions", dogs.id, ["Yes {x {0} {} {no_such} {order_number}{{!"], who="ann", version_seen=1)
    said = texts_of(server.say(ASKED[0]))
    assert said == ["Yes {x {0} {} {no_such} {{!"]
    decision = editor.decision(server.say(ASKED[1])[0]["decision_ids"][0])
    assert decision.body["versions"] == [2]


def test_states_and_times_hold_at_once(server: RasaServer, editor: Service, dogs: Reply) -> None:
    def given() -> bool:
        return dogs.texts[0] in texts_of(server.say(ASKED[1]))

    assert given()
    editor.mark("actions", dogs.id, state="disabled", who="ann")
    assert not given()
    editor.mark("actions", dogs.id, state="enabled", who="ann")
    now = time.time()
    seen = []
    for since, until in ((now + 3_600, None), (None, now - 3_600), (now - 3_600, now + 3_600), (None, None)):
        editor.schedule("actions", dogs.id, since=since, until=until, who="ann")
        seen.append(given())
    assert seen == [False, False, True, True]


def test_a_wording_of_the_domain_can_be_rewritten(server: RasaServer, editor: Service) -> None:
    wordings = [r for r in editor.overview("responses").candidates if r.id.startswith("utter_faq_gift_wrapping/")]
    assert len(wordings) >= 2
    for number, wording in enumerate(wordings):
        editor.edit("responses", wording.id, [f"We wrap it ({number})."], who="ann")
    message = server.say("could you gift wrap it?")[0]
    assert message["text"] in {f"We wrap it ({number})." for number in range(len(wordings))}
    body = editor.decision(message["decision_ids"][-1]).body
    assert body["versions"][body["index"]] == 2
    assert message["text"] == f"We wrap it ({[w.id for w in wordings].index(body['chosen'])})."


def test_a_rule_and_a_form_still_go_first(server: RasaServer, editor: Service) -> None:
    reply = editor.write("actions", texts=["Mine!"], examples=["hello", "I want to return something"], who="ann")
    sender = "in a form"
    assert "Mine!" not in texts_of(server.say("hello"))
    assert "Mine!" not in texts_of(server.say("I want to return something", sender=sender))
    assert "Mine!" not in texts_of(server.say("hello", sender=sender))
    editor.mark("actions", reply.id, state="disabled", who="ann")


def test_while_the_log_is_locked_it_is_said_and_not_logged(server: RasaServer, dogs: Reply) -> None:
    assert texts_of(server.say(ASKED[2])) == [dogs.texts[0]]  # folded: from here on, reading suffices
    with locked(server.home):
        message = server.say(ASKED[2])[0]
        assert message["text"] == dogs.texts[0]
        assert message["decision_ids"] == []
    log = LearningLog(server.home / "learning.db")
    assert not log.decisions(column="turn", value=message["turn_id"])
    log.close()


def test_a_restart_brings_no_old_words_back(server: RasaServer, editor: Service) -> None:
    wording = next(r for r in editor.overview("responses").candidates if r.id.startswith("utter_faq_warranty/"))
    editor.edit("responses", wording.id, ["Two years, on everything."], who="ann")
    server.kill()
    server.start()
    server.say("how long is the guarantee?")
    assert editor.history("responses", wording.id)[0].reply.texts == ("Two years, on everything.",)
    assert verify(editor)["ok"]
