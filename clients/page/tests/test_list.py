"""The list of markets by keys, by Back, and with a query that the server refuses."""

from __future__ import annotations

import signal

import pytest
from steps import LINKED, ROWS, ask, faults

from browser import Browser
from demo import Demo

ENTER = "\ue007"
DOWN = "\ue015"
END = "\ue010"
HASH = "return location.hash"
SELECTED = "return [...document.querySelectorAll('.row[aria-selected=true]:not([hidden])')].map(row => row.querySelector('a').getAttribute('href'))[0] ?? null"
PLACE = "const rows = document.querySelector('.rows'); return [rows?.scrollTop ?? 0, document.activeElement === rows]"


def open_list(browser: Browser, demo: Demo, query: str = "") -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets{query}")
    browser.wait(LINKED)
    browser.wait(ROWS, lambda rows: len(rows) > 10 and "…" not in rows[0].splitlines())


@pytest.mark.parametrize("moves", [ENTER + DOWN, DOWN + DOWN])
@pytest.mark.parametrize("place", ["#/", "#/markets"])
def test_keys_go_from_the_search_into_what_is_found(browser: Browser, demo: Demo, place: str, moves: str) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/{place}")
    browser.wait(LINKED)
    browser.wait("return document.querySelector('h1') !== null")
    browser.keys("/")
    browser.keys("will")
    # At once: nobody waits for the answer.
    browser.keys(moves[0])
    browser.wait(PLACE, lambda shown: shown[1])
    browser.wait(HASH, lambda text: text == "#/markets?q=will")
    browser.keys(moves[1])
    browser.wait("return document.querySelector('.rows').getAttribute('aria-activedescendant')", lambda row: row == "row-1")
    browser.keys(ENTER)
    browser.wait(HASH, lambda text: text.startswith("#/market/"))


