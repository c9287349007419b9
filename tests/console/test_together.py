"""People and the bot at once: reviewers who correct the same reward, and a review while the bot writes."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from agent.decision import Situation
from agent.encoder import Encoder
from agent.explain import explain
from agent.log import LearningLog
from agent.review.index import ReviewIndex
from agent.service import Service
from agent.settings import LoopSettings
from tests.agent.review.test_index import contents
from tests.console.conftest import LOOP, REPLIES

RATE, SECONDS = 200, 5.0
# Another process, as the bot is: decisions like one that was made, a hundred conversations of them, as fast as told.
BOT = """
import sys, time
from dataclasses import replace
from pathlib import Path
from agent.log import Event, LearningLog
path, decision, rate, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
log, late = LearningLog(path), 0
made, start = log.event(decision), time.monotonic()
for n in range(int(rate * seconds)):
    time.sleep(max(0.0, start + n / rate - time.monotonic()))
    id, turn = f"bot{n}", f"turn{n}"
    about = {"conversation": f"talk{n % 100}", "turn": turn}
    decided = replace(made, id=id, decision=id, at=time.time(), seq=0, **about)
    told = Event(f"o{id}", "outcome", time.time(), decision=id, body={"signal": "thumb", "value": n % 2, "source": "t"})
    sent = Event(f"activated:{id}", "activated", time.time(), made.loop, decision=id)
    log.append([decided, sent, told], durable=False)
"""


@pytest.fixture
def service(home: Path, encoder: Encoder) -> Iterator[Service]:
    """A service that waits for the log as long as in use, since others write."""
    service = Service(home, encoder=lambda _: encoder)
    service.configure(LOOP, LoopSettings(policy="linucb", learner={"epsilon": 0.1}), who="test")
    service.reconcile(LOOP, REPLIES, who="test")
    yield service
    service.close()


def csrf(client: TestClient, path: str) -> dict[str, str]:
    found = re.search(r'name="csrf" value="([^"]*)"', client.get(path).text)
    return {"csrf": found[1]} if found else {}


def test_of_reviewers_who_correct_the_same_reward_at_once_one_is_told_of_the_other(
    client: TestClient, service: Service
) -> None:
    decided = service.decide(LOOP, Situation(["where is it"], "c1", "p1", "m1", "web"))
    service.record(signal="rating", value=1, decision=decided.id, event_id="told")
    key = service.identity.conversation("c1")
    path, fields = f"/queue/{key}", csrf(client, f"/queue/{key}")
    barrier = threading.Barrier(8)

    def correct(value: int) -> int:
        barrier.wait()
        body = {"event": "told", "value": str(value), "seen": "", "why": f"reviewer {value}", **fields}
        return client.post(f"{path}/correct", data=body, follow_redirects=False).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(correct, [2, 3, 4, 5, 2, 3, 4, 5]))
    changes = service.changes(service.log.event("told"))
    assert answers[303] == len(changes) or (
        answers[303] == 2 and len(changes) == 1
    )  # the very same is no second change
    assert len(changes) == 1
    assert answers[409] == 8 - answers[303] > 0
    reward = explain(service.log, service.decision(decided.id))["reward"]
    assert reward["value"] == (changes[0].body["value"] - 1) / 4


@pytest.mark.slow
def test_nothing_is_lost_or_wrong_where_a_reviewer_works_while_the_bot_writes(
    client: TestClient, service: Service, home: Path, tmp_path: Path
) -> None:
    decided = service.decide(LOOP, Situation(["where is it"], "c1", "p1", "m1", "web"), seed=1)
    service.activate(decided.id)
    service.record(signal="thumb", value=0, decision=decided.id, event_id="told")
    command = [sys.executable, "-c", BOT, str(home / "learning.db"), decided.id, str(RATE), str(SECONDS)]
    bot = subprocess.Popen(command)
    fields, done = csrf(client, "/queue"), Counter[str]()
    fields = fields or csrf(client, f"/queue/{service.identity.conversation('c1')}")
    while bot.poll() is None:
        for page in ("/", "/conversations?said=bad", "/queue"):
            assert client.get(page).status_code == 200
        item = client.get("/queue/next").url.path
        if item != "/queue":
            answer = client.post(f"{item}/verdict", data={"verdict": "bad", **fields}, follow_redirects=False)
            assert answer.status_code == 303
            done["verdict"] += 1
        value = str(done["correction"] % 2)
        seen = " ".join(change.id for change in service.changes(service.log.event("told")))
        body = {"event": "told", "value": value, "seen": seen, **fields}
        path = f"/queue/{service.identity.conversation('c1')}/correct"
        assert client.post(path, data=body, follow_redirects=False).status_code == 303
        done["correction"] += 1
    written = RATE * SECONDS
    assert bot.returncode == 0
    counts = service.log.counts()
    assert counts["decision"] == counts["outcome"] == counts["activated"] == written + 1
    assert counts["correction"] == done["correction"] > 0
    assert counts["annotation"] == done["verdict"] > 0
    log = LearningLog(home / "learning.db")
    followed, fresh = ReviewIndex(log, home), ReviewIndex(log, tmp_path / "fresh")
    assert contents(followed) == contents(fresh)
    other = Service(tmp_path / "other", encoder=service._make_encoder, log=log)
    mine, others = (s.model(LOOP).learner.state_dict() for s in (service, other))
    learned = [name for name in mine if not name.endswith("counters")]
    assert all(mine[name].allclose(others[name], atol=1e-9) for name in learned)
    for opened in (followed, fresh, other):
        opened.close()
