"""What pages are made of: figures in the reader's language, notices that nobody forges, files that may be kept."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import RedirectResponse, Response

from agent.console import formats
from agent.console.app import create_app
from agent.console.language import LANGUAGES, speaking
from agent.console.notices import COOKIE, tell
from agent.console.rendering import STATIC, render, static, templates
from agent.console.sections import SECTIONS, existing
from agent.service import Service

SHARES = st.floats(0.0, 1.0, allow_nan=False)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.9999, "> 99.9%"), (0.0001, "< 0.1%"), (0.5, "50.0%"), (0.99899, "99.9%")],
)
def test_a_probability_never_looks_more_certain_than_it_is(share: float, text: str) -> None:
    assert formats.percent(share) == text


@given(share=SHARES, language=st.sampled_from(list(LANGUAGES)))
def test_only_what_is_certain_looks_certain(share: float, language: str) -> None:
    with speaking(language):
        assert (formats.percent(share) in {formats.percent(0.0), formats.percent(1.0)}) == (share in {0.0, 1.0})


@given(value=st.floats(-1e9, 1e9), digits=st.integers(0, 4))
def test_a_number_is_read_back_in_every_language(value: float, digits: int) -> None:
    for language, (apart, point) in {"en": (",", "."), "de": (".", ",")}.items():
        with speaking(language):
            text = formats.number(value, digits)
        plain = text.replace(apart, "").replace(point, ".").replace("\N{MINUS SIGN}", "-")
        assert float(plain) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-6)


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["-0.310", "+0.02", "0.25", "1e-09", "1.2M", "12.3%", "9 Sept 2001", "2 hours"]),
        ("de", ["-0,310", "+0,02", "0,25", "1e-09", "1,2 Mio.", "12,3 %", "09.09.2001", "2 Stunden"]),
    ],
)
def test_figures_are_written_as_the_language_does(language: str, texts: list[str]) -> None:
    with speaking(language):
        written = [
            formats.signed(-0.31),
            formats.slight(0.02),
            formats.short(0.25),
            formats.short(1e-9),
            formats.compact(1_234_567),
            formats.share(0.123),
            formats.date(1_000_000_000.0),
            formats.duration(7_200),
        ]
    marks = str.maketrans({"\N{NO-BREAK SPACE}": " ", "\N{MINUS SIGN}": "-"})
    assert [text.translate(marks) for text in written] == texts


@pytest.mark.parametrize("at", [-1e12, 0.0, 1e9, 1e18])
def test_a_time_far_off_is_still_written(at: float) -> None:
    assert all([formats.clock(at), formats.day(at), formats.date(at), formats.iso(at), formats.ago(at)])


@pytest.fixture
def app(service: Service) -> FastAPI:
    app = create_app(service)

    @app.post("/told")
    def told() -> Response:
        return tell(RedirectResponse("/decisions", 303), "It is <i>done</i>.", undo="/undo", event='"e1"')

    return app


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000")


def test_a_notice_is_said_once_with_its_way_back(browser: TestClient) -> None:
    first = browser.post("/told").text
    assert "It is &lt;i&gt;done&lt;/i&gt;." in first
    assert 'action="/undo"' in first
    assert 'name="event" value="&#34;e1&#34;"' in first
    assert "done" not in browser.get("/decisions").text


def test_a_notice_waits_for_a_page_not_for_a_fragment(browser: TestClient) -> None:
    browser.post("/told", follow_redirects=False)
    browser.get("/decisions", headers={"HX-Request": "true"})
    assert "It is" in browser.get("/decisions").text


@given(forged=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='";,\\'), max_size=200))
def test_a_notice_that_is_not_ours_is_not_said(forged: str) -> None:
    from starlette.requests import Request as Bare

    from agent.console.notices import heard

    scope = {"type": "http", "headers": [(b"cookie", f"{COOKIE}={forged}".encode())]}
    assert heard(Bare(scope)) is None


def test_a_notice_with_another_signature_is_not_said(browser: TestClient) -> None:
    answer = browser.post("/told", follow_redirects=False)
    packed, signature = answer.cookies[COOKIE].split(".")
    browser.cookies.clear()
    browser.cookies.set(COOKIE, f"{packed}.{signature[::-1]}")
    assert "It is" not in browser.get("/decisions").text


def test_an_error_is_a_fragment_to_htmx_a_page_to_a_person_and_json_to_a_program(browser: TestClient) -> None:
    fragment = browser.get("/decisions/nope", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["hx-retarget"]) == (404, "#notices")
    assert "<html" not in fragment.text
    assert "<html" in browser.get("/nowhere").text
    assert browser.get("/v1/nowhere").json()["detail"] == "GET /v1/nowhere: not found"


def test_a_section_is_shown_when_it_has_a_page(app: FastAPI, browser: TestClient) -> None:
    links = re.findall(r'<li><a href="([^"]+)"', browser.get("/decisions").text)
    assert set(links) == {section.path for section in SECTIONS}
    assert len({section.path for section in SECTIONS}) == len(SECTIONS) == 8
    assert [section.path for section in existing(app.routes[:3])] == []


def test_every_section_has_its_picture() -> None:
    icons = templates.get_template("icons.html").module.drawn  # type: ignore[attr-defined]
    assert {section.icon for section in SECTIONS} == set(icons)


def test_banners_say_what_is_so(app: FastAPI, browser: TestClient) -> None:
    assert "Simulated data" not in browser.get("/decisions").text
    app.state.simulated = lambda: True
    assert "Simulated data" in browser.get("/decisions").text

    from types import SimpleNamespace

    @app.get("/as/{role}")
    def show(request: Request, role: str) -> Response:
        visitor = SimpleNamespace(name="<ann>", role=role, csrf="t0k'en", open=role == "nobody")
        request.state.visitor = visitor
        return render(request, "error.html", title="x", error="y")

    known = browser.get("/as/reviewer").text
    assert "&lt;ann&gt;" in known
    assert 'action="/logout"' in known
    assert 'name="csrf" value="t0k&#39;en"' in known
    assert "X-CSRF-Token" in known
    assert "rejoinder users add" in browser.get("/as/nobody").text
    assert "t0k" not in browser.get("/decisions").text


def test_files_with_a_version_may_be_kept_and_the_others_are_asked_for_again(browser: TestClient) -> None:
    address = static("css/base.css")
    assert browser.get(address).headers["cache-control"] == "max-age=31536000, immutable"
    assert browser.get("/static/css/base.css").headers["cache-control"] == "no-cache"
    assert browser.get("/static/css/none.css?v=1").status_code == 404
    assert browser.get("/static/..%2fguard.py").status_code == 404


def test_every_file_that_a_page_names_is_there(browser: TestClient, decide: Callable[..., object]) -> None:
    decide()
    page = browser.get("/decisions").text
    named = {re.sub(r"\?.*", "", path) for path in re.findall(r'"(/static/[^"]+)"', page)}
    assert len(named) > 8
    assert all((STATIC / path.removeprefix("/static/")).is_file() for path in named)
