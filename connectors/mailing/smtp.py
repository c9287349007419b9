"""SMTP: one mail handed to a server, and what its answer means for the mail."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message

from connectors.core.sending import Later, Undeliverable

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A server that takes mail: `security` is `starttls`, `tls`, or `none` (for a server on the same machine)."""

    host: str
    port: int
    security: str
    user: str
    password: str = field(repr=False)

    def send(self, message: Message) -> None:
        """Hand over a mail.

        Raises:
            Later: the server cannot be reached, is busy, or does not let us in (which can be put right).
            Undeliverable: it refuses the mail.
        """
        try:
            server = self._open()
            try:
                self._enter(server)
                _hand_over(server, message)
            finally:
                with suppress(smtplib.SMTPException, OSError):  # the mail is taken, whatever follows
                    server.quit()
        except (smtplib.SMTPException, OSError) as error:
            raise Later(f"the mail server cannot be used ({type(error).__name__})") from None

    def _open(self) -> smtplib.SMTP:
        if self.security == "tls":
            secure = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=secure)
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)

    def _enter(self, server: smtplib.SMTP) -> None:
        if self.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if self.user:
            server.login(self.user, self.password)


def _hand_over(server: smtplib.SMTP, message: Message) -> None:
    try:
        server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise _failure(*next(iter(error.recipients.values()))) from None
    except smtplib.SMTPResponseException as error:
        raise _failure(error.smtp_code, error.smtp_error) from None


def _failure(code: int, said: bytes | str) -> Later | Undeliverable:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    why = f"the mail server answered {code}: {text[:300]}"
    return Later(why) if code < 500 else Undeliverable(why, status=code)
