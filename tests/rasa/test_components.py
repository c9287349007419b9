"""Rasa's side, component by component, without a server."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.core.constants import MEMOIZATION_POLICY_PRIORITY, RULE_POLICY_PRIORITY
from rasa.core.policies.ensemble import DefaultPolicyPredictionEnsemble
from rasa.core.policies.policy import PolicyPrediction
from rasa.engine.graph import ExecutionContext, GraphSchema
from rasa.engine.storage.local_model_storage import LocalModelStorage
from rasa.engine.storage.resource import Resource
from rasa.nlu.tokenizers.whitespace_tokenizer import WhitespaceTokenizer
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ActionExecuted, ActiveLoop, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.exceptions import InvalidConfigException
from rasa.shared.nlu.training_data.message import Message
from rasa.utils.endpoints import EndpointConfig

from agent.candidates import Reply
from agent.decision import Situation
from agent.errors import InvalidInput, ModelMissing
from agent.log import LearningLog
from agent.plugin import Shadowed, check_shadows
from agent.plugin import runtime as runtime_module
from agent.plugin.assistant import Assistant
from agent.plugin.behaviour import Behaviour, Utterance
from agent.plugin.events import LearningLogBroker
from agent.plugin.featurizer import SentenceFeaturizer
from agent.plugin.lessons import Lessons
from agent.plugin.nlg import BanditResponses
from agent.plugin.output import AnnotatedOutput
from agent.plugin.policy import BanditPolicy
from agent.plugin.runtime import Runtime
from agent.plugin.situation import situation_of, words
from agent.settings import LoopSettings

pytestmark = [pytest.mark.rasa, pytest.mark.slow]

DOMAIN_YAML = """
version: "3.1"
intents: [hours, parcel, order, nlu_fallback]
slots:
  size:
    type: text
    mappings: [{type: custom}]
forms:
  order_form: {required_slots: [size]}
responses:
  utter_faq_hours:
    - {id: short, text: "We open at eight."}
    - {id: long, text: "Our shop opens at eight in the morning."}
  utter_faq_parcel:
    - text: "Your parcel is on its way."
    - text: "Have a look at the tracking page."
    - {text: "On its way, {size}.", condition: [{type: slot, name: size, value: large}]}
    - {text: "It is coming!", channel: slack}
  utter_ask_size:
    - text: "Which size?"
  utter_bye:
    - text: "Bye."
"""
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Rasa warns of slots at every domain
    DOMAIN = Domain.from_yaml(DOMAIN_YAML)
LEARNED = Lessons(
    shares={
        "utter_faq_hours": {"hours": 1.0},
        "utter_faq_parcel": {"parcel": 1.0},
        "order_form": {"order": 1.0},
    }
)


@pytest.fixture(autouse=True)
def shared(home: Path) -> Iterator[Runtime]:
    """The runtime of this test's home."""
    found = runtime_module.runtime()
    assert found.home == home
    yield found
    found.close()


def policy(folder: Path, **config: Any) -> BanditPolicy:
    (folder / "storage").mkdir()
    storage = LocalModelStorage.create(folder / "storage")
    context = ExecutionContext(GraphSchema({}))
    return BanditPolicy(
        {**BanditPolicy.get_default_config(), **config}, storage, Resource("bandit"), context, learned=LEARNED
    )


def conversation(text: str, intent: str, *later: Event, before: tuple[Event, ...] = ()) -> DialogueStateTracker:
    ranking = [{"name": intent, "confidence": 0.9}]
    said = UserUttered(text, ranking[0], parse_data={"intent": ranking[0], "intent_ranking": ranking}, message_id="m1")
    events = [ActionExecuted("action_listen"), *before, said, *later]
    return DialogueStateTracker.from_events("ann", events, slots=DOMAIN.slots, domain=DOMAIN)


def chosen(prediction: PolicyPrediction) -> str | None:
    best = max(prediction.probabilities)
    return DOMAIN.action_names_or_texts[prediction.probabilities.index(best)] if best else None


# the policy


