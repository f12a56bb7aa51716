"""The recorder on the overview: there where something is recorded, red where nothing can be."""

from __future__ import annotations

from pathlib import Path

from steps import LINKED

from browser import Browser
from demo import run_demo

# The part's text, or nothing where it is not shown.
RECORDER = """
const term = [...document.querySelectorAll('dt')].find(one => one.textContent === 'Recorder');
return term && !term.hidden && term.checkVisibility() ? term.nextSibling.textContent : '';
"""
REASONS = "return [...document.querySelectorAll('.banner a, .reasons a')].map(link => [link.textContent, link.getAttribute('href')])"


def test_the_overview_has_the_recorder_where_there_is_one(browser: Browser, tmp_path: Path) -> None:
    with run_demo("--sim-markets=5", f"--record={tmp_path / 'recording'}") as demo:
        browser.open(demo.url)
        browser.wait(LINKED)
        text = browser.wait(RECORDER, lambda text: " frames/s" in text and not text.startswith("0 "))
        assert " 0/s lost" in text and text.endswith("B free"), text
        browser.open("about:blank")
    with run_demo("--sim-markets=5") as demo:
        browser.open(demo.url)
        browser.wait(LINKED)
        browser.wait("return [...document.querySelectorAll('dt')].some(one => one.textContent === 'Streams')")
        assert browser.run(RECORDER) == ""
        browser.open("about:blank")
    browser.console()


def test_a_disk_without_room_is_red_and_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    full = ("--record-disk-reserve=1048576GiB", f"--record={tmp_path / 'recording'}")
    with run_demo("--sim-markets=5", *full) as demo:
        browser.open(demo.url)
        browser.wait(LINKED)
        links = browser.wait(REASONS, lambda links: any("PolypyRecorderFailed" in href for _text, href in links))
        assert all("runbook" in href for _text, href in links), links
        browser.open("about:blank")
    browser.console()
