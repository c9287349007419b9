"""Talking to the assistant in a terminal, or through a pipe."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO

from rasa.core.channels.channel import UserMessage
from rich.console import Console
from rich.text import Text

from agent import render
from agent.errors import RejoinderError, Unknown
from agent.explain import why
from agent.plugin.assistant import Assistant
from agent.plugin.events import LearningLogBroker
from agent.plugin.output import AnnotatedOutput
from agent.plugin.runtime import runtime
from agent.service import Service

HELP = """\
/good       the last reply was right: say so
/bad        it was not
/why        how it was chosen: candidates, scores in parts, uncertainty, probability
/why words  and which of your words spoke for it, which against it
1, 2, …     press a button
/help       this list
/quit       leave (end of file does, too)
Anything else is said to the assistant."""
_CHANNEL = "terminal"
_PROMPT = "you  "


@dataclass
class _Conversation:
    """What the next line typed can refer to."""

    id: str = field(default_factory=lambda: f"{_CHANNEL}-{uuid.uuid4().hex[:12]}")
    message_id: str | None = None
    payloads: list[str] = field(default_factory=list)


def chat(assistant: Assistant, lines: TextIO, console: Console) -> None:
    """Answer each line until /quit or the end of the input."""
    conversation = _Conversation()
    loop = asyncio.get_event_loop()
    console.print("Ask something, or type /help.", style="dim")
    try:
        for line in _typed(lines, console):
            if line == "/quit":
                break
            if line.startswith("/"):
                _command(line, conversation, console)
            elif line:
                loop.run_until_complete(_say(assistant, conversation, line, console))
    finally:
        loop.run_until_complete(_close(assistant))


def _typed(lines: TextIO, console: Console) -> Iterator[str]:
    """The lines as they come, stripped, until there are no more."""
    read = _ask if lines.isatty() else partial(_piped, lines, console)
    with suppress(EOFError):
        while True:
            yield read().strip()
    console.print()


def _ask() -> str:
    with suppress(ImportError):  # where there is none, lines cannot be edited or recalled
        import readline  # noqa: F401
    return input(_PROMPT)


def _piped(lines: TextIO, console: Console) -> str:
    """The next line of a pipe, shown, so that the output reads as a conversation."""
    line = lines.readline()
    if not line:
        raise EOFError
    console.print(Text.assemble((_PROMPT, "bold cyan"), line.rstrip("\n")))
    return line


def _command(line: str, conversation: _Conversation, console: Console) -> None:
    try:
        if line == "/help":
            console.print(HELP)
        elif line in ("/good", "/bad"):
            _thumb(conversation, good=line == "/good")
            console.print("noted, thank you", style="dim")
        elif line.split() in (["/why"], ["/why", "words"]):
            _why(conversation, console, words=line.endswith("words"))
        else:
            console.print(f"there is no command {line}; /help lists those there are", markup=False)
    except RejoinderError as error:
        console.print(Text(str(error), style="yellow"))


def _thumb(conversation: _Conversation, *, good: bool) -> None:
    service, turn = _turn(conversation)
    service.record(signal="thumb", value=int(good), turn=turn, source=_CHANNEL, actor=conversation.id)


def _why(conversation: _Conversation, console: Console, *, words: bool) -> None:
    service, turn = _turn(conversation)
    for number, decision in enumerate(service.log.decisions(column="turn", value=turn)):
        if number:
            console.print()
        console.print(render.explanation(why(service, decision, words=words)))


def _turn(conversation: _Conversation) -> tuple[Service, str]:
    """The service and the last turn, in which something was decided."""
    if conversation.message_id is None:
        raise Unknown("nothing has been said yet")
    service = runtime().service()
    turn = service.turn(conversation.id, conversation.message_id)
    if not service.log.decisions(column="turn", value=turn):
        raise Unknown("a rule gave this reply: nothing was chosen, so there is nothing to learn")
    return service, turn


async def _say(assistant: Assistant, conversation: _Conversation, line: str, console: Console) -> None:
    text = line
    if line.isdigit() and 1 <= int(line) <= len(conversation.payloads):
        text = conversation.payloads[int(line) - 1]
    conversation.message_id = uuid.uuid4().hex
    channel = AnnotatedOutput(_CHANNEL)
    await assistant.agent.handle_message(
        UserMessage(text, channel, conversation.id, input_channel=_CHANNEL, message_id=conversation.message_id)
    )
    conversation.payloads = []
    for message in channel.messages:
        _show(message, conversation, console)
    if not channel.messages:
        console.print("(no reply)", style="dim")
    if (broker := _broker(assistant)) is not None:
        broker.flush()  # what /why tells next is what was really sent


def _show(message: dict[str, Any], conversation: _Conversation, console: Console) -> None:
    for text in (message.get("text"), message.get("image"), message.get("attachment")):
        if text:
            console.print(Text.assemble(("bot  ", "bold green"), str(text)))
    for button in message.get("buttons") or ():
        console.print(Text(f"     {_pressable(button, conversation)}"))
    for card in message.get("elements") or ():
        console.print(Text.assemble("     ", (card["title"], "bold"), f"  {card.get('subtitle', '')}"))
        buttons = [button for button in card.get("buttons") or () if button.get("payload")]
        console.print(Text(f"       {'   '.join(_pressable(button, conversation) for button in buttons)}"))


def _pressable(button: Mapping[str, str], conversation: _Conversation) -> str:
    """A button with the number by which it is pressed."""
    conversation.payloads.append(button["payload"])
    return f"{len(conversation.payloads)}. {button['title']}"


async def _close(assistant: Assistant) -> None:
    """Let the broker write what it still holds, and the service keep its snapshots."""
    if (broker := _broker(assistant)) is not None:
        await broker.close()
    runtime().close()


def _broker(assistant: Assistant) -> LearningLogBroker | None:
    """Our event broker, where endpoints.yml names it."""
    store = assistant.agent.tracker_store
    broker = getattr(getattr(store, "_tracker_store", store), "event_broker", None)
    return broker if isinstance(broker, LearningLogBroker) else None
