from __future__ import annotations

import json
import statistics

import pytest

from agent.decision import Situation
from agent.demo import mark
from agent.demo.making import Size, arrivals, made, make
from agent.demo.plan import ACTIONS, ITEMS, RESPONSES, Plan
from agent.errors import InvalidInput
from agent.ledger import credit_of, rules_of
from agent.rewards import SIGNALS
from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import HashEncoder, asked
from tests.agent.demo.conftest import END

SMALL = Size(conversations=60, weeks=2.0, seed=7, end=END)


def told(log) -> list[str]:
    """A log's events in order, with what is drawn anew each time (ids and keyed hashes) told apart but not spelled."""
    names: dict[str, str] = {}

    def plain(value):
        if isinstance(value, dict):
            return {plain(name): plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, str) and value in names:
            return names[value]
        return value

    found = []
    for event in log.read():
        drawn = [event.decision, event.turn, event.conversation, event.body.get("person"), event.body.get("actor")]
        for id in [*drawn, (event.body.get("slate") or {}).get("id"), event.id]:
            if id is not None:
                names.setdefault(id, f"#{len(names)}")
        body = {name: value for name, value in event.body.items() if name != "event_id"}
        found.append(json.dumps([event.kind, event.loop, event.at, names[event.id], plain(body)], sort_keys=True))
    return found


def earned_in(log, size: Size, since: float, until: float) -> list[float]:
    """What the decisions on replies earned in a part of the time."""
    rules = rules_of(log, ACTIONS)
    live = (d for d in log.read(kinds=("decision",), loop=ACTIONS) if d.body["live"])
    found = [credit_of(log, d, log.evidence(d), rules) for d in live if since <= size.share(d.at) < until]
    return [earned.value for earned in found if earned is not None]


@pytest.mark.slow
def test_two_runs_of_one_seed_are_equal(tmp_path, open_log):
    for name in ("one", "other"):
        make(tmp_path / name, SMALL, encoder=HashEncoder)
    one, other = (told(open_log(tmp_path / name)) for name in ("one", "other"))
    assert len(one) > 300
    assert one == other


@pytest.mark.slow
def test_another_seed_is_another_traffic(tmp_path, open_log):
    for seed in (1, 2):
        make(tmp_path / str(seed), Size(60, 2.0, seed, END), encoder=HashEncoder)
    assert told(open_log(tmp_path / "1")) != told(open_log(tmp_path / "2"))


@pytest.mark.slow
def test_log_and_model_agree(simulated):
    service = Service(simulated, encoder=HashEncoder, clock=lambda: END)
    try:
        report = verify(service)
    finally:
        service.close()
    assert report["problems"] == []
    assert set(report["loops"]) == {ACTIONS, RESPONSES, ITEMS}
    assert all(figures["credited"] > 20 for figures in report["loops"].values())


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_replies_get_better_and_the_strike_is_noticed(simulated, open_log):
    size, log = Size(seed=0, end=END), open_log(simulated)
    low, high = Plan().strike
    falls = [size.share(alert.at) for alert in log.read(kinds=("alert",)) if alert.body["direction"] == "down"]
    assert any(low < share < high + 0.05 for share in falls)
    first, last = earned_in(log, size, 0.0, 0.25), earned_in(log, size, 0.88, 1.0)
    assert statistics.mean(last) > statistics.mean(first) + 0.02
    assert 3_500 < log.counts()["decision"] < 12_000


