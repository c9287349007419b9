"""Telegram's Bot API, checked with python-telegram-bot: its methods' parameters, its models, its limits."""

from __future__ import annotations

import inspect
import itertools
import json
from typing import Any

import telegram
from telegram.constants import InlineKeyboardButtonLimit, InlineKeyboardMarkupLimit, MessageLimit, WebhookLimit

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.telegram.TelegramInput"
TOKEN, SECRET = "4711:the_token-we_send_with", "the_secret-it_sends"
USERNAME = "WrenfoldBot"
WEBHOOK = "https://bot.example.com/webhooks/telegram/webhook"
BOT = telegram.User(4711, "Wrenfold", is_bot=True, username=USERNAME)
# Each with what it must have; what it may have, python-telegram-bot knows.
METHODS = {
    "sendMessage": ("send_message", {"chat_id", "text"}),
    "sendPhoto": ("send_photo", {"chat_id", "photo"}),
    "sendChatAction": ("send_chat_action", {"chat_id", "action"}),
    "editMessageReplyMarkup": ("edit_message_reply_markup", {"chat_id", "message_id", "reply_markup"}),
    "setWebhook": ("set_webhook", {"url", "secret_token"}),
}
NOT_FOUND = Answer(400, {"ok": False, "error_code": 400, "description": "Bad Request: failed to get HTTP URL content"})


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.numbers: dict[int, int] = {}  # of messages, by the identity of the calls that sent them

    def answer(self, call: Call) -> Answer:
        prefix, _, method = call.path.rpartition("/")
        assert prefix == f"/bot{TOKEN}"
        assert call.method == "POST"
        assert call.headers["Content-Type"] == "application/json"
        name, required = METHODS[method]
        body = call.body
        assert required <= set(body) <= set(inspect.signature(getattr(telegram.Bot, name)).parameters)
        assert isinstance(body.get("chat_id", 0), int)
        assert isinstance(body.get("message_thread_id", 0), int)
        if "reply_markup" in body:
            check_keyboard(body["reply_markup"])
        if method in ("sendMessage", "sendPhoto"):
            return self._sent(call)
        if method == "sendChatAction":
            assert body["action"] == telegram.constants.ChatAction.TYPING
        if method == "setWebhook":
            assert body["url"].startswith("https://")
            assert len(body["secret_token"]) <= WebhookLimit.MAX_SECRET_TOKEN_LENGTH
            assert set(body["allowed_updates"]) <= set(telegram.Update.ALL_TYPES)
        return Answer(body={"ok": True, "result": True})

    def _sent(self, call: Call) -> Answer:
        body = call.body
        assert len(body.get("text", "")) <= MessageLimit.MAX_TEXT_LENGTH
        assert body.get("text", "x").strip()
        assert len(body.get("caption", "")) <= MessageLimit.CAPTION_LENGTH
        if "missing" in body.get("photo", ""):
            return NOT_FOUND
        chat = {"id": body["chat_id"], "type": "private" if body["chat_id"] > 0 else "supergroup"}
        number = self.numbers[id(call)] = next(self._ids)
        message = {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": BOT.to_dict()}
        return Answer(body={"ok": True, "result": {**message, "text": body.get("text")}})


def check_keyboard(markup: dict[str, Any]) -> None:
    assert set(markup) == {"inline_keyboard"}
    parsed = telegram.InlineKeyboardMarkup.de_json(markup, None)
    assert parsed.to_dict() == markup
    assert 1 <= sum(map(len, parsed.inline_keyboard)) <= InlineKeyboardMarkupLimit.TOTAL_BUTTON_NUMBER
    for row in parsed.inline_keyboard:
        assert 1 <= len(row) <= InlineKeyboardMarkupLimit.BUTTONS_PER_ROW
        for button in row:
            assert button.text
            assert (button.callback_data is None) != (button.url is None)
            if button.callback_data is not None:
                assert 1 <= len(button.callback_data.encode()) <= InlineKeyboardButtonLimit.MAX_CALLBACK_DATA


def credentials(service: StandIn) -> dict[str, Any]:
    return {"token": TOKEN, "secret": SECRET, "api": service.address, "webhook_url": WEBHOOK, "username": USERNAME}


def delivery(update: dict[str, Any] | telegram.Update, *, secret: str | None = SECRET) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery; what python-telegram-bot would not understand is none."""
    data = update.to_dict() if isinstance(update, telegram.Update) else update
    telegram.Update.de_json(data, None)
    return json.dumps(data).encode(), {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
