"""The demo and a browser, for all tests of a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser import Browser
from demo import Demo, read, run_demo, wait_for


@contextmanager
def page_of(demo: Demo) -> Iterator[None]:
    """With POLYPY_PAGE=disk the page's files are those of the disk: nothing has to be built
    to try a change of them. Whatever else is asked goes to the program."""
    if os.environ.get("POLYPY_PAGE") != "disk":
        yield
        return
    command = ["node", str(Path(__file__).resolve().parents[1] / "serve.mjs"), "--to", demo.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        demo.url = wait_for(read(proxy.stdout), "http").rstrip("/")
        try:
            yield
        finally:
            proxy.kill()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with run_demo("--sim-markets=60", "--sim-resolve-per-minute=0") as demo, page_of(demo):
        yield demo


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Nothing may be said in the console, of a script or of the page's policy."""
    chromium.size(1280, 900)
    yield chromium
    problems = [line for line in chromium.console() if not is_harmless(line)]
    chromium.open("about:blank")
    chromium.console()
    assert problems == []


def is_harmless(line: str) -> bool:
    """Browsers count an answer of `/health` that says no among errors, and that of a fault
    which is off by itself before somebody switches it off."""
    over = "/demo/faults/off " in line and " 404 " in line
    return line.startswith(("DEBUG", "INFO")) or ("/health " in line and " 503 " in line) or over
