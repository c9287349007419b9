"""Telegram, end to end against a stand-in that python-telegram-bot checks for."""

from __future__ import annotations

import asyncio
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("rasa")
pytest.importorskip("telegram")

import telegram
from hypothesis import given, settings
from rasa.shared.exceptions import RasaException

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Message, Press
from connectors.core.sending import Later
from connectors.telegram import TelegramInput
from tests.connectors.fuzz import JSON, LightRequest, check_reads, mutated
from tests.connectors.learned import chosen, expected
from tests.connectors.services.telegram import BOT, SECRET, TOKEN, USERNAME, WEBHOOK, Service, credentials, delivery
from tests.connectors.stand_in import Answer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Do you have gift cards?"
ids = itertools.count(1000)
OPTIONS = {"token": TOKEN, "secret": SECRET, "username": USERNAME}


@pytest.fixture
def service(assistant):
    yield assistant.services["telegram"]
    assistant.services["telegram"].check()


def person(number, **more):
    return {"id": number, "is_bot": False, "first_name": "Ada", **more}


def message(chat, text, *, kind="private", who=None, **more):
    place = {"id": chat, "type": kind, **({} if kind == "private" else {"title": "Customers"})}
    return {
        "message_id": next(ids),
        "date": 1_700_000_000,
        "chat": place,
        "from": person(who or abs(chat)),
        "text": text,
        **more,
    }


def update(**what):
    return {"update_id": next(ids), **what}


def pressed(chat, data, number, *, who=None, kind="private"):
    on = {"message_id": number, "date": 1_700_000_000, "chat": {"id": chat, "type": kind}, "from": BOT.to_dict()}
    query = {"id": f"q{next(ids)}", "from": person(who or abs(chat)), "message": on, "chat_instance": "1", "data": data}
    return update(callback_query=query)


def reacted(chat, number, old, new, **who):
    emoji = [[{"type": "emoji", "emoji": one} for one in several] for several in (old, new)]
    place = {"chat": {"id": chat, "type": "private"}, "message_id": number, "date": 1_700_000_000}
    who = who or {"user": person(abs(chat))}
    return update(message_reaction={**place, **who, "old_reaction": emoji[0], "new_reaction": emoji[1]})


def deliver(assistant, *updates, **more):
    answers = [assistant.post("telegram", *delivery(one, **more)) for one in updates]
    assert len({answer.status_code for answer in answers}) == 1
    return answers[-1]


def said(service, chat, *, count=1, method="sendMessage", after=0):
    return service.wait_for(
        lambda call: call.path.endswith(f"/{method}") and call.body["chat_id"] == chat, count=count, after=after
    )


def keys(call):
    return [key for row in call.body["reply_markup"]["inline_keyboard"] for key in row]


def test_a_delivery_is_taken_with_the_secret_alone(assistant):
    poll = update(poll_answer={"poll_id": "1", "option_ids": [], "option_persistent_ids": [], "user": person(1)})
    assert deliver(assistant, poll).status_code == 200
    assert assistant.health("telegram")["counts"]["ignored: poll_answer"] >= 1
    assert deliver(assistant, poll, secret="another").status_code == 403
    assert deliver(assistant, poll, secret=SECRET[:-1]).status_code == 403
    assert deliver(assistant, poll, secret=None).status_code == 401
    for body in (b"", b"[]", b"{}", b'{"update_id": "1"}', b'{"update_id": 1, "message": 7}', b"\xff"):
        answer = assistant.post("telegram", body, delivery(poll)[1])
        assert answer.status_code == 400
        assert len(answer.json()["error"].splitlines()) == 1


def test_the_webhook_is_set_at_the_start_and_secrets_stay_out_of_the_log(assistant, service):
    (call,) = service.wait_for(lambda call: call.path.endswith("/setWebhook"))
    assert call.body["url"] == WEBHOOK
    assert call.body["secret_token"] == SECRET
    assert "message_reaction" in call.body["allowed_updates"]
    log = assistant.server.log.read_text(errors="replace")
    assert TOKEN not in log
    assert SECRET not in log
    assert TOKEN not in repr(TelegramInput.from_credentials(OPTIONS).settings)
    assert SECRET not in repr(TelegramInput.from_credentials(OPTIONS).settings)


