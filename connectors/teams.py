"""Microsoft Teams, by the Bot Framework: signed activities in, activities with Adaptive Cards out, thumbs back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from sanic.request import Request

from agent.errors import InvalidInput
from connectors.base import Channel, json_object
from connectors.core.content import Button, Card, Content, Outgoing, cut
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.core.keys import Keys, is_safe
from connectors.core.options import secret
from connectors.core.sending import Later, Undeliverable
from connectors.core.signature import Refused

ISSUER = "https://api.botframework.com"
SCOPE = "https://api.botframework.com/.default"
# Teams takes 40 KB, counted in UTF-16 with all that goes with it; shows 6 buttons a card, and 10 cards a row.
LONGEST_TEXT, MOST_BUTTONS, MOST_CARDS = 15_000, 6, 10
LONGEST_TITLE = 200
_LONGEST_REMARK = 1000
CARD = "application/vnd.microsoft.card.adaptive"
# Reactions that say whether it helped; others (a laugh, surprise) may mean either. Names, or code points in hex.
_REACTIONS = {
    **dict.fromkeys(("like", "heart", "1f44d", "2764", "1f44f", "1f64f", "yes", "hearteyes", "2705"), 1.0),
    **dict.fromkeys(("sad", "angry", "dislike", "1f44e", "no", "cry", "1f620", "274c"), 0.0),
}
_THUMBS = {"like": 1.0, "dislike": 0.0}
_MENTION = re.compile(r"<at[^>]*>(.*?)</at>", re.DOTALL | re.IGNORECASE)
# A token is asked for anew so long before it ends (seconds).
_MARGIN = 300.0


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `app_id` and `app_password` of the bot; `tenant` for a bot of one tenant.

    `feedback` puts thumbs under every message. `login` and `openid` are for clouds other than the public one.
    """

    app_id: str
    app_password: str = secret()
    tenant: str = "botframework.com"
    feedback: bool = True
    login: str = "https://login.microsoftonline.com"
    openid: str = "https://login.botframework.com/v1/.well-known/openidconfiguration"

    def __post_init__(self) -> None:
        if not (is_safe(self.login) and is_safe(self.openid)):
            raise ValueError("login and openid must be https addresses")


