"""The page in Chromium, against the demo: what it shows, while things go wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from steps import LINKED, ROWS, STALE, ask, faults, first_market, lost_connections, open_market, tell

from browser import Browser
from demo import PATIENCE, Demo, read, run_demo, wait_for

HERE = Path(__file__).resolve().parent
TOKEN = "correct-horse-battery"
ENTER = "\ue007"
END = "\ue010"
OLD = "return document.querySelectorAll('.outcome[data-old]').length"
GREY = "return document.querySelector('main').classList.contains('grey')"
SPAN = "return document.querySelector('.chart[aria-label^=Books]')?.getAttribute('aria-label') ?? ''"
READS = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)"
TABLE = """
const cells = [...document.querySelectorAll('.ladder tbody tr')].map(row => [...row.children].map(cell => cell.textContent));
const side = (size, price) => cells.filter(row => row[price]).map(row => [row[price], row[size]]);
return {bids: side(0, 1), asks: side(3, 2), of: document.querySelector('.outcome[aria-selected=true] .what')?.textContent};
"""


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_overview_is_whole_before_the_stream_says_anything(browser: Browser, demo: Demo) -> None:
    """The stream is shut out: what is shown was read."""
    command = ["node", str(HERE.parent / "serve.mjs"), "--embedded", "--no-stream", "--to", demo.url]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout
        base = wait_for(read(proxy.stdout), "http")
        browser.open(base)
        # In the headline until the stream is given up, and beside it as last heard from then on.
        browser.wait("return document.querySelector('.banner')?.textContent ?? ''", lambda text: "Healthy" in text)
        live = browser.wait("return document.querySelector('.figure dd')?.textContent", lambda text: text not in (None, "–"))
        assert int(live.replace(",", "")) >= 100
        browser.wait("return document.querySelectorAll('.block').length")
        # The charts have a past that this page has not seen.
        wait_until(lambda: len(ask(f"{demo.url}/v1/history?limit=12")["rows"]) == 12)
        browser.open("about:blank")
        browser.open(base)
        browser.wait(SPAN, lambda label: 10 <= float(label.split(", the last ")[-1].split(" s:")[0] or 0) if " s:" in label else " min:" in label)
        assert browser.run("return document.querySelector('#link b').textContent") != "linked"
        # What is in between is named.
        browser.wait("return document.querySelector('#notice').textContent", lambda text: "the proxy in front has to pass on Host, Upgrade and Connection" in text)
        browser.open("about:blank")
        # The browser itself says that the stream was refused.
        browser.console()
    finally:
        proxy.kill()
        proxy.wait()
        if proxy.stdout:
            proxy.stdout.close()


def test_the_overview_says_that_all_is_well(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.url}/")
    browser.wait("return document.querySelector('h1')?.textContent ?? ''", lambda text: "Healthy" in text)
    browser.wait("return document.querySelectorAll('.block').length")
    browser.wait("return document.querySelectorAll('.busiest li').length", lambda count: count == 8)
    shown = browser.wait("return document.querySelector('.figure dd')?.textContent", lambda text: text not in (None, "–"))
    assert int(shown.replace(",", "")) >= 100
    browser.wait("return document.querySelectorAll('.chart canvas').length", lambda count: count == 4)
    numbers = "return [...document.querySelectorAll('.figure dd, .running .facts dd:not([hidden])')].map(one => one.textContent)"
    browser.wait(numbers, lambda texts: len(texts) > 20 and not any("–" in text or text == "" for text in texts))
    asked = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(f"{demo.url}/")] == []


def test_a_market_is_found_by_words_and_opened_by_keys(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.url}/#/markets")
    rows = browser.wait(ROWS, lambda rows: len(rows) > 10 and "…" not in rows[0].splitlines())
    assert len(rows) <= 80
    word = first_market(demo)["question"].split()[-1].strip("?:,")
    browser.keys("/")
    browser.keys(word)
    browser.wait("return location.hash", lambda text: text.startswith("#/markets?q="))
    browser.wait(ROWS, lambda rows: bool(rows) and all(word.lower() in row.lower() for row in rows))
    browser.run("document.querySelector('.rows').focus()")
    browser.keys(END + ENTER)
    browser.wait("return location.hash", lambda text: text.startswith("#/market/"))
    browser.wait("return document.title", lambda text: text.endswith("· PolyPy"))


def test_the_policy_lets_nothing_in(demo: Demo) -> None:
    with urlopen(Request(f"{demo.url}/", headers={"Accept": "text/html"}), timeout=PATIENCE) as answer:
        policy = answer.headers["Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "unsafe" not in policy, policy
    assert parts["default-src"] == "'none'", policy
    assert {parts[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}, policy
    assert (parts["frame-ancestors"], parts["base-uri"]) == ("'none'", "'none'"), policy
    assert parts["require-trusted-types-for"] == "'script'", policy


def test_a_page_has_one_stream_whatever_it_shows(browser: Browser, demo: Demo) -> None:
    def opened() -> int:
        return int(ask(f"{demo.url}/stats")["http"]["requests"].get("/v1/ws", {}).get("101", 0))

    browser.open("about:blank")
    wait_until(lambda: ask(f"{demo.url}/stats")["stream"]["clients"]["websocket"] == 0)
    before = opened()
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    market = first_market(demo)["condition_id"]
    for place, shown in (("#/markets", ".row"), (f"#/market/{market}", ".ladder"), ("#/", ".block"), ("#/markets", ".row")):
        browser.run(f"location.hash = {place!r}")
        browser.wait(f"return document.querySelectorAll({shown!r}).length")
        assert ask(f"{demo.url}/stats")["stream"]["clients"] == {"sse": 0, "websocket": 1, "library": 0}
    assert opened() == before + 1


def test_a_page_that_was_left_has_no_stream_and_has_one_again_on_the_way_back(browser: Browser, demo: Demo) -> None:
    """Browsers keep such a page whole, to show it at once."""
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets")
    browser.wait(LINKED)
    browser.open("about:blank")
    wait_until(lambda: ask(f"{demo.url}/stats")["stream"]["clients"]["websocket"] == 0)
    browser.run("history.back()")
    browser.wait(LINKED)
    browser.wait(ROWS, lambda rows: len(rows) > 2)


def test_what_no_channel_brings_is_read_while_it_is_shown(browser: Browser, demo: Demo) -> None:
    def reads(of: str) -> int:
        return sum(path.startswith(of) for path in browser.run(READS))

    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    wait_until(lambda: reads("/v1/connections") >= 4)
    assert reads("/health") == 1
    assert reads("/stats") == 0
    market = first_market(demo)["condition_id"]
    browser.run(f"location.hash = '#/market/{market}'")
    browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
    browser.run("performance.clearResourceTimings()")
    wait_until(lambda: reads("/v1/books/") >= 4)
    # Once for the feed, and when the number of open ones changes.
    assert reads("/v1/connections") <= 2
    assert reads("/health") + reads("/v1/history") + reads("/v1/failures") == 0


def test_a_hidden_page_reads_nothing(browser: Browser, demo: Demo) -> None:
    """But it stays linked."""
    hide = "const [isHidden] = arguments; Object.defineProperty(document, 'hidden', {get: () => isHidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
    for place in ("#/", f"#/market/{first_market(demo)['condition_id']}"):
        browser.open("about:blank")
        browser.open(f"{demo.url}/{place}")
        browser.wait(LINKED)
        browser.run(hide, True)
        # It falls asleep after ten seconds.
        browser.run("return new Promise(done => setTimeout(done, 10500))")
        browser.run("performance.clearResourceTimings()")
        # Some pulses: it goes on hearing the server.
        browser.run("return new Promise(done => setTimeout(done, 3500))")
        browser.wait(LINKED)
        assert browser.run(READS) == [], place
        browser.run(hide, False)
        browser.wait(READS)
        if "market" in place:
            # Its books are followed again, and its charts go on.
            browser.wait(STALE, lambda text: text is False)


def test_prices_of_the_list_are_live(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.url}/#/markets")
    prices = "return [...document.querySelectorAll('.row:not([hidden]) .bid')].map(cell => cell.textContent).join()"
    first = browser.wait(prices, lambda text: "0." in text)
    browser.wait(prices, lambda text: text != first)
    browser.run("location.hash = '#/'")
    busiest = "return [...document.querySelectorAll('.busiest li')].map(item => item.innerText).join()"
    first = browser.wait(busiest, lambda text: "." in text)
    browser.wait(busiest, lambda text: text != first)


def test_the_ladder_is_the_book(browser: Browser, demo: Demo) -> None:
    market = open_market(browser, demo)
    label = "return document.querySelector('.ladder canvas').getAttribute('aria-label')"
    browser.wait(label, lambda text: ": bid " in text)
    browser.keys("t")
    browser.wait("return document.querySelectorAll('.ladder tbody tr').length")
    tell(f"{demo.exchange}/sim/pause")
    try:
        for token in market["tokens"]:
            browser.wait(
                "return document.querySelector('.outcome[aria-selected=true] .what').textContent",
                lambda text, token=token: text == token["outcome"],
            )

            def is_the_book(shown: Any, token: Any = token) -> bool:
                book = ask(f"{demo.url}/v1/books/{token['token_id']}")
                sides = [
                    [[float(price), float(size)] for price, size in side]
                    for side in (book["bids"], book["asks"], shown["bids"], shown["asks"])
                ]
                return bool(sides[0] or sides[1]) and sides[:2] == sides[2:]

            browser.wait(TABLE, is_the_book)
            browser.keys("o")
    finally:
        tell(f"{demo.exchange}/sim/resume")


def test_the_proof_says_when_and_over_which_connection(browser: Browser, demo: Demo) -> None:
    open_market(browser, demo)
    facts = "const list = document.querySelector('.proof .facts'); return Object.fromEntries([...list.querySelectorAll('dt')].map(term => [term.textContent, term.nextSibling.textContent]))"
    shown = browser.wait(facts, lambda facts: "conn-" in facts["delivered by"] and facts["last reproduced"].endswith(" ago"))
    assert shown["delivered by"].split(", feed ")[1].isdigit(), shown
    assert len(shown["exchange's hash"].replace(" ", "")) == 40, shown
    assert re.fullmatch(r"\d[\d,]*, \d[\d,]*", shown["epoch, sequence"]), shown


def test_a_book_that_may_not_be_trusted_is_marked_and_comes_back(browser: Browser, demo: Demo) -> None:
    open_market(browser, demo)
    browser.wait(LINKED)
    browser.wait(STALE, lambda text: text is False)
    with lost_connections(demo):
        text = browser.wait(STALE)
        assert text.startswith("▲ STALE: connection lost"), text
        # Outcomes are drawn with the next frame.
        browser.wait(OLD, lambda count: count > 0)
        browser.wait("return document.querySelector('.proof a')?.getAttribute('href')", lambda href: href == "#/runbook/PolypyConnectionsLost")
    browser.wait(STALE, lambda text: text is False)


def test_books_of_which_nothing_is_decided_yet_are_counted(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    trust = "return document.querySelector('.trust').textContent"
    with faults(demo, {"name": "wrong_hash", "share": 1, "rate": 0.5}):
        browser.wait(trust, lambda text: "not decided yet" in text and "hash differs" in text)
    browser.wait(trust, lambda text: "not decided yet" not in text)


def are_open(words: list[str]) -> bool:
    """Of connections: a book or two may still be awaited, of a market that ends."""
    return bool(words) and all(word == "live" or word.endswith("books") for word in words)


def test_a_dying_connection_is_seen_dying(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.url}/")
    blocks = "return [...document.querySelectorAll('.block .state')].map(state => state.textContent)"
    browser.wait(blocks, are_open)
    with lost_connections(demo):
        browser.wait(blocks, lambda words: "LOST" in words)
        # It says how the last socket ended, and leads to what to do about it.
        browser.wait("return document.querySelector('.block .why')?.textContent ?? ''", lambda why: "429" in why and "again" in why)
        way = browser.run("return document.querySelector('.block a:not([hidden])').getAttribute('href')")
        assert way in ("#/runbook/PolypyConnectionsLost", "#/runbook/PolypyNoConnection"), way
        browser.wait("return document.querySelector('.trust').textContent", lambda text: "connection lost" in text)
        browser.wait("return document.querySelector('.banner ul').textContent", lambda text: "connection" in text or "books are live" in text)
        assert browser.run("return document.querySelectorAll('.block[data-tone=bad]').length") > 0
        browser.wait("return document.querySelector('.banner').dataset.tone", lambda tone: tone in ("stale", "bad"))
        browser.run("document.querySelector('.banner a').click()")
        text = browser.wait("return document.querySelector('dialog pre')?.textContent", lambda text: bool(text) and len(text) > 100)
        assert "Do." in text
        browser.run("document.querySelector('dialog button').click()")
    browser.wait(blocks, are_open)
    browser.wait("return document.querySelector('.seen').textContent", lambda seen: "lost" in seen and "back" in seen)


def test_a_silent_server_greys_everything_and_a_voice_brings_it_back(browser: Browser, demo: Demo) -> None:
    open_market(browser, demo)
    browser.wait("return document.querySelector('#verdict b').textContent", lambda text: "live" in text)
    demo.process.send_signal(signal.SIGSTOP)
    try:
        browser.wait(GREY)
        text = browser.run("return document.querySelector('#notice').textContent")
        assert text.startswith("Nothing heard since"), text
        # Outcomes are drawn with the next frame.
        browser.wait(OLD, lambda count: count == 2)
    finally:
        demo.process.send_signal(signal.SIGCONT)
    browser.wait(GREY, lambda grey: not grey)
    browser.wait(OLD, lambda count: count == 0)
    # A socket that was given up meanwhile says so.
    browser.console()


def test_behind_a_prefix(browser: Browser, demo: Demo) -> None:
    command = ["node", str(HERE.parent / "serve.mjs"), "--embedded", "--prefix", "/a/b", "--to", demo.url]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout
        base = wait_for(read(proxy.stdout), "http")
        market = open_market(browser, demo, base)
        browser.wait(LINKED)
        browser.wait("return document.querySelector('h1')?.textContent", lambda text: text == market["question"])
        asked = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [url for url in asked if not url.startswith(base)] == []
        # A page without its server says so in the console.
        browser.open("about:blank")
    finally:
        proxy.kill()
        proxy.wait()
        if proxy.stdout:
            proxy.stdout.close()


def test_a_token_is_asked_for_once(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    os.chmod(file, 0o600)
    with ExitStack() as stack:
        demo = stack.enter_context(run_demo("--sim-markets=5", f"--http-token-file={file}"))
        chromium.open(f"{demo.url}/#/markets")
        chromium.wait("return document.querySelector('.login input') !== null")
        type_in = "const input = document.querySelector('.login input'); input.value = arguments[0]; document.querySelector('.login button').click()"
        chromium.run(type_in, "wrong-token-of-length")
        chromium.wait("return document.querySelector('.wrong').textContent", lambda text: "not the token" in text)
        chromium.run(type_in, TOKEN)
        chromium.wait(ROWS, lambda rows: len(rows) > 2)
        chromium.wait(LINKED)
        chromium.open(f"{demo.url}/?again#/markets")
        chromium.wait(ROWS, lambda rows: len(rows) > 2)
        kept = chromium.run("return JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
        assert TOKEN not in kept
        # The browser itself says that it was refused before the login.
        chromium.open("about:blank")
        chromium.console()


def test_pictures_of_the_documents_are_small() -> None:
    pictures = list((HERE.parents[2] / "docs/img").glob("page-*.png"))
    assert len(pictures) >= 3
    assert max(picture.stat().st_size for picture in pictures) <= 300 * 1024


def test_what_has_a_canvas_has_a_label_and_states_have_words(browser: Browser, demo: Demo) -> None:
    for place in ("", "#/markets", f"#/market/{first_market(demo)['condition_id']}"):
        browser.open("about:blank")
        browser.open(f"{demo.url}/{place}")
        browser.wait(LINKED)
        browser.wait("return document.querySelector('h1') !== null && document.querySelectorAll('.state').length > 2")
        silent = browser.run("""return [...document.querySelectorAll('canvas')].filter(canvas => !canvas.closest('[role=img][aria-label], [aria-hidden=true]') || canvas.getAttribute('aria-label') === '').length""")
        assert silent == 0, place
        browser.wait("return [...document.querySelectorAll('.state')].filter(state => state.checkVisibility() && !state.textContent.trim()).length", lambda count: count == 0)
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for width in (1280, 500):
            browser.size(width, 900)
            assert browser.run(wide) <= 0, (place, width)
        browser.size(1280, 900)