def test_who_types_goes_on_typing_when_the_view_changes(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.keys("/")
    browser.keys("wi")
    browser.wait(HASH, lambda text: text == "#/markets?q=wi")
    browser.wait(ROWS, lambda rows: len(rows) > 2)
    browser.keys("ll")
    browser.wait(HASH, lambda text: text == "#/markets?q=will")


def test_keys_that_move_work_at_once(browser: Browser, demo: Demo) -> None:
    open_list(browser, demo)
    browser.run("location.hash = '#/'")
    browser.wait("return document.querySelector('.banner') !== null")
    browser.keys("2")
    browser.wait(ROWS, lambda rows: len(rows) > 10 and "…" not in rows[0].splitlines())
    browser.keys(DOWN)
    second = browser.wait(SELECTED)
    browser.keys(ENTER)
    browser.wait(HASH, lambda text: text == second)


def test_back_comes_to_the_place_that_was_left(browser: Browser, demo: Demo) -> None:
    browser.size(1280, 500)
    # An order in which no trade moves a row.
    open_list(browser, demo, "?sort=listed")
    browser.keys(END)
    browser.wait(PLACE, lambda shown: shown[0] > 300 and shown[1])
    chosen = browser.wait(SELECTED)
    top, _ = browser.run(PLACE)
    browser.keys(ENTER)
    browser.wait(HASH, lambda text: text == chosen)
    browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
    browser.run("history.back()")
    browser.wait(PLACE, lambda shown: shown == [top, True])
    browser.wait(SELECTED, lambda row: row == chosen)
    # A link leads to the list's beginning.
    browser.run("document.querySelector('#nav a').click()")
    browser.wait("return document.querySelector('.banner') !== null")
    browser.run("document.querySelectorAll('#nav a')[1].click()")
    browser.wait(ROWS, lambda rows: len(rows) > 2)
    assert browser.run(PLACE)[0] == 0


@pytest.mark.parametrize("query", ["?q=%25", "?sort=garbage", "?min_volume=-1"])
def test_a_query_that_is_refused_says_why_in_the_place_of_the_list(browser: Browser, demo: Demo, query: str) -> None:
    open_list(browser, demo)
    assert "listed" in browser.run("return document.querySelector('.filters .muted').textContent")
    browser.run(f"location.hash = '#/markets{query}'")
    browser.wait("return document.querySelector('.nothing:not([hidden])')?.textContent ?? ''", lambda text: len(text) > 10)
    top, high = browser.run("return [document.querySelector('.nothing').getBoundingClientRect().top, innerHeight]")
    assert top < high / 2, query
    assert browser.run("return document.querySelector('.filters .muted').textContent") == ""
    assert browser.run("return document.querySelector('.rows').checkVisibility()") is False
    # The browser itself tells of an answer that says no.
    assert all(" 400 " in line for line in browser.console() if line.startswith("SEVERE"))
    browser.run("location.hash = '#/markets'")
    browser.wait(ROWS, lambda rows: len(rows) > 10)


# What a row says of its books, with the shape beside it.
SAID = """
const row = document.querySelector('.row:not([hidden]) .state');
return [row.querySelector('i').dataset.shape, row.textContent];
"""


def test_a_row_says_whether_a_hash_confirms_its_books(browser: Browser, demo: Demo) -> None:
    market = ask(f"{demo.url}/v1/markets?ends_after=7d&limit=1&tops")["markets"][0]
    words = market["question"].replace("?", " ").replace(":", " ").split()
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets?q={'+'.join(words[-8:])}")
    browser.wait(SAID, lambda said: said == ["disc", "verified"])
    # Of either outcome: a row is as good as the worse of its books.
    for token in market["tokens"]:
        with faults(demo, {"name": "missing_fields", "assets": [token["token_id"]], "rate": 1}):
            browser.wait(SAID, lambda said: said == ["ring", "live"])
        browser.wait(SAID, lambda said: said == ["disc", "verified"])


def test_prices_of_a_row_have_as_many_digits_as_the_finest(browser: Browser, demo: Demo) -> None:
    """Also where the venue has made the grid finer since the market was listed."""
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.run("const {json} = Response.prototype; Response.prototype.json = function () { return json.call(this).then(body => { for (const market of body?.markets ?? []) market.tick_size = '0.1'; return body; }); }")
    browser.run("location.hash = '#/markets'")
    prices = """
    return [...document.querySelectorAll('.row:not([hidden])')].map(row => ['bid', 'ask', 'spread'].map(name => row.querySelector('.' + name).textContent))
      .filter(cells => cells.every(text => text.includes('.'))).map(cells => cells.map(text => text.split('.')[1].length));
    """
    # Prices of the list change while it is read: that of the spread comes with them.
    browser.wait(prices, lambda rows: len(rows) > 10 and all(len(set(row)) == 1 for row in rows))
    assert len({tuple(row) for row in browser.run(prices)}) > 1, "only one grid"


# The last row of the list, and the upper edge of the notice.
LAST = """
const rows = [...document.querySelectorAll('.row:not([hidden])')].map(row => row.getBoundingClientRect().bottom);
const notice = document.querySelector('#notice');
return [Math.max(...rows), notice.hidden ? null : notice.getBoundingClientRect().top, document.querySelector('.rows').getBoundingClientRect().bottom];
"""


@pytest.mark.parametrize("width", [1280, 500])
def test_the_notice_of_a_lost_link_covers_no_row(browser: Browser, demo: Demo, width: int) -> None:
    browser.size(width, 900)
    open_list(browser, demo)
    browser.run("document.querySelector('.rows').focus()")
    demo.process.send_signal(signal.SIGSTOP)
    try:
        browser.wait(LAST, lambda at: at[1] is not None)
        browser.keys(END)
        browser.wait(LAST, lambda at: at[0] <= at[2] <= at[1])
        # The page's own end as well, whatever is shown.
        browser.run("location.hash = '#/'")
        browser.wait("return document.querySelector('.banner') !== null")
        ends = "scrollTo(0, document.documentElement.scrollHeight); return [Math.max(...[...document.querySelectorAll('.box')].map(box => box.getBoundingClientRect().bottom)), document.querySelector('#notice').getBoundingClientRect().top]"
        browser.wait(ends, lambda at: at[0] <= at[1])
    finally:
        demo.process.send_signal(signal.SIGCONT)
        browser.wait(LINKED)
        # A socket that was given up meanwhile says so.
        browser.console()
    browser.run("location.hash = '#/markets'")
    browser.wait(ROWS, lambda rows: len(rows) > 5)
    browser.wait("return getComputedStyle(document.documentElement).getPropertyValue('--notice')", lambda text: text.strip() == "0px")


@pytest.mark.parametrize("query", ["sort=listed", "sort=end&ends_before=30d", "min_volume_day=100000&sort=listed"])
def test_rows_are_the_servers_in_its_order(browser: Browser, demo: Demo, query: str) -> None:
    open_list(browser, demo, f"?{query}")
    from_now = "&ends_after=0d" if "ends_before" in query else ""
    questions = "return [...document.querySelectorAll('.row:not([hidden])')].sort((one, other) => one.index - other.index).map(row => row.querySelector('a').textContent.split(' · ')[0])"
    # A market may end between the two reads: the next order has neither of them.
    for again in (True, True, False):
        asked = [market["question"] for market in ask(f"{demo.url}/v1/markets?{query}{from_now}&limit=12")["markets"]]
        assert len(asked) > 5, query
        shown = browser.run(questions)
        if shown[: len(asked)] == asked or not again:
            break
        open_list(browser, demo, f"?{query}")
    assert shown[: len(asked)] == asked, query
    # What ends soon has not ended yet.
    reads = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => name.includes('v1/markets?'))")
    assert reads and all(("ends_after=0d" in url) == bool(from_now) for url in reads), reads
    # What is out of sight is no element.
    assert len(shown) < 50


