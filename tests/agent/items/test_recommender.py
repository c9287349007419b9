"""The recommender, on a real service and a catalogue of our own: what is shown, logged, learned and made again."""

from __future__ import annotations

import csv
import os
import re
from array import array
from collections import Counter
from itertools import count

import pytest

from agent.decision import Situation
from agent.encoder import reference
from agent.items.catalogue import Catalogue
from agent.items.reasons import reasons
from agent.items.recommender import DEFAULTS, RETRIEVED, Recommender
from agent.items.wishes import Turn, Wishes
from agent.model import Model
from agent.moment import Moment
from agent.service import Service
from agent.settings import LoopSettings
from agent.verification import verify
from tests.agent.conftest import HashEncoder

COLUMNS = ("id", "title", "description", "category", "price", "available", "minimum_age", "material")
ROWS = (
    ("mug", "Oat mug", "For tea by the fire", "Kitchen", "14", "yes", "", "ceramic"),
    ("bowl", "Pasta bowl", "Deep, for a family dinner", "Kitchen", "18", "yes", "", "ceramic"),
    ("board", "Olive board", "For cheese and bread", "Kitchen", "38", "yes", "", "wood"),
    ("knife", "Bread knife", "Sharp, with a beech handle", "Kitchen", "64", "yes", "18", "steel"),
    ("throw", "Moor blanket", "Warm in winter by the fire", "Home", "95", "yes", "", "wool"),
    ("rug", "Hearth rug", "Warm under cold feet", "Home", "120", "yes", "", "wool"),
    ("cushion", "Heather cushion", "Soft and warm", "Home", "28", "yes", "", "wool"),
    ("lamp", "Reading lamp", "Light for late books", "Home", "55", "yes", "", "glass"),
    ("lantern", "Barn lantern", "Light for the garden path", "Garden", "42", "yes", "", "glass"),
    ("trowel", "Hand trowel", "For the garden beds", "Garden", "16", "yes", "", "steel"),
    ("seeds", "Meadow seeds", "Flowers for the garden", "Garden", "4", "yes", "", "paper"),
    ("feeder", "Bird feeder", "For robins in the garden in winter", "Garden", "22", "yes", "", "wood"),
    ("gone", "Garden swing", "For the garden", "Garden", "30", "no", "", "wood"),
)
LOOP = "items:shop"
# Wide enough in what it explores that several seeds show several items.
SETTINGS = LoopSettings.of({"alpha": 0.1}, where="test", base=DEFAULTS)
_times = count(1_500_000_000)


class BagOfWords(HashEncoder):
    """A text's direction is the sum of its words': texts that share words are near. Counts what it embeds."""

    embedded: list[str] = []  # noqa: RUF012

    def _encode(self, texts):
        self.embedded.extend(texts)
        return [self._sum(text) for text in texts]

    def _sum(self, text):
        words = re.findall(r"\w+", text.lower()) or [""]
        rows = [[x for part in range(4) for x in self._direction(f"{word} {part}")] for word in words]
        sums = [sum(column) for column in zip(*rows, strict=True)]
        length = sum(x * x for x in sums) ** 0.5
        return array("f", [x / length for x in sums])


@pytest.fixture
def embedded():
    BagOfWords.embedded = []
    return BagOfWords.embedded


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.csv"
    write(path, ROWS)
    return path


@pytest.fixture
def open_shop(home, clock, file, tmp_path, embedded):
    """Opens recommenders on one home and one catalogue, each as another process has it."""
    services = []

    def make(settings=SETTINGS, *, load=True):
        service = Service(home, encoder=BagOfWords, clock=clock)
        services.append(service)
        encoder = service.encoder(settings.encoder)
        catalogue = Catalogue("shop", file, encoder=encoder, folder=tmp_path / "kept", clock=clock)
        if load:
            catalogue.load()
        return Recommender(service, catalogue, settings), service, catalogue

    yield make
    for service in services:
        service.close()


@pytest.fixture
def shop(open_shop):
    return open_shop()


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    os.utime(path, (next(_times),) * 2)


def said(*texts, message="m1", person="p1", **other):
    return Situation(
        texts or ("something for the garden",), conversation="c1", person=person, message_id=message, **other
    )


def ids(slate):
    return [shown.item.id for shown in slate]


