"""Ratings: links in a mail that lead to a page with a thumb to confirm, to change and to take back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode

from sanic.request import Request
from sanic.response import HTTPResponse, html

from connectors.core.signature import Refused, check_hmac

THUMBS = {"up": 1.0, "down": 0.0, "none": None}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:.3rem .3rem .3rem 0;min-height:44px}"
)


@dataclass(frozen=True)
class Rating:
    """What a link stands for; `nonce` makes a form that is sent twice one rating."""

    parcel: int
    value: str
    ends: str
    nonce: str

    @property
    def thumb(self) -> float | None:
        """The thumb; None takes it back."""
        return THUMBS[self.value]


class Ratings:
    """Makes and reads the links to `address`; each is good for so many days."""

    def __init__(self, secret: str, address: str, *, days: float) -> None:
        self._secret, self._address, self._seconds = secret, address, days * 86_400.0

    def link(self, parcel: int, value: str) -> str:
        """The address behind which a message can be rated."""
        ends = str(int(time.time() + self._seconds))
        return f"{self._address}?{urlencode(self._fields(parcel, value, ends))}"

    def read(self, request: Request) -> Rating:
        """What a link or a form says.

        Raises:
            Refused: it is not ours (401, 403), or too old (410).
        """
        text = request.body.decode("utf-8", "replace") if request.method == "POST" else request.query_string
        try:
            fields = {name: values[0] for name, values in parse_qs(text, max_num_fields=10).items()}
        except ValueError:
            raise Refused("this is not a link of ours", status=401) from None
        parcel, value, ends = (fields.get(name, "") for name in ("parcel", "value", "ends"))
        check_hmac(self._secret, _signed(parcel, value, ends), fields.get("sign"))
        if float(ends) < time.time():
            raise Refused("this link is too old", status=410)
        nonce = "".join(c for c in fields.get("nonce", "")[:32] if c.isascii() and c.isalnum())
        return Rating(int(parcel), value, ends, nonce)

    def page(self, rating: Rating, *, done: bool) -> HTTPResponse:
        """The page: to confirm; or, done, to change."""
        said = {"up": "It helped.", "down": "It did not help.", "none": "Your answer was taken back."}[rating.value]
        if done:
            others = [value for value in THUMBS if value != rating.value]
            head, forms = f"Thank you. {said}", "".join(self._form(rating, value) for value in others)
        else:
            head, forms = "Did our answer help?", self._form(rating, rating.value)
        return html(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{head}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
            f'<body><main><h1 role="status">{head}</h1>{forms}</main></body></html>',
            headers=_HEADERS,
        )

    def _form(self, rating: Rating, value: str) -> str:
        title = {"up": "Yes, it helped", "down": "No, it did not help", "none": "Take my answer back"}[value]
        fields = {**self._fields(rating.parcel, value, rating.ends), "nonce": secrets.token_hex(8)}
        hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(str(f))}">' for name, f in fields.items())
        return f'<form method="post" action="?">{hidden}<button>{title}</button></form>'

    def _fields(self, parcel: int, value: str, ends: str) -> dict[str, Any]:
        sign = hmac.new(self._secret.encode(), _signed(str(parcel), value, ends), hashlib.sha256).hexdigest()
        return {"parcel": parcel, "value": value, "ends": ends, "sign": sign}


def _signed(parcel: str, value: str, ends: str) -> bytes:
    return f"rate:{parcel}:{value}:{ends}".encode("utf-8", "replace")
