from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from agent.__main__ import cli, main
from tests.agent.conftest import HashEncoder, asked

QUESTIONS = """text,label
Where is my parcel?,delivery_time
When does it arrive?,delivery_time
"How long, roughly, is delivery?",delivery_time
I want my money back,refund
How do I get a refund?,refund
Give me back what I paid,refund
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line in this process; exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rejoinder", *arguments])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        else:
            code = 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text(QUESTIONS)
    return path


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "agent", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in cli.commands:
        assert command in done.stdout


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_has_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert out.startswith("Usage:")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["simulate", "no-such.csv"], "no-such.csv: No such file or directory"),
        (["simulate", "."], ".: Is a directory"),
        (["simulate"], "Missing argument 'FILE'"),
        (["simulate", "{questions}", "--policy", "guess"], "guess"),
        (["simulate", "{questions}", "--set", "alpa=1"], "alpa"),
        (["simulate", "{questions}", "--set", "alpha"], "--set takes NAME=VALUE; got 'alpha'"),
        (["simulate", "{questions}", "--set", "history=7"], "history must be a number from 0 to 1"),
        (["simulate", "{questions}", "--rounds", "0"], "0 is not in the range"),
        (["explain", "nobody"], "there is no learning log in"),
        (["explain", "nobody", "--nearest", "0"], "0 is not in the range"),
        (["importance", "replies"], "there is no learning log in"),
        (["verify"], "there is no learning log in"),
        (["chatt"], "No such command 'chatt'"),
        (["train", "--project", "."], "there is no assistant in .: it has no config.yml"),
    ],
)
def test_bad_input_ends_with_2_and_one_clear_line(run, questions, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(argument.format(questions=questions) for argument in arguments))
    assert code == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert err.startswith("rejoinder: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "needs a column text or sentence; it has none"),
        (b"question,label\na,b\n", "needs a column text or sentence; it has question, label"),
        (b"text,topic\na,b\n", "needs a column category or label or intent"),
        (b"text,label\n", "no rows in scope"),
        (b"text,label\nhello,x\n,y\n", "line 3: 'text' or 'label' is empty"),
        (b"text,label\nhello\n", "line 2: 'text' or 'label' is empty"),
        (b"text,label\n\xff\xfe,x\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_played_is_told_where_it_is_wrong(run, tmp_path, content, says):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    code, _, err = run("simulate", str(path))
    assert code == 2
    assert says in err


def test_a_label_without_a_reply_is_named(run, questions, tmp_path):
    replies = tmp_path / "replies.csv"
    replies.write_text("label,text\nrefund,We pay back within a week.\n")
    code, _, err = run("simulate", str(questions), "--replies", str(replies))
    assert code == 2
    assert "no text for the label 'delivery_time'" in err


def test_a_simulation_learns_and_repeats_by_its_seed(run, questions):
    arguments = ("simulate", str(questions), "--test", str(questions), "--rounds", "60", "--seed", "3", "--json")
    found = []
    for _ in range(2):
        code, out, _ = run(*arguments)
        assert code == 0
        found.append(json.loads(out))
        assert found[-1].pop("decisions_per_second") > 0
    assert found[0] == found[1]
    assert set(found[0]) == {
        "rounds", "candidates", "average_reward", "last_half_average_reward", "zero_shot_accuracy", "test_accuracy",
        "test_rows", "policy", "seed",
    }  # fmt: skip
    assert found[0]["candidates"] == 2
    assert found[0]["last_half_average_reward"] == 1.0
    assert found[0]["test_accuracy"] == 1.0


def test_rows_of_the_none_label_are_left_out(run, tmp_path):
    path = tmp_path / "some.csv"
    path.write_text(QUESTIONS + "tell me a joke,NOTHING\n")
    code, out, _ = run("simulate", str(path), "--none-label", "NOTHING", "--json")
    assert code == 0
    assert json.loads(out)["candidates"] == 2
    assert json.loads(out)["rounds"] == 6


def test_explain_takes_a_decision_apart(run, service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id)
    code, out, _ = run("explain", decision.id)
    assert code == 0
    for word in (decision.chosen, "prior", "own", "expected", "probability", "thumb 1"):
        assert word in out
    code, out, _ = run("explain", decision.id, "--json")
    found = json.loads(out)
    assert found["chosen"] == decision.chosen
    for row in found["candidates"]:
        assert sum(row["parts"].values()) == pytest.approx(row["expected"], abs=1e-12)


@pytest.mark.parametrize("flags", [(), ("--words", "--nearest", "3", "--recompute")])
def test_explain_of_an_unknown_decision_says_so(run, service, flags):
    code, _, err = run("explain", "nobody", *flags)
    assert code == 2
    assert err == "rejoinder: unknown decision 'nobody'\n"


@pytest.fixture
def read(service, monkeypatch):
    """Commands read texts with the encoder of the tests."""
    monkeypatch.setattr("agent.service.Service.encoder", lambda self, name: HashEncoder(name))


def test_explain_tells_words_neighbours_and_that_the_vector_repeats(run, service, read):
    for n in range(4):
        before = service.decide("replies", asked("about my money", message=f"m{n}"), candidates=["refund"])
        service.record(signal="thumb", value=1, decision=before.id)
    decision = service.decide("replies", asked("my money, now", message="last"))
    code, out, _ = run("explain", decision.id, "--words", "--nearest", "2", "--recompute")
    assert code == 0
    assert "the folded model gives the logged probabilities again" in out
    assert f"words for {decision.chosen} against" in out
    assert re.search(r"money [+-]\d\.\d\d, now", out)
    assert out.count("about my money") == 2
    code, out, _ = run("explain", decision.id, "--words", "--nearest", "2", "--recompute", "--json")
    found = json.loads(out)
    assert found["recomputed"]["repeats_vector"] is True
    assert [word["text"] for word in found["words"]["words"]] == ["my", "money", "now"]
    assert [row["reward"]["value"] for row in found["nearest"]] == [1.0, 1.0]
    assert "words" not in json.loads(run("explain", decision.id, "--json")[1])


def test_explain_of_a_first_message_that_was_redacted(run, service, read):
    decision = service.decide("replies", asked("write to ann@example.org"), candidates=["refund"])
    code, out, _ = run("explain", decision.id, "--words", "--nearest", "1")
    assert code == 0
    assert "words for refund:" in out
    assert "[email]" in out
    assert "approximate" in out
    assert "no earlier decision of this loop had earned anything" in out


def test_importance_lists_parts_and_named_features(run, service):
    situation = replace(asked(), features={"intent:refund": 0.7})
    for n in range(3):
        service.record(signal="thumb", value=n % 2, decision=service.decide("replies", situation).id)
    code, out, _ = run("importance", "replies", "--features")
    assert code == 0
    for word in ("loop replies", "3 decisions", "prior", "own", "own:features", "intent:refund", "changes the best"):
        assert word in out
    found = json.loads(run("importance", "replies", "--last", "2", "--json")[1])
    assert found["decisions"] == 2
    assert found["features"] == []
    assert sum(row["share"] for row in found["parts"]) == pytest.approx(1.0)


def test_importance_of_what_has_none_says_so(run, service):
    assert run("importance", "nothing")[::2] == (2, "rejoinder: unknown loop 'nothing'\n")
    said = "rejoinder: loop 'replies': no decision between two or more candidates yet\n"
    assert run("importance", "replies")[::2] == (2, said)


def test_a_candidate_is_marked_and_the_explanation_says_why_it_could_not_be_chosen(run, service):
    code, out, _ = run("mark", "replies", "refund", "--state", "blocked", "--no-approve", "--why", "legal", "--json")
    assert code == 0
    assert json.loads(out) == {
        "loop": "replies", "candidate": "refund", "state": "blocked", "approved": False, "version": 1,
    }  # fmt: skip
    decision = service.decide("replies", asked())
    assert "could not be chosen: refund (blocked)" in run("explain", decision.id)[1]
    assert run("mark", "replies", "refund", "--state", "enabled", "--approve")[0] == 0
    assert service.model("replies").library.get("refund").state == "enabled"
    for arguments, says in ((["refund", "--state", "banned"], "banned"), (["nobody", "--approve"], "nobody")):
        code, _, err = run("mark", "replies", *arguments)
        assert (code, says in err) == (2, True)


def test_verify_ends_with_0_where_all_is_well_and_1_where_not(run, service):
    decision = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=decision.id)
    code, out, _ = run("verify")
    assert code == 0
    assert "log and model agree" in out
    service.close()
    db = service.log._db()
    db.execute("drop trigger events_no_update")
    db.execute("update events set body = json_set(body, '$.propensity', 0.1) where kind = 'decision'")
    code, out, err = run("verify", "--json")
    assert code == 1
    assert not json.loads(out)["ok"]
    code, out, err = run("verify")
    assert code == 1
    assert "propensity" in err
