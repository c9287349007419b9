"""`rejoinder replies …`, and what was written here as a file of the domain."""

from __future__ import annotations

import json
import sys
import time

import pytest
from ruamel.yaml import YAML

from agent.__main__ import main
from agent.candidates import Reply
from agent.domains import export, responses_in
from agent.errors import InvalidInput
from agent.wordings import names_of
from tests.agent.conftest import SETTINGS

DOMAIN = """
version: "3.1"
responses:
  utter_hours:
    - text: "Open at eight."
      buttons: [{title: Map, payload: /map}]
  utter_parcel:
    - {id: short, text: "On its way."}
    - {id: long, text: "It is on its way: {order}", channel: slack}
  utter_bye:
    - text: "Bye."
    - custom: {a: 1}
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `rejoinder replies …` in this process; exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", "replies", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "bot" / "domain"
    folder.mkdir(parents=True)
    (folder / "replies.yml").write_text(DOMAIN)
    return tmp_path / "bot"


@pytest.fixture
def offered(service, project):
    """The two loops as the bot of that domain makes them."""
    responses = responses_in(project)
    service.configure("actions", SETTINGS, who="config.yml")
    actions = [Reply(name, tuple(v["text"] for v in given if "text" in v)) for name, given in responses.items()]
    service.reconcile("actions", actions, who="config.yml")
    service.configure("responses", SETTINGS, who="domain")
    wordings = [
        Reply(id, (variation["text"],) if "text" in variation else ())
        for name, given in responses.items()
        if len(given) > 1
        for id, variation in zip(names_of(name, given), given, strict=True)
    ]
    service.reconcile("responses", wordings, who="domain")
    return service


def test_write_edit_mark_schedule_and_show(run, offered):
    code, out, _ = run("write", "--text", "Dogs may come.", "--example", "my dog?", "--who", "ann", "--json")
    assert code == 0
    written = json.loads(out)
    assert (written["version"], written["state"], written["examples"]) == (1, "enabled", ["my dog?"])
    id = written["id"]
    assert (
        run("edit", id, "--text", "Dogs may come in.", "--typo", "--seen", "1", "--who", "bob", "--why", "in")[0] == 0
    )
    code, _, err = run("edit", id, "--text", "No dogs.", "--seen", "1")
    assert (code, "version 2 is bob's" in err, err.count("\n")) == (2, True, 1)
    assert "disabled" in run("mark", id, "--state", "disabled")[1]
    assert "until" in run("schedule", id, "--until", "2100-01-01T00:00")[1]
    shown = json.loads(run("show", id, "--json")[1])["versions"]
    assert [(v["texts"], v["who"], v["why"]) for v in shown] == [
        (["Dogs may come in."], "bob", "in"), (["Dogs may come."], "ann", ""),
    ]  # fmt: skip
    assert shown[0]["until"] == time.mktime((2100, 1, 1, 0, 0, 0, 0, 0, -1))
    plain = run("show", id)[1]
    assert "Dogs may come." in plain
    assert "for: my dog?" in plain
    rows = {row["id"]: row for row in json.loads(run("list", "--json")[1])["replies"]}
    assert (rows[id]["state"], rows["utter_hours"]["texts"]) == ("disabled", ["Open at eight."])
    assert id in run("list")[1]
    assert offered.history("actions", id)[0].reply.texts == ("Dogs may come in.",)


@pytest.mark.parametrize(
    "arguments",
    [
        ("write",),
        ("write", "--text", " "),
        ("write", "--text", "a", "--id", "utter_hours"),
        ("edit", "utter_hours"),
        ("edit", "nobody", "--text", "a"),
        ("mark", "utter_hours"),
        ("schedule", "utter_hours", "--from", "tomorrow"),
        ("schedule", "utter_hours", "--from", "inf"),
        ("schedule", "utter_hours", "--from", "20", "--until", "10"),
        ("show", "nobody"),
        ("list", "--loop", "nowhere"),
        ("export", "out.yml", "--project", "no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, offered, arguments):
    seq = offered.log.last_seq()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("rejoinder: ")
    assert err.count("\n") == 1
    assert offered.log.last_seq() == seq


def test_what_was_written_goes_back_into_the_domain(run, offered, project, tmp_path):
    offered.edit("actions", "utter_hours", ["Open at nine.", "From nine on."], who="ann")
    offered.edit("responses", "utter_parcel/long", ["Coming: {order} & more"], who="ann")
    kept = offered.write("actions", texts=["Dogs: welcome!"], examples=["dog?", "a\nb"], who="ann")
    gone = offered.write("actions", texts=["No longer."], who="ann")
    offered.mark("actions", gone.id, state="disabled", who="ann")
    out = tmp_path / "out.yml"
    code, said, _ = run("export", str(out), "--project", str(project), "--json")
    assert code == 0
    text = out.read_text()
    responses = YAML(typ="safe").load(text)["responses"]
    assert set(json.loads(said)["responses"]) == set(responses)
    assert responses["utter_hours"] == [
        {"text": "Open at nine.", "buttons": [{"title": "Map", "payload": "/map"}]},
        {"text": "From nine on.", "buttons": [{"title": "Map", "payload": "/map"}]},
    ]
    assert responses["utter_parcel"] == [
        {"id": "short", "text": "On its way."},
        {"id": "long", "text": "Coming: {order} & more", "channel": "slack"},
    ]
    assert "utter_bye" not in responses
    (new,) = [given for name, given in responses.items() if name.startswith("utter_dogs")]
    assert new == [{"text": "Dogs: welcome!"}]
    assert len(responses) == 3
    assert "#   dog?" in text
    assert kept.id in text
    # In the domain's place, they are what the domain offers: nothing is left to hold.
    (project / "domain" / "replies.yml").write_text(text)
    assert responses_in(project) == responses


def test_where_nothing_was_written_the_file_is_empty_and_no_domain_is_said(service, project, tmp_path):
    text, names = export(service, project)
    assert (names, YAML(typ="safe").load(text)["responses"]) == ([], {})
    with pytest.raises(InvalidInput, match="there is no domain"):
        export(service, tmp_path)
    (project / "domain" / "broken.yml").write_text("responses: [1, 2]")
    with pytest.raises(InvalidInput, match=r"broken\.yml: it cannot be read"):
        export(service, project)
