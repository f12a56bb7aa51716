"""What the page costs, in Chromium and on the server, against bars. Needs a quiet machine.

    make bench-page                 all parts
    make bench-page FLAGS=paint     one of paint, size, list, market, heap, cost

The program is in POLYPY_BENCH_PROGRAM. A bar that is missed is an exit code of 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import Page, ask, chromium
from websockets.asyncio.client import connect

from demo import SURROUNDINGS, read, run_demo, wait_for

PROGRAM = os.environ["POLYPY_BENCH_PROGRAM"]
HERE = Path(__file__).resolve().parent
TIMES = 15
MANY_MARKETS = 50_000
TICKS = os.sysconf("SC_CLK_TCK")
SHOWN = """new Promise(done => {
  const look = () => {
    const figure = document.querySelector('.figure dd')?.textContent ?? '–';
    if (figure !== '–') done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


@dataclass
class Figure:
    what: str
    value: float
    unit: str
    bar: float | None = None

    def print(self) -> bool:
        is_met = self.bar is None or self.value <= self.bar
        bar = "" if self.bar is None else f"   bar {self.bar:g}{'' if is_met else '   MISSED'}"
        print(f"  {self.what:<58} {self.value:>9.2f} {self.unit}{bar}", flush=True)
        return is_met


def paint() -> Iterator[Figure]:
    """From the navigation to the first text, and to the overview with its figures. The
    cache is emptied before each: the first visit of a browser."""
    with run_demo(program=PROGRAM) as demo, chromium() as page:
        page.size(1280, 860)
        page.tell("Network.enable")
        for kind, is_cached in (("first visit", False), ("again", True)):
            page.tell("Network.setCacheDisabled", cacheDisabled=not is_cached)
            firsts, shown = [], []
            for _ in range(TIMES):
                page.open(f"{demo.url}/")
                page.wait("location.href !== 'about:blank' && document.querySelector('#main') !== null")
                shown.append(page.run(SHOWN))
                firsts.append(page.wait(PAINT, lambda at: at is not None))
            yield Figure(f"{kind}: first paint, median of {TIMES}", statistics.median(firsts), "ms", 300)
            yield Figure(f"{kind}: first paint, slowest", max(firsts), "ms")
            yield Figure(f"{kind}: overview with its figures, median", statistics.median(shown), "ms")
            yield Figure(f"{kind}: overview with its figures, slowest", max(shown), "ms")


def size() -> Iterator[Figure]:
    with run_demo("--sim-markets=5", program=PROGRAM) as demo, chromium() as page:
        page.open(f"{demo.url}/")
        page.wait("document.querySelector('.figure') !== null")
        parts = "performance.getEntriesByType('resource').filter(one => /\\.(js|css)$/.test(one.name))"
        yield Figure("files of script and style", page.run(f"{parts}.length"), "files")
        packed = page.run(f"{parts}.reduce((sum, one) => sum + one.encodedBodySize, 0)")
        yield Figure("script and style, compressed", packed / 1024, "KiB", 150)
        plain = page.run(f"{parts}.reduce((sum, one) => sum + one.decodedBodySize, 0)")
        yield Figure("the same, unpacked", plain / 1024, "KiB")


def metrics(page: Page) -> dict[str, float]:
    return {one["name"]: one["value"] for one in page.tell("Performance.getMetrics")["metrics"]}


def script_ms(page: Page, what: Callable[[], None]) -> float:
    before = metrics(page)["ScriptDuration"]
    what()
    return (metrics(page)["ScriptDuration"] - before) * 1000


def list_of_many() -> Iterator[Figure]:
    """Script that a list of 50,000 markets takes: to open it, and to go through it."""
    rows = "document.querySelectorAll('.row:not([hidden]) a[href]').length"
    with run_demo(f"--sim-markets={MANY_MARKETS}", program=PROGRAM) as demo, chromium() as page:
        listed = ask(f"{demo.url}/v1/markets?limit=1&followed=any")["listed"]
        yield Figure("markets listed", listed, "")
        page.size(1280, 860)
        # In time of the processor: what others do beside it does not count.
        page.tell("Performance.enable", timeDomain="threadTicks")
        page.open(f"{demo.url}/#/markets")
        page.wait(rows)
        until = metrics(page)["ScriptDuration"] * 1000
        page.hear(1)
        # Counted from the beginning of the document.
        yield Figure("script until the list is there", until, "ms")
        yield Figure("script until the list is there and a second on", metrics(page)["ScriptDuration"] * 1000, "ms", 100)

        def to_the_end() -> None:
            page.run("document.querySelector('.rows').scrollTop = 1e9")
            page.wait(f"{rows} && document.querySelector('.rows').scrollTop > 0 && ![...document.querySelectorAll('.row:not([hidden])')].some(row => row.innerText.includes('…'))")

        yield Figure("script of the way to the last row", script_ms(page, to_the_end), "ms")

        def scroll() -> None:
            for step in range(50):
                page.run(f"document.querySelector('.rows').scrollTop = {step * 400}")
                page.hear(0.02)

        yield Figure("script of 50 screens of scrolling", script_ms(page, scroll), "ms")


def busy_market(url: str) -> Any:
    """The one with the most changes so far."""
    markets = ask(f"{url}/v1/markets?ends_after=7d&limit=100&tops&sort=change")["markets"]
    return max(markets, key=lambda one: int((one["tokens"][0]["top"] or {}).get("sequence") or 0))


def tasks_ms(events: list[Any]) -> list[float]:
    """How long each task of the page's own thread took."""
    data = [one for event in events for one in event["params"]["value"]]
    main = {(one["pid"], one["tid"]) for one in data if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"}
    return [one["dur"] / 1000 for one in data if one["name"] == "RunTask" and (one["pid"], one["tid"]) in main and "dur" in one]


def market() -> Iterator[Figure]:
    """The busiest market while 60 updates a second come."""
    seconds = 20
    with run_demo("--sim-markets=5", "--sim-rate=5000", program=PROGRAM) as demo, chromium() as page:
        page.size(1280, 860)
        page.open(f"{demo.url}/#/market/{busy_market(demo.url)['condition_id']}")
        page.wait("document.querySelectorAll('.outcome').length === 2")
        page.hear(5)
        page.run("""window.drawn = 0; window.pace = [];
          const count = () => { window.drawn += 1; requestAnimationFrame(count); }; count();
          setInterval(() => window.pace.push(parseInt([...document.querySelectorAll('.numbers dd')].at(-1).textContent)), 1000); 0""")
        page.events.clear()
        page.tell("Tracing.start", traceConfig={"includedCategories": ["disabled-by-default-devtools.timeline"]}, transferMode="ReportEvents")
        page.hear(seconds)
        page.tell("Tracing.end")
        while not any(one["method"] == "Tracing.tracingComplete" for one in page.events):
            page.hear(0.2)
        tasks = tasks_ms([one for one in page.events if one["method"] == "Tracing.dataCollected"])
        assert len(tasks) > seconds, "the trace has no tasks"
        pace = page.run("window.pace")
        yield Figure("updates of the shown book a second, median", statistics.median(pace), "/s")
        yield Figure("frames a second", page.run("window.drawn") / seconds, "/s")
        yield Figure("longest task", max(tasks), "ms", 50)
        yield Figure("tasks over 50 ms", sum(one > 50 for one in tasks), "")
        yield Figure("the page's thread is busy", sum(tasks) / 10 / seconds, "%")


def heap() -> Iterator[Figure]:
    """Ten minutes of the market's view in one, behind a quarter of an hour: what stays after
    each collection of what nobody needs."""
    with run_demo("--sim-markets=5", "--sim-rate=5000", program=PROGRAM) as demo, chromium() as page:
        page.size(1280, 860)
        page.before((HERE / "accelerate.js").read_text())
        page.open(f"{demo.url}/#/market/{busy_market(demo.url)['condition_id']}")
        page.wait("document.querySelectorAll('.outcome').length === 2")
        # Until the quarter of an hour is full that the page keeps of the server.
        page.wait("performance.now() >= 960_000", seconds=150)
        begun = page.run("performance.now()")
        sizes, nodes = [], []
        for minute in (0, 2, 4, 6, 8, 10):
            page.wait(f"performance.now() - {begun} >= {minute * 60_000}", seconds=120)
            page.tell("HeapProfiler.collectGarbage")
            sizes.append(page.tell("Runtime.getHeapUsage")["usedSize"] / 2**20)
            nodes.append(page.tell("Memory.getDOMCounters")["nodes"])
            yield Figure(f"heap after {minute} minutes", sizes[-1], "MiB")
        # Mid and spread are kept for an hour: 4 kB a minute.
        yield Figure("growth in ten minutes: the least of the last half less that of the first", min(sizes[3:]) - min(sizes[:3]), "MiB", 0.5)
        yield Figure("nodes of the document more", nodes[-1] - nodes[0], "", 500)
        is_linked = page.run("document.querySelector('#link b').textContent")
        assert is_linked == "linked", is_linked


@contextmanager
def server_alone() -> Iterator[tuple[str, int]]:
    """The server without its exchange in the same process: address and process."""
    sim = subprocess.Popen([PROGRAM, "sim", "--log-format=json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={})
    try:
        assert sim.stdout
        lines = read(sim.stdout)
        venue = [wait_for(lines, name).split('"')[1] for name in ("gamma_url", "clob_url", "ws_url")]
        flags = [f"--venue-{name}-url={url}" for name, url in zip(("gamma", "clob", "ws"), venue, strict=True)]
        command = [PROGRAM, "run", "--enable-http", "--http-port=0", "--http-host=127.0.0.1", "--log-format=json", *flags]
        # A hundred pages come from one address here.
        command += ["--http-max-connections-per-peer=512"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=SURROUNDINGS)
        try:
            assert server.stderr
            said = read(server.stderr)
            address = json.loads(wait_for(said, "http server listening"))["address"]
            wait_for(said, "every book is live")
            yield f"http://{address}", server.pid
        finally:
            server.kill()
            server.wait()
    finally:
        sim.kill()
        sim.wait()


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def left_open(url: str, subscriptions: list[Any], reads: list[str]) -> None:
    """Asks what a page asks: one socket, and the reads of each second."""
    host = url.removeprefix("http://").split(":")
    async with connect(url.replace("http", "ws", 1) + "/v1/ws", max_size=None, compression=None) as socket:
        for at, fields in enumerate(subscriptions):
            await socket.send(json.dumps({"op": "subscribe", "id": at + 1, **fields}))
        reader, writer = await asyncio.open_connection(host[0], int(host[1]))

        async def ask_each_second() -> None:
            while True:
                for path in reads:
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host[0]}\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n".encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                    await reader.readexactly(length)
                await asyncio.sleep(1)

        asking = asyncio.create_task(ask_each_second())
        try:
            async for _ in socket:
                pass
        finally:
            asking.cancel()
            writer.close()


async def open_for(seconds: float, process: int, pages: list[Any]) -> float:
    """Share of a core that the server takes while these are open."""
    tasks = [asyncio.create_task(one) for one in pages]
    await asyncio.sleep(2)
    before, at = cpu_seconds(process), time.monotonic()
    await asyncio.sleep(seconds)
    used = (cpu_seconds(process) - before) / (time.monotonic() - at)
    ended = [task for task in tasks if task.done()]
    assert not ended, f"{len(ended)} of {len(tasks)} pages were closed: {ended[0]}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used * 100


def cost() -> Iterator[Figure]:
    """What the server spends on pages that are left open, by clients that ask the same."""
    with server_alone() as (url, process):
        found = ask(f"{url}/v1/markets?ends_after=7d&limit=8&tops")["markets"]
        tokens = [one["tokens"][0]["token_id"] for one in found]
        pulse = {"channels": ["health"]}
        overview = ([pulse, {"tokens": tokens, "channels": ["top"], "mode": "conflated", "interval_ms": 200}], ["/v1/connections?limit=60"])
        # Until one of them has had more changes than the others.
        time.sleep(5)
        market = busy_market(url)
        busiest = {"markets": [market["condition_id"]], "channels": ["book", "trade", "state", "market"], "mode": "conflated", "interval_ms": 16}
        shown = ([pulse, busiest], [f"/v1/books/{market['tokens'][0]['token_id']}?depth=1"])

        async def rounds(pages: int, of: Any, seconds: float) -> float:
            more = []
            for _ in range(3):
                idle = await open_for(seconds, process, [])
                busy = await open_for(seconds, process, [left_open(url, *of) for _ in range(pages)])
                more.append(busy - idle)
            return statistics.median(more)

        yield Figure("the server with no page open", asyncio.run(open_for(15, process, [])), "% of a core")
        for name, of in (("overview", overview), ("busiest market", shown)):
            yield Figure(f"one page more, {name}", asyncio.run(rounds(1, of, 15)), "% of a core", 1)
            yield Figure(f"a hundred pages more, {name}", asyncio.run(rounds(100, of, 10)), "% of a core", 20)


PARTS = {"paint": paint, "size": size, "list": list_of_many, "market": market, "heap": heap, "cost": cost}


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in PARTS]:
        print(f"no part {unknown[0]}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    is_met = True
    for name in names or PARTS:
        print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
        for figure in PARTS[name]():
            is_met &= figure.print()
    return 0 if is_met else 1


sys.exit(main(sys.argv[1:]))
