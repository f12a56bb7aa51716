"""What the view of a market says of books that nobody can vouch for, and of none."""

from __future__ import annotations

import json

from steps import LINKED, ask, lost_connections, open_market, tell

from browser import Browser
from demo import Demo

STATE = "return document.querySelector('.demo .head .state').textContent"


def test_the_panel_says_for_how_long_the_exchange_has_been_ahead(browser: Browser, demo: Demo) -> None:
    """Of an exchange that says nothing nobody can see that it is: the truth alone shows it."""
    market = open_market(browser, demo)
    browser.wait(STATE, lambda text: text == "shown is true")
    tokens = [token["token_id"] for token in market["tokens"]]
    tell(f"{demo.exchange}/sim/faults", {"name": "stall_asset", "assets": tokens})
    text = browser.wait(STATE, lambda text: text.startswith("the exchange has been ahead for "))
    assert float(text.split()[-2]) >= 1.5, text
    assert browser.run("return document.querySelector('.demo .head .state').dataset.tone") == "stale"
    # What differs is in another colour than what does not.
    browser.run("document.querySelector('.demo .head button').click()")
    colours = "return [...new Set([...document.querySelectorAll('.demo .truth tbody tr td:last-child')].map(cell => `${cell.textContent.includes('≠')} ${getComputedStyle(cell).color}`))]"
    browser.wait(colours, lambda found: len(found) == 2 and found[0].split(" ", 1)[1] != found[1].split(" ", 1)[1])
    tell(f"{demo.exchange}/sim/faults", method="DELETE")
    browser.wait(STATE, lambda text: text == "shown is true")


