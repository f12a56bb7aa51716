"""Headless Chromium, steered over its own protocol: a page that never rests keeps a driver
waiting, and what it costs is told here alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python/tests"))

from browser import FLAGS  # noqa: E402
from demo import PATIENCE  # noqa: E402

ANSWER_SECONDS = 20


def ask(url: str) -> Any:
    with urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


class Page:
    """One page. `events` has what Chromium told unasked, oldest first."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self.events: list[Any] = []

    def tell(self, method: str, **params: Any) -> Any:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(ANSWER_SECONDS))
            if said.get("id") == self._last:
                assert "error" not in said, said
                return said["result"]
            if "method" in said:
                self.events.append(said)

    def hear(self, seconds: float) -> None:
        """Takes what is told for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                said = json.loads(self._socket.recv(left))
            except TimeoutError:
                return
            if "method" in said:
                self.events.append(said)

    def run(self, script: str) -> Any:
        """What the expression comes to; a promise is waited for."""
        result = self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script: str, is_enough: Callable[[Any], bool] = bool, seconds: float = PATIENCE) -> Any:
        end = time.monotonic() + seconds
        while not is_enough(value := self.run(script)):
            assert time.monotonic() < end, f"the page shows {value!r} for {script}"
            time.sleep(0.02)
        return value

    def before(self, script: str) -> None:
        """Runs this in each new document before the page's own scripts."""
        self.tell("Page.enable")
        self.tell("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        # A new page, not another view of the old one.
        self.tell("Page.navigate", url="about:blank")
        self.tell("Page.navigate", url=url)

    def size(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.tell("Emulation.setDeviceMetricsOverride", **size)

    def theme(self, theme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.tell("Emulation.setEmulatedMedia", features=features)


@contextmanager
def chromium() -> Iterator[Page]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        own = [f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
        process = subprocess.Popen(["chromium", *FLAGS, *own], stderr=subprocess.DEVNULL)
        try:
            port = Path(folder) / "DevToolsActivePort"
            end = time.monotonic() + PATIENCE
            while not port.exists() or "\n" not in port.read_text():
                assert time.monotonic() < end, "chromium does not start"
                time.sleep(0.1)
            pages = ask(f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json")
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            with connect(url, max_size=None) as socket:
                yield Page(socket)
        finally:
            process.kill()
            process.wait()
