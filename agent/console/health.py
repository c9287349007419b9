"""Is it well, and how much is there: /healthz for whoever restarts processes, /metrics for Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from agent.console.access import anyone, require_scope, visitor_of
from agent.console.api import service_of
from agent.console.problems import RESPONSES
from agent.errors import LogUnavailable, ModelMissing, RejoinderError
from agent.log import LearningLog
from agent.service import Service
from agent.settings import LoopSettings

router = APIRouter()
# Whoever asks must be answered before giving up: a health check waits less for a busy log than a decision does.
_BUSY_SECONDS = 0.5
_PATIENCE = 1.0  # seconds that a program which asks waits for an encoder to load
OK = "ok"
_METRICS = "text/plain; version=0.0.4"
# Who is nobody is answered as well, and what is wrong is said as what is well is.
_OF_HEALTH = {status: said for status, said in RESPONSES.items() if status not in (401, 404, 409, 422, 429)} | {
    503: {
        "description": "Not all is well, or who may ask for it cannot be told now",
        "content": {"application/json": {"schema": {"type": "object"}}, **RESPONSES[503]["content"]},
    }
}


@router.get("/healthz", dependencies=[Depends(anyone)], responses=_OF_HEALTH)
def healthz(request: Request) -> JSONResponse:
    """200 where the log can be read and written and the encoders load, else 503; a word on each.

    Who may not read is told no more than whether all is well.
    """
    found = findings(request, patience=_PATIENCE)
    well = all(found[name] == OK for name in ("log", "encoder"))
    told = found if visitor_of(request).allows("read") else {}
    return JSONResponse({"ok": well, **told}, status_code=200 if well else 503)


def findings(request: Request, *, patience: float) -> dict[str, Any]:
    """A word on the log and on the encoders (`OK`, or what is wrong), and the `seq` of the log's newest event.

    One that is being loaded is waited for so many seconds.
    """
    service = service_of(request)
    found: dict[str, Any] = {}
    checks: dict[str, Callable[[], object]] = {
        "log": lambda: _check_log(service, found),
        "encoder": lambda: loading_of(request).check(service, patience=patience),
    }
    said = {name: _said(check) for name, check in checks.items()}
    return {**said, "seq": found.get("seq")}


@router.get(
    "/metrics",
    dependencies=[Depends(require_scope("read"))],
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **RESPONSES},
    response_class=PlainTextResponse,
)
def metrics(request: Request) -> PlainTextResponse:
    """Counters and gauges in Prometheus' text format."""
    lines = [*_metrics(service_of(request)), *_of_console(request)]
    text = "".join(f"{line}\n" for line in lines)
    return PlainTextResponse(text, media_type=_METRICS)


class Loading:
    """Encoders being loaded, each once and in the background: it takes longer than whoever asks will wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rejoinder-encoder")
        self._lock = threading.Lock()
        self._loads: dict[str, Future[object]] = {}

    def check(self, service: Service, *, patience: float) -> None:
        """Return when every loop's encoder has loaded; begin to load one that has not, or that failed to.

        Each is waited for so many seconds.

        Raises:
            ModelMissing: one cannot be loaded, or is not loaded yet.
        """
        for name in _encoders(service):
            self._check(service, name, patience)

    @property
    def under_way(self) -> bool:
        """Whether one is being loaded now."""
        with self._lock:
            return any(not load.done() for load in self._loads.values())

    def _check(self, service: Service, name: str, patience: float) -> None:
        with self._lock:
            load = self._loads.get(name)
            if load is None or (load.done() and load.exception() is not None):
                load = self._loads[name] = self._pool.submit(lambda: service.encoder(name).encode([""]))
        try:
            load.result(timeout=patience)
        except FutureTimeout:
            raise ModelMissing(f"the encoder {name!r} is being loaded") from None


def loading_of(request: Request) -> Loading:
    """The encoders that the application loads."""
    loading = request.app.state.loading
    assert isinstance(loading, Loading)
    return loading


def _check_log(service: Service, found: dict[str, Any]) -> None:
    path = service.log.path
    if not path.exists():  # opening it would make a new one
        raise LogUnavailable(f"the learning log {path} is gone")
    log = LearningLog(path, busy_seconds=_BUSY_SECONDS)
    try:
        found["seq"] = log.last_seq()
        log.append([])  # takes the lock that writers take, and writes nothing
    finally:
        log.close()


def _encoders(service: Service) -> list[str]:
    """The encoders of the loops, from their latest settings; the default one while there are no loops."""
    champions = [service.settings(loop) for loop in service.loops()] or [LoopSettings()]
    return sorted({settings.encoder for settings in champions})


def _said(check: Callable[[], object]) -> str:
    try:
        check()
    except RejoinderError as error:
        return str(error)
    return OK


def _metrics(service: Service) -> Iterator[str]:
    seq = service.log.last_seq()
    folds = sorted(service.folds().items())
    events = sorted(service.log.counts().items())
    alerts = Counter(alert.loop or "" for alert in service.log.read(kinds=("alert",)))
    yield from _metric("rejoinder_events_total", "counter", "Events in the learning log.", "kind", events)
    yield from _metric("rejoinder_alerts_total", "counter", "Alerts of drift.", "loop", sorted(alerts.items()))
    yield from _metric(
        "rejoinder_credits_total",
        "counter",
        "Outcomes credited to the model since this process began to fold it.",
        "loop",
        [(loop, fold.credits) for loop, fold in folds],
    )
    yield from _metric(
        "rejoinder_credits_skipped_total",
        "counter",
        "Outcomes that the model in use cannot learn from.",
        "loop",
        [(loop, fold.skipped) for loop, fold in folds],
    )
    yield from _metric(
        "rejoinder_capped_persons",
        "gauge",
        "Persons whose feedback on a candidate counts less than they gave, so that none outweighs the rest.",
        "loop",
        [(loop, fold.capped) for loop, fold in folds],
    )
    yield from _metric(
        "rejoinder_damped_bursts",
        "gauge",
        "Bursts of identical feedback on a candidate that count less than was given.",
        "loop",
        [(loop, fold.bursts) for loop, fold in folds],
    )
    yield from _metric(
        "rejoinder_fold_lag_events",
        "gauge",
        "Events in the log that this process has not folded yet.",
        "loop",
        [(loop, max(0, seq - fold.seq)) for loop, fold in folds],
    )


def _of_console(request: Request) -> Iterator[str]:
    index, traffic = request.app.state.index, request.app.state.traffic
    yield "# HELP rejoinder_index_lag_events Events in the log that the review index does not know yet."
    yield "# TYPE rejoinder_index_lag_events gauge"
    yield f"rejoinder_index_lag_events {index.behind()}"
    yield from _metric(
        "rejoinder_requests_total",
        "counter",
        "Requests that the console has answered, by the hundreds of their status.",
        "status",
        traffic.answered(),
    )
    yield "# HELP rejoinder_request_seconds_total Time that answering them has taken."
    yield "# TYPE rejoinder_request_seconds_total counter"
    yield f"rejoinder_request_seconds_total {traffic.seconds:.6f}"


def _metric(name: str, kind: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for value, number in values:
        yield f'{name}{{{label}="{_escaped(value)}"}} {number}'


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