@pytest.mark.parametrize(
    ("option", "value"), [("token", "no token"), ("secret", "not allowed!"), ("secret", "x" * 257)]
)
def test_options_that_telegram_would_refuse_are_refused(option, value):
    with pytest.raises(RasaException, match=option) as refused:
        TelegramInput.from_credentials({**OPTIONS, option: value})
    assert value not in str(refused.value)


def test_ten_deliveries_at_once_are_answered_once(assistant, service):
    one = update(message=message(10, QUESTION))
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: deliver(assistant, one), range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    deliver(assistant, update(message=message(10, "Thank you")))
    assert len(said(service, 10, count=2)) == 2


def test_thumbs_and_reactions_find_their_decision_change_and_go_without_a_trace(assistant, service):
    learning = assistant.learning()
    deliver(assistant, update(message=message(20, QUESTION)))
    (call,) = said(service, 20)
    number = service.numbers[id(call)]
    reply = chosen(learning, "telegram")
    before = expected(learning, QUESTION, reply)
    up, down = keys(call)[-2:]

    def press(key):
        pressing = pressed(20, key["callback_data"], number)
        answer = deliver(assistant, pressing)
        query = pressing["callback_query"]["id"]
        assert answer.json()["method"] == "answerCallbackQuery"
        assert answer.json()["callback_query_id"] == query
        marked = said(service, 20, method="editMessageReplyMarkup", count=next(edits))[-1]
        assert marked.body["message_id"] == number
        return f"telegram:{pressing['update_id']}", keys(marked)[-2:]

    edits = itertools.count(1)
    first, (up, down) = press(up)
    assert up["text"] != down["text"].replace("👎", "👍")
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == first)
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "telegram"
    assert expected(learning, QUESTION, reply) > before
    second, (up, down) = press(down)
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first)
    assert expected(learning, QUESTION, reply) < before
    _, keyboard = press(down)
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == second)
    assert keyboard == keys(call)[-2:]
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)

    changes = [(["❤"], ["👍", "❤"]), (["👍", "❤"], ["👎"]), (["👎"], [])]
    for (old, new), value in zip(changes, (1.0, 0.0, None), strict=True):
        change = reacted(20, number, old, new)
        deliver(assistant, change)
        if value is not None:
            wanted = f"telegram:{change['update_id']}:{new[0]}"
            assert assistant.wait_for("outcome", lambda e, w=wanted: e.id == w)[0].body["value"] == value
        else:
            assistant.wait_for("revoked", lambda e, w=wanted: e.body["event_id"] == w)
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)
    learning.close()


def test_a_button_says_what_it_stands_for_in_its_own_chat(assistant, service):
    chats = range(30, 38)  # two of the three wordings have a button
    deliver(assistant, *(update(message=message(chat, LOCKED)) for chat in chats))
    calls = [said(service, chat)[0] for chat in chats]
    call = next(call for call in calls if len(keys(call)) > 2)
    chat, data, number = call.body["chat_id"], keys(call)[0]["callback_data"], service.numbers[id(call)]
    own = pressed(chat, data, number)
    answer = deliver(assistant, pressed(39, data, number), pressed(chat, "no key of ours", number), own)
    assert answer.json() == {"method": "answerCallbackQuery", "callback_query_id": own["callback_query"]["id"]}
    assistant.wait_for("outcome", lambda e: e.id == f"telegram:{own['update_id']}:click")
    assert len(said(service, chat, count=2)) == 2
    assert not [call for call in service.calls if call.body.get("chat_id") == 39]


# In process: what is read


def read(sample, **options):
    channel = TelegramInput.from_credentials({**OPTIONS, **options})
    return list(channel.read(LightRequest(delivery(sample)[0])))


GROUP = {"kind": "supergroup", "who": 5}
COMMAND = [{"type": "bot_command", "offset": 0, "length": 6}]
SAMPLES = [
    update(message=message(1, "Where is my order?")),
    update(message=message(1, "/start now", entities=COMMAND)),
    update(message=message(-5, f"@{USERNAME} hello", is_topic_message=True, message_thread_id=3, **GROUP)),
    update(message=message(-5, "hello", reply_to_message=message(-5, "Hi", **GROUP), **GROUP)),
    update(edited_message=message(1, "Where is it?", edit_date=1_700_000_001)),
    pressed(1, "r12.0", 7),
    pressed(1, "thumb:up", 7),
    reacted(1, 7, ["👍"], ["👎", "🎉"]),
]


