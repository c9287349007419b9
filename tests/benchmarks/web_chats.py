"""Many web chats at once against a real Rasa server, and how soon webhooks are acknowledged while the model is busy.

Run with: python -m tests.benchmarks.web_chats [--chats N] [--messages N] [--pause S] [--json]

Every chat is a visitor with an open event stream who writes a message, waits for the answer, pauses and writes the
next. Without a pause the server is asked for all it can do. Meanwhile a process of its own delivers signed messages to
another channel and times the acknowledgements. At the end each chat's history must hold every message and its answer.
Server, visitors and deliveries share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import yaml

from tests.benchmarks.turn_latency import questions
from tests.connectors.services import template
from tests.rasa.server import RasaServer, run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
BETWEEN_DELIVERIES = 0.2


class Chat:
    """One visitor."""

    def __init__(self, client: aiohttp.ClientSession, base: str, number: int, texts: list[str]) -> None:
        self.client, self.base, self.number, self.texts = client, base, number, texts
        self.taken: list[float] = []
        self.again = 0
        self.headers: dict[str, str] = {}
        self.answered: asyncio.Queue[float] = asyncio.Queue()

    async def admitted(self) -> None:
        async with self.client.post(f"{self.base}/session") as answer:
            self.headers = {"Authorization": f"Bearer {(await answer.json())['token']}"}

    async def listen(self) -> None:
        async with self.client.get(f"{self.base}/events", headers=self.headers) as answer:
            assert answer.status == 200, answer.status
            async for line in answer.content:
                if line.startswith(b"data: ") and b'"by":"bot"' in line:
                    self.answered.put_nowait(time.perf_counter())

    async def talk(self, pause: float) -> None:
        await asyncio.sleep(pause * random.Random(self.number).random())  # not all at the same moment
        for number, text in enumerate(self.texts):
            begin = time.perf_counter()
            body = {"id": str(number), "text": text}
            while not await self.kept(body):
                self.again += 1
                await asyncio.sleep(1.0)  # what the answer asks for, and the browser does
            self.taken.append(await asyncio.wait_for(self.answered.get(), PATIENCE) - begin)
            while not self.answered.empty():  # an answer in several messages
                self.answered.get_nowait()
            await asyncio.sleep(pause)

    async def kept(self, body: dict[str, str]) -> bool:
        async with self.client.post(f"{self.base}/messages", json=body, headers=self.headers) as answer:
            assert answer.status in (202, 503), await answer.text()
            return answer.status == 202

    async def lost(self) -> int:
        """How many of the messages are not in the history, or were not answered there."""
        async with self.client.get(f"{self.base}/history", headers=self.headers) as answer:
            said = [entry["by"] for entry in (await answer.json())["messages"]]
        answered = sum(one == "visitor" and other == "bot" for one, other in pairwise(said))
        return len(self.texts) - answered


async def chats(base: str, count: int, messages: int, pause: float) -> dict[str, Any]:
    """All chats at once: how long each answer took, how many messages a second, how many were lost."""
    texts = questions(count * messages)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as client:
        visitors = [Chat(client, base, n, texts[n::count]) for n in range(count)]
        for visitor in visitors:
            await visitor.admitted()
        listening = [asyncio.create_task(visitor.listen()) for visitor in visitors]
        begin = time.perf_counter()
        await asyncio.gather(*(visitor.talk(pause) for visitor in visitors))
        seconds = time.perf_counter() - begin
        lost = sum([await visitor.lost() for visitor in visitors])
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    taken = [each for visitor in visitors for each in visitor.taken]
    again = sum(visitor.again for visitor in visitors)
    rate = round(len(taken) / seconds, 1)
    return {**_figures(taken), "chats": count, "per_second": rate, "lost": lost, "sent_again": again}


def deliveries(port: int, run: str, until: str) -> list[float]:
    """Deliver until a file is there; how long each acknowledgement took. For a process of its own."""
    taken, number = [], 0
    with httpx.Client(timeout=PATIENCE) as client:
        while not Path(until).exists():
            number += 1
            event = {"type": "message", "id": f"{run}-{number}", "conversation": f"{run}-{number}", "text": "hello"}
            body, headers = template.delivery(event)
            begin = time.perf_counter()
            answer = client.post(f"http://127.0.0.1:{port}/webhooks/template/webhook", content=body, headers=headers)
            taken.append(time.perf_counter() - begin)
            assert answer.status_code == 200, answer.text
            time.sleep(BETWEEN_DELIVERIES)
    return taken


def measure(count: int, messages: int, pauses: list[float]) -> dict[str, Any]:
    """Each pause's figures, by name."""
    with tempfile.TemporaryDirectory(prefix="rejoinder-chats-") as place, ProcessPoolExecutor(1) as pool:
        folder, service = Path(place), template.Service()
        (folder / "project").mkdir()
        endpoints = (ROOT / "training_data/endpoints.yml").read_text(encoding="utf-8")
        (folder / "project/endpoints.yml").write_text(endpoints, encoding="utf-8")
        channels = {
            "connectors.web.WebInput": {"calls_per_minute": 6000},
            template.CONNECTOR: template.credentials(service),
        }
        (folder / "project/credentials.yml").write_text(yaml.safe_dump(channels), encoding="utf-8")
        model = json.loads(run("-m", "agent", "train", "--json", home=folder / ".rejoinder", folder=folder))["model"]
        server = RasaServer(folder, folder / "project", Path(model)).start()
        found: dict[str, Any] = {}
        try:
            base = f"http://127.0.0.1:{server.port}/webhooks/web"
            asyncio.run(chats(base, 4, 3, 0.0))  # what is loaded once
            for number, pause in enumerate(pauses):
                end = folder / f"end-{number}"
                acknowledged = pool.submit(deliveries, server.port, f"run-{number}", str(end))
                figures = asyncio.run(chats(base, count, messages, pause))
                end.touch()
                found[f"pause_{pause:g}_s"] = {"answers": figures, "acknowledgements": _figures(acknowledged.result())}
                print(f"pause {pause:g} s: done", file=sys.stderr)
        finally:
            server.stop()
            service.close()
    return found


def _figures(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"count": len(seconds), "p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--messages", type=int, default=5)
    parser.add_argument("--pause", type=float, action="append", help="seconds; may be given again (0 and 15)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.chats, given.messages, given.pause or [0.0, 15.0])
    if given.json:
        print(json.dumps(figures))
    else:
        for name, values in figures.items():
            print(name, *(f"  {what}: {each}" for what, each in values.items()), sep="\n")


if __name__ == "__main__":
    main()
