"""Somebody who has never seen the page: by keys alone, behind a proxy, with a token, over a link that drops."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps import LINKED, ROWS, STALE, first_market, lost_connections, open_market, proxy
from test_restart import free_port

from browser import Browser
from demo import Demo, run_demo

TOKEN = "correct-horse-battery"
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"
FOCUSED = "const at = document.activeElement; return [at.tagName, at.innerText ?? '', at.closest('.block') !== null]"
BLOCKS = "return [...document.querySelectorAll('.block .state')].map(state => state.textContent)"


def tab_to(browser: Browser, is_it: Callable[[list[Any]], bool]) -> None:
    for _ in range(60):
        browser.keys(TAB)
        if is_it(browser.run(FOCUSED)):
            return
    raise AssertionError("the tab key does not lead there")


def test_a_market_is_found_judged_and_a_red_connection_explained_by_keys_alone(browser: Browser, demo: Demo) -> None:
    market = first_market(demo)
    words = market["question"].replace("?", " ").replace(":", " ").split()[-8:]
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.keys("/")
    browser.keys(" ".join(words))
    browser.keys(ENTER)
    row = "return document.querySelector('.row:not([hidden])')?.innerText.split('\\n') ?? []"
    cells = browser.wait(row, lambda cells: any(cell.startswith(market["question"]) for cell in cells))
    # The spread can be read where it was found, and whether it can be trusted.
    bid, offer, spread = (float(cell) for cell in browser.run("return ['bid', 'ask', 'spread'].map(name => document.querySelector(`.row:not([hidden]) .${name}`).textContent)"))
    assert abs(offer - bid - spread) < 1e-9, cells
    browser.wait("return document.querySelector('.row:not([hidden]) .state').textContent", lambda text: text == "verified")
    browser.keys(ENTER)
    browser.wait("return document.querySelector('h1').textContent", lambda text: text == market["question"])
    browser.wait("return document.querySelector('.proof .says').textContent", lambda text: text.startswith("The exchange's own hash came out of"))
    browser.keys("1")
    browser.wait("return document.querySelector('.demo .head button') !== null")
    tab_to(browser, lambda at: at[1] == "Let things go wrong")
    browser.keys(ENTER)
    browser.wait("return document.querySelectorAll('.demo .faults button').length", lambda count: count >= 8)
    tab_to(browser, lambda at: at[1].startswith("connections are cut"))
    browser.keys(ENTER)
    browser.wait("return document.querySelector('.seen').textContent", lambda text: "lost" in text)
    # It is red for as long as a newcomer needs.
    with lost_connections(demo):
        browser.wait(BLOCKS, lambda words: "LOST" in words)
        tab_to(browser, lambda at: at[2] and at[1].startswith("what to do"))
        browser.keys(ENTER)
        browser.wait("return document.querySelector('dialog h2')?.textContent", lambda text: text == "What to do: PolypyConnectionsLost")
        browser.wait("return document.querySelector('dialog pre').textContent", lambda text: "Do." in text)
        browser.keys(ESCAPE)
        browser.wait("return document.querySelector('dialog') === null && ['#/', ''].includes(location.hash)")
    browser.wait(BLOCKS, lambda words: bool(words) and "LOST" not in words)


def test_a_token_is_asked_for_and_kept_below_a_path(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    os.chmod(file, 0o600)
    with run_demo("--sim-markets=5", f"--http-token-file={file}") as demo, proxy(demo.url, "--embedded", "--prefix", "/a/b") as base:
        chromium.open(f"{base}#/markets")
        chromium.wait("return document.activeElement === document.querySelector('.login input')")
        chromium.keys(TOKEN + ENTER)
        chromium.wait(ROWS, lambda rows: len(rows) > 2)
        chromium.wait(LINKED)
        chromium.open("about:blank")
        chromium.open(f"{base}#/")
        chromium.wait(LINKED)
        chromium.wait("return document.querySelector('h1').textContent", lambda text: text.startswith("Healthy"))
        chromium.open("about:blank")
        # The browser itself says that it was refused before the login.
        chromium.console()


def test_a_link_that_drops_comes_back_by_itself(browser: Browser, demo: Demo) -> None:
    port = str(free_port())
    flags = ("--embedded", "--port", port)
    with proxy(demo.url, *flags) as base:
        open_market(browser, demo, base)
        browser.wait(LINKED)
        browser.wait(STALE, lambda text: text is False)
        browser.run("window.isTheSame = true")
    notice = "return document.querySelector('#notice').hidden ? '' : document.querySelector('#notice').textContent"
    browser.wait(notice, lambda text: text.startswith("Nothing heard since") and text.endswith("Trying again…"))
    assert browser.wait(STALE).startswith("▲ LINK DOWN")
    with proxy(demo.url, *flags):
        browser.wait(LINKED)
        browser.wait(notice, lambda text: text == "")
        browser.wait(STALE, lambda text: text is False)
        assert browser.run("return window.isTheSame") is True
        browser.open("about:blank")
    # The browser itself says that nobody answered.
    browser.console()