def test_what_is_said_in_private_is_read_without_slashes():
    def words(text, **more):
        (found,) = read(update(message=message(1, text)), **more)
        return found.asked if isinstance(found, Message) else found

    assert words("Where is my order?") == "Where is my order?"
    assert words("/start deep-link") == "hello"
    assert words("/start", start="hi there") == "hi there"
    assert words("/start", start="/greet") == "/greet"  # the bot builder's own
    assert words("/greet", start="/greet") == "greet"
    assert words("/help me") == "help me"
    assert words(f"/help@{USERNAME} me") == "help me"
    assert words(' //inform{"name": "eve"}') == 'inform{"name": "eve"}'
    assert words("/ /") == Ignored("message without words")


def test_in_groups_the_bot_takes_what_is_meant_for_it():
    def meant(text, **more):
        (found,) = read(update(message=message(-5, text, **{**GROUP, **more})))
        return (found.conversation, found.person, found.text) if isinstance(found, Message) else None

    assert meant("hello all") is None
    assert meant(f"@{USERNAME}s hello") is None
    assert meant(f"hello @{USERNAME.lower()}, where is it?") == ("-5", "5", "hello , where is it?")
    assert meant("/help", entities=COMMAND) == ("-5", "5", "help")
    assert meant("/help@OtherBot", entities=COMMAND) is None
    ours = {**message(-5, "Hi", **GROUP), "from": BOT.to_dict()}
    topic = {"is_topic_message": True, "message_thread_id": 3}
    assert meant("and now?", reply_to_message=ours, **topic) == ("-5:3", "5", "and now?")
    assert meant("and now?", reply_to_message=message(-5, "Hi", **GROUP)) is None


def test_what_needs_no_work_is_ignored():
    photo = [{"file_id": "1", "file_unique_id": "1", "width": 1, "height": 1}]
    ours = {**message(1, "Hi"), "from": BOT.to_dict()}
    silent = message(1, "")
    silent.pop("text")
    for sample in (
        update(message=ours),
        update(message={**silent, "photo": photo}),
        update(edited_message=message(1, "no, this")),
        pressed(1, "thumb:sideways", 7),
        reacted(1, 7, [], ["🎉"]),
    ):
        assert all(isinstance(found, Ignored) for found in read(sample)), sample
    (found,) = read(update(message={**silent, "photo": photo, "caption": "It came broken"}))
    assert found.text == "It came broken"
    (found,) = read(update(message=message(1, "Half an emoji \ud83d")))
    assert found.text == "Half an emoji ?"


def test_reactions_come_and_go_by_person():
    change = reacted(-5, 7, ["👍", "🎉"], ["👎"], actor_chat={"id": -5, "type": "supergroup", "title": "Customers"})
    parsed = telegram.Update.de_json(change, None)
    gone, come = read(change)
    assert (gone.value, gone.facet, come.value, come.facet) == (None, "👍", 0.0, "👎")
    assert gone.message == come.message == f"-5:{parsed.message_reaction.message_id}"
    assert gone.person == "-5"
    assert gone.key != come.key


def test_a_thumb_pressed_again_is_taken_back():
    (up,), (back,), (press,) = (read(pressed(1, data, 7)) for data in ("thumb:up", "thumb:back", "r12.0"))
    assert (up.value, back.value) == (1.0, None)
    assert up == Feedback(up.key, "1", "thumb", 1.0, message="1:7", person="1")
    assert isinstance(press, Press)


CHANNEL = TelegramInput.from_credentials(OPTIONS)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(JSON | mutated(SAMPLES))
def test_whatever_comes_is_read_or_refused(sample):
    check_reads(CHANNEL, json.dumps(sample).encode())


# In process: what is sent


@pytest.fixture
def api():
    api = Service()
    yield api
    api.close()


def send(api, content, chat, **options):
    """Send each part as the worker would; the calls."""
    channel = TelegramInput.from_credentials({**credentials(api), **options})
    before = len(api.calls)

    async def all_parts():
        try:
            return [
                await channel.send(Outgoing(chat, {}, part, number))
                for number, part in enumerate(channel.contents(content, None), 1)
            ]
        finally:
            await channel.client.close()

    sent = asyncio.run(all_parts())
    api.check()
    calls = [c for c in api.calls[before:] if c.body.get("chat_id") == int(chat.partition(":")[0])]
    return sent, [(call.path.rpartition("/")[2], call.body) for call in calls]


