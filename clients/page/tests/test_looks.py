"""How each view is made: axe-core finds nothing in either theme, and nothing moves by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from steps import LINKED, first_market, lost_connections, proxy

from browser import Browser
from demo import Demo

ROOT = Path(__file__).resolve().parents[3]
SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.shifts.push([entry.value, entry.sources.map(one => `${one.node?.closest?.('[class]')?.className ?? one.node?.parentNode?.className ?? one.node?.nodeName}: ${JSON.stringify(one.previousRect)} ${JSON.stringify(one.currentRect)}`)]);
  }
}).observe({type: 'layout-shift', buffered: true});
"""
MOST_SHIFT = 0.003
"""Of the screen's height, times the part of it that moved; a page is called steady below 0.1."""
AXE = """
return axe.run(document, {resultTypes: ['violations']}).then(({violations}) =>
  violations.map(one => [one.id, one.impact, one.nodes.map(node => node.target.join(' ') + ': ' + node.any.concat(node.all, node.none).map(check => check.message).join('; '))]));
"""


def places(demo: Demo) -> dict[str, str]:
    market = first_market(demo)["condition_id"]
    return {"overview": "#/", "markets": "#/markets", "market": f"#/market/{market}"}


def open_place(browser: Browser, base: str, place: str) -> None:
    browser.open("about:blank")
    browser.open(f"{base.rstrip('/')}/{place}")
    browser.wait(LINKED)
    browser.wait("return document.querySelector('h1') !== null && document.querySelectorAll('.state').length > 2")
    if "market/" in place:
        browser.wait("return document.querySelector('.ladder canvas').getAttribute('aria-label')", lambda label: ": bid " in label)


@pytest.fixture(scope="module")
def axe() -> str:
    file = Path(os.environ.get("POLYPY_PAGE_CHECKS", ROOT / "target/page")) / "node_modules/axe-core/axe.min.js"
    if not file.exists():
        pytest.skip("axe-core is not installed: make clients does")
    return file.read_text()


def found(browser: Browser, axe: str) -> Any:
    browser.run(axe)
    return browser.run(AXE)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 500])
def test_axe_finds_nothing(browser: Browser, demo: Demo, axe: str, theme: str, width: int) -> None:
    browser.size(width, 900)
    for name, place in places(demo).items():
        open_place(browser, demo.url, place)
        browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
        assert found(browser, axe) == [], (name, theme, width)
        if name != "markets":
            browser.run("document.querySelector('.demo .head button').click()")
            browser.wait("return document.querySelectorAll('.demo .faults button').length", lambda count: count >= 8)
            assert found(browser, axe) == [], (name, theme, width, "with the demo's panel")
            browser.run("document.querySelector('.demo .head button').click()")
        browser.run("document.querySelector('#help').click()")
        assert found(browser, axe) == [], (name, theme, width, "with help")
        browser.run("document.querySelector('dialog button')?.click()")
    browser.open(f"{demo.url}/#/runbook/PolypyConnectionsLost")
    browser.wait("return document.querySelector('dialog pre')?.textContent.length > 100")
    browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
    assert found(browser, axe) == [], ("runbook", theme, width)


@pytest.mark.parametrize("late_ms", [0, 400])
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_moves_by_itself(browser: Browser, demo: Demo, width: int, late_ms: int) -> None:
    browser.size(width, 900)
    with proxy(demo.url, f"--late-ms={late_ms}", "--embedded") as base:
        for name, place in places(demo).items():
            open_place(browser, base, place)
            browser.run(SHIFTS)
            updates = "return document.querySelector('.numbers dd:last-child, .figure:nth-child(2) dd')?.textContent"
            first = browser.run(updates)
            # A few seconds of its life, counted by what it shows.
            if name != "markets":
                browser.wait(updates, lambda text, first=first: text != first)
            browser.run("return new Promise(done => setTimeout(done, 3000))")
            # Numbers that end at one edge begin elsewhere as they grow, and nothing else moves.
            shifts = browser.run("return window.shifts")
            assert [shift for shift in shifts if shift[0] > MOST_SHIFT] == [], (name, width)
            assert sum(shift[0] for shift in shifts) < 10 * MOST_SHIFT, (name, width, shifts)
        browser.open("about:blank")


def test_help_and_theme_are_reached_without_a_keyboard_on_a_narrow_screen(browser: Browser, demo: Demo) -> None:
    browser.size(500, 800)
    open_place(browser, demo.url, "#/")
    # Narrower than a window may be: a telephone.
    browser.run("document.body.style.width = '390px'; document.body.style.overflowX = 'hidden'")
    for name in ("theme", "help"):
        box = browser.run("const box = document.getElementById(arguments[0]).getBoundingClientRect(); return [box.width, box.height, box.right]", name)
        assert min(box[:2]) >= 24, (name, box)
        assert box[2] <= 390, (name, box)
    browser.run("document.querySelector('#help').click()")
    browser.wait("return document.querySelector('dialog h2')?.textContent", lambda text: text == "Help")
    browser.run("document.querySelector('dialog button').click()")


