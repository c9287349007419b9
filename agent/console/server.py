"""The console's server: one process that shares the learning log with Rasa's."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from agent.access.door import Door, refuse_open
from agent.access.limits import API
from agent.console.app import create_app
from agent.errors import InvalidInput, LogUnavailable, RejoinderError
from agent.review.index import BATCH, ReviewIndex
from agent.service import Service

HOST, PORT = "127.0.0.1", 8000
CATCH_UP_SECONDS = 2.0
# Requests under way when the server is told to stop get this long to end.
_GRACE_SECONDS = 10
_BREATH = 0.01  # seconds between two batches
# So many times what a round took is the pause after it: sums of a busy day are not made anew all the time.
_LEISURE = 5.0
_log = logging.getLogger(__name__)


def run(
    home: Path,
    host: str = HOST,
    port: int = PORT,
    *,
    hosts: Sequence[str] = (),
    proxy: str | None = None,
    rate: str = API,
) -> None:
    """Serve the console until SIGTERM or Ctrl-C, then end what is under way and keep what was folded.

    `hosts` are further names by which requests may address the server. `proxy` is the address of one in front of it,
    which is believed when it says whom it speaks for and whether that was over https. `rate` is how often a caller of
    the HTTP API may call.

    Raises:
        AccessUnavailable: `access.db` cannot be opened.
        InvalidInput: the address cannot be listened on, or must not be while nobody has to log in.
        LogUnavailable: the learning log cannot be opened.
    """
    refuse_open(home, host)
    with _listening(host, port) as listener, _stopping():
        service = Service(home)
        try:
            door = Door(home)
            app = create_app(service, door=door, hosts=[host, *hosts], rate=rate)
            config = uvicorn.Config(
                app,
                log_config=None,  # logging is the command line's to set up
                access_log=False,
                server_header=False,
                proxy_headers=proxy is not None,
                forwarded_allow_ips=proxy,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
            with _catching_up(service, app.state.index):
                uvicorn.Server(config).run(sockets=[listener])
                app.state.figures.close()
        finally:
            with contextlib.suppress(LogUnavailable):
                service.close()


def catch_up(service: Service, over: threading.Event, *, seconds: float = CATCH_UP_SECONDS) -> None:
    """Fold what other processes append, every few seconds until it is over: a decision finds little left to fold.

    Decisions that have waited in vain for feedback are found on the way.
    """

    def fold() -> None:
        for loop in service.loops():
            service.model(loop)
        service.expire()

    _again_and_again(fold, over, seconds)


def follow(index: ReviewIndex, over: threading.Event, *, seconds: float = CATCH_UP_SECONDS) -> None:
    """Bring the review index and its sums up to date, every few seconds until it is over.

    The first time over a large log takes minutes: others get their turn between two batches.
    """

    def fold() -> None:
        while not index.catch_up(most=BATCH):
            if over.wait(_BREATH):
                return
        while not index.renew(most=1):
            if over.wait(_BREATH):
                return

    _again_and_again(fold, over, seconds)


def _again_and_again(work: Callable[[], None], over: threading.Event, seconds: float) -> None:
    """Work until it is over, with pauses of so many seconds, or longer than the work took by far.

    While the log cannot be read, it says so once and keeps trying.
    """
    troubled = False
    while True:
        began = time.monotonic()
        try:
            work()
            troubled = False
        except Exception as error:  # noqa: BLE001 - a thread that dies goes unnoticed, the next round may do
            if not troubled:
                known = isinstance(error, RejoinderError)
                _log.warning("catching up with the learning log: %s", error, exc_info=not known)
            troubled = True
        if over.wait(max(seconds, _LEISURE * (time.monotonic() - began))):
            return


@contextlib.contextmanager
def _catching_up(service: Service, index: ReviewIndex) -> Iterator[None]:
    over = threading.Event()
    # Two: a long first indexing must not keep the models from folding.
    threads = [
        threading.Thread(target=catch_up, args=(service, over), name="rejoinder-catch-up", daemon=True),
        threading.Thread(target=follow, args=(index, over), name="rejoinder-index", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=_GRACE_SECONDS)
        index.close()


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, so that an address in use is found before anything else is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = "is in use: stop what listens there, or give another --port"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            reason = f"cannot be listened on: {error}"
        raise InvalidInput(f"port {port} on {host} {reason}") from error
    with listener:
        yield listener


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Make both ways of being told to stop an orderly end.

    uvicorn finishes what is under way at the first signal and then raises it again, for the handlers that were
    there before its own: these.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