@pytest.mark.slow
def test_every_page_has_something_to_show(simulated, open_log):
    log = open_log(simulated)
    decisions = list(log.read(kinds=("decision",)))
    messages = list(log.read(kinds=("message",)))
    outcomes = list(log.read(kinds=("outcome",)))
    assert {event.body["channel"] for event in decisions} == {"web", "whatsapp", "email", "telegram"}
    assert {event.body["who"] for event in messages} == {"user", "bot", "agent"}
    assert any(event.body["features"].get("language:de") for event in messages)
    assert any(event.body["chosen"] == "abstain" for event in decisions)
    assert any(not event.body["live"] for event in decisions)
    behaviour = {"thumb", "csat", "thanks", "resolved_confirmed", "resolved_assumed", "rephrased", "handover", "left"}
    assert behaviour | {"returned", "click"} <= {event.body["signal"] for event in outcomes} <= set(SIGNALS)
    assert any(event.body.get("comment") for event in outcomes)
    versions = {event.body["model_version"] for event in decisions if event.loop == ACTIONS}
    assert len(versions) == 2
    assert any(event.body["version"] == 2 for event in log.read(kinds=("candidate",)))
    assert {event.body["state"] for event in log.read(kinds=("mark",))} == {"blocked", "pinned"}
    counts = log.counts()
    assert counts["correction"] > 0
    assert counts["revoked"] > 10
    assert counts["observed"] > 0


@pytest.mark.slow
def test_no_event_lies_in_the_future_and_each_is_the_demos(simulated, open_log):
    log = open_log(simulated)
    assert mark.simulated(log)
    assert mark.foreign(log) is None
    ats = [event.at for event in log.read()]
    assert max(ats) <= END
    assert ats == sorted(ats)
    assert {event.body["who"] for event in log.read(kinds=("settings",))} == {mark.WHO}


@pytest.mark.slow
def test_a_simulated_log_is_replaced_only_when_asked(tmp_path, open_log):
    make(tmp_path, SMALL, encoder=HashEncoder)
    with pytest.raises(InvalidInput, match="--fresh makes a new one"):
        make(tmp_path, SMALL, encoder=HashEncoder)
    (tmp_path / "review.db").write_text("an index over the log that was there before")
    (tmp_path / "access.db").write_text("people who may use the console")
    before = told(open_log(tmp_path))
    make(tmp_path, Size(60, 2.0, 8, END), encoder=HashEncoder, fresh=True)
    assert told(open_log(tmp_path)) != before
    assert not (tmp_path / "review.db").exists()
    assert (tmp_path / "access.db").exists()
    assert not (tmp_path / "making").exists()


@pytest.mark.slow
def test_what_was_added_to_a_simulated_log_is_kept(tmp_path, open_log):
    make(tmp_path, SMALL, encoder=HashEncoder)
    service = Service(tmp_path, encoder=HashEncoder)
    service.hear(asked())
    service.close()
    assert mark.simulated(open_log(tmp_path))
    assert "added" in (mark.foreign(open_log(tmp_path)) or "")
    with pytest.raises(InvalidInput, match="not only simulated"):
        make(tmp_path, SMALL, encoder=HashEncoder, fresh=True)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_real_log_is_never_written_to(home, open_log, fresh):
    service = Service(home, encoder=HashEncoder)
    service.configure("replies", LoopSettings(), who="config.yml")
    service.hear(Situation(["hello"], conversation="c", person="p", message_id="m"))
    service.close()
    before = (home / "learning.db").read_bytes()
    assert not mark.simulated(open_log(home))
    with pytest.raises(InvalidInput, match="not only simulated"):
        make(home, SMALL, encoder=HashEncoder, fresh=fresh)
    with pytest.raises(InvalidInput, match="not simulated"):
        made(home)
    assert (home / "learning.db").read_bytes() == before


def test_an_empty_log_is_neither(home, open_log):
    log = open_log(home)
    assert not mark.simulated(log)
    assert mark.foreign(log) is None
    assert made(home) is None


def test_people_write_by_day_and_more_while_couriers_strike():
    import random

    size, plan = Size(20_000, 8.0, 0, END), Plan()
    times = arrivals(size, plan, random.Random(1))
    assert times == sorted(times)
    assert size.start <= times[0]
    assert times[-1] <= END
    hours = [int(at // 3_600) % 24 for at in times]
    assert sum(9 <= hour < 20 for hour in hours) > 5 * sum(hour < 6 for hour in hours)
    low, high = plan.strike
    striking = sum(low <= size.share(at) < high for at in times) / (high - low)
    before = sum(low - 0.125 <= size.share(at) < low for at in times) / 0.125
    assert striking > 1.2 * before
