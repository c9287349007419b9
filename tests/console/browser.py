"""The console in a real Chromium: a server in a thread over a service, pages, and what axe-core says of them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

PATIENCE = 30_000.0  # ms, on a busy machine
LIGHT: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
DARK = {**LIGHT, "color_scheme": "dark"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DRESSES = {"light": LIGHT, "dark": DARK, "phone": PHONE, "dark-phone": {**PHONE, "color_scheme": "dark"}}
_SMALL = """[...document.querySelectorAll('button, a, input, select, textarea, summary')].filter((e) => {
    const { width, height } = e.getBoundingClientRect();
    return e.checkVisibility() && !e.closest('p, dd, td, th, li, label, h2') && (width < 24 || height < 24);
}).map((e) => e.outerHTML)"""


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application on a free port of 127.0.0.1; its address, without a slash at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()


class Console:
    """A browser's window on the console. What it loads from elsewhere and what its scripts trip over is a failure."""

    def __init__(self, browser: Any, base: str, **dress: Any) -> None:
        self.base, self.requests, self.problems = base, [], []
        self.context = browser.new_context(locale="en-GB", **{**LIGHT, **dress})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)

    def open(self, path: str) -> Any:
        """The page at a path, loaded."""
        self.page.goto(f"{self.base}{path}")
        return self.page

    def check(self, name: str) -> None:
        """axe-core finds nothing, nothing scrolls sideways or is too small; a picture where SHOTS names a folder."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
        self.page.wait_for_timeout(200)  # what moves has come to rest: faint is a fault of contrast, too
        self.page.evaluate("scrollTo(0, 0)")
        if folder := os.environ.get("SHOTS"):
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
        found = axe.Axe().run(self.page).response["violations"]
        assert not found, [(v["id"], [node["html"] for node in v["nodes"]]) for v in found]
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        small = self.page.evaluate(_SMALL)
        assert not small, f"too small to be hit: {small}"

    def close(self) -> None:
        """Close the window, and see that nothing was wrong."""
        self.context.close()
        assert not self.problems
        assert {url.split("/")[2] for url in self.requests if not url.startswith(("data:", "blob:"))} <= {
            self.base.split("/")[2]
        }, "requests to others"
