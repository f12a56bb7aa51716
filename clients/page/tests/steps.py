"""What tests of the page do again and again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from browser import Browser
from demo import PATIENCE, Demo, read, wait_for

LINKED = "return document.querySelector('#link b')?.textContent === 'linked'"
ROWS = "return [...document.querySelectorAll('.row:not([hidden])')].map(row => row.innerText)"
STALE = "return document.querySelector('.ladder').classList.contains('stale') && document.querySelector('.ladder .more').textContent"


def ask(url: str) -> Any:
    with urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


def tell(url: str, body: Any = None, method: str = "POST") -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    request = Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


@contextmanager
def faults(demo: Demo, *wanted: dict[str, Any]) -> Iterator[None]:
    """Faults of the exchange, by name."""
    for one in wanted:
        tell(f"{demo.exchange}/sim/faults", one)
    try:
        yield
    finally:
        urlopen(Request(f"{demo.exchange}/sim/faults", method="DELETE"), timeout=PATIENCE).close()


@contextmanager
def proxy(to: str, *flags: str) -> Iterator[str]:
    """The address of a proxy before a server."""
    command = ["node", str(Path(__file__).resolve().parents[1] / "serve.mjs"), *flags, "--to", to]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield wait_for(read(process.stdout), "http")
        finally:
            process.kill()


def first_market(demo: Demo) -> Any:
    """One that goes on for longer than a test takes."""
    markets = ask(f"{demo.url}/v1/markets?ends_after=7d&limit=1&tops")["markets"]
    return markets[0]


@contextmanager
def lost_connections(demo: Demo) -> Iterator[None]:
    """All connections to the exchange are cut, and none can be opened."""
    with faults(demo, {"name": "handshake_429"}, {"name": "drop_connection"}):
        yield


def open_market(browser: Browser, demo: Demo, base: str | None = None) -> Any:
    market = first_market(demo)
    browser.open(f"{base or demo.url + '/'}#/market/{market['condition_id']}")
    browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
    return market
