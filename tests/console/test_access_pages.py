"""Logging in, one's account, users and keys, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.console.app import create_app
from agent.service import Service
from tests.console.browser import DRESSES, Console

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "a password of the test"


@pytest.mark.parametrize("name", DRESSES)
def test_the_first_user_is_made_logs_in_and_makes_a_key(
    window: Callable[..., Console], service: Service, name: str
) -> None:
    console = window(app=create_app(service), **DRESSES[name])
    page = console.open("/people")
    console.check(f"people-empty-{name}")
    page.locator("#user-name").fill("Åsa <b>Ek</b>")
    page.locator("#user-password").fill(PASSWORD)
    page.get_by_role("button", name="Make the user").click()
    page.wait_for_url("**/login?next=%2Fpeople")
    console.check(f"login-{name}")
    page.get_by_label("Name").fill("åsa <b>ek</b>")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/people")
    page.locator("#key-name").fill("bot")
    page.get_by_label("decide").check()
    page.get_by_role("button", name="Make the key").click()
    assert page.locator(".notice code").inner_text().startswith("rj_")
    page.locator("td summary").click()
    console.check(f"people-{name}")
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("revoked", exact=True).wait_for()
    console.open("/account")
    console.check(f"account-{name}")
    page.get_by_label("Present password").fill(PASSWORD)
    for label in ("New password", "New password again"):
        page.get_by_label(label, exact=True).fill("another passphrase")
    page.get_by_role("button", name="Change the password").click()
    page.get_by_text("every other browser was logged out").wait_for()
    page.get_by_role("button", name="Log out everywhere").click()
    page.wait_for_url("**/login")
    assert console.context.cookies() == [] or all(c["name"] != "rejoinder_session" for c in console.context.cookies())
