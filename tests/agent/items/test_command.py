from __future__ import annotations

import json
import sys

import pytest

from agent.__main__ import SHIPPED, main


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line in this process; exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text(
        "id,title,price,category,stock,age limit,description\n"
        "a,Oat mug,14,Kitchen,2,,[bold]\nb,,14,,,,\n"
        f"c,Sloe gin,-1,,,,\nd,Sloe gin,42,Larder,0,18,{'x' * 30_000}\n"
    )
    return path


def test_items_check_names_each_problem_with_its_line(run, file):
    code, out, err = run("items", "check", str(file))
    assert code == 0
    assert out.splitlines()[:3] == [
        "line 3: title: is missing",
        "line 4: price: '-1' is negative",
        "line 5: description: has 30,000 characters; cut to 20,000",
    ]
    shown = {line.rsplit(maxsplit=1)[0].strip(): line.rsplit(maxsplit=1)[1] for line in out.splitlines()[3:]}
    assert shown["items"] == "2"
    assert shown["age restricted"] == shown["available"] == shown["warnings"] == "1"
    assert shown["problems"] == "2"
    assert err == ""


def test_items_check_gives_one_json_object(run, file):
    code, out, _ = run("items", "check", str(file), "--json")
    assert code == 0
    assert json.loads(out) == {
        "source": str(file), "items": 2, "available": 1, "age_restricted": 1, "categories": {"Kitchen": 1, "Larder": 1},
        "problems": [{"line": 3, "message": "title: is missing"}, {"line": 4, "message": "price: '-1' is negative"}],
        "warnings": [{"line": 5, "message": "description: has 30,000 characters; cut to 20,000"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "shop.csv: No such file or directory"),
        ("", "its header is empty"),
        ("id,title\n", "nothing loads"),
        ("id,title\na,\n", "nothing loads; line 2: title: is missing"),
    ],
)
def test_items_check_ends_with_2_only_where_nothing_loads(run, tmp_path, content, says):
    path = tmp_path / "shop.csv"
    if content is not None:
        path.write_text(content)
    code, out, err = run("items", "check", str(path))
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("rejoinder: ")
    assert err.count("\n") == 1


def test_items_check_finds_nothing_wrong_in_what_ships(run):
    code, out, _ = run("items", "check", str(SHIPPED / "catalogue.csv"), "--json")
    found = json.loads(out)
    assert (code, found["problems"], found["warnings"]) == (0, [], [])