# By how much the page is wider than its window, and what stands out. The header says the longest that it can.
WIDER = """
const [words, why] = [document.querySelector('#verdict b'), document.querySelector('#verdict .why')];
[words.textContent, why.textContent] = ['123,456 of 123,456 live', ': hashes not reproduced'];
const {clientWidth, scrollWidth} = document.documentElement;
const out = [...document.querySelectorAll('body *')].filter(one => one.checkVisibility() && one.getBoundingClientRect().right > clientWidth);
return [scrollWidth - clientWidth, scrollWidth > clientWidth ? out.map(one => `${one.tagName} ${one.id} ${one.className} ${one.getBoundingClientRect().right}`) : []];
"""


@contextmanager
def wide(browser: Browser, width: int) -> Iterator[None]:
    """A window of exactly this width; one of the system's own is no narrower than 500."""
    browser.devtools("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    try:
        yield
    finally:
        browser.devtools("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("width", [320, 390, 500, 701, 720, 861, 900, 1280])
def test_nothing_is_wider_than_its_window(browser: Browser, demo: Demo, width: int) -> None:
    found = {}
    with wide(browser, width):
        for name, place in places(demo).items():
            open_place(browser, demo.url, place)
            assert browser.run("return innerWidth") == width
            found[name] = browser.run(WIDER)
            for tab in browser.run("return [...document.querySelectorAll('.tabs button')].filter(one => one.checkVisibility()).map(one => one.dataset.tab)"):
                browser.run("document.querySelector(`.tabs [data-tab=${arguments[0]}]`).click()", tab)
                found[f"{name} {tab}"] = browser.run(WIDER)
            if name != "markets":
                browser.run("document.querySelector('.demo .head button').click()")
                browser.wait("return document.querySelectorAll('.demo .faults button').length", lambda count: count >= 8)
                found[f"{name} with the demo's panel"] = browser.run(WIDER)
            browser.run("document.querySelector('#help').click()")
            found[f"{name} with help"] = browser.run(WIDER)
            browser.run("document.querySelector('dialog button').click()")
    assert {name: wider for name, wider in found.items() if wider[0] > 0} == {}


# Words that end before they are read.
CUT_WIDE = """
const cut = one => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > (document.body.style.width ? 391 : innerWidth + 1);
return [...document.querySelectorAll(arguments[0])].filter(one => one.checkVisibility() && cut(one)).map(one => one.textContent);
"""
# The same on a telephone.
CUT = f"document.body.style.width = '390px'; {CUT_WIDE}"


def test_on_a_telephone_nothing_that_decides_is_cut(browser: Browser, demo: Demo) -> None:
    browser.size(500, 900)
    open_place(browser, demo.url, "#/")
    browser.wait("return document.querySelector('#verdict b').textContent", lambda text: text.endswith(" live"))
    assert browser.run(CUT, "#verdict, #verdict b, .figure dd") == []
    open_place(browser, demo.url, "#/markets")
    assert browser.run(CUT, ".row .state, .row .spread, .columns > :nth-child(n + 3)") == []
    names = browser.run("return [...document.querySelectorAll('.columns > *')].filter(one => one.checkVisibility()).map(one => one.textContent)")
    assert names == ["Books", "Bid", "Ask", "Spread"]
    open_place(browser, demo.url, places(demo)["market"])
    assert browser.run(CUT, ".tabs, .tabs button, .outcome .prices, .outcome .state, .numbers dd, .demo .head > *") == []


@pytest.mark.parametrize("width", [1440, 1000, 500])
def test_words_of_trouble_are_whole_and_move_nothing(browser: Browser, demo: Demo, width: int) -> None:
    browser.size(width, 900)
    cut = CUT if width == 500 else CUT_WIDE
    lost = "return document.querySelector('.row .state').textContent === 'stale: connection lost'"
    open_place(browser, demo.url, "#/markets")
    with lost_connections(demo):
        browser.wait(lost)
        assert browser.run(cut, ".row .state, .row .state b, .columns > *") == []
    open_place(browser, demo.url, places(demo)["market"])
    where = "return [...document.querySelectorAll('.outcome, .ladder canvas, .siblings li .mono, .numbers > div')].filter(one => one.checkVisibility()).map(one => { const {x, y} = one.getBoundingClientRect(); return [Math.round(x), Math.round(y)]; })"
    stale = "return [...document.querySelectorAll('.outcome .state')].filter(one => one.textContent === 'stale: connection lost').length"
    live = "return [...document.querySelectorAll('.outcome .state')].filter(one => ['live', 'verified'].includes(one.textContent)).length"
    browser.wait(live, lambda count: count == 2)
    before = browser.run(where)
    with lost_connections(demo):
        browser.wait(stale, lambda count: count == 2)
        browser.wait("return document.querySelector('.ladder').classList.contains('stale')")
        assert browser.run(where) == before
        assert browser.run(cut, ".outcome .state, .outcome .state b, .ladder > .head .more") == []


def test_the_runbook_keeps_its_place_while_its_text_comes(browser: Browser, demo: Demo) -> None:
    open_place(browser, demo.url, "#/")
    browser.run("const {fetch} = window; window.fetch = (url, options) => String(url).includes('runbook') ? new Promise(done => (window.goes = done)).then(() => fetch(url, options)) : fetch(url, options)")
    browser.run("location.hash = '#/runbook/PolypyConnectionsLost'")
    close = "const box = document.querySelector('dialog .foot')?.getBoundingClientRect(); return box && [box.x, box.y]"
    at = browser.wait(close)
    browser.wait("return typeof window.goes === 'function'")
    assert browser.run("return document.querySelector('dialog pre').textContent") == "…"
    browser.run("window.goes()")
    text = browser.wait("const text = document.querySelector('dialog pre').textContent; return text.length > 100 && text")
    assert browser.run(close) == at
    # What the demo's own faults lead to is explained there.
    assert "not_opened" in text and "429" in text
    browser.run("document.querySelector('dialog button').click()")


def test_the_link_has_words_and_all_reasons_are_seen_on_a_narrow_screen(browser: Browser, demo: Demo) -> None:
    browser.size(500, 800)
    open_place(browser, demo.url, "#/")
    word = browser.run("const box = document.querySelector('#link b').getBoundingClientRect(); return [box.width > 20, box.right <= innerWidth]")
    assert word == [True, True]
    browser.run("const list = document.querySelector('.banner ul'); for (let at = 0; at < 6; at += 1) { const one = document.createElement('li'); one.textContent = 'one of several reasons, of which each is to be read'; list.append(one); }")
    assert browser.run("const list = document.querySelector('.banner ul'); return list.scrollHeight - list.clientHeight") <= 1


def test_who_chooses_what_the_system_has_follows_the_system_again(browser: Browser, demo: Demo) -> None:
    open_place(browser, demo.url, "#/")
    chosen = "return [document.documentElement.dataset.theme ?? null, localStorage.getItem('polypy.theme')]"
    toggle = "document.querySelector('#theme').click()"
    browser.run("localStorage.clear(); delete document.documentElement.dataset.theme")
    browser.run(toggle)
    one = browser.run(chosen)
    assert one[0] == one[1] and one[0] in ("light", "dark")
    browser.run(toggle)
    assert browser.run(chosen) == [None, None]


def test_an_address_that_names_no_view_says_so(browser: Browser, demo: Demo) -> None:
    open_place(browser, demo.url, "#/")
    browser.run("location.hash = '#/nonsense'")
    browser.wait("return document.querySelector('h1').textContent", lambda text: text == "There is no such page")
    browser.run("location.hash = '#/market/'")
    browser.wait("return location.hash", lambda text: text == "#/markets")
    browser.wait("return document.querySelector('h1').textContent", lambda text: text == "Markets")


def test_what_is_red_below_is_red_in_the_figures(browser: Browser, demo: Demo) -> None:
    open_place(browser, demo.url, "#/")
    tones = "return Object.fromEntries([...document.querySelectorAll('.figure')].map(one => [one.querySelector('dt').firstChild.textContent, one.querySelector('dd').dataset.tone ?? null]))"
    browser.wait(tones, lambda found: set(found.values()) == {None})
    with lost_connections(demo):
        browser.wait(tones, lambda found: (found["Live books"], found["Connections"]) == ("stale", "bad"))
    browser.wait(tones, lambda found: set(found.values()) == {None})


@pytest.mark.parametrize("width", [1280, 800, 500])
def test_nothing_moves_when_the_link_or_connections_are_lost(browser: Browser, demo: Demo, width: int) -> None:
    browser.size(width, 900)
    tiles = "return [...document.querySelectorAll('.block')].map(block => block.getBoundingClientRect().height)"
    states = "return [...document.querySelectorAll('.block .state')].map(state => state.textContent)"
    tops = "return ['.banner', '.figures', '.connections', '.blocks', '.overview'].map(name => document.querySelector(name).getBoundingClientRect().top)"
    open_place(browser, demo.url, "#/")
    browser.wait(states, lambda words: bool(words) and all(word == "live" for word in words))
    before, at = browser.run(tiles), browser.run(tops)
    with lost_connections(demo):
        browser.wait(states, lambda words: "LOST" in words)
        assert set(browser.run(tiles)) == set(before)
        assert browser.run(tops) == at
    browser.wait(states, lambda words: bool(words) and all(word == "live" for word in words))
    at = browser.run(tops)
    demo.process.send_signal(signal.SIGSTOP)
    try:
        browser.wait("return !document.querySelector('#notice').hidden")
        assert browser.run(tops) == at
    finally:
        demo.process.send_signal(signal.SIGCONT)
        browser.wait(LINKED)
        # A socket that was given up meanwhile says so.
        browser.console()
