"""A server that goes and comes back at the same place, under an open page."""

from __future__ import annotations

import socket

from steps import LINKED, STALE, open_market

from browser import Browser
from demo import run_demo

NOTICE = "return document.querySelector('#notice').hidden ? '' : document.querySelector('#notice').textContent"
OLD = "return document.querySelectorAll('.outcome[data-old]').length"
OUTCOMES = "return [...document.querySelectorAll('.outcome')].filter(one => !('old' in one.dataset)).length"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_page_comes_back_after_a_restart_by_itself(browser: Browser) -> None:
    port = free_port()
    with run_demo("--sim-markets=5", port=port) as demo:
        market = open_market(browser, demo)
        browser.wait(LINKED)
        browser.wait(STALE, lambda text: text is False)
        browser.run("window.isTheSame = true")
        demo.stop()
        text = browser.wait(NOTICE)
        assert text.startswith("Nothing heard since"), text
        # Outcomes are drawn with the next frame.
        browser.wait(OLD, lambda count: count == 2)
    # The same seed has the same markets.
    with run_demo("--sim-markets=5", port=port) as demo:
        browser.wait(LINKED)
        browser.wait(NOTICE, lambda text: text == "")
        browser.wait(OUTCOMES, lambda count: count == 2)
        browser.wait(STALE, lambda text: text is False)
        browser.wait("return document.querySelector('h1')?.textContent", lambda text: text == market["question"])
        # A server of the same build has the same page: it was not loaded again.
        assert browser.run("return window.isTheSame") is True
        browser.open(f"{demo.url}/?again#/")
        browser.wait(LINKED)
        browser.open("about:blank")
    # The browser itself says that nobody answered.
    browser.console()


def test_an_address_that_is_no_encoding_is_a_market_that_is_not_there(browser: Browser) -> None:
    with run_demo("--sim-markets=5") as demo:
        browser.open(f"{demo.url}/#/market/%E0%A4%A")
        text = browser.wait("return document.querySelector('.nothing:not([hidden])')?.textContent")
        assert "market" in text, text
        browser.open("about:blank")
    # A market that is not there is a 404, of which the browser itself tells.
    browser.console()
