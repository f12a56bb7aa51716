"""`polypy top` in tmux, and what stands there as a page that a browser can photograph."""

from __future__ import annotations

import html
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

COLOURS = ("#1c1f24", "#e06c75", "#7ec17e", "#d9b45c", "#6ea6e0", "#c58ad1", "#62c0c7", "#d5d8dd")
PLAIN, PAPER = COLOURS[7], "#111318"
PATIENCE = 60


class Terminal:
    def __init__(self, server: str) -> None:
        self.server = server

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self.server, "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def keys(self, *names: str) -> None:
        self.tmux("send-keys", *names)

    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def until(self, is_it: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_it(self.text()):
            assert time.monotonic() < end, self.text()
            time.sleep(0.05)

    def page(self) -> str:
        """The screen with its colours, as HTML."""
        return picture(self.tmux("capture-pane", "-e", "-p", "-N"))


@contextmanager
def top(url: str, columns: int, lines: int) -> Iterator[Terminal]:
    terminal = Terminal(f"polypy-pictures-{os.getpid()}")
    program = os.environ["POLYPY_PROGRAM"]
    size = ("new-session", "-d", "-x", str(columns), "-y", str(lines))
    terminal.tmux(*size, "env", "TERM=screen", program, "top", "--delay", "500ms", "--url", url)
    try:
        yield terminal
    finally:
        terminal.tmux("kill-server")


def picture(screen: str) -> str:
    """Text with the codes of a terminal, as HTML."""
    state: dict[str, object] = {}
    rows = []
    for line in screen.rstrip("\n").split("\n"):
        parts = []
        for code, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b]+)", line):
            if text:
                parts.append(f'<span style="{style(state)}">{html.escape(text)}</span>')
            else:
                apply(state, code)
        rows.append("".join(parts))
    looks = f"margin:0;padding:14px;background:{PAPER};color:{PLAIN};font:14px/1.25 'DejaVu Sans Mono',monospace"
    return f'<!doctype html><meta charset="utf-8"><body style="margin:0;background:{PAPER}"><pre style="{looks}">' + "\n".join(rows)


def apply(state: dict[str, object], code: str) -> None:
    # One of the sixteen by its number: its three parts are one.
    for number in (int(part or 0) for part in re.sub(r"38;5;([0-7])\b", r"3\1", code).split(";")):
        if number == 0:
            state.clear()
        elif number in (1, 2, 7):
            state[{1: "bold", 2: "dim", 7: "reversed"}[number]] = True
        elif number == 22:
            state.pop("bold", None)
            state.pop("dim", None)
        elif number == 27:
            state.pop("reversed", None)
        elif 30 <= number <= 37:
            state["colour"] = COLOURS[number - 30]
        elif number == 39:
            state.pop("colour", None)


def style(state: dict[str, object]) -> str:
    colour = state.get("colour", PLAIN)
    words = [f"color:{PAPER};background:{colour}" if state.get("reversed") else f"color:{colour}"]
    if state.get("bold"):
        words.append("font-weight:700")
    if state.get("dim"):
        words.append("opacity:.6")
    return ";".join(words)
