from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.items.rows
from agent.errors import InvalidInput
from agent.items.rows import Problem, Row, form_of, form_of_type, rows_of

CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=12)


def read(content: bytes, form: str = "csv") -> list[Row | Problem]:
    return list(rows_of(io.BytesIO(content), where="shop", form=form))


def written(rows: list[list[str]], delimiter: str = ",") -> bytes:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_csv_comes_back_as_it_was_written(cells, delimiter, marked):
    rows = [["id", "a b"], *map(list, cells)]
    found = read(b"\xef\xbb\xbf" * marked + written(rows, delimiter), "csv")
    assert [row.values for row in found] == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@given(st.lists(st.dictionaries(CELLS, CELLS | st.integers() | st.none(), max_size=3), max_size=6))
def test_json_comes_back_as_it_was_written(rows):
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    assert [row.values for row in read(lines, "lines")] == rows
    assert [row.line for row in read(lines, "lines")] == [2 * i + 1 for i in range(len(rows))]
    assert read(json.dumps(rows).encode(), "list") == [Row(i, row) for i, row in enumerate(rows, start=1)]


@given(st.lists(st.tuples(CELLS.filter(str.strip), CELLS), min_size=1, max_size=6), st.data())
def test_a_broken_byte_loses_its_record_alone(cells, data):
    rows = [["id", "title"], *map(list, cells)]
    broken = data.draw(st.integers(1, len(cells)))
    before, line, after = written(rows[:broken]), written([rows[broken]]), written(rows[broken + 1 :])
    found = read(before + b"\xff" + line.replace(b'"', b"").replace(b"\n", b" ") + b"\n" + after)
    lost = [row for row in found if isinstance(row, Problem)]
    assert [row.values for row in found if isinstance(row, Row)] == [
        dict(zip(rows[0], row, strict=True)) for i, row in enumerate(rows[1:], start=1) if i != broken
    ]
    assert [problem.line for problem in lost] == [before.count(b"\n") + 1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"caf\xe9,x", "id: is not UTF-8, at character 4 (0xe9)"),
        (b"a", "has 1 values, where the header has 2 columns"),
        (b"a,b,c", "has 3 values, where the header has 2 columns"),
        (b'a,"b', ("a quotation mark opens a text that never ends", "is not CSV")),
        (b'a,"b"c', "is not CSV: ',' expected after '\"'"),
        (b"a,\0", "is too long, or holds a NUL"),
        (b"a,b\rc,d", "is not CSV: new-line character seen in unquoted field"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_of_csv_is_named_and_nothing_else_is_lost(line, says, place):
    lines = [b"1,x", b'2,"y\nz"', b"3,w"]
    found = read(b"\n".join([b"id,title", *lines[:place], line, *lines[place:]]))
    (problem,) = (row for row in found if isinstance(row, Problem))
    assert problem.line == 2 + place + (place > 1)
    assert problem.message.startswith(says)
    assert [row.values["id"] for row in found if isinstance(row, Row)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("form", "lines", "header"),
    [
        ("csv", [b"1,x", b"2," + b"y" * 5_000, b"3,z"], [b"id,title"]),
        ("lines", [b'{"id":1}', b'{"id":"' + b"y" * 5_000 + b'"}', b'{"id":3}'], []),
    ],
)
def test_a_line_too_long_is_named_and_nothing_else_is_lost(monkeypatch, form, lines, header):
    monkeypatch.setattr(agent.items.rows, "LONGEST_LINE", 1_000)
    found = read(b"\n".join([*header, *lines]), form)
    assert [type(row) for row in found] == [Row, Problem, Row]
    assert found[1].line == len(header) + 2


def test_a_quotation_mark_may_not_swallow_the_file(monkeypatch):
    monkeypatch.setattr(agent.items.rows, "LONGEST_RECORD", 1_000)
    found = read(b'id,title\n1,"x\n' + b"2,y\n" * 5_000)
    assert found[0] == Problem(2, "a quotation mark opens a text that never ends")
    assert len(found) == 5_001


def test_a_description_of_ten_megabytes_is_read():
    found = read(b'id,title\n1,"' + b"x " * 5_000_000 + b'"\n2,y\n')
    assert [len(row.values["title"]) for row in found] == [10_000_000, 1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"id": "caf\xe9"}', "is not UTF-8, at byte 12 (0xe9)"),
        (b'{"id": ', "is not JSON: Expecting value, at character "),
        (b"[1]", "is JSON, but not an object"),
        (b"[" * 100_000, "is not JSON that can be read"),
    ],
)
def test_a_bad_line_of_json_is_named_and_nothing_else_is_lost(line, says):
    first, bad, last = read(b'{"id": 1}\n' + line + b'\n{"id": 3}', "lines")
    assert (first, last) == (Row(1, {"id": 1}), Row(3, {"id": 3}))
    assert bad.line == 2
    assert bad.message.startswith(says)


def test_a_bad_row_of_a_json_list_is_named_and_nothing_else_is_lost():
    found = read(b'[{"id": 1}, 2, {"id": "\xff"}, {"id": 4}]', "list")
    assert [found[0], found[3]] == [Row(1, {"id": 1}), Row(4, {"id": 4})]
    assert found[1:3] == [Problem(2, "is not an object"), Problem(3, "id: is not UTF-8, at character 1 (0xff)")]


@pytest.mark.parametrize(
    ("content", "form", "says"),
    [
        (b"", "csv", "shop: its header is empty"),
        (b"id,caf\xe9\n1,2", "csv", "shop: its header is not UTF-8: caf?: is not UTF-8, at character 4 (0xe9)"),
        (b"id,id\n1,2", "csv", "shop: two columns are called 'id'"),
        ("id,title\n1,x".encode("utf-16"), "csv", "shop: its header"),
        (b"[{", "list", "shop: is not a JSON list: "),
        (b"{}", "list", "shop: is JSON, but not a list"),
    ],
)
def test_what_rows_cannot_be_read_from_is_refused(content, form, says):
    with pytest.raises(InvalidInput) as refused:
        read(content, form)
    assert str(refused.value).startswith(says)


def test_the_form_is_told_by_name_by_type_and_by_its_first_sign():
    assert [form_of(suffix, io.BytesIO()) for suffix in (".csv", ".TSV", ".jsonl", ".ndjson")] == [
        "csv",
        "csv",
        "lines",
        "lines",
    ]
    assert [form_of("", io.BytesIO(first)) for first in (b"id,title", b' \n{"a"', b"\xef\xbb\xbf[")] == [
        "csv",
        "lines",
        "list",
    ]
    assert form_of_type("text/csv; charset=utf-8") == "csv"
    assert form_of_type("application/x-ndjson") == "lines"
    assert form_of_type("application/json") == form_of_type("") == ""