def versions(service):
    return {reply.id: reply.version for reply in service.overview(LOOP).candidates}


def expected(service, decision, id):
    body = service.decision(decision.id).body
    at = body["candidates"].index(id)
    return sum(part[at] for part in body["parts"].values())


# What is shown


def test_as_many_different_items_as_asked_for_the_first_on_top(shop):
    recommender, service, _ = shop
    for k in (1, 3, 5):
        slate = recommender.show(said(message=f"m{k}"), Wishes(), k=k, seed=k)
        assert len(set(ids(slate))) == k
        assert [shown.decision.position for shown in slate] == list(range(k))
        assert [shown.decision.chosen for shown in slate] == ids(slate)
        assert len({shown.decision.slate for shown in slate}) == 1
    assert len(recommender.show(said(message="m9"), Wishes())) == service.overview(LOOP).settings.slate["k"]
    every = recommender.show(said(message="m10"), Wishes(), k=10)
    assert len(every) == 10


def test_a_seed_makes_the_same_slate_again(shop):
    recommender, _, _ = shop
    slates = {tuple(ids(recommender.show(said(message=f"m{n}"), Wishes(), seed=4))) for n in range(4)}
    assert len(slates) == 1


def test_only_what_is_within_the_wishes_is_shown(shop):
    recommender, _, _ = shop
    for n, text in enumerate(("under 20", "not wool", "for a 6 year old", "between 20 and 60, no glass", "over 60")):
        wanted = recommender.wishes([Turn(text)])
        slate = recommender.show(said(text, message=f"m{n}"), wanted, k=8, seed=n)
        fits = {id for id, item in recommender.stock.shelf.items.items() if wanted.allow(item)}
        assert set(ids(slate)) == fits if len(fits) <= 8 else set(ids(slate)) < fits
        assert fits


def test_what_was_asked_for_is_nearer_the_top(shop):
    recommender, _, _ = shop
    for n, (text, first) in enumerate({"warm in winter by the fire": "throw", "light for late books": "lamp"}.items()):
        tops = Counter(ids(recommender.show(said(text, message=f"m{n}{s}"), Wishes(), seed=s))[0] for s in range(30))
        assert tops.most_common(1)[0][0] == first


def test_a_cue_that_is_asked_for_speaks_for_items(shop):
    recommender, _, _ = shop
    wanted = recommender.wishes([Turn("something made of steel")])
    assert wanted.likes == {"material:steel": 1.0}
    counts = {}
    for name, wishes in (("plain", Wishes()), ("steel", wanted)):
        slates = [recommender.show(said("hello", message=f"{name}{s}"), wishes, seed=s) for s in range(40)]
        counts[name] = sum(shown.item.attributes["material"] == "steel" for slate in slates for shown in slate)
    assert counts["steel"] > counts["plain"] + 20


def test_nothing_that_fits_is_no_slate(shop):
    recommender, service, _ = shop
    assert recommender.show(said(), Wishes(highest=1.0)) == []
    assert recommender.show(said(), Wishes(lowest=5_000.0)) == []
    assert recommender.show(said(), Wishes(dismissed=frozenset(recommender.stock.shelf.order))) == []
    assert service.log.counts().get("decision", 0) == 0


def test_an_empty_shelf_is_no_slate_and_a_filled_one_is_used_at_once(open_shop):
    recommender, _, catalogue = open_shop(load=False)
    assert recommender.show(said(), Wishes()) == []
    assert recommender.wishes([Turn("under 5, no wool")]) == Wishes(highest=5.0)
    catalogue.load()
    assert len(recommender.show(said(), Wishes())) == 3


@pytest.mark.parametrize("state", ["blocked", "disabled"])
def test_marks_that_take_an_item_out_hold(shop, state):
    recommender, service, _ = shop
    recommender.show(said(), Wishes(), k=10)  # so that the loop knows them
    service.mark(LOOP, "seeds", state=state, who="test")
    for n in range(20):
        slate = recommender.show(said(message=f"m{n}"), Wishes(), k=6, seed=n)
        assert len(slate) == 6
        assert "seeds" not in ids(slate)
    cheap = Wishes(highest=5.0)
    assert recommender.show(said(message="cheap"), cheap) == []
    seen = Wishes(highest=17.0, seen=frozenset({"mug", "trowel"}))  # of what fits, all else is taken out
    assert set(ids(recommender.show(said(message="seen"), seen))) == {"mug", "trowel"}
    service.mark(LOOP, "seeds", state="enabled", who="test")
    assert ids(recommender.show(said(message="again"), cheap)) == ["seeds"]


