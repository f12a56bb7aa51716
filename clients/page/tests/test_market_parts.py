"""The parts of a market's view, one by one: ladder, heatmap, trades, siblings, address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from steps import LINKED, ROWS, ask, first_market, lost_connections, open_market, tell

from browser import Browser
from demo import PATIENCE, Demo

UP, DOWN, HOME, ESCAPE = "\ue013", "\ue015", "\ue011", "\ue00c"
# The ladder as it is drawn; equal pictures are equal texts.
LADDER = "return document.querySelector('.ladder canvas').toDataURL()"
GROUPED = "return document.querySelector('.grouped').textContent"
HASH = "return location.hash"
NUMBERS = "return Object.fromEntries([...document.querySelectorAll('.numbers dt')].map(term => [term.textContent, term.nextSibling.textContent]))"
READY = "return document.querySelector('.outcome .state b')?.textContent === 'verified'"
# Pixels of the heatmap in the colour of the greatest sizes, in the light theme.
DARKEST = """
const canvas = document.querySelector('.heat canvas');
const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
copy.drawImage(canvas, 0, 0);
const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
let many = 0;
for (let at = 0; at < data.length; at += 4) if (data[at] === 0x0b && data[at + 1] === 0x2c && data[at + 2] === 0x55) many += 1;
return many;
"""
SLIDE = """
const [which, value] = arguments;
const input = document.querySelectorAll('.heat input')[which];
input.value = value;
input.dispatchEvent(new Event('input'));
return input.nextSibling.textContent;
"""


@contextmanager
def still(demo: Demo) -> Iterator[None]:
    """The exchange changes nothing."""
    tell(f"{demo.exchange}/sim/pause")
    try:
        yield
    finally:
        tell(f"{demo.exchange}/sim/resume")


def opened(browser: Browser, demo: Demo) -> Any:
    browser.open("about:blank")
    market = open_market(browser, demo)
    browser.wait(READY)
    return market


def at_rest(browser: Browser, script: str) -> Any:
    """What it says once it says the same for half a second."""
    end = time.monotonic() + PATIENCE
    while True:
        before = browser.run(script)
        browser.run("return new Promise(done => setTimeout(done, 500))")
        if browser.run(script) == before:
            return before
        assert time.monotonic() < end, "it never rests"


def is_other(than: str) -> Callable[[str], bool]:
    return lambda now: now != than


def test_the_ladder_is_scrolled_centred_and_grouped(browser: Browser, demo: Demo) -> None:
    opened(browser, demo)
    with still(demo):
        # What flashes and the last trade's mark are gone by then.
        browser.run("return new Promise(done => setTimeout(done, 3000))")
        # The best prices may have moved since they were put in the middle, and stayed in sight.
        browser.keys("c")
        centred = at_rest(browser, LADDER)
        browser.run("document.querySelector('.ladder .stage').focus()")
        for key in (UP, DOWN * 3, HOME):
            browser.keys(key)
            browser.wait(LADDER, is_other(centred))
            browser.keys("c")
            browser.wait(LADDER, lambda now: now == centred)
        browser.run("document.querySelector('.ladder .stage').dispatchEvent(new WheelEvent('wheel', {deltaY: 60, bubbles: true, cancelable: true}))")
        browser.wait(LADDER, is_other(centred))
        # The best prices are out of sight: they come back by themselves.
        browser.keys(HOME)
        browser.wait(LADDER, lambda now: now == centred)
        group = browser.run(GROUPED)
        browser.keys("+")
        browser.wait(GROUPED, lambda now: int(now[1:]) > int(group[1:]))
        browser.wait(LADDER, is_other(centred))
        assert browser.run("return document.querySelector('.ladder .titles').children[1].textContent") == f"{browser.run(GROUPED)[1:]} ticks"
        browser.keys("-")
        browser.wait(GROUPED, lambda now: now == group)


def test_mid_spread_and_sums_are_the_books(browser: Browser, demo: Demo) -> None:
    market = opened(browser, demo)
    token = market["tokens"][0]["token_id"]
    with still(demo):

        def is_the_book(shown: list[Any]) -> bool:
            book = ask(f"{demo.url}/v1/books/{token}")
            if not (book["bids"] and book["asks"]):
                return False
            numbers, sums, depth = shown
            # Its connection was cut in the test before, or its trades have not come.
            if "–" in (numbers["Spread"], numbers["Mid"]) or not depth:
                return False
            bid, offer = float(book["bids"][0][0]), float(book["asks"][0][0])
            bids, asks = (sum(float(size) for _, size in book[side]) for side in ("bids", "asks"))
            return (
                abs(float(numbers["Spread"]) - (offer - bid)) < 1e-9
                and abs(float(numbers["Mid"]) - (offer + bid) / 2) < 1e-4
                and sums == f"{round(bids / (bids + asks) * 100)} % bid"
                and len(depth.split(" / ")) == 2
            )

        browser.wait(f"return [(() => {{ {NUMBERS} }})(), document.querySelector('.ladder .foot .end').textContent, document.querySelector('.depth .more').textContent]", is_the_book)
    with lost_connections(demo):
        browser.wait(NUMBERS, lambda numbers: (numbers["Mid"], numbers["Spread"]) == ("–", "–"))


def test_the_cut_offs_of_the_heatmap_move_its_colours(browser: Browser, demo: Demo) -> None:
    opened(browser, demo)
    some = browser.wait(DARKEST, lambda many: many >= 0)
    # What has more than 1.2 shares is as dark as can be.
    assert browser.run(SLIDE, 1, 54) == "1.2"
    all_of_it = browser.wait(DARKEST, lambda many: many > some + 200)
    # Dust in the scale is everything below a hundred millions.
    assert browser.run(SLIDE, 1, 255) == "100M"
    browser.wait(DARKEST, lambda many: many < all_of_it / 2)
    assert browser.run(SLIDE, 0, 254).endswith("M")
    browser.wait(DARKEST, lambda many: many == 0)


def test_the_address_names_the_outcome_and_is_copied(browser: Browser, demo: Demo) -> None:
    market = opened(browser, demo)
    second = market["tokens"][1]["outcome"]
    chosen = "return document.querySelector('.outcome[aria-selected=true] .what')?.textContent"
    browser.keys("o")
    browser.wait(HASH, lambda text: text.endswith(f"?outcome={second}"))
    browser.run("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    browser.run("[...document.querySelectorAll('.title .button')].find(one => one.textContent === 'Copy link').click()")
    copied = browser.wait("return window.copied")
    assert copied == browser.run("return location.href")
    browser.open("about:blank")
    browser.open(copied)
    browser.wait(chosen, lambda text: text == second)


def test_trades_come_by_themselves_and_one_that_is_missing_is_a_hole(browser: Browser, demo: Demo) -> None:
    tell(f"{demo.url}/demo/flow", {"events_per_second": 5_000}, "PUT")
    opened(browser, demo)
    newest = "return document.querySelector('.trades li[data-token]:not([hidden])')?.innerText ?? ''"
    first = browser.wait(newest)
    browser.wait(newest, is_other(first))
    shown = "return [...new Set([...document.querySelectorAll('.trades li[data-token]:not([hidden])')].map(item => item.dataset.token))]"
    before = browser.run(shown)
    assert len(before) == 1, before
    browser.keys("o")
    browser.wait(shown, lambda tokens: len(tokens) == 1 and tokens != before)
    # Two of them are lost on the way.
    browser.run("const {parse} = JSON; window.lost = 0; JSON.parse = text => { const message = parse(text); return message?.type === 'trade' && window.lost++ < 2 ? {type: 'nothing'} : message; }")
    hole = browser.wait("return [...document.querySelectorAll('.trades .hole:not([hidden])')].map(item => item.textContent).find(text => text.includes('not seen'))")
    assert hole in ("1 trade not seen", "2 trades not seen"), hole


def test_prices_of_siblings_are_live_and_say_when_they_are_not(browser: Browser, demo: Demo) -> None:
    found = ask(f"{demo.url}/v1/events?limit=50")["events"]
    slug = next(event["slug"] for event in found if event["followed_count"] > 2)
    first = ask(f"{demo.url}/v1/events/{slug}")["markets"][0]
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/market/{first['condition_id']}")
    prices = "return [...document.querySelectorAll('.siblings .mono')].map(one => one.textContent).join()"
    before = browser.wait(prices, lambda text: " / " in text)
    browser.wait(prices, is_other(before))
    with lost_connections(demo):
        # Beside the price, which stays where it is: a mark to see, and words to hear.
        marks = "return [...document.querySelectorAll('.siblings .mark')].map(one => one.textContent)"
        browser.wait(marks, lambda words: bool(words) and all(word.startswith("stale") or word == "settled" for word in words))
        browser.wait("return [...document.querySelectorAll('.siblings .mono')].every(one => one.classList.contains('old'))")


def test_escape_leads_back_to_the_list(browser: Browser, demo: Demo) -> None:
    browser.open("about:blank")
    browser.open(f"{demo.url}/#/markets?sort=listed")
    browser.wait(ROWS, lambda rows: len(rows) > 10 and "…" not in rows[0].splitlines())
    browser.run(f"location.hash = '#/market/{first_market(demo)['condition_id']}'")
    browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
    browser.wait(LINKED)
    browser.keys(ESCAPE)
    browser.wait(HASH, lambda text: text == "#/markets?sort=listed")


# Texts in which a number lacks the digit before its point.
BARE = r"return [...document.querySelectorAll('main *')].filter(one => one.childElementCount === 0 && /(^|[^\d])\.\d/.test(one.textContent)).map(one => one.textContent)"
# How many digits prices of a market have behind the point.
PLACES = """
const prices = [...document.querySelectorAll('.outcome .bid, .outcome .ask, .trades li[data-token]:not([hidden]) > :nth-child(3), .numbers > :nth-child(2) dd')];
return [...new Set(prices.map(one => one.textContent).filter(text => text.includes('.')).map(text => text.split('.')[1].length))];
"""


def test_prices_are_written_in_one_way(browser: Browser, demo: Demo) -> None:
    market = opened(browser, demo)
    tick = ask(f"{demo.url}/v1/books/{market['tokens'][0]['token_id']}")["tick_size"]
    browser.wait("return document.querySelector('.trades li[data-token]') !== null")
    browser.wait(PLACES, lambda found: found == [len(tick.split(".")[1])])
    assert browser.run(BARE) == []
    for place, shown in (("#/", "return document.querySelector('.busiest')?.innerText ?? ''"), ("#/markets", "return document.querySelector('.rows')?.innerText ?? ''")):
        browser.run("location.hash = arguments[0]", place)
        browser.wait(shown, lambda text: re.search(r"\.\d", text) is not None)
        assert browser.run(BARE) == [], place


# A picture of a minute of which twenty seconds were not seen, and one of those was doubted: seconds in which
# something blue stands, as sizes and the best bid are, and those of one colour from top to bottom.
GAP = """
document.documentElement.dataset.theme = 'light';
return import(document.querySelector('link[href$="draw/heatmap.js"]').href).then(({Depth, draw}) => {
  const depth = new Depth();
  const levels = row => new Map([[row, {size: 5000}]]);
  for (let second = 1000; second < 1060; second += 1) {
    if (second === 1030) depth.doubt(second);
    if (second < 1020 || second >= 1040) depth.take(second, levels(45), levels(47), 45, 47);
  }
  const canvas = document.createElement('canvas');
  [canvas.style.width, canvas.style.height] = ['646px', '218px'];
  document.body.append(canvas);
  draw(canvas, depth, {lower: 52, upper: 153, tick: 0.01, digits: 2, seconds: 60, nowMs: null, isOld: false});
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const pixels = at => [...new Uint32Array(copy.getImageData(46 + at * 10 + 5, 0, 1, 200).data.buffer)];
  const isBlue = pixel => ((pixel >> 16) & 255) - (pixel & 255) > 60;
  const seconds = Array.from({length: 60}, (_, at) => at);
  const found = [seconds.filter(at => pixels(at).some(isBlue)), seconds.filter(at => new Set(pixels(at)).size === 1)];
  canvas.remove();
  return found;
});
"""


def test_seconds_that_were_not_seen_are_hatched_and_nothing_is_drawn_over_them(browser: Browser, demo: Demo) -> None:
    opened(browser, demo)
    blue, plain = browser.run(GAP)
    assert blue == [*range(20), *range(40, 60)]
    assert plain == []
