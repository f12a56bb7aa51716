"""The list of markets by keys, by Back, and with a query that the server refuses."""

from __future__ import annotations

import pytest
from steps import LINKED, ROWS

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
    open_list(browser, demo)
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
