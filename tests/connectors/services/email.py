"""The servers of a mail account: one that takes mail (SMTP) and one that holds it (IMAP), as small as they can be."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import hashlib
import hmac
import re
import socketserver
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.connectors.stand_in import PATIENCE

CONNECTOR = "connectors.email.EmailInput"
ADDRESS, SECRET, PASSWORD = "help@shop.example.com", "the secret of the relay", "the password of the mailbox"
PUBLIC = "https://bot.example.com"


@dataclass
class Sent:
    """A mail that the SMTP server was given: its envelope, its bytes, and it as the standard library reads it."""

    sender: str
    recipients: list[str]
    raw: bytes
    secure: bool
    at: float = field(default_factory=time.monotonic)

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)  # type: ignore[return-value]

    def text(self, kind: str = "plain") -> str:
        return self.message.get_body((kind,)).get_content()  # type: ignore[union-attr]

    def link(self, value: str) -> str:
        found = re.findall(rf"{PUBLIC}(/\S*value={value}\S*)", self.text())
        return found[0]


class Service:
    """Both servers. `script` holds answers that go before taking a mail; `stored` are those in the mailbox."""

    def __init__(self, *, certificate: ssl.SSLContext | None = None) -> None:
        self.mails: list[Sent] = []
        self.script: list[str] = []
        self.problems: list[str] = []
        self.logins: list[str] = []
        self.stored: dict[int, bytes] = {}
        self.seen: set[int] = set()
        self.certificate = certificate
        self._servers = [self._serve(_Smtp), self._serve(_Imap)]

    def _serve(self, handler: type[_Handler]) -> socketserver.ThreadingTCPServer:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (handler,), {"service": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    @property
    def smtp_port(self) -> int:
        return int(self._servers[0].server_address[1])

    @property
    def imap_port(self) -> int:
        return int(self._servers[1].server_address[1])

    def wait_for(self, wanted: Callable[[Sent], bool], *, count: int = 1) -> list[Sent]:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.check()
            if len(found := [mail for mail in self.mails if wanted(mail)]) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{count} wanted of {[mail.raw[:500] for mail in self.mails]}")

    def check(self) -> None:
        assert not self.problems, self.problems

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def take(self, mail: Sent) -> str:
        """Whether a mail is as the standards want it."""
        if self.script:
            return self.script.pop(0)
        self.mails.append(mail)
        try:
            _check_mail(mail)
        except Exception as error:  # noqa: BLE001 (whatever a malformed mail leads to)
            self.problems.append(f"{type(error).__name__}: {error}: {mail.raw[:800]!r}")
        return "250 taken"


def _check_mail(mail: Sent) -> None:
    assert mail.sender == ADDRESS
    assert all(len(line) <= 998 for line in mail.raw.split(b"\r\n"))
    assert mail.raw.isascii()
    message, headers = mail.message, [name.lower() for name in mail.message]
    assert sorted(headers) == sorted(
        [
            *("content-type", "mime-version", "from", "to", "subject", "date", "message-id", "in-reply-to"),
            *("references", "auto-submitted", "x-auto-response-suppress"),
        ]
    )
    assert [message["To"].addresses[0].addr_spec] == mail.recipients
    assert message["From"].addresses[0].addr_spec == ADDRESS
    assert message["Auto-Submitted"] == "auto-replied"
    assert re.fullmatch(r"<\S+@shop\.example\.com>", str(message["Message-ID"]))
    for name in ("In-Reply-To", "References"):
        assert re.fullmatch(r"(?:<[^<>\s]+>\s*)+", str(message[name]).strip()), message[name]
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert all(part.get_content().strip() for part in message.iter_parts())


class _Handler(socketserver.StreamRequestHandler):
    service: Service

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> str:
        return self.rfile.readline().decode().rstrip("\r\n")


class _Smtp(_Handler):
    def handle(self) -> None:
        self.say("220 stand-in ESMTP")
        sender, recipients, secure = "", [], False
        while line := self.line():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "EHLO":
                self.say("250-stand-in", *(["250-STARTTLS"] if self.service.certificate else []), "250 AUTH PLAIN")
            elif verb.upper() == "STARTTLS":
                assert self.service.certificate is not None
                self.say("220 go ahead")
                try:
                    self.connection = self.service.certificate.wrap_socket(self.connection, server_side=True)
                except ssl.SSLError:
                    return
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                secure = True
            elif verb.upper() == "AUTH":
                self.service.logins.append(rest)
                self.say("235 welcome")
            elif verb.upper() == "MAIL":
                sender, recipients = rest[rest.index("<") + 1 : rest.index(">")], []
                self.say("250 ok")
            elif verb.upper() == "RCPT":
                recipients.append(rest[rest.index("<") + 1 : rest.index(">")])
                self.say("250 ok")
            elif verb.upper() == "DATA":
                self.say("354 go on")
                self.say(self.service.take(Sent(sender, recipients, self._data(), secure)))
            elif verb.upper() == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)


class _Imap(_Handler):
    def handle(self) -> None:
        self.say("* OK stand-in")
        while line := self.line():
            tag, _, command = line.partition(" ")
            verb = command.split()[0].upper()
            if verb == "CAPABILITY":
                self.say("* CAPABILITY IMAP4rev1")
            elif verb == "LOGIN":
                assert command == f'LOGIN {ADDRESS} "{PASSWORD}"', command
            elif verb == "SELECT":
                assert command == 'SELECT "INBOX"'
                self.say(f"* {len(self.service.stored)} EXISTS", "* OK [UIDVALIDITY 7] valid")
            elif verb == "UID":
                self._by_uid(command)
            elif verb == "LOGOUT":
                self.say("* BYE bye", f"{tag} OK done")
                return
            self.say(f"{tag} OK done")

    def _by_uid(self, command: str) -> None:
        verb, rest = command.split(" ", 2)[1:]
        if verb == "SEARCH":
            assert rest == "UNSEEN"
            found = sorted(set(self.service.stored) - self.service.seen)
            self.say(f"* SEARCH {' '.join(map(str, found))}".rstrip())
        elif verb == "FETCH":
            asked = re.fullmatch(r"(\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", rest)
            assert asked is not None, rest
            raw = self.service.stored[int(asked[1])][: int(asked[2])]
            self.wfile.write(f"* 1 FETCH (UID {asked[1]} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n")
        else:
            asked = re.fullmatch(r"([\d,]+) \+FLAGS\.SILENT \(\\Seen\)", rest)
            assert (verb, asked is not None) == ("STORE", True), command
            self.service.seen |= {int(uid) for uid in asked[1].split(",")}  # type: ignore[index]


def credentials(service: Service) -> dict[str, Any]:
    return {
        "address": ADDRESS,
        "name": "Shop, help",
        "secret": SECRET,
        "smtp_host": "127.0.0.1",
        "smtp_port": service.smtp_port,
        "smtp_security": "none",
        "smtp_user": ADDRESS,
        "smtp_password": PASSWORD,
        "imap_host": "127.0.0.1",
        "imap_port": service.imap_port,
        "imap_security": "none",
        "imap_password": PASSWORD,
        "imap_seconds": 0.5,
        "public_url": PUBLIC,
    }


def mail(text: str, *, person: str = "Eve <eve@example.org>", html: str | None = None, **headers: str) -> bytes:
    """A mail as a customer's program writes it; headers by their names, with underscores for hyphens."""
    message = EmailMessage(policy=email.policy.SMTP)
    fixed = {"From": person, "To": ADDRESS, "Subject": "A question", "Message_ID": f"<{uuid.uuid4().hex}@example.org>"}
    for name, value in {**fixed, **headers}.items():
        message[name.replace("_", "-")] = value
    if html is None or text:
        message.set_content(text)
    if html is not None and text:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    return message.as_bytes()


def delivery(body: bytes, *, secret: str = SECRET, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """A mail as the relay posts it."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    signed = {"X-Timestamp": timestamp, "X-Signature": f"sha256={digest}", "Content-Type": "message/rfc822"}
    return body, signed


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that nobody trusts yet, and a server's use of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")]),
    )
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, secret = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(pem, pkcs8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return path, context