def test_pinned_items_come_first_where_they_fit(shop):
    recommender, service, _ = shop
    recommender.show(said(), Wishes(), k=10)
    service.mark(LOOP, "rug", state="pinned", who="test")
    for n in range(10):
        assert ids(recommender.show(said(message=f"m{n}"), Wishes(), seed=n))[0] == "rug"
        assert "rug" not in ids(recommender.show(said(message=f"n{n}"), Wishes(highest=50.0), seed=n))


def test_a_pinned_item_is_offered_though_it_is_far_from_what_was_said(open_shop, file):
    near = [
        (f"g{n}", "Garden thing", "For the garden", "Garden", "10", "yes", "", "wood") for n in range(RETRIEVED + 5)
    ]
    write(file, [*near, ROWS[5]])
    recommender, service, _ = open_shop()
    slate = recommender.show(said(), Wishes())
    assert len(service.decision(slate[0].decision.id).body["candidates"]) == RETRIEVED
    recommender.show(said("a hearth rug", message="m2"), Wishes())
    service.mark(LOOP, "rug", state="pinned", who="test")
    assert ids(recommender.show(said(message="m3"), Wishes()))[0] == "rug"


def test_what_was_seen_comes_again_only_where_there_is_nothing_else(shop):
    recommender, _, _ = shop
    turns, seen = [], set()
    for n in range(4):
        slate = recommender.show(said(message=f"m{n}"), recommender.wishes(turns), k=3, seed=n)
        assert len(slate) == 3
        assert not seen & set(ids(slate))
        seen |= set(ids(slate))
        turns.append(Turn("show me more", tuple(ids(slate))))
    assert len(seen) == 12
    again = recommender.show(said(message="m5"), recommender.wishes(turns), k=3)
    assert len(again) == 3
    turned_down = recommender.wishes([*turns, Turn("none of these", tuple(ids(again)))])
    assert not set(ids(recommender.show(said(message="m6"), turned_down, k=9))) & set(ids(again))


def test_pointing_at_an_item_brings_its_like_nearer(shop):
    recommender, service, _ = shop
    stock, texts = recommender.stock, ("hello", "a present", "surprise me", "what have you got")
    for model in ("rug", "lantern"):
        nearness = {}
        for name, like in (("plain", ()), ("pointed", (model,))):
            wanted = Wishes(like=like, seen=frozenset({model}))
            slates = [
                recommender.show(said(texts[s % 4], message=f"{model}{name}{s}"), wanted, seed=s) for s in range(24)
            ]
            shown = [float(stock.vector(model) @ stock.vector(id)) for slate in slates for id in ids(slate)]
            nearness[name] = sum(shown) / len(shown)
            body = service.decision(slates[0][0].decision.id).body
            assert ("similar" in body.get("cues", {})) == bool(like)
        assert nearness["pointed"] > nearness["plain"] + 0.05
        likeness = dict(zip(body["candidates"], body["cues"]["similar"], strict=True))
        for id, value in likeness.items():
            assert value == pytest.approx(max(float(stock.vector(model) @ stock.vector(id)), 0.0), abs=1e-6)


def test_turning_items_down_moves_the_search_away_from_them(open_shop, file):
    kinds = {"garden": "Garden thing for the flower beds", "lamp": "Lamp for the late reading of books"}
    rows = [
        (f"{kind}{n}", f"{words} {n}", "", "", "10", "yes", "", "") for kind, words in kinds.items() for n in range(45)
    ]
    write(file, rows)
    recommender, service, _ = open_shop()
    found = {}
    for name, wanted in (("plain", Wishes()), ("turned", Wishes(dismissed=frozenset(f"garden{n}" for n in range(4))))):
        (first, *_) = recommender.show(said("the thing for the late beds of books", message=name), wanted)
        body = service.decision(first.decision.id).body
        found[name] = sum(id.startswith("garden") for id in body["candidates"])
    assert found["turned"] < found["plain"] - 3


