"""Each example follows the demo for 100 changes, and sees its end when the server drains."""

from __future__ import annotations

import functools
import http.server
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from browser import Browser
from demo import PATIENCE, read, run_demo

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHANGES = 100
NODE = Path(os.environ.get("POLYPY_NODE_MODULES", ROOT / "target" / "examples"))
"""Where the packages of npm are; the scripts are copied beside them."""


def command(name: str, server: str) -> list[str]:
    if name == "follow":
        program = Path(os.environ["POLYPY_PROGRAM"]).parent / "examples" / "follow"
        return [str(program), server]
    if name.endswith(".py"):
        return [sys.executable, str(HERE / name), server]
    if name.endswith(".mjs"):
        shutil.copy(HERE / name, NODE / name)
        return ["node", str(NODE / name), server]
    return ["sh", str(HERE / name), server]


PROGRAMS = [
    "curl.sh",
    "with_websockets.py",
    "with_aiohttp.py",
    "with_httpx_sse.py",
    "with_ws.mjs",
    "with_eventsource.mjs",
    "follow",
]


@contextmanager
def followed(name: str, server: str) -> Iterator[Callable[[Callable[[str], bool]], None]]:
    """An example that runs; gives a way to wait until its lines satisfy something."""
    process = subprocess.Popen(
        command(name, server), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    lines = read(process.stdout)
    seen: list[str] = []

    def wait(is_enough: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"{name}: {seen[-10:]}")
            seen.append(line)
            if is_enough(line):
                return

    try:
        yield wait
        assert process.wait(PATIENCE) == 0, (name, seen[-10:])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_each_example_follows_and_sees_the_end() -> None:
    with ExitStack() as stack:
        page = stack.enter_context(served_page())
        demo = stack.enter_context(
            run_demo("--sim-markets=20", f"--http-cors-origins={page.rsplit('/', 1)[0]}")
        )
        waits = {name: stack.enter_context(followed(name, demo.url)) for name in PROGRAMS}
        browser = stack.enter_context(Browser())
        browser.open(f"{page}?server={demo.url}")
        for name, wait in waits.items():
            left = iter(range(CHANGES - 1))
            wait(lambda line, left=left: "delta" in line and next(left, None) is None)
        browser.wait(
            "return Number(document.getElementById('count').textContent)",
            lambda count: count > CHANGES,
        )
        demo.stop()
        for name, wait in waits.items():
            wait(lambda line: "closing" in line)
        browser.wait(
            "return document.getElementById('lines').textContent",
            lambda text: text.splitlines()[-1].startswith("closing"),
        )


def test_a_page_of_somewhere_else_is_refused() -> None:
    with ExitStack() as stack:
        page = stack.enter_context(served_page())
        demo = stack.enter_context(run_demo("--sim-markets=5"))
        browser = stack.enter_context(Browser())
        browser.open(f"{page}?server={demo.url}")
        closed = "return source.readyState === EventSource.CLOSED && count"
        browser.wait(closed, lambda count: count == 0 and count is not False)


@contextmanager
def served_page() -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(HERE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/page.html"
        finally:
            server.shutdown()
            thread.join()
