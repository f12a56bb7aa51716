"""The link to the server is lost: nothing that is old looks new, whatever is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from steps import LINKED, ROWS, first_market

from browser import Browser
from demo import Demo

DOWN = "return document.querySelector('main').classList.contains('grey')"
VERDICT = "const badge = document.querySelector('#verdict'); return [badge.textContent, badge.dataset.tone]"
HEADLINE = "return document.querySelector('h1').textContent"
# What is in full colour although it is a figure or a state of what was heard.
IN_COLOUR = """
return [...document.querySelectorAll('main .figure dd, main .busiest li, main .trust .state, main .parts .state, main .block .state, main .row .state, main .outcome .state')]
  .filter(one => one.checkVisibility() && !(one.closest('[data-old]') || one.dataset.tone === 'stale'))
  .filter(one => {
    for (let at = one; at; at = at.parentElement) if (getComputedStyle(at).filter.includes('grayscale')) return false;
    return true;
  }).map(one => one.textContent);
"""
SEEN = "return document.querySelector('.seen').textContent"


@contextmanager
def deaf(browser: Browser, demo: Demo) -> Iterator[None]:
    """The server says nothing."""
    demo.process.send_signal(signal.SIGSTOP)
    try:
        browser.wait(DOWN)
        yield
    finally:
        demo.process.send_signal(signal.SIGCONT)
        browser.wait(LINKED)
        browser.wait(DOWN, lambda down: not down)
        # A socket that was given up meanwhile says so.
        browser.console()


def test_nothing_of_the_overview_looks_live_while_the_link_is_down(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(HEADLINE, lambda text: text.startswith("Healthy"))
    browser.wait("return document.querySelectorAll('.busiest li').length", lambda count: count == 8)
    with deaf(browser, demo):
        text, tone = browser.run(VERDICT)
        assert (text, tone) == ("not known", "pending")
        assert browser.run(HEADLINE) == "Not known: the link to the server is down"
        assert browser.run("return document.querySelector('.banner').dataset.tone") == "pending"
        assert browser.run(IN_COLOUR) == []
        words = browser.run("return [...document.querySelectorAll('.busiest .state')].map(state => state.textContent)")
        assert set(words) == {"old"}, words
        assert "nothing has gone wrong" not in browser.run(SEEN)
    browser.wait(HEADLINE, lambda text: text.startswith("Healthy"))
    browser.wait(VERDICT, lambda verdict: "live" in verdict[0])


def test_views_that_are_opened_while_the_link_is_down_are_old(browser: Browser, demo: Demo) -> None:
    market = first_market(demo)["condition_id"]
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/market/{market}")
    browser.wait(LINKED)
    judged = "return document.querySelector('.demo .head .state').textContent"
    browser.wait(judged, lambda text: text == "shown is true")
    with deaf(browser, demo):
        browser.wait(judged, lambda text: text.startswith("not known"))
        assert browser.run(IN_COLOUR) == []
        browser.run("location.hash = '#/'")
        browser.wait(HEADLINE, lambda text: text.startswith("Not known"))
        assert "nothing has gone wrong" not in browser.run(SEEN)
        assert browser.run(IN_COLOUR) == []
        browser.run("location.hash = '#/markets'")
        browser.wait("return document.querySelector('h1').textContent === 'Markets'")
        assert browser.run(VERDICT)[0] == "not known"
    browser.wait(ROWS, lambda rows: len(rows) > 2)


def test_a_server_of_another_build_has_its_page_loaded_once(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.run("sessionStorage.clear(); window.isTheSame = true; const {fetch} = window; window.fetch = (url, options = {}) => options.method === 'HEAD' ? Promise.resolve(new Response('', {headers: {ETag: '\"another\"'}})) : fetch(url, options)")
    demo.process.send_signal(signal.SIGSTOP)
    try:
        browser.wait("return document.querySelector('#link b').textContent", lambda text: text in ("link lost", "connecting"))
    finally:
        demo.process.send_signal(signal.SIGCONT)
    browser.wait("return window.isTheSame !== true")
    browser.wait(LINKED)
    assert browser.run("return sessionStorage.getItem('polypy.build')") == "another"
    # A socket that was given up meanwhile says so.
    browser.console()