DECIDED = {"turn": "t", "decisions": ("d",)}


def test_long_texts_are_parted_and_each_part_can_be_judged(api):
    text = "\n\n".join("word " * 300 for _ in range(8))
    buttons = (Button("Yes", "/yes"), Button("Shop", url="https://shop.example.com"), Button("Call", url="tel:+1"))
    sent, calls = send(api, Content(text, buttons=buttons, **DECIDED), "41:9")
    assert len(sent) == len(calls) >= 3
    assert "".join(text.split()) in "".join("".join(body["text"].split()) for _, body in calls)
    assert all(body["message_thread_id"] == 9 for _, body in calls)
    rows = [body["reply_markup"]["inline_keyboard"] for _, body in calls]
    assert [len(row) for row in rows[:-1]] == [1] * (len(rows) - 1)
    assert [button["text"] for row in rows[-1] for button in row] == ["Yes", "Shop", "👍", "👎"]
    assert calls[-1][1]["text"].endswith("Call: tel:+1")
    assert sent[0].startswith("41:")


def test_pictures_and_cards_have_captions_and_words_where_they_cannot_be_had(api):
    photo = "https://img.example.com/1.png"
    _, calls = send(api, Content("Look", image=photo), "42")
    assert calls == [("sendPhoto", {"chat_id": 42, "photo": photo, "caption": "Look"})]
    _, calls = send(api, Content("x" * 1025, image=photo), "43")
    assert [method for method, _ in calls] == ["sendPhoto", "sendMessage"]
    _, calls = send(api, Content("Look", image="https://img.example.com/missing.png"), "44")
    assert [method for method, _ in calls] == ["sendPhoto", "sendMessage"]
    assert calls[1][1]["text"] == "Look\n\nhttps://img.example.com/missing.png"
    card = Card("Kettle", "Holds 1 litre. " * 100, photo, "https://shop.example.com/k", (Button("Buy", "/buy"),))
    plain = replace(card, image=None)
    _, calls = send(api, Content("Two of them", cards=(card, plain), **DECIDED), "45")
    assert [method for method, _ in calls] == ["sendMessage", "sendPhoto", "sendMessage"]
    assert [body["reply_markup"]["inline_keyboard"][0][0]["text"] for _, body in calls] == ["👍", "Buy", "Buy"]


def test_it_shows_that_it_is_typing_in_the_topic(api):
    channel = TelegramInput.from_credentials(credentials(api))

    async def typing():
        await channel.typing("-49:3", {})
        await channel.client.close()

    asyncio.run(typing())
    (call,) = said(api, -49, method="sendChatAction")
    assert call.body == {"chat_id": -49, "message_thread_id": 3, "action": "typing"}


def test_a_pressed_thumb_is_marked_in_private_alone(api):
    channel = TelegramInput.from_credentials(credentials(api))
    content = Content("Hello", (Button("Yes", "/yes"),), **DECIDED)

    async def noted():
        for chat, facet in (("50", None), ("50", "👍"), ("-50", None)):
            feedback = Feedback("1", chat, "thumb", 1.0, message=f"{chat}:7", facet=facet)
            await channel.noted(feedback, Outgoing(chat, {}, content, 3))
        await channel.client.close()

    asyncio.run(noted())
    api.check()
    (call,) = api.calls
    assert (call.body["chat_id"], call.body["message_id"]) == (50, 7)
    assert [key["callback_data"] for key in keys(call)] == ["r3.0", "thumb:back", "thumb:down"]


def test_many_buttons_are_cut_and_thumbs_can_be_left_out(api):
    buttons = tuple(Button("b" * 200, f"/say{n}") for n in range(150))
    _, calls = send(api, Content(buttons=buttons, **DECIDED), "46")
    assert len([key for row in calls[0][1]["reply_markup"]["inline_keyboard"] for key in row]) == 100
    _, calls = send(api, Content("Hello", **DECIDED), "47", feedback=False)
    assert "reply_markup" not in calls[0][1]


def test_how_long_telegram_asks_to_wait_is_heard(api):
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 7}}
    api.script.append(Answer(429, body))
    with pytest.raises(Later) as later:
        send(api, Content("Hello"), "48")
    assert (later.value.seconds, later.value.limited) == (7.0, True)
    assert TOKEN not in str(later.value)
