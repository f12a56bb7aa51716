"""What could not be read while the link was down is read when it is back, and what a dead process said is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from steps import LINKED, ROWS, STALE, first_market, open_market, proxy
from test_link import HEADLINE, IN_COLOUR
from test_restart import free_port

from browser import Browser
from demo import Demo, run_demo

LOST = "return ['link lost', 'connecting'].includes(document.querySelector('#link b').textContent) && document.querySelector('main').classList.contains('grey')"
NOTHING = "return document.querySelector('.nothing:not([hidden])')?.textContent ?? ''"
TITLE = "return document.title"
H1 = "return document.querySelector('h1').textContent"


@contextmanager
def down(browser: Browser, demo: Demo, place: str) -> Iterator[str]:
    """A page whose server is gone; what is done with the address in the body is that it is back."""
    port = str(free_port())
    with proxy(demo.url, "--port", port) as base:
        browser.open("about:blank")
        browser.open(f"{base}{place}")
        browser.wait(LINKED)
    browser.wait(LOST)
    yield port
    # The browser itself says that nobody answered.
    browser.open("about:blank")
    browser.console()


def test_a_market_that_is_opened_while_the_link_is_down_has_its_words_once_it_is_back(browser: Browser, demo: Demo) -> None:
    market = first_market(demo)
    with down(browser, demo, "#/") as port:
        browser.run("location.hash = arguments[0]", f"#/market/{market['slug']}")
        assert "when the link is back" in browser.wait(NOTHING)
        assert "fetch" not in browser.run(NOTHING)
        with proxy(demo.url, "--port", port):
            browser.wait(LINKED)
            browser.wait(H1, lambda text: text == market["question"])
            browser.wait(TITLE, lambda text: text.startswith(market["question"][:40]))
            about = "return document.querySelector('.about').textContent"
            browser.wait(about, lambda text: "ends" in text and "tick" in text)
            browser.wait(NOTHING, lambda text: text == "")
            # Trades of before are there, though none comes.
            browser.wait("return document.querySelectorAll('.trades li[data-token]').length")
            browser.open("about:blank")


def test_a_list_that_is_opened_while_the_link_is_down_comes_once_it_is_back(browser: Browser, demo: Demo) -> None:
    with down(browser, demo, "#/") as port:
        browser.run("location.hash = '#/markets'")
        text = browser.wait(NOTHING)
        assert text == "The server does not answer. The list comes when the link is back."
        with proxy(demo.url, "--port", port):
            browser.wait(LINKED)
            browser.wait(ROWS, lambda rows: len(rows) > 2)
            browser.wait(NOTHING, lambda text: text == "")
            browser.open("about:blank")


def test_a_list_that_was_loaded_is_read_again_when_another_process_came(browser: Browser) -> None:
    port = free_port()
    found = "return document.querySelector('.filters .muted').textContent.split(' of ')[0]"
    with proxy(f"http://127.0.0.1:{port}") as base:
        with run_demo("--sim-markets=5", "--sim-resolve-per-minute=0", port=port) as demo:
            browser.open("about:blank")
            browser.open(f"{base}#/markets")
            before = browser.wait(found)
            browser.wait(LINKED)
            demo.stop()
        browser.wait(LOST)
        with run_demo("--sim-markets=40", "--sim-resolve-per-minute=0", port=port):
            browser.wait(LINKED)
            browser.wait(found, lambda text: text != before and text.isdigit() and int(text) > int(before))
            browser.wait(ROWS, lambda rows: len(rows) > int(before))
            browser.open("about:blank")
    browser.console()


def test_what_was_read_of_a_dead_process_is_read_of_the_next(browser: Browser) -> None:
    port = free_port()
    busiest = "return document.querySelectorAll('.busiest li').length"
    past = "return performance.getEntriesByType('resource').filter(entry => entry.name.includes('v1/history?fields=')).length"
    trades = "return [...document.querySelectorAll('.trades li[data-token] time')].map(time => time.title)"
    with proxy(f"http://127.0.0.1:{port}") as base:
        with run_demo("--sim-markets=5", "--sim-resolve-per-minute=0", port=port) as demo:
            browser.open("about:blank")
            browser.open(f"{base}#/")
            browser.wait(LINKED)
            browser.wait(busiest, lambda count: count == 5)
            assert browser.run(past) == 1
            demo.stop()
        browser.wait(LOST)
        with run_demo("--sim-markets=40", "--sim-resolve-per-minute=0", port=port) as demo:
            browser.wait(LINKED)
            browser.wait(busiest, lambda count: count == 8)
            browser.wait(past, lambda count: count == 2)
            open_market(browser, demo, base)
            before = browser.wait(trades)
            demo.stop()
        browser.wait(LOST)
        # The same market, whose trades are numbered anew.
        with run_demo("--sim-markets=40", "--sim-resolve-per-minute=0", port=port):
            browser.wait(LINKED)
            browser.wait(trades, lambda titles: bool(titles) and not set(titles) & set(before))
            browser.open("about:blank")
    browser.console()


def test_a_book_of_before_a_loss_is_not_live_before_it_has_come_again(browser: Browser, demo: Demo) -> None:
    port = str(free_port())
    with proxy(demo.url, "--port", port) as base:
        open_market(browser, demo, base)
        browser.wait(LINKED)
        browser.wait(STALE, lambda text: text is False)
    browser.wait(LOST)
    browser.run("const {parse} = JSON; window.isHeld = true; JSON.parse = text => { const message = parse(text); return window.isHeld && message?.type === 'snapshot' ? {type: 'nothing'} : message; }")
    with proxy(demo.url, "--port", port):
        browser.wait(LINKED)
        text = browser.wait(STALE, lambda text: text is False or "LINK DOWN" not in text)
        assert text is not False and text.startswith("▲ BEING FETCHED"), text
        browser.run("window.isHeld = false")
        browser.wait(STALE, lambda text: text is False)
        browser.open("about:blank")
    browser.console()


# What is in colour between the first word of a link that is back and the server's first report.
UNHEARD = """
window.seen = [];
const look = () => {
  const linked = document.querySelector('#link b').textContent === 'linked';
  const known = document.querySelector('#verdict b').textContent !== 'not known';
  if (linked) window.seen.push({known, colour: (() => {%s})(), states: [...document.querySelectorAll('.block .state')].map(one => one.textContent), head: document.querySelector('h1').textContent, figures: [...document.querySelectorAll('.figure dd:not(.note)')].map(one => one.textContent)});
  if (!linked || !known) requestAnimationFrame(look);
};
look();
""" % IN_COLOUR


def test_the_figures_of_a_dead_process_are_not_shown_as_those_of_the_next(browser: Browser) -> None:
    port = free_port()
    with proxy(f"http://127.0.0.1:{port}") as base:
        with run_demo("--sim-markets=20", port=port) as demo:
            browser.open(f"{base}#/")
            browser.wait(HEADLINE, lambda text: text.startswith("Healthy"))
            browser.wait("return document.querySelectorAll('.block').length")
            demo.stop()
        browser.wait(LOST)
        # Nobody who listens to the page takes a connection for alive.
        assert set(browser.run("return [...document.querySelectorAll('.block .state')].map(one => one.textContent)")) == {"not known"}
        browser.run(UNHEARD)
        with run_demo("--sim-markets=20", port=port):
            seen = browser.wait("return window.seen.length && window.seen.at(-1).known && window.seen")
            early = [one for one in seen if not one["known"]]
            assert early, "the first report came with the first word"
            for one in early:
                assert (one["colour"], one["head"].startswith("Not known")) == ([], True), one
                assert set(one["states"]) <= {"not known"}, one
                assert set(one["figures"]) == {"–"}, one
            browser.wait(HEADLINE, lambda text: text.startswith("Healthy"))
            browser.open("about:blank")
    browser.console()


def test_connections_of_before_a_loss_are_not_known_until_they_are_read_again(browser: Browser, demo: Demo) -> None:
    states = "return [...document.querySelectorAll('.block .state')].map(one => one.textContent)"
    with down(browser, demo, "#/") as port:
        browser.run("const {fetch} = window; window.fetch = (url, ...rest) => String(url).includes('v1/connections') ? new Promise(done => { window.goes = done; }).then(() => fetch(url, ...rest)) : fetch(url, ...rest)")
        with proxy(demo.url, "--port", port):
            browser.wait(LINKED)
            browser.wait(HEADLINE, lambda text: text.startswith("Healthy"))
            browser.wait("return typeof window.goes === 'function'")
            assert set(browser.run(states)) == {"not known"}
            browser.run("window.goes()")
            browser.wait(states, lambda words: "live" in words)
            browser.open("about:blank")


def test_good_news_are_heard_as_bad_ones_are(browser: Browser, demo: Demo) -> None:
    said = "return document.querySelector('#said').textContent"
    with down(browser, demo, "#/") as port:
        assert "lost" in browser.wait(said)
        with proxy(demo.url, "--port", port):
            browser.wait(LINKED)
            browser.wait(said, lambda text: "the link is back" in text)
            browser.open("about:blank")


def test_a_book_that_goes_stale_and_comes_back_is_heard(browser: Browser, demo: Demo) -> None:
    from steps import lost_connections

    said = "return document.querySelector('#said').textContent"
    open_market(browser, demo)
    browser.wait(STALE, lambda text: text is False)
    outcome = browser.run("return document.querySelector('.outcome[aria-selected=true] .what').textContent")
    with lost_connections(demo):
        browser.wait(said, lambda text: f"{outcome}: stale: connection lost" in text)
    browser.wait(said, lambda text: f"{outcome}: the book is live again" in text)


def test_the_ladder_speaks_of_the_outcome_that_is_shown(browser: Browser, demo: Demo) -> None:
    market = open_market(browser, demo)
    label = "return document.querySelector('.ladder canvas').getAttribute('aria-label')"
    browser.wait(label, lambda text: ": bid " in text)
    # With the next frame but one, and not with the next look of some seconds.
    after = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'o', bubbles: true})); return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(document.querySelector('.ladder canvas').getAttribute('aria-label')))))"
    outcomes = {browser.run(after).split(":")[0] for _ in range(2)}
    assert outcomes == {token["outcome"] for token in market["tokens"]}


def test_rows_stand_in_the_document_in_their_order(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets")
    browser.wait(ROWS, lambda rows: len(rows) > 10)
    order = "return [...document.querySelectorAll('.room .row')].map(row => Number(row.getAttribute('aria-rowindex')))"
    for top in (700, 0, 300, 1000, 900, 20):
        browser.run("document.querySelector('.rows').scrollTop = arguments[0]; return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))", top)
        shown = browser.run(order)
        assert shown == sorted(shown), (top, shown)
        assert shown == list(range(shown[0], shown[0] + len(shown))), (top, shown)
