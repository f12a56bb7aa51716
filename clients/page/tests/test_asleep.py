"""A page that was hidden for long goes on where it stopped, whatever it shows."""

from __future__ import annotations

import re

from steps import LINKED, ask

from browser import Browser
from demo import Demo

HIDE = "const [isHidden] = arguments; Object.defineProperty(document, 'hidden', {get: () => isHidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
# Ten seconds are soon over: what is hidden falls asleep at once.
HURRY = "const {setTimeout} = window; window.setTimeout = (call, ms, ...rest) => setTimeout(call, ms === 10000 ? 50 : ms, ...rest)"
# Messages of books and prices that came.
COUNT = "const {parse} = JSON; window.heard = 0; JSON.parse = text => { const message = parse(text); if (message?.token_id) window.heard += 1; return message; }"
HEARD = "return window.heard"
WAIT = "return new Promise(done => setTimeout(done, arguments[0]))"


def test_live_prices_stop_with_a_hidden_page_and_go_on_with_it(browser: Browser, demo: Demo) -> None:
    found = ask(f"{demo.url}/v1/events?limit=50")["events"]
    slug = next(event["slug"] for event in found if event["followed_count"] > 2)
    market = ask(f"{demo.url}/v1/events/{slug}")["markets"][0]
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.run(HURRY)
    browser.run(COUNT)
    for place, cells in (("#/", ".busiest .mono"), ("#/markets", ".row .bid, .row .ask"), (f"#/market/{market['condition_id']}", ".siblings .mono"), (f"#/market/{market['condition_id']}", ".outcome .prices")):
        browser.run("location.hash = arguments[0]", place)
        prices = f"return [...document.querySelectorAll({cells!r})].map(one => one.textContent).join()"
        first = browser.wait(prices, lambda text: re.search(r"\d\.\d", text) is not None)
        browser.wait(prices, lambda text, first=first: text != first)
        browser.run(HIDE, True)
        # What was on its way when it fell asleep has come by then.
        browser.run(WAIT, 1000)
        asleep, heard = browser.run(prices), browser.run(HEARD)
        browser.run(WAIT, 1500)
        assert (browser.run(prices), browser.run(HEARD)) == (asleep, heard), (place, cells)
        browser.run(HIDE, False)
        again = browser.wait(prices, lambda text, asleep=asleep: text != asleep)
        browser.wait(prices, lambda text, again=again: text != again)