def test_single_keys_can_be_turned_off(browser: Browser, demo: Demo) -> None:
    open_list(browser, demo)
    switch = "document.querySelector('dialog input[type=checkbox]').click(); document.querySelector('dialog button').click()"
    opened = "return document.querySelector('dialog h2')?.textContent === 'Help'"
    closed = "return document.querySelector('dialog') === null"
    browser.keys("?")
    browser.wait(opened)
    browser.run(switch)
    browser.wait(closed)
    browser.keys("1")
    browser.run("return new Promise(done => setTimeout(done, 300))")
    assert browser.run(HASH) == "#/markets"
    browser.run("document.querySelector('#help').click()")
    browser.wait(opened)
    browser.run(switch)
    browser.wait(closed)
    browser.keys("1")
    browser.wait(HASH, lambda text: text == "#/")


def test_the_theme_that_was_chosen_is_kept(browser: Browser, demo: Demo) -> None:
    open_list(browser, demo)
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    before = browser.run(ground)
    browser.keys("l")
    after = browser.wait(ground, lambda colour: colour != before)
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets")
    browser.wait(LINKED)
    assert browser.run(ground) == after
    browser.run("localStorage.clear()")


def test_a_newer_order_is_offered_and_taken_when_it_is_asked_for(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    # The list is of half a minute ago.
    browser.run("const {json} = Response.prototype; Response.prototype.json = function () { return json.call(this).then(body => { if (body?.markets) body.moment_ms -= 31000; return body; }); }")
    browser.run("location.hash = '#/markets'")
    offered = "return [...document.querySelectorAll('.filters .button')].some(one => one.textContent === 'Newer order' && !one.hidden)"
    browser.wait(offered)
    reads = "return performance.getEntriesByType('resource').filter(entry => entry.name.includes('v1/markets?')).length"
    before = browser.run(reads)
    browser.keys("r")
    browser.wait(reads, lambda count: count > before)
    browser.wait(ROWS, lambda rows: len(rows) > 10 and "…" not in rows[0].splitlines())


def test_nothing_flashes_for_who_wants_no_motion(browser: Browser, demo: Demo) -> None:
    flashing = "const cell = document.querySelector('.row .moved'); return cell && getComputedStyle(cell).animationName"
    open_list(browser, demo)
    browser.wait(flashing, lambda name: name in ("moved", "moved-ask"))
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    try:
        browser.wait(flashing, lambda name: name == "none")
    finally:
        browser.devtools("Emulation.setEmulatedMedia", features=[])


FOUND = "return document.querySelector('.filters .muted').textContent"
NOTHING = "return document.querySelector('.nothing:not([hidden])')?.textContent ?? ''"


def test_a_heading_says_which_rows_it_puts_first_and_that_there_is_no_other_way(browser: Browser, demo: Demo) -> None:
    open_list(browser, demo)
    titles = browser.run("return [...document.querySelectorAll('.columns button')].map(button => button.title)")
    assert [title.split(" first; ")[0] for title in titles] == ["the tightest", "the most traded", "the latest", "the next to end"]
    assert all("no order the other way round" in title for title in titles), titles
    press = "document.querySelector('.columns [data-name=spread] button').click(); return [location.hash, history.length]"
    first, second = browser.run(press), browser.run(press)
    assert first[0] == "#/markets?sort=spread"
    assert second == first
    browser.wait("return document.querySelector('.columns [data-name=spread]').getAttribute('aria-sort')", lambda order: order == "ascending")


def test_a_list_whose_answer_is_slow_says_that_it_is_awaited(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.run("const {fetch} = window; window.fetch = (url, ...rest) => String(url).includes('v1/markets?') ? new Promise(done => { window.goes = done; }).then(() => fetch(url, ...rest)) : fetch(url, ...rest)")
    browser.run("location.hash = '#/markets?sort=listed'")
    browser.wait(FOUND, lambda text: text == "asking the server…")
    browser.run("window.goes()")
    browser.wait(ROWS, lambda rows: len(rows) > 10)
    # Of another filter the figures before are no answer.
    before = browser.run(FOUND)
    assert " listed" in before
    browser.run("location.hash = '#/markets?sort=end'")
    browser.wait(FOUND, lambda text: text == "asking the server…")
    browser.run("window.goes()")
    browser.wait(FOUND, lambda text: " listed" in text)


def test_a_list_of_a_server_that_still_reads_says_so_and_is_read_again(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/")
    browser.wait(LINKED)
    browser.run("const {json} = Response.prototype; window.isEarly = true; Response.prototype.json = function () { return json.call(this).then(body => window.isEarly && body?.markets ? {...body, markets: [], matched: 0, next_cursor: null, complete: false} : body); }")
    browser.run("location.hash = '#/markets?sort=listed'")
    browser.wait(NOTHING, lambda text: text.startswith("The server is still reading the venue's listing"))
    assert browser.run(FOUND).endswith(" listed so far")
    browser.run("window.isEarly = false")
    browser.wait(ROWS, lambda rows: len(rows) > 10)
    browser.wait(FOUND, lambda text: "so far" not in text)
    assert browser.run(NOTHING) == ""


# Of each row its number, the place at which it stands, and its words.
STANDS = """
const top = document.querySelector('.room').getBoundingClientRect().top;
return [...document.querySelectorAll('.room .row')].map(row => {
  const box = row.getBoundingClientRect();
  return [Number(row.querySelector('.n').textContent), (box.top - top) / box.height + 1, row.querySelector('a').textContent.split(' · ')[0]];
});
"""


def test_a_row_stands_at_the_place_of_its_number(browser: Browser, demo: Demo) -> None:
    browser.size(1280, 500)
    open_list(browser, demo, "?sort=listed")
    questions = [market["question"] for market in ask(f"{demo.url}/v1/markets?sort=listed&limit=1000")["markets"]]
    for top in (0, 700, 333, 1100):
        browser.run("document.querySelector('.rows').scrollTop = arguments[0]; return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))", top)
        rows = browser.run(STANDS)
        assert len(rows) > 10
        for number, place, words in rows:
            assert (round(place, 3), words) == (number, questions[number - 1]), top
        # What is in sight is there: no hole, and no row that is far away.
        first = top // 28 + 1
        assert set(range(first, min(first + 10, len(questions)))) <= {number for number, _, _ in rows}, top
    # And what is pressed is what opens.
    pressed = "const row = document.querySelectorAll('.room .row')[9]; row.querySelector('.volume').click(); return row.querySelector('a').getAttribute('href')"
    href = browser.run(pressed)
    browser.wait(HASH, lambda text: text == href)
