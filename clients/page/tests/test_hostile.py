"""A venue whose texts are hostile: script, markup, characters that turn text around, lines
without end. They are shown, and do nothing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import os

import pytest
from steps import LINKED, ask, proxy

from browser import Browser
from demo import PATIENCE, SURROUNDINGS, read, wait_for

MARKETS = 100
SCRIPT = "window.hacked=1"
SEEDS = [
    f"<script>{SCRIPT}</script>",
    f"<img src=x onerror={SCRIPT}>",
    f"<svg/onload={SCRIPT}>",
    f"\"><script>{SCRIPT}</script>",
    f"'\" onmouseover={SCRIPT} autofocus onfocus={SCRIPT} x=",
    f"javascript:{SCRIPT}",
    f"data:text/html,<script>{SCRIPT}</script>",
    f"<iframe srcdoc='<script>parent.{SCRIPT}</script>'></iframe>",
    "<style>*{display:none}</style>",
    "<base href=//elsewhere.test/>",
    "<meta http-equiv=refresh content=0;url=//elsewhere.test/>",
    f"</title></textarea></noscript><script>{SCRIPT}</script>",
    f"&lt;script&gt;{SCRIPT}&lt;/script&gt; \\u003cscript\\u003e &#x3c;b&#x3e;",
    f"{{{{constructor.constructor('{SCRIPT}')()}}}} ${{{SCRIPT}}} <%= 1 %>",
    "<!-- <![CDATA[ ]]> -->",
    "__proto__ constructor toString hasOwnProperty",
    "../../v1/ws?x=%2e%2e%2f&y=#/markets",
    "\u202eright to left\u202c \u2067isolated \u202dmore",
    "\u200f\u061cmarks\u200e and \u2066never closed",
    "zero\u200bwidth\ufeff and \u2060joined",
    "\x00\x01\x07\x08\x1b[31mred\x1b[0m\x7f\x9f",
    "line\r\nline\tline\x0bline\x0cline\u2028line\u2029line\x85",
    "A" * 10_240,
    "long words " * 1_000,
    "👩\u200d👩\u200d👧 " * 900,
    "Z̵̛͍̈́a̷̧̱͆l̸̥̓g̶̢̛̈o̴͈̽" * 200,
    "%00%0a%s%n%x '; DROP TABLE markets; --",
    "𝕏 ﷽ ﷺ 日本語 العربية עברית",
]
LONG = 300


def text(at: int) -> str:
    """Another one for each market, in what is shown of it."""
    seed = SEEDS[at % len(SEEDS)]
    return f"{at} {seed}" if len(seed) > LONG else f"{seed} #{at}"


TEXTS = [text(at) for at in range(MARKETS)]
ELEMENTS = "main :is(script, img, iframe, style, base, meta, object, embed, link)"


class Gateway(BaseHTTPRequestHandler):
    """Gamma of an exchange, with other texts in it."""

    exchange = ""
    numbers: dict[str, int] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        try:
            with urlopen(self.exchange + self.path, timeout=PATIENCE) as answer:
                status, body = answer.status, answer.read()
        except HTTPError as error:
            with error:
                status, body = error.code, error.read()
        try:
            body = json.dumps(self.changed(json.loads(body))).encode()
        except ValueError:
            pass
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def changed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.changed(one) for one in value]
        if not isinstance(value, dict):
            return value
        value = {name: self.changed(one) for name, one in value.items()}
        if (condition := value.get("conditionId")) is not None:
            text = TEXTS[self.numbers.setdefault(condition, len(self.numbers)) % MARKETS]
            value |= {"question": text, "groupItemTitle": text, "description": text}
            value["outcomes"] = json.dumps([f"{text} a", f"{text} b"])
        elif "title" in value:
            value["title"] = TEXTS[len(str(value["title"])) % MARKETS]
        return value

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hostile_server() -> Iterator[str]:
    program = os.environ.get("POLYPY_PROGRAM")
    if program is None:
        pytest.skip("POLYPY_PROGRAM names no program: make clients does")
    sim = [program, "sim", f"--markets={MARKETS}", "--new-markets-per-minute=0", "--resolve-per-minute=0"]
    exchange = subprocess.Popen(sim, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={})
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=gateway.serve_forever)
    thread.start()
    server = None
    try:
        assert exchange.stdout
        lines = read(exchange.stdout)
        gamma, clob, ws = (wait_for(lines, name).split('"')[1] for name in ("gamma_url", "clob_url", "ws_url"))
        Gateway.exchange = gamma
        command = [program, "run", "--enable-http", "--http-port=0", "--http-host=127.0.0.1", "--log-format=json"]
        command += [f"--venue-gamma-url=http://127.0.0.1:{gateway.server_port}", f"--venue-clob-url={clob}", f"--venue-ws-url={ws}"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=SURROUNDINGS)
        assert server.stderr
        said = read(server.stderr)
        address = json.loads(wait_for(said, "http server listening"))["address"]
        wait_for(said, "every book is live")
        url = f"http://{address}"
        if os.environ.get("POLYPY_PAGE") == "disk":
            with proxy(url) as page:
                yield page.rstrip("/")
        else:
            yield url
    finally:
        for process in (server, exchange):
            if process is not None:
                process.kill()
                process.wait()
                for stream in (process.stdout, process.stderr):
                    if stream:
                        stream.close()
        gateway.shutdown()
        thread.join()
        gateway.server_close()


def nothing_happened(browser: Browser, place: str) -> None:
    assert browser.run("return window.hacked") is None, place
    assert browser.run(f"return document.querySelectorAll({json.dumps(ELEMENTS)}).length") == 0, place
    assert browser.run("return document.baseURI").startswith("http://127.0.0.1:"), place
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(wide) <= 0, place
    unseen = r"return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.querySelector('main').textContent + document.title)"
    assert browser.run(unseen) is False, place


def test_a_hundred_hostile_texts_do_nothing(browser: Browser) -> None:
    with hostile_server() as url:
        markets = ask(f"{url}/v1/markets?limit=200&followed=any")["markets"]
        listed = {market["question"] for market in markets}
        assert len(listed) >= MARKETS * 0.9, f"{len(listed)} of the texts came through"
        browser.open(f"{url}/")
        browser.wait("return document.querySelectorAll('.busiest li').length", lambda count: count == 8)
        nothing_happened(browser, "overview")
        browser.open(f"{url}/#/markets")
        seen: set[str] = set()
        for at in range(0, MARKETS, 15):
            browser.run(f"document.querySelector('.rows').scrollTop = {at * 28}")
            texts = browser.wait(
                "return [...document.querySelectorAll('.row:not([hidden]) .q')].map(cell => cell.textContent)",
                lambda texts: bool(texts) and "…" not in texts,
            )
            seen.update(texts)
            nothing_happened(browser, f"markets from {at}")
        assert len(seen) >= len(listed)
        # One of each kind.
        kinds = {market["question"].rsplit(" #", 1)[0][-40:]: market for market in markets}
        for market in kinds.values():
            text = market["question"]
            browser.open(f"{url}/#/market/{market['condition_id']}")
            browser.wait("return document.querySelectorAll('.outcome').length", lambda count: count == 2)
            browser.wait("return document.querySelector('.ladder canvas').getAttribute('aria-label')", lambda label: ": bid " in label)
            # Letters that can be seen are what is shown.
            shown = browser.run("return document.querySelector('h1').textContent")
            assert shown[:4] == text[:4] or "\ufffd" in shown, (text, shown)
            assert len(shown) <= 310, text
            nothing_happened(browser, text[:60])
        browser.wait(LINKED)
        browser.open("about:blank")
