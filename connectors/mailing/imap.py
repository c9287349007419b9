"""IMAP: new mail out of a mailbox; read without a mark, and marked as seen once it is kept elsewhere."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 30.0
# Of each mail so many bytes: what was written comes before what is attached.
MOST_BYTES, MOST_MAILS = 1024 * 1024, 20


@dataclass(frozen=True)
class Inbox:
    """A mailbox on a server: `security` is `tls`, `starttls`, or `none` (for a server on the same machine)."""

    host: str
    port: int
    security: str
    user: str
    password: str = field(repr=False)
    folder: str = "INBOX"

    def unseen(self) -> list[tuple[str, bytes]]:
        """The oldest mails that are not marked as seen, with their UIDs.

        Raises:
            OSError, imaplib.IMAP4.error: the server cannot be reached, or refuses.
        """
        with self._open() as server:
            _, (found,) = server.uid("SEARCH", "UNSEEN")
            mails = []
            for uid in (found or b"").decode().split()[:MOST_MAILS]:
                _, parts = server.uid("FETCH", uid, f"(BODY.PEEK[]<0.{MOST_BYTES}>)")
                mails += [(uid, part[1]) for part in parts if isinstance(part, tuple)][:1]
            return mails

    def mark(self, uids: Sequence[str]) -> None:
        """Mark mails as seen. Raises as `unseen`."""
        with self._open() as server:
            server.uid("STORE", ",".join(uids), "+FLAGS.SILENT", r"(\Seen)")

    @contextmanager
    def _open(self) -> Iterator[imaplib.IMAP4]:
        secure = ssl.create_default_context()
        if self.security == "tls":
            server: imaplib.IMAP4 = imaplib.IMAP4_SSL(self.host, self.port, ssl_context=secure, timeout=TIMEOUT_SECONDS)
        else:
            server = imaplib.IMAP4(self.host, self.port, timeout=TIMEOUT_SECONDS)
        with server:
            if self.security == "starttls":
                server.starttls(secure)
            server.login(self.user, self.password)
            folder = re.sub(r'([\\"])', r"\\\1", self.folder)
            status, _ = server.select(f'"{folder}"')
            if status != "OK":
                raise imaplib.IMAP4.error("there is no such folder")
            yield server