def test_items_that_are_gone_can_be_liked_seen_and_turned_down(shop):
    recommender, _, _ = shop
    nobody = frozenset({"nothing"})
    wanted = Wishes(like=("nothing",), dismissed=frozenset({"neither"}), seen=nobody, dislikes=frozenset({"no:cue"}))
    assert len(recommender.show(said(), wanted)) == 3


# The catalogue and the log


def test_a_changed_catalogue_is_used_at_once_and_only_what_changed_gets_a_version(shop, file):
    recommender, service, catalogue = shop
    recommender.show(said(), Wishes(), k=10)
    before = versions(service)
    assert set(before.values()) == {1}
    # As many prices of each band as before.
    rows = [row for row in ROWS if row[0] != "seeds"] + [("twine", "Twine", "", "", "4", "yes", "", "")]
    rows[0] = ("mug", "Oat mug", "For cocoa in bed", *rows[0][3:])
    rows[1] = (*rows[1][:4], "18.50", *rows[1][5:])  # another price in the same band
    rows[-2] = (*rows[-2][:5], "yes", *rows[-2][6:])
    write(file, rows)
    report = catalogue.refresh()
    assert report.removed == ("seeds",)
    slates = [recommender.show(said(message=f"m{n}"), Wishes(), k=10, seed=n) for n in range(4)]
    assert versions(service) == {**before, "mug": 2, "gone": 1, "twine": 1}
    shown = {item for slate in slates for item in ids(slate)}
    assert "seeds" not in shown
    assert "gone" in shown
    assert recommender.stock.shelf.items["bowl"].price == 18.5
    assert verify(service)["ok"]


def test_only_what_was_offered_is_in_the_log(open_shop, file):
    many = [(f"i{n}", f"Thing {n}", "", "", "5", "yes", "", "") for n in range(300)]
    write(file, many)
    recommender, service, _ = open_shop()
    offered = set()
    for n in range(2):
        (first, *_) = recommender.show(said(f"thing {n}", message=f"m{n}"), Wishes())
        offered |= set(service.decision(first.decision.id).body["candidates"])
    assert set(versions(service)) == offered
    assert RETRIEVED <= len(offered) <= 2 * RETRIEVED
    texts = [recommender.stock.shelf.items[id].text for id in recommender.stock.shelf.order]
    kept = service.log.vectors([reference(text) for text in texts], encoder=SETTINGS.encoder)
    assert set(kept) == {reference(recommender.stock.shelf.items[id].text) for id in offered}


def test_nothing_is_embedded_twice(open_shop, embedded):
    open_shop()
    recommender, _, _ = open_shop()  # another process: the embeddings are on the disk, not in its encoder's memory
    items = {item.text for item in recommender.stock.shelf.items.values()}
    assert sorted(embedded) == sorted(items)
    for n in range(3):
        recommender.show(said("for the garden", "under 50", message=f"m{n}"), Wishes(), seed=n)
    assert sorted(embedded) == sorted([*items, "for the garden", "under 50"])
    other, _, _ = open_shop()
    other.show(said("a lamp", message="m9"), Wishes())
    assert sorted(embedded) == sorted([*items, "for the garden", "under 50", "a lamp"])


def test_the_log_keeps_the_shelf_s_own_embeddings(shop):
    recommender, service, _ = shop
    recommender.show(said(), Wishes(), k=10)
    stock = recommender.stock
    for id in versions(service):
        ref = reference(stock.shelf.items[id].text)
        kept = service.log.vectors([ref], encoder=SETTINGS.encoder)
        assert list(kept[ref]) == stock.vector(id).tolist()


def test_a_watched_slate_is_logged_and_not_live(shop):
    recommender, service, _ = shop
    slate = recommender.show(said(), Wishes(), live=False)
    assert len(slate) == 3
    assert not any(shown.decision.live for shown in slate)
    assert service.log.counts()["decision"] == 3


