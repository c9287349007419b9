"""Tastes: what is kept of a person's wishes, and whose it is."""

from __future__ import annotations

import pytest

from agent.items.tastes import recall, remember
from agent.items.wishes import Wishes
from agent.verification import verify

WISHES = Wishes(
    highest=30.0,
    likes={"material:wool": 0.8, "colour:blue": 1.0},
    dislikes=frozenset({"material:glass", "category:mugs"}),
    like=("rug", "throw"),
    dismissed=frozenset({"mug"}),
    seen=frozenset({"mug", "rug"}),
    age=6,
)


def kept(service):
    return list(service.log.read(kinds=("tastes",)))


def test_nothing_is_known_of_one_who_is_not_known(service):
    assert recall(service, "items:shop", "ada") == Wishes()
    assert kept(service) == []


def test_what_lasts_comes_back_and_no_more(service, open_service):
    remember(service, "items:shop", "ada", WISHES)
    assert recall(service, "items:shop", "ada") == WISHES.lasting()
    assert recall(open_service(), "items:shop", "ada") == WISHES.lasting()
    (event,) = kept(service)
    assert set(event.body) == {"likes", "dislikes", "like"}
    assert (event.conversation, event.loop) == (service.identity.person("ada"), "items:shop")


def test_nothing_is_written_twice_and_nothing_of_nothing(service):
    remember(service, "items:shop", "ada", Wishes(highest=3.0))
    assert kept(service) == []
    for wanted in (WISHES, WISHES, WISHES.lasting()):
        remember(service, "items:shop", "ada", wanted)
    assert len(kept(service)) == 1


def test_the_latest_tastes_hold_and_may_be_none(service):
    remember(service, "items:shop", "ada", WISHES)
    remember(service, "items:shop", "ada", Wishes(dislikes=frozenset({"material:wool"})))
    assert recall(service, "items:shop", "ada") == Wishes(dislikes=frozenset({"material:wool"}))
    remember(service, "items:shop", "ada", Wishes())
    assert recall(service, "items:shop", "ada") == Wishes()


def test_another_catalogue_and_another_person_are_apart(service):
    remember(service, "items:shop", "ada", WISHES)
    assert recall(service, "items:shop", "bob") == recall(service, "items:books", "ada") == Wishes()
    for n in range(40):
        remember(service, "items:books", "ada", Wishes(like=(f"book{n}",)))
    assert recall(service, "items:shop", "ada") == WISHES.lasting()
    assert recall(service, "items:books", "ada") == Wishes(like=("book39",))


def test_the_log_is_sound_with_them(service):
    remember(service, "replies", "ada", WISHES)
    assert verify(service)["ok"]


@pytest.mark.parametrize("person", ["", "ada's \N{SNOWMAN}", "a" * 1_000])
def test_any_name_of_a_person_will_do(service, person):
    remember(service, "items:shop", person, WISHES)
    assert recall(service, "items:shop", person) == WISHES.lasting()


def test_what_was_kept_before_a_time_is_told_apart(service):
    remember(service, "items:shop", "ada", WISHES)
    (event,) = service.log.read(kinds=("tastes",))
    assert recall(service, "items:shop", "ada", before=event.at) == Wishes()
    assert recall(service, "items:shop", "ada", before=event.at + 1.0) == WISHES.lasting()
