"""The program with its embedded exchange."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest

PATIENCE = 60
"""Seconds; longer than anything takes on a loaded machine of two cores."""

SURROUNDINGS = {"XDG_STATE_HOME": tempfile.gettempdir()}
"""What a program sees of them: nothing, and where it may write files of incidents to."""


@dataclass
class Demo:
    url: str
    process: subprocess.Popen[str]
    exchange: str
    """Where the embedded exchange is told what to do."""

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def stop(self) -> None:
        """Asks it to end, which it does cleanly."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0


Lines = queue.Queue[str | None]
"""What a program says, with `None` at its end."""


def read(stream: IO[str]) -> Lines:
    """The lines of a program, read whether or not anyone wants them."""
    lines: Lines = queue.Queue()

    def forever() -> None:
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=forever, daemon=True).start()
    return lines


def wait_for(lines: Lines, text: str) -> str:
    seen: list[str] = []
    while True:
        try:
            line = lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = None
        if line is None:
            pytest.fail(f"{text} never came after {seen[-20:]}")
        seen.append(line)
        if text in line:
            return line


@contextmanager
def run_demo(*flags: str, program: str | None = None, port: int = 0) -> Iterator[Demo]:
    program = program or os.environ.get("POLYPY_PROGRAM")
    if program is None:
        pytest.skip("POLYPY_PROGRAM names no program: make clients does")
    command = [program, "run", "--demo", f"--http-port={port}", "--http-host=127.0.0.1", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=SURROUNDINGS
    )
    assert process.stdout and process.stderr
    try:
        printed, said = read(process.stdout), read(process.stderr)
        address = re.search(r"http://[^/]+", wait_for(printed, "/health"))
        assert address
        listens = json.loads(wait_for(said, "simulated exchange listens"))
        wait_for(said, "every book is live")
        yield Demo(address[0], process, f"http://{listens['address']}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
