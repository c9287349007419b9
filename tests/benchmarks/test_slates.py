"""What figures on slates stand on: halves that do not meet, shoppers alike for all, moments that do not look ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks import films as cinema
from tests.benchmarks import open_bandit_slates as bandit
from tests.benchmarks import redial, shoppers
from tests.benchmarks.films import Dialogue, Films, Lore, Row, Turn
from tests.benchmarks.peers import roster, shop
from tests.benchmarks.redial import Ranker, Tried
from tests.benchmarks.shoppers import Kind, World

CHANCES = st.floats(0.01, 0.99)


# open bandit


def log_of(n: int = 6000, *, seed: int = 0, groups: int = 40) -> bandit.Log:
    """Items drawn evenly; item 0 pleases one in two, the others one in ten; positions are looked at less and less."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(bandit.ITEMS, (n,), generator=generator)
    positions = torch.randint(3, (n,), generator=generator)
    chances = torch.where(items == 0, 0.5, 0.1) * torch.tensor([1.0, 0.5, 0.25])[positions]
    clicks = (torch.rand(n, generator=generator) < chances).double()
    shoppers_of = torch.randint(groups, (n,), generator=generator)
    even = torch.full((n,), 1.0 / bandit.ITEMS, dtype=torch.float64)
    return bandit.Log(items, positions, clicks, even, shoppers_of, torch.ones(groups, 1, dtype=torch.float64))


def test_no_policy_is_judged_on_shoppers_it_learned_from() -> None:
    log, met = log_of(), []

    def target(learned: bandit.Log, _: bandit.Clicks, judged: bandit.Log) -> torch.Tensor:
        met.append((set(learned.groups.tolist()), set(judged.groups.tolist())))
        return torch.full((len(judged.items), bandit.ITEMS), 1.0 / bandit.ITEMS, dtype=torch.float64)

    bandit.crossed(log, {"target": target}, seed=1)
    assert len(met) == 2
    for learned, judged in met:
        assert learned
        assert judged
        assert not learned & judged
    assert met[0][1] | met[1][1] == set(range(40))


def test_dr_tells_what_a_slate_with_the_best_item_first_earns() -> None:
    log = log_of(20_000)
    target = torch.zeros(len(log.items), bandit.ITEMS, dtype=torch.float64)
    target.scatter_(1, log.positions[:, None], 1.0)  # item p at position p
    predictions = bandit.Clicks.of(log_of(20_000, seed=1)).predictions(log)
    values = {value.position: value for value in bandit.judged("known", log, target, predictions)}
    for position, truth in {"1": 0.5, "2": 0.05, "3": 0.025, "all": 0.575}.items():
        assert values[position].refused is None
        assert values[position].low <= truth <= values[position].high
    assert values["all"].value == pytest.approx(sum(values[p].value for p in "123"))
    assert values["1"].above_random[1] > 0  # told apart


def test_a_logs_own_value_is_that_of_its_policy() -> None:
    log = log_of()
    even = torch.full((len(log.items), bandit.ITEMS), 1.0 / bandit.ITEMS, dtype=torch.float64)
    own, judged = bandit.seen("random", log), bandit.judged("random", log, even, torch.zeros_like(even))
    assert [v.value for v in own] == pytest.approx([v.value for v in judged])
    gain, low, high = bandit._ahead(log, log_of(seed=1))
    assert low < 0 < high
    assert low < gain < high


def test_learned_policies_put_the_best_item_first() -> None:
    log = log_of(groups=2)
    clicks = bandit.Clicks.of(log)
    assert clicks.examination[0] == 1.0
    assert clicks.examination.tolist() == sorted(clicks.examination.tolist(), reverse=True)
    first = log.where(log.positions == 0)
    for target in (bandit.popular(log, clicks, first), bandit.ours(log, clicks, first, alpha=0.3)):
        assert torch.allclose(target.sum(dim=1), torch.ones(len(target), dtype=torch.float64))
        assert float(target[:, 0].mean()) > 0.5


def test_the_shops_own_log_lies_in_the_interval_of_what_the_random_one_tells(data: Path) -> None:
    logs = {name: bandit.Log.read(data / f"open_bandit/{name}/men/men.csv") for name in ("random", "bts")}
    _, predictions = bandit.crossed(logs["random"], {}, seed=0)
    target = logs["bts"].shares()[logs["random"].positions]
    judged = bandit.judged("bts", logs["random"], target, predictions)
    for told, own in zip(judged, bandit.seen("bts", logs["bts"]), strict=True):
        assert told.low <= own.value <= told.high