def test_the_policy_decides_once_in_a_turn_then_waits_for_the_user(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    asked = conversation("when do you open?", "hours")
    first = bandit.predict_action_probabilities(asked, DOMAIN)
    again = bandit.predict_action_probabilities(asked, DOMAIN)
    assert chosen(first) == "utter_faq_hours"
    assert first.max_confidence == 1.0
    assert MEMOIZATION_POLICY_PRIORITY < first.policy_priority < RULE_POLICY_PRIORITY
    assert first.action_metadata == again.action_metadata
    assert first.action_metadata["rejoinder"]["decision_id"]
    assert [event.kind for event in shared.service().log.read(kinds=("decision",))] == ["decision"]
    done = ActionExecuted("utter_faq_hours", metadata=first.action_metadata)
    after = bandit.predict_action_probabilities(conversation("when do you open?", "hours", done), DOMAIN)
    assert (chosen(after), after.max_confidence, after.action_metadata) == ("action_listen", 1.0, None)


@pytest.mark.parametrize(
    ("text", "intent", "events"),
    [
        ("colourless green ideas", "nlu_fallback", ()),
        ("I want to order", "order", ()),  # stories give it to a form
        ("when do you open?", "hours", (ActiveLoop("order_form"),)),
        ("/restart", "restart", ()),
    ],
)
def test_the_policy_leaves_the_rest_to_others(
    tmp_path: Path, shared: Runtime, text: str, intent: str, events: tuple[Event, ...]
) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation(text, intent, before=events)
    assert chosen(bandit.predict_action_probabilities(tracker, DOMAIN)) is None
    done = conversation("when do you open?", "hours", ActionExecuted("utter_bye"))
    assert chosen(bandit.predict_action_probabilities(done, DOMAIN)) is None
    assert not list(shared.service().log.read(kinds=("decision",)))


def test_an_apprentice_watches_and_acts_on_nothing(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path)
    prediction = bandit.predict_action_probabilities(conversation("when do you open?", "hours"), DOMAIN)
    assert chosen(prediction) is None
    (decision,) = shared.service().log.read(kinds=("decision",))
    assert not decision.body["live"]
    assert set(decision.body["candidates"]) == {"utter_faq_hours", "utter_faq_parcel", "utter_bye"}


def test_disabled_the_policy_touches_nothing(tmp_path: Path, home: Path) -> None:
    bandit = policy(tmp_path, enabled=False, candidates=["utter_faq_*"])
    assert chosen(bandit.predict_action_probabilities(conversation("when do you open?", "hours"), DOMAIN)) is None
    assert not home.exists()


@pytest.mark.parametrize(
    "wrong", [{"candidates": "utter_*"}, {"candidates": [1]}, {"threshold": "high"}, {"alpha": -1}, {"colour": "red"}]
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigException, match=next(iter(wrong))):
        policy(tmp_path, **wrong)


def test_what_is_learned_from_stories_is_kept_with_the_model(tmp_path: Path) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    stories = [
        DialogueStateTracker.from_events(
            "default",
            [ActionExecuted("action_listen"), UserUttered(intent={"name": "hours"}), ActionExecuted(action),
             ActionExecuted("action_listen")],
            domain=DOMAIN,
        )
        for action in ("utter_faq_hours", "utter_faq_hours", "utter_bye", "utter_faq_hours")
    ]  # fmt: skip
    resource = bandit.train(stories, DOMAIN)
    loaded = BanditPolicy.load(
        {**BanditPolicy.get_default_config(), "enabled": False},
        bandit._model_storage,
        resource,
        ExecutionContext(GraphSchema({})),
    )
    assert loaded._lessons.shares == {"utter_faq_hours": {"hours": 0.75}, "utter_bye": {"hours": 0.25}}


def test_a_reply_that_another_policy_prevented_learns_nothing(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation("when do you open?", "hours")
    ours = bandit.predict_action_probabilities(tracker, DOMAIN)
    rule = PolicyPrediction.for_action_name(DOMAIN, "utter_bye", "RulePolicy")
    rule.policy_priority = RULE_POLICY_PRIORITY
    winner = DefaultPolicyPredictionEnsemble().combine_predictions([ours, rule], tracker, DOMAIN)
    assert chosen(winner) == "utter_bye"
    broker = LearningLogBroker()
    executed = ActionExecuted("utter_bye", "RulePolicy", 1.0, metadata=winner.action_metadata)
    for event in (*tracker.events, executed):
        broker.publish({"sender_id": "ann", **event.as_dict()})
    assert broker.flush()
    turn = ours.action_metadata["rejoinder"]["turn_id"]
    shared.service().record(signal="thumb", value=1, turn=turn)
    assert shared.service().log.counts().get("activated", 0) == 0
    assert not shared.service().model("actions").learner.state_dict().get("0.theta", ())


# the responses


def responses(**options: Any) -> BanditResponses:
    return BanditResponses(EndpointConfig(**options), DOMAIN)


def generate(
    nlg: BanditResponses, utter: str, *, channel: str = "rest", size: str | None = None
) -> dict[str, Any] | None:
    tracker = conversation("where is my parcel?", "parcel")
    if size:
        tracker._set_slot("size", size)
    return asyncio.run(nlg.generate(utter, tracker, channel))


def test_a_wording_is_chosen_among_those_that_suit(shared: Runtime) -> None:
    nlg = responses()
    message = generate(nlg, "utter_faq_parcel")
    assert message is not None
    assert message["text"] in {"Your parcel is on its way.", "Have a look at the tracking page."}
    assert generate(nlg, "utter_faq_parcel") == message  # one decision a turn
    (decision,) = shared.service().log.read(kinds=("decision",))
    assert len(decision.body["candidates"]) == 2
    assert message["rejoinder"] == {"turn_id": decision.turn, "decision_ids": [decision.id], "wording_id": decision.id}


def test_channels_and_conditions_are_kept(shared: Runtime) -> None:
    nlg = responses()
    slack, large = generate(nlg, "utter_faq_parcel", channel="slack"), generate(nlg, "utter_faq_parcel", size="large")
    assert slack is not None
    assert large is not None
    assert (slack["text"], large["text"]) == ("It is coming!", "On its way, large.")
    assert generate(nlg, "utter_no_such_response") is None
    assert not list(shared.service().log.read(kinds=("decision",)))


def test_disabled_the_responses_are_rasas_own(home: Path) -> None:
    message = generate(responses(enabled=False), "utter_faq_hours")
    assert message is not None
    assert message.keys() == {"id", "text"}
    assert not home.exists()


def test_the_action_behind_a_message_is_named_with_it(tmp_path: Path, shared: Runtime) -> None:
    bandit = policy(tmp_path, candidates=["utter_faq_*"])
    tracker = conversation("where is my parcel?", "parcel")
    action = bandit.predict_action_probabilities(tracker, DOMAIN).action_metadata["rejoinder"]["decision_id"]
    message = generate(responses(), "utter_faq_parcel")
    assert message is not None
    assert message["rejoinder"]["decision_ids"] == [action, message["rejoinder"]["wording_id"]]


def test_wrong_options_of_the_responses_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"nlg in endpoints\.yml.*colour"):
        responses(colour="red")


def test_output_tells_where_messages_come_from() -> None:
    output = AnnotatedOutput()
    origin = {"turn_id": "t", "decision_ids": ["a", "b"], "wording_id": "b"}
    asyncio.run(output.send_response("ann", {"text": "one\n\ntwo", "rejoinder": origin}))
    asyncio.run(output.send_response("ann", {"text": "three", "buttons": [{"title": "x", "payload": "/y"}]}))
    assert [m["text"] for m in output.messages] == ["one", "two", "three"]
    assert [m["decision_ids"] for m in output.messages] == [["a", "b"], ["a", "b"], []]


# the broker


def said(text: str, intent: str, number: int, at: float) -> dict[str, Any]:
    parse = {"intent": {"name": intent, "confidence": 0.9}, "intent_ranking": [{"name": intent, "confidence": 0.9}]}
    return {
        "sender_id": "ann", "event": "user", "text": text, "parse_data": parse, "message_id": f"m{number}",
        "input_channel": "rejoinder", "timestamp": at,
    }  # fmt: skip


def decided(shared: Runtime, number: int) -> str:
    shared.prepare("actions", LoopSettings(), [Reply("one", ("one",)), Reply("two", ("two",))], who="test")
    situation = Situation(["a question"], conversation="ann", message_id=f"m{number}")
    found = shared.decide("actions", situation, candidates=["one", "two"])
    assert found is not None
    assert found.decision is not None
    return found.decision


@pytest.mark.parametrize(
    ("text", "intent", "signals"),
    [
        ("where is my package right now?", "parcel", ["rephrased"]),
        ("where is my package right now?", "nlu_fallback", ["rephrased"]),
        ("where is my package right now?", "order", []),
        ("do you sell gift cards?", "parcel", []),
        ("thank you!", "thanks", ["thanks"]),
        ("let me talk to a person", "speak_to_human", ["handover"]),
    ],
)
def test_behaviour_is_a_signal_about_the_turn_before(
    shared: Runtime, text: str, intent: str, signals: list[str]
) -> None:
    decision = decided(shared, 1)
    action = {
        "event": "action",
        "sender_id": "ann",
        "name": "one",
        "metadata": {"rejoinder": {"decision_id": decision}},
    }
    events = [said("where is my package now?", "parcel", 1, 100.0), action, said(text, intent, 2, 130.0)]
    for _ in range(2):  # as after a crash: the same again, to a broker that remembers nothing
        broker = LearningLogBroker()
        for event in events:
            broker.publish(event)
        assert broker.flush()
    log = shared.service().log
    outcomes = list(log.read(kinds=("outcome",)))
    assert [event.body["signal"] for event in outcomes] == signals
    assert all(event.turn == log.event(decision).turn for event in outcomes)  # type: ignore[union-attr]
    assert log.counts()["activated"] == 1
    assert log.counts()["message"] == 2


def test_messages_long_after_or_by_button_rephrase_nothing() -> None:
    behaviour = Behaviour()
    before = Utterance("where is it?", "parcel", 0.0)
    assert behaviour.signals(before, Utterance("where is it?", "parcel", 10.0)) == [("rephrased", 1.0)]
    assert behaviour.signals(before, Utterance("where is it?", "parcel", 10_000.0)) == []
    assert behaviour.signals(Utterance("/parcel", "parcel", 0.0), Utterance("/parcel", "parcel", 1.0)) == []


def test_every_message_of_the_bot_is_kept(shared: Runtime) -> None:
    broker = LearningLogBroker()
    broker.publish(said("hello", "hello", 1, 1.0))
    for text in ("one", "two", "one"):
        broker.publish({"sender_id": "ann", "event": "bot", "text": text, "metadata": {"utter_action": "utter_one"}})
    assert broker.flush()
    heard = [(e.body["who"], e.body["text"]) for e in shared.service().log.read(kinds=("message",))]
    assert heard == [("user", "hello"), ("bot", "one"), ("bot", "two"), ("bot", "one")]


def test_the_broker_outlasts_events_that_it_cannot_read(shared: Runtime) -> None:
    broker = LearningLogBroker()
    broker.publish({"event": "user", "sender_id": "ann", "text": "hello", "message_id": "m0", "parse_data": 5})
    broker.publish(said("hello", "hello", 1, 1.0))
    assert broker.flush()
    assert shared.service().log.counts() == {"message": 1}


@pytest.mark.parametrize("options", [{"colour": "red"}, {"thanks_intents": "thanks"}, {"rephrased_similarity": "high"}])
def test_wrong_options_of_the_broker_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"event_broker in endpoints\.yml"):
        asyncio.run(LearningLogBroker.from_endpoint_config(EndpointConfig(**options)))


