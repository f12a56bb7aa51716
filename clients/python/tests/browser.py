"""Headless Chromium, steered over the WebDriver protocol."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from demo import PATIENCE

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


class Browser:
    """One browser with one window. `console` has what it said, errors of scripts and of the
    policy of a page among it."""

    def __enter__(self) -> Browser:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._call("GET", "/status")
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        wanted = {
            "alwaysMatch": {
                "goog:chromeOptions": {"args": FLAGS},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        session = self._call("POST", "/session", {"capabilities": wanted})
        self._url += f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(PATIENCE)

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *args: Any) -> Any:
        """What the script returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": args})

    def wait(self, script: str, is_enough: Callable[[Any], bool] = bool) -> Any:
        """What the script returns once that is enough."""
        end = time.monotonic() + PATIENCE
        while True:
            value = self.run(script)
            if is_enough(value):
                return value
            if time.monotonic() > end:
                pytest.fail(f"the page shows {value!r} for {script}")
            time.sleep(0.05)

    def keys(self, text: str) -> None:
        """Presses keys, wherever the focus is."""
        actions = [
            {"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")
        ]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self._call("POST", "/actions", {"actions": [source]})

    def size(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def devtools(self, command: str, **params: Any) -> Any:
        """Asks Chromium itself, for what a driver has no words for."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def console(self) -> list[str]:
        """What was said since this was asked last."""
        return [
            f"{entry['level']}: {entry['message']}"
            for entry in self._call("POST", "/se/log", {"type": "browser"})
        ]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            with error:
                told = json.load(error)["value"]["message"].split("\n")[0]
            raise AssertionError(f"{told} for {body}") from None