def test_every_decision_comes_out_again(shop, file):
    recommender, service, catalogue = shop
    turns, slate = [], []
    for n, text in enumerate(("for the garden", "no wool", "like the second one", "cheaper", "none of these", "wool")):
        turns.append(Turn(text, tuple(ids(slate))))
        slate = recommender.show(
            said(*(turn.text for turn in turns), message=f"m{n}"), recommender.wishes(turns), seed=n
        )
        assert slate
        for shown in slate:
            service.activate(shown.decision.id)
        service.record(signal="click", value=1.0, decision=slate[-1].decision.id, actor="p1")
        if n == 2:
            service.mark(LOOP, slate[0].item.id, state="pinned", who="test")
            write(file, [*ROWS, ("pot", "Plant pot", "For the garden", "Garden", "9", "yes", "", "ceramic")])
            catalogue.refresh()
    events = list(service.log.read(kinds=("decision",), loop=LOOP))
    assert len(events) >= 12
    for event in events:
        again = Moment.of(event, service.log, Model(service.log, LOOP)).recompute()
        assert again.repeats
        assert again.expected_difference <= 1e-9
    assert verify(service)["ok"]


# What is learned


def test_clicks_raise_what_an_item_is_expected_to_earn_and_revoking_takes_it_back(shop, clock):
    recommender, service, _ = shop
    wanted = Wishes(highest=5.0)  # the seeds alone

    def look(message):
        (shown,) = recommender.show(said("hello", message=message), wanted, seed=1)
        return expected(service, shown.decision, "seeds"), shown.decision

    before, first = look("m0")
    assert before < 1.0
    events = []
    for n in range(5):
        _, decision = look(f"click{n}")
        events.append(service.record(signal="click", value=1.0, decision=decision.id, actor=f"p{n}").event_id)
    after, _ = look("m1")
    assert after > before + 0.01
    for event in events:
        service.revoke(event, who="test")
    back, _ = look("m2")
    assert back == pytest.approx(before, abs=1e-9)
    again = service.record(signal="click", value=1.0, decision=first.id, actor="p9")
    raised, _ = look("m3")
    assert before + 1e-6 < raised < after
    service.revoke(again.event_id, who="test")
    assert look("m4")[0] == pytest.approx(before, abs=1e-9)
    assert verify(service)["ok"]


def test_what_was_learned_of_an_item_is_known_to_another_process_and_spreads_to_its_like(open_shop):
    recommender, service, _ = open_shop()
    (start, *_) = recommender.show(said(message="m0"), Wishes(), k=10, seed=1)
    for n in range(20):
        (shown,) = recommender.show(said(message=f"c{n}"), Wishes(highest=5.0), seed=n)
        service.record(signal="added", value=1.0, decision=shown.decision.id, actor=f"p{n}")
    other, second, _ = open_shop()
    (later, *_) = other.show(said(message="m1"), Wishes(), k=10, seed=1)
    gains = {
        id: expected(second, later.decision, id) - expected(service, start.decision, id)
        for id in later.decision.probabilities
    }
    assert gains["seeds"] > max(gains["bowl"], 0.0)
    assert gains["lantern"] > gains["bowl"]


def test_asking_for_the_same_settings_again_is_no_event(open_shop):
    open_shop()
    _, service, _ = open_shop()
    assert len(list(service.log.read(kinds=("settings",), loop=LOOP))) == 1


def test_what_is_said_of_a_whole_conversation_is_of_no_item(shop):
    recommender, service, _ = shop
    wanted = Wishes(highest=5.0)
    (shown,) = recommender.show(said(), wanted)
    service.activate(shown.decision.id)
    service.record(signal="csat", value=5, conversation="c1")
    (later,) = recommender.show(said(message="m2"), wanted)
    assert expected(service, later.decision, "seeds") == expected(service, shown.decision, "seeds")


def test_reasons_tell_of_a_real_slate(shop):
    recommender, service, _ = shop
    wanted = recommender.wishes([Turn("steel for the garden", ("seeds",)), Turn("like the first one", ("trowel",))])
    slate = recommender.show(said("steel for the garden"), wanted, seed=2)
    lines = {shown.item.id: reasons(service.decision(shown.decision.id), shown.item) for shown in slate}
    for shown in slate:
        line = lines[shown.item.id]
        assert line.startswith(f"{shown.item.title}: {expected(service, shown.decision, shown.item.id):.2f} expected")
        assert ("steel" in line) == (shown.item.attributes["material"] == "steel")
        assert ("garden" in line.lower().partition("expected")[2]) == (shown.item.category == "Garden")
        assert "like one you pointed at" in line