def test_a_market_that_is_not_there_is_no_empty_market(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/market/nope")
    browser.wait("return document.querySelector('h1')?.textContent", lambda text: text == "No such market")
    seen = "return ['.market', '.outcomes', '.demo', '.tabs', '.title button'].filter(name => document.querySelector(name)?.checkVisibility())"
    assert browser.run(seen) == []
    assert browser.run("return document.title") == "No such market · PolyPy"
    assert "“nope”" in browser.run("return document.querySelector('.nothing').textContent")
    # A market that is not there is a 404, of which the browser itself tells.
    assert all(" 404 " in line for line in browser.console() if line.startswith("SEVERE"))
    browser.run("document.querySelector('.nothing a').click()")
    browser.wait("return document.querySelectorAll('.row').length")
    market = open_market(browser, demo)
    assert market
    browser.wait(seen, lambda names: ".market" in names and ".outcomes" in names)


# Pixels of the heatmap in the ground colour of what is stale, in the light theme.
DOUBTED = """
const canvas = document.querySelector('.heat canvas');
const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
copy.drawImage(canvas, 0, 0);
const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
let many = 0;
for (let at = 0; at < data.length; at += 4) if (data[at] === 0xfd && data[at + 1] === 0xf0 && data[at + 2] === 0xd8) many += 1;
return many;
"""


def test_a_market_that_is_opened_has_no_doubted_seconds(browser: Browser, demo: Demo) -> None:
    """What was not looked at is hatched in grey; only what was doubted is in the colour of that."""
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets")
    browser.wait(LINKED)
    browser.run("document.documentElement.dataset.theme = 'light'")
    # What the catalogue says is here before the first book.
    browser.run("const {send} = WebSocket.prototype; WebSocket.prototype.send = function (...all) { setTimeout(() => send.apply(this, all), 700); }")
    open_market(browser, demo)
    browser.wait("return document.querySelector('.ladder canvas').getAttribute('aria-label')", lambda label: ": bid " in label)
    browser.run("return new Promise(done => setTimeout(done, 1500))")
    assert browser.run(DOUBTED) == 0
    with lost_connections(demo):
        browser.wait(DOUBTED)


def test_the_header_says_why_it_is_not_green_and_the_runbook_leads_on(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    verdict = "const badge = document.querySelector('#verdict'); return [badge.textContent, badge.title]"
    browser.wait(verdict, lambda shown: shown[1] == "every book is live")
    with lost_connections(demo):
        text, title = browser.wait(verdict, lambda shown: " live: " in shown[0])
        assert len(title) > 10, (text, title)
        # By a finger, too: the overview has them all.
        browser.run("location.hash = '#/markets'")
        browser.wait("return document.querySelectorAll('.row').length")
        browser.run("document.querySelector('#verdict').click()")
        browser.wait("return document.querySelectorAll('.banner li').length")
    browser.wait(verdict, lambda shown: shown[1] == "every book is live")
    browser.run("location.hash = '#/runbook/PolypyConnectionsLost'")
    names = browser.wait("return [...document.querySelectorAll('dialog pre a')].map(link => link.textContent)")
    browser.run("document.querySelector('dialog pre a').click()")
    browser.wait("return document.querySelector('dialog h2').textContent", lambda text: text == f"What to do: {names[0]}")
    assert browser.run("return [location.hash, document.querySelectorAll('dialog').length]") == [f"#/runbook/{names[0]}", 1]
    browser.run("document.querySelector('dialog button').click()")
    browser.wait("return location.hash", lambda text: text == "#/" or text == "")
    assert browser.run("return document.querySelector('dialog')") is None


def test_books_that_were_asked_for_again_have_their_outcomes(browser: Browser, demo: Demo) -> None:
    """Both of a market often are."""
    market = open_market(browser, demo)
    tokens = [token["token_id"] for token in market["tokens"]]
    wait_for_failures = f"return fetch('v1/failures').then(answer => answer.json()).then(answer => {json.dumps(tokens)}.every(token => answer.failures.some(one => one.token_id === token)))"
    tell(f"{demo.exchange}/sim/faults", {"name": "wrong_hash", "assets": tokens, "rate": 1})
    browser.wait(wait_for_failures)
    tell(f"{demo.exchange}/sim/faults", method="DELETE")
    browser.run("location.hash = '#/'")
    words = browser.wait("return [...document.querySelectorAll('.again li a')].map(link => link.textContent)", lambda words: len(words) >= 2)
    for token in market["tokens"]:
        assert f"{market['question']} · {token['outcome']}" in words, words


def test_a_market_is_shown_while_what_stands_beside_it_does_not_come(browser: Browser, demo: Demo) -> None:
    """Its trades and its event are read after it, and are not waited for."""
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/")
    browser.wait(LINKED)
    browser.run("const {fetch} = window; window.fetch = (url, ...rest) => String(url).includes('v1/trades') ? new Promise(() => {}) : fetch(url, ...rest)")
    market = ask(f"{demo.url}/v1/markets?ends_after=7d&limit=1")["markets"][0]
    browser.run(f"location.hash = '#/market/{market['condition_id']}'")
    browser.wait("return getComputedStyle(document.querySelector('.market') ?? document.body).visibility === 'visible' && document.querySelector('.market') !== null")
    browser.wait("return document.querySelector('.outcome .state b').textContent", lambda text: text in ("verified", "live"))


def test_siblings_have_prices_of_their_own_grid(browser: Browser, demo: Demo) -> None:
    found = ask(f"{demo.url}/v1/events?limit=50")["events"]
    slug = next(event["slug"] for event in found if event["followed_count"] > 2)
    event = ask(f"{demo.url}/v1/events/{slug}?tops=true")
    first, *others = event["markets"]
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/market/{first['condition_id']}")
    shown = "return [...document.querySelectorAll('.siblings li')].map(item => [item.querySelector('a').title, item.querySelector('.mono').textContent])"
    rows = browser.wait(shown, lambda rows: len(rows) == len(others) and all(" / " in price for _, price in rows))
    assert {title for title, _ in rows} == {market["question"] for market in others}
    assert browser.run("return document.querySelector('.siblings').checkVisibility()")
    for title, prices in rows:
        bid, ask_ = (price.split(" ")[0] for price in prices.split(" / "))
        if "." in bid and "." in ask_:
            assert len(bid.split(".")[1]) == len(ask_.split(".")[1]), (title, prices)
