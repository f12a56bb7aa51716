"""Photographs each view of the page, light and dark, wide and narrow, while things go wrong;
and the terminal, where tmux is.

    make screenshots

The pictures lie in target/screenshots afterwards, and in docs/img those that a document
shows. They are of the demo, so that each is of another moment. Chromium is steered over its own protocol: a page that never rests keeps a driver
waiting.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from devtools import ROOT, Page, ask, chromium
from terminal import Terminal, top

from demo import Demo, run_demo

FOLDER = ROOT / "target/screenshots"
SHOWN = "".join((ROOT / name).read_text() for name in ("README.md", "docs/page.md", "docs/top.md"))
MOST = 300 * 1024
SIZES = (("wide", 1280, 860), ("narrow", 390, 844))
# Until there is something in the charts, and until a fault is seen.
SEEN_SECONDS = {"wide": 12, "narrow": 5}
FAULT_SECONDS = 2


def fault(demo: Demo, **fields: Any) -> None:
    body = json.dumps(fields).encode()
    urlopen(Request(f"{demo.exchange}/sim/faults", data=body, method="POST")).close()


def fault_off(demo: Demo) -> None:
    urlopen(Request(f"{demo.exchange}/sim/faults", method="DELETE")).close()


def busy_market(demo: Demo) -> Any:
    """One whose spread is narrow, with both sides around it."""
    markets = ask(f"{demo.url}/v1/markets?ends_after=7d&limit=200&tops")["markets"]
    near = []
    for market in markets:
        top = market["tokens"][0]["top"]
        if top and top["spread"] and 0.2 < float(top["mid_price"]) < 0.8:
            if float(top["spread"]) <= 4 * float(market["tick_size"]):
                near.append(market)
    return (near or markets)[0]


def capture(page: Page, tries: int = 5) -> Any:
    """On a busy machine Chromium leaves a capture out now and then."""
    try:
        return page.tell("Page.captureScreenshot", format="png")
    except TimeoutError:
        if tries <= 1:
            raise
        return capture(page, tries - 1)


def take(page: Page, file: Path) -> None:
    picture = base64.b64decode(capture(page)["data"])
    file.write_bytes(picture)
    if f"img/{file.name}" in SHOWN:
        (ROOT / "docs/img" / file.name).write_bytes(picture)
    print(file.relative_to(ROOT), file.stat().st_size, flush=True)
    assert file.stat().st_size <= MOST, file


def take_terminal(page: Page, demo: Demo, token: str, slug: str) -> None:
    """The same of `polypy top`."""

    def take_screen(terminal: Terminal, name: str) -> None:
        file = FOLDER / f"top-{name}.html"
        file.write_text(terminal.page())
        page.open(file.as_uri())
        page.wait(f"location.href === {file.as_uri()!r} && document.readyState === 'complete'")
        take(page, FOLDER / f"top-{name}.png")

    for size, columns, lines, width, height in (("wide", 120, 34, 1040, 624), ("narrow", 80, 24, 704, 448)):
        page.size(width, height)
        with top(demo.url, columns, lines) as terminal:
            terminal.until(lambda text: "linked" in text and "live " in text)
            fault(demo, name="wrong_hash", share=0.02, rate=0.5, **{"for": "8s"})
            time.sleep(3)
            take_screen(terminal, f"markets-{size}")
            fault_off(demo)
            terminal.keys("Tab")
            terminal.until(lambda text: "conn-" in text)
            fault(demo, name="handshake_429", **{"for": "4s"})
            fault(demo, name="drop_connection", share=0.3, **{"for": "4s"})
            time.sleep(FAULT_SECONDS)
            take_screen(terminal, f"connections-{size}")
            fault_off(demo)
            terminal.keys("Tab", "/")
            # A search takes eight words, and the last ones tell most.
            terminal.tmux("send-keys", "-l", " ".join(slug.split("-")[-8:]))
            terminal.keys("Enter")
            terminal.until(lambda text: "relevance" in text and "1 of" in text)
            terminal.keys("Enter")
            terminal.until(lambda text: "spread 0" in text)
            time.sleep(SEEN_SECONDS["narrow"])
            take_screen(terminal, f"ladder-{size}")
            fault(demo, name="wrong_hash", assets=[token], rate=1, **{"for": "6s"})
            terminal.until(lambda text: "STALE" in text)
            take_screen(terminal, f"stale-{size}")
            fault_off(demo)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with run_demo() as demo, chromium() as page:
        market = busy_market(demo)
        token = market["tokens"][0]["token_id"]
        views = {
            "overview": "#/",
            "markets": "#/markets",
            "market": f"#/market/{market['condition_id']}",
        }
        for name, place in views.items():
            for size, width, height in SIZES:
                for theme in ("light", "dark"):
                    page.size(width, height)
                    page.theme(theme)
                    page.open(f"{demo.url}/{place}")
                    time.sleep(SEEN_SECONDS[size])
                    # A picture shows what the page is for: what is wrong is seen.
                    if theme == "dark" and name == "overview":
                        fault(demo, name="handshake_429", **{"for": "4s"})
                        fault(demo, name="drop_connection", share=0.3, **{"for": "4s"})
                    elif theme == "light" and name == "market":
                        fault(demo, name="wrong_hash", assets=[token], rate=1, **{"for": "6s"})
                    time.sleep(FAULT_SECONDS)
                    take(page, FOLDER / f"page-{name}-{size}-{theme}.png")
                    time.sleep(FAULT_SECONDS)
        # The demo's panel, beside a book that is not shown as live.
        page.size(1280, 1180)
        for theme in ("light", "dark"):
            page.theme(theme)
            page.open(f"{demo.url}/{views['market']}")
            page.wait("document.querySelector('.demo .head button') !== null")
            time.sleep(SEEN_SECONDS["wide"])
            page.run("document.querySelector('.demo .head button').click()")
            page.wait("document.querySelectorAll('.demo .faults button').length")
            page.run("[...document.querySelectorAll('.demo .faults button')].find(one => one.textContent.startsWith('connections are')).click()")
            page.wait("document.querySelector('.demo .state').textContent === 'not shown as live'")
            time.sleep(FAULT_SECONDS / 2)
            take(page, FOLDER / f"page-demo-wide-{theme}.png")
            fault_off(demo)
            page.run("document.querySelector('.demo .head button').click()")
        if shutil.which("tmux"):
            take_terminal(page, demo, token, market["slug"])


main()