# shoppers


@given(click_chance=CHANCES, looked=CHANCES)
def test_an_item_not_clicked_weighs_as_much_as_it_was_likely_looked_at(click_chance: float, looked: float) -> None:
    value, weight = shoppers.teaching(0.0, looked, click_chance, "posterior")
    assert value == 0.0
    assert weight == pytest.approx(looked * (1 - click_chance) / (looked * (1 - click_chance) + 1 - looked))
    assert weight == pytest.approx(bandit.weight_unclicked(looked, click_chance))
    assert shoppers.teaching(1.0, looked, click_chance, "posterior") == (1.0, 1.0)
    # Weights average how often it was looked at, and rewards how often it then pleased.
    clicked = looked * click_chance
    assert clicked + (1 - clicked) * weight == pytest.approx(looked)
    assert clicked == pytest.approx(click_chance * (clicked + (1 - clicked) * weight))


@given(click_chance=CHANCES, looked=CHANCES)
def test_clicks_scaled_are_unbiased(click_chance: float, looked: float) -> None:
    clicked = looked * click_chance
    mean = sum(p * shoppers.teaching(c, looked, 0.5, "scaled")[0] for c, p in ((1.0, clicked), (0.0, 1 - clicked)))
    assert mean == pytest.approx(click_chance)


SMALL = World(seed=5, slates=300, items=120, dimension=16, retrieved=12)


def test_everybody_meets_the_same_shoppers_until_their_clicks_differ() -> None:
    market = shop.Shop(SMALL)
    one, other = (shop.Shopper(market, SMALL, 3).visit() for _ in range(2))
    assert np.array_equal(one.context, other.context)
    assert np.array_equal(one.luck, other.luck)
    assert len(set(one.retrieved.tolist())) == SMALL.retrieved
    near = market.vectors @ one.context
    assert set(one.retrieved.tolist()) == set(np.argsort(-near)[: SMALL.retrieved].tolist())


def test_clicks_happen_as_often_as_expected() -> None:
    world = replace(SMALL, slates=4000)
    market = shop.Shop(world)
    result = shop.play(shoppers.Drawn(market, world), market, world)
    clicks, expected = np.array(result["clicks"]), np.array(result["expected"])
    error = np.sqrt((expected * (1 - expected)).sum(axis=0)) / len(clicks)
    assert (np.abs(clicks.mean(axis=0) - expected.mean(axis=0)) < 4 * error).all()
    assert expected.mean(axis=0)[0] > 1.5 * expected.mean(axis=0)[1] > 1.5 * expected.mean(axis=0)[2]


def test_what_was_not_retrieved_cannot_be_shown() -> None:
    class Stubborn(shoppers.Drawn):
        def choose(self, visits):
            return [[0, 0, 1] for _ in visits]

    market = shop.Shop(SMALL)
    with pytest.raises(ValueError, match="not 3 different retrieved items"):
        shop.play(Stubborn(market, SMALL), market, SMALL)


def test_our_learner_earns_more_than_chance_and_less_than_one_who_knows() -> None:
    chance, ours, best = (
        np.mean(shoppers.run(name, shoppers.KINDS[name], SMALL).clicks[100:])
        for name in ("random", "linucb shared", "best")
    )
    assert 1.2 * chance < ours < best


def test_diversity_spreads_a_slate() -> None:
    settings = shoppers.KINDS["linucb shared"].settings
    plain, spread = (
        np.mean(shoppers.run("", Kind("ours", {**settings, "diversity": s}), SMALL).diversity) for s in (0.0, 1.0)
    )
    assert spread > plain + 0.05


def test_figures_lie_within_their_intervals() -> None:
    rows = list(shoppers.study({n: shoppers.KINDS[n] for n in ("random", "best")}, [SMALL], base="random"))
    assert [row["player"] for row in rows] == ["random", "best"]
    gain, low, high = rows[1]["more than random"]
    assert 0 < low < gain < high
    assert shoppers.table(rows, "learners").row_count == 2


def test_mab2rec_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (roster_folder() / "ready").exists():
        pytest.skip(f"no Mab2Rec in {roster_folder()}; the benchmark makes that environment")
    played = shoppers.run("mab2rec", Kind("mab2rec", {"policy": "LinUCB", "alpha": 0.1}), replace(SMALL, slates=100))
    assert len(played.clicks) == 100


