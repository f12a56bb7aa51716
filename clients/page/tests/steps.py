"""What tests of the page do again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from browser import Browser
from demo import PATIENCE, Demo

LINKED = "return document.querySelector('#link b')?.textContent === 'linked'"
ROWS = "return [...document.querySelectorAll('.row:not([hidden])')].map(row => row.innerText)"
STALE = "return document.querySelector('.ladder').classList.contains('stale') && document.querySelector('.ladder .more').textContent"


def ask(url: str) -> Any:
    with urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


def tell(url: str, body: Any = None, method: str = "POST") -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, method=method), timeout=PATIENCE) as answer:
        return json.load(answer)


def first_market(demo: Demo) -> Any:
    """One that goes on for longer than a test takes."""
    markets = ask(f"{demo.url}/v1/markets?ends_after=7d&limit=1&tops")["markets"]
    return markets[0]


@contextmanager
def lost_connections(demo: Demo) -> Iterator[None]:
    """All connections to the exchange are cut, and none can be opened."""
    tell(f"{demo.exchange}/sim/faults", {"name": "handshake_429"})
    tell(f"{demo.exchange}/sim/faults", {"name": "drop_connection"})
    try:
        yield
    finally:
        urlopen(Request(f"{demo.exchange}/sim/faults", method="DELETE"), timeout=PATIENCE).close()


def open_market(browser: Browser, demo: Demo, base: str | None = None) -> Any:
    market = first_market(demo)
    browser.open(f"{base or demo.url + '/'}#/market/{market['condition_id']}")
    browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
    return market