def test_disabled_the_broker_touches_nothing(home: Path) -> None:
    broker = asyncio.run(LearningLogBroker.from_endpoint_config(EndpointConfig(enabled=False)))
    broker.publish(said("hello", "hello", 1, 1.0))
    asyncio.run(broker.close())
    assert not home.exists()


# the log in trouble


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written by this process."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # to root no mode is an obstacle
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            if path.exists():
                path.chmod(0o755)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can look into, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="rejoinder-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


QUESTION = Situation(["when do you open?"], conversation="ann", message_id="m1")
REPLIES = [Reply("hours", ("opening hours",)), Reply("parcel", ("parcel on its way",))]


def test_with_a_read_only_log_replies_go_on(open_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared = Runtime(open_folder)
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    first = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    assert first is not None
    assert first.decision is not None
    shared.close()
    identity = open_folder / "identity.key"
    identity.chmod(0o444)
    with unwritable(open_folder):
        for number in range(3):
            question = Situation(["when do you open?"], conversation="ann", message_id=f"r{number}")
            found = shared.decide("actions", question, candidates=["hours", "parcel"])
            assert found is not None
            assert (found.candidate, found.decision) == ("hours", None)
    shared.close()
    assert [record.levelname for record in caplog.records if "learning log" in record.message] == ["ERROR"]
    kept = LearningLog(open_folder / "learning.db")
    assert kept.counts()["decision"] == 1
    kept.close()


def test_without_any_log_replies_go_by_their_words(open_folder: Path) -> None:
    shared = Runtime(open_folder / "home")
    with unwritable(open_folder):
        shared.prepare("actions", LoopSettings(), REPLIES, who="test")
        found = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
        assert found is not None
        assert (found.candidate, found.decision, found.turn) == ("hours", None, None)
    shared.close()


def test_decisions_go_on_where_the_lock_ends(shared: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(shared, "_clock", lambda: now[0])
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    with closing(sqlite3.connect(shared.home / "learning.db", isolation_level=None)) as db:
        db.execute("begin immediate")
        locked = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
        db.execute("rollback")
    paused = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    now[0] += runtime_module.PAUSE_SECONDS
    after = shared.decide("actions", QUESTION, candidates=["hours", "parcel"])
    assert locked is not None
    assert paused is not None
    assert after is not None
    assert (locked.decision, paused.decision) == (None, None)
    assert after.decision is not None


# the featurizer


def featurizer(**config: Any) -> SentenceFeaturizer:
    given = {**SentenceFeaturizer.get_default_config(), **config}
    context = ExecutionContext(GraphSchema({}), node_name="sentence")
    return SentenceFeaturizer.create(given, None, Resource("sentence"), context)  # type: ignore[arg-type]


def test_features_have_the_shapes_that_classifiers_expect() -> None:
    tokenizer = WhitespaceTokenizer(WhitespaceTokenizer.get_default_config())
    messages = [
        Message.build("where is my parcel"),
        Message({"intent": "hours"}),
        Message({"action_text": "hello you"}),
    ]
    tokenizer.process(messages[:1])
    featurizer(scale=2.0).process(messages)
    sequence, sentence = messages[0].get_dense_features("text")
    assert sequence is not None
    assert sentence is not None
    assert (sequence.features.shape, sentence.features.shape) == ((4, 384), (1, 384))
    assert (sentence.features**2).sum() == pytest.approx(4.0, rel=1e-5)
    assert not sequence.features.any()
    assert messages[1].features == []
    assert messages[2].get_dense_features("action_text")[1] is not None


def test_a_message_is_encoded_once(monkeypatch: pytest.MonkeyPatch, shared: Runtime) -> None:
    component = featurizer()
    shared.prepare("actions", LoopSettings(), REPLIES, who="test")
    encoded: list[str] = []
    encoder = runtime_module.encoder("all-MiniLM-L6-v2")
    original = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda texts: (encoded.extend(texts), original(texts))[1])
    text = "a question that nobody has asked before"
    component.process([Message.build(text)])
    shared.decide("actions", Situation([text], "ann", None, "m9"), candidates=["hours", "parcel"])
    assert encoded == [text]


@pytest.mark.parametrize("scale", [0, -1, "long", float("nan"), True])
def test_a_wrong_scale_is_refused(scale: Any) -> None:
    with pytest.raises(InvalidConfigException, match="scale"):
        featurizer(scale=scale)


def test_a_missing_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no-such-model"):
        featurizer(model_name=str(tmp_path / "no-such-model"))


# the assistant, the situation, the packages


def test_a_missing_assistant_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"config\.yml"):
        Assistant(tmp_path, tmp_path / "home").train()
    with pytest.raises(ModelMissing, match="not trained"):
        Assistant(tmp_path, tmp_path / "home").load()


def test_the_situation_is_what_the_user_said() -> None:
    tracker = conversation('/track_order{"number": "1"}', "parcel", before=(UserUttered("hello"),))
    situation = situation_of(tracker)
    assert situation is not None
    assert list(situation.messages) == ["hello", "track order"]
    assert (situation.conversation, situation.message_id, situation.features) == ("ann", "m1", {"intent:parcel": 0.9})
    assert words("/ not a payload") == "/ not a payload"
    assert situation_of(SimpleNamespace(latest_message=None)) is None  # type: ignore[arg-type]


def test_a_module_that_hides_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_shadows()
    (tmp_path / "unlikely_name.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Shadowed, match=r"unlikely_name\.py"):
        check_shadows(names=("unlikely_name",))