def roster_folder() -> Path:
    return Path(roster.tempfile.gettempdir()) / "rejoinder-peers" / "mab2rec"


# films


def said(seeker: bool, text: str, *acts: str, films: tuple[str, ...] = ()) -> Turn:
    return Turn(seeker, text, films, frozenset(acts))


TALK = (
    said(True, "something funny, I loved Heat", "IQU", films=("heat",)),
    said(False, "try Ghost", "REC-S", films=("ghost",)),
    said(True, "too sad", "REJ"),
    said(False, "then Airplane, or Heat", "REC-S", films=("airplane", "heat")),
    said(True, "what is it about?", "INQ"),
    said(False, "pilots", "R-ANS"),
    said(True, "I will watch it", "ACC"),
    said(False, "and Alien", "REC-E", films=("alien",)),
    said(True, "I have seen it", "SEE"),
)


def test_verdicts_hold_until_the_next_recommendation() -> None:
    found = [(v.film, v.turn, v.accepted) for v in cinema.verdicts(TALK)]
    assert found == [("ghost", 1, False), ("airplane", 3, True)]  # Heat was known, Alien only seen


@given(turn=st.integers(0, len(TALK)))
def test_a_moment_does_not_look_ahead(turn: int) -> None:
    later = tuple(said(t.seeker, "x", "REJ", films=("ghost",)) for t in TALK[turn:])
    whole, cut = (Dialogue(turns, ()) for turns in (TALK, (*TALK[:turn], *later)))
    assert cinema.moment(whole, turn) == cinema.moment(cut, turn)


def test_liking_and_dislike_follow_what_was_said() -> None:
    assert cinema.moment(Dialogue(TALK, ()), 1).liked == ("heat",)
    after = cinema.moment(Dialogue(TALK, ()), 7)
    assert after.disliked == ("ghost",)
    assert set(after.liked) == {"heat", "airplane"}


def vector(text: str) -> np.ndarray:
    row = np.random.default_rng(list(text.encode())).normal(size=8)
    return row / np.linalg.norm(row)


TITLES = {film: f"{film.title()} (1990)" for film in ("heat", "ghost", "airplane", "alien")}
FILMS = Films(TITLES, {text: vector(text) for text in [*(t.text for t in TALK), *TITLES.values(), "hello"]})


def test_a_dialogue_tells_nothing_of_its_own_films() -> None:
    own = Dialogue(TALK, tuple(cinema.verdicts(TALK)))
    (row, accepted), _ = redial.taught(FILMS, [own])
    nothing = FILMS.row(cinema.moment(own, 1), "ghost", Lore([], FILMS.of))
    assert not accepted
    assert row.features == pytest.approx(nothing.features)
    (pair,) = redial.asked(FILMS, Lore([], FILMS.of), own).pairs
    assert [r.film for r in pair] == ["airplane", "ghost"]
    assert np.array_equal(pair[0].context, pair[1].context)


def test_a_ranker_learns_which_feature_tells() -> None:
    draws = np.random.default_rng(0)
    rows = []
    for _ in range(240):
        features = dict(zip(redial.ALL, draws.normal(size=len(redial.ALL)), strict=True))
        row = Row("f", vector("a"), vector("b"), features)
        rows.append((row, bool(draws.uniform() < 1 / (1 + np.exp(-2 * features["taken"])))))
    tried = Tried(
        "lints", {"degree": 1, "prior_slope": 0.0, "prior_intercept": 0.5, "parts": "shared"}, 0.0, redial.ALL
    )
    ranker = Ranker(tried, rows[:200])
    pairs = redial.Asked([(a, b) for a, good in rows[200:240] for b, other in rows[200:240] if good and not other])
    assert pairs.won(ranker.score) / len(pairs.pairs) > 0.75
    assert pairs.won(lambda _: 0.0) == len(pairs.pairs) / 2


def test_dialogues_are_read(data: Path) -> None:
    dialogues, titles = cinema.read(data / "redial/umap2020_IARD_Cai.json")
    assert len(dialogues) == 336
    assert not any("@" in t.text and "<" in t.text for d in dialogues for t in d.turns)
    assert all(verdict.film in titles for d in dialogues for verdict in d.verdicts)
    assert sum(bool(d.pairs()) for d in dialogues) > 100