class TeamsInput(Channel):
    """The channel `teams`."""

    label = "teams"
    Settings = Options
    settings: Options

    def __init__(self, settings: Options) -> None:
        super().__init__(settings)
        self._keys = Keys(settings.openid)
        self._token, self._token_ends = "", 0.0
        self._token_lock = asyncio.Lock()

    async def verify(self, request: Request) -> None:
        """A token of the Bot Framework's for this app, which names the address that the activity is answered to."""
        scheme, _, token = str(request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("the request carries no token", status=401)
        claims, endorsed = await self._keys.claims(
            token.strip(), self.client, issuer=ISSUER, audience=self.settings.app_id
        )
        activity = self.json(request)
        # Our own token goes to that address: it must be one that the service itself vouches for.
        service = activity.get("serviceUrl")
        if not isinstance(service, str) or claims.get("serviceurl") != service or not is_safe(service):
            raise Refused("the token was made for an activity of another address")
        if endorsed is not None and activity.get("channelId") not in endorsed:
            raise Refused("the key is not endorsed for the activity's channel")

    def read(self, request: Request) -> Sequence[Incoming]:
        """One activity: a message, a pressed button, reactions, or a thumb with a remark."""
        activity = self.json(request)
        kind = activity["type"]
        if kind == "message":
            return [self._message(activity)]
        if kind == "messageReaction":
            return _reactions(activity)
        if kind == "invoke" and activity.get("name") == "message/submitAction":
            return [_thumb(activity)]
        return [Ignored(f"{kind} {activity['name']}" if kind == "invoke" else str(kind))]

    async def accept(self, found: Sequence[Incoming], **shown: Any) -> int:
        """As every channel; a reaction in a team's channel does not name the thread that its message is in."""
        known = [await self.in_thread(self._in_thread, one) if isinstance(one, Feedback) else one for one in found]
        return await super().accept(known, **shown)

    async def send(self, out: Outgoing) -> str | None:
        """One activity."""
        answer = await self._post(out.conversation, out.address, self._activity(out))
        return str(answer["id"]) if isinstance(answer, dict) and answer.get("id") else None

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:
        """Three dots."""
        await self._post(conversation, address, {"type": "typing"})

    def parts(self, content: Content) -> Sequence[Content]:
        """Words with up to 6 buttons, more of them in further messages, then the cards in rows of 10."""
        plain = replace(content, cards=(), attachment=None)
        words = "\n\n".join(filter(None, (content.text, content.attachment)))
        texts = [words[at : at + LONGEST_TEXT] for at in range(0, len(words), LONGEST_TEXT)] or [""]
        found = [replace(plain, text=text, buttons=(), image=None, custom={}) for text in texts[:-1]]
        found.append(replace(plain, text=texts[-1], buttons=content.buttons[:MOST_BUTTONS]))
        rest, bare = content.buttons[MOST_BUTTONS:], replace(plain, text="", buttons=(), image=None, custom={})
        found += [replace(bare, buttons=rest[at : at + MOST_BUTTONS]) for at in range(0, len(rest), MOST_BUTTONS)]
        rows = [content.cards[at : at + MOST_CARDS] for at in range(0, len(content.cards), MOST_CARDS)]
        return [part for part in [*found, *(replace(bare, cards=row) for row in rows)] if part != bare]

    def _message(self, activity: Mapping[str, Any]) -> Incoming:
        """What a customer said, or pressed: `value` is then what the button carried."""
        sender, conversation = str(activity["from"]["id"]), str(activity["conversation"]["id"])
        if sender == activity["recipient"]["id"] or activity["from"].get("role") == "bot":
            return Ignored("our own message")
        key, address = str(activity["id"]), _address(activity)
        if choice := _choice(activity.get("value")):
            about = activity.get("replyToId")
            about = about if isinstance(about, str) else None
            return Press(key, conversation, choice, person=sender, message=about, address=address)
        text = _words(activity)
        if not text:
            return Ignored("message without words")
        return Message(key, conversation, text, person=sender, address=address)

    def _in_thread(self, feedback: Feedback) -> Feedback:
        if ";messageid=" in feedback.conversation or feedback.message is None:
            return feedback
        parcel = self.mailbox.parcel_of(self.label, feedback.message)
        if parcel is None or not parcel.conversation.startswith(f"{feedback.conversation};messageid="):
            return feedback
        return replace(feedback, conversation=parcel.conversation)

    def _activity(self, out: Outgoing) -> dict[str, Any]:
        content = out.content
        body: dict[str, Any] = {"type": "message", "textFormat": "plain"}
        if self.settings.feedback:
            body["channelData"] = {"feedbackLoop": {"type": "default"}}
        choices = {button: number for number, button in reversed(list(enumerate(content.choices())))}
        references = {button: self.reference(out.parcel, number) for button, number in choices.items()}
        if content.cards:
            cards = [_card(card, references) for card in content.cards]
            body |= {"attachments": cards, "attachmentLayout": "carousel" if len(cards) > 1 else "list"}
        elif content.buttons or content.image:
            # Words beside a card would be a message of their own, without a thumb: they go into the card.
            lines = [_line(line) for line in content.text.splitlines() if line.strip()]
            image = [{"type": "Image", "url": content.image}] if content.image else []
            body |= {"attachments": [_adaptive([*lines, *image], content.buttons, references)]}
        else:
            body |= {"text": content.text}
        return {**body, **content.custom}

    async def _post(self, conversation: str, address: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
        if "service" not in address:
            raise Undeliverable("no message of theirs says where the conversation is answered")
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        activity = {"from": address["bot"], "conversation": {"id": conversation}, **body}
        url = f"{address['service'].rstrip('/')}/v3/conversations/{quote(conversation, safe='')}/activities"
        try:
            return await self.client.call("POST", url, json=activity, headers=headers, allow_redirects=False)
        except Undeliverable as error:
            if error.status == 401:
                self._token_ends = 0.0
            if error.status in (401, 412):  # the token was withdrawn; or another message is being taken at this moment
                raise Later(str(error)) from None
            raise

    async def _bearer(self) -> str:
        """The token that we send with. Raises Later."""
        # Shielded: typing is given up as soon as there is an answer, which then needs the very same token.
        return await asyncio.shield(self._asked_for())

    async def _asked_for(self) -> str:
        async with self._token_lock:
            if time.monotonic() > self._token_ends:
                form = {
                    "grant_type": "client_credentials",
                    "client_id": self.settings.app_id,
                    "client_secret": self.settings.app_password,
                    "scope": SCOPE,
                }
                url = f"{self.settings.login.rstrip('/')}/{quote(self.settings.tenant, safe='')}/oauth2/v2.0/token"
                try:
                    found = await self.client.call("POST", url, data=form, allow_redirects=False)
                    self._token = str(found["access_token"])
                    self._token_ends = time.monotonic() + float(found["expires_in"]) - _MARGIN
                except (Undeliverable, KeyError, TypeError, ValueError) as error:
                    # A wrong password can be put right: the messages wait for that.
                    raise Later(f"no token is given to us ({error})") from None
            return self._token


def _address(activity: Mapping[str, Any]) -> dict[str, Any]:
    return {"service": activity["serviceUrl"], "bot": {"id": str(activity["recipient"]["id"])}}


def _words(activity: Mapping[str, Any]) -> str:
    """The text without the mention by which a bot is called; of others, the name stays."""
    text = activity.get("text")
    if not isinstance(text, str):
        return ""
    bot = activity["recipient"]["id"]
    for entity in activity.get("entities") or ():
        called = isinstance(entity, dict) and entity.get("type") == "mention" and entity["mentioned"]["id"] == bot
        if called and isinstance(entity.get("text"), str) and entity["text"]:
            text = text.replace(entity["text"], " ")
    return re.sub(r"[ \u00a0]+", " ", _MENTION.sub(r"\1", text)).strip()


def _choice(value: Any) -> str | None:
    """The reference that a pressed button carried; Teams may hand it on as JSON in a text."""
    if isinstance(value, str):
        with suppress(InvalidInput):
            value = json_object(value.encode())
    choice = value.get("choice") if isinstance(value, dict) else None
    return choice if isinstance(choice, str) and choice else None


def _reactions(activity: Mapping[str, Any]) -> list[Incoming]:
    """All reactions of an activity; those taken back first, for a changed one is both."""
    key, conversation, person = str(activity["id"]), str(activity["conversation"]["id"]), str(activity["from"]["id"])
    message, found = str(activity["replyToId"]), list[Incoming]()
    for field, sign in (("reactionsRemoved", "-"), ("reactionsAdded", "+")):
        for reaction in activity.get(field) or ():
            name = str(reaction["type"])
            plain = name.split("-tone", maxsplit=1)[0]
            value = _REACTIONS.get(plain.lower(), _REACTIONS.get(plain.split("_")[0].lower()))
            if value is None:
                found.append(Ignored("a reaction that means neither"))
                continue
            given = value if sign == "+" else None
            facet = f"reaction {plain}"
            found.append(
                Feedback(f"{key}:{sign}{name}", conversation, "thumb", given, message, person=person, facet=facet)
            )
    return found


def _thumb(activity: Mapping[str, Any]) -> Incoming:
    """A thumb under a message. Teams takes none back; another one takes its place."""
    value = activity["value"]
    if value.get("actionName") != "feedback":
        return Ignored("message/submitAction of another kind")
    return Feedback(
        str(activity["id"]),
        str(activity["conversation"]["id"]),
        "thumb",
        _THUMBS[value["actionValue"]["reaction"]],
        message=str(activity["replyToId"]),
        person=str(activity["from"]["id"]),
        comment=_remark(value["actionValue"]),
    )


def _remark(what: Mapping[str, Any]) -> str | None:
    """What was typed under a thumb: JSON in a text."""
    with suppress(InvalidInput):
        words = json_object(str(what.get("feedback") or "").encode()).get("feedbackText")
        return words.strip()[:_LONGEST_REMARK] or None if isinstance(words, str) else None
    return None


def _line(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "TextBlock", "text": text, "wrap": True, **more}


def _card(card: Card, references: Mapping[Button, str]) -> dict[str, Any]:
    image = [{"type": "Image", "url": card.image, "size": "Stretch"}] if card.image else []
    subtitle = [_line(card.subtitle, isSubtle=True)] if card.subtitle else []
    adaptive = _adaptive([*image, _line(card.title, weight="Bolder"), *subtitle], card.buttons, references)
    if card.url:
        adaptive["content"]["selectAction"] = {"type": "Action.OpenUrl", "url": card.url}
    return adaptive


def _adaptive(
    body: Sequence[Mapping[str, Any]], buttons: Sequence[Button], references: Mapping[Button, str]
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": list(body),
        "actions": [_action(button, references.get(button)) for button in buttons[:MOST_BUTTONS]],
    }
    return {"contentType": CARD, "content": content}


def _action(button: Button, reference: str | None) -> dict[str, Any]:
    title = cut(button.title, LONGEST_TITLE)
    if reference is None:
        return {"type": "Action.OpenUrl", "title": title, "url": button.url}
    shown = {"type": "messageBack", "displayText": button.title, "text": button.title}
    return {"type": "Action.Submit", "title": title, "data": {"choice": reference, "msteams": shown}}
