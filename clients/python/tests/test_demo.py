"""The client with the real server: what it sends is as the schemas say, and books are the
server's own at every sequence that was looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from jsonschema import Draft202012Validator

from demo import Demo, run_demo
from files import schema
from polypy_client import Book, Message, Stream, StreamError, stream

CHANGES = 3_000
COMPARED = 30
Levels = list[list[str]]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with run_demo("--sim-markets=20", "--sim-resolve-per-minute=0") as demo:
        yield demo


def url(demo: Demo, door: str) -> str:
    return demo.url if door == "http" else demo.socket_url


def levels(book: Book) -> tuple[Levels, Levels]:
    def shown(side: list[tuple[Any, Any]]) -> Levels:
        return [[f"{price:f}", f"{size:f}"] for price, size in side]

    return shown(book.bids), shown(book.asks)


def ask(demo: Demo, token: str) -> dict[str, Any]:
    with urlopen(f"{demo.url}/orderbook/{token}?depth=1000") as answer:
        book: dict[str, Any] = json.load(answer)
        return book


def validator() -> Draft202012Validator:
    return Draft202012Validator(schema("messages.json"))


@pytest.mark.parametrize("door", ["http", "ws"])
def test_books_are_the_servers(demo: Demo, door: str) -> None:
    async def work() -> None:
        valid = validator()
        # What was shown, by token, epoch and sequence.
        shown: dict[tuple[str, int, int], tuple[Levels, Levels]] = {}
        asked: list[dict[str, Any]] = []
        changes = 0
        channels = ["book", "top", "trade", "state", "market", "stats"]
        kinds = set()
        # The last of them comes once a second.
        wanted = {"hello", "subscribed", "snapshot", "ready", "delta", "top", "trade", "stats"}

        async def poll(events: Stream) -> None:
            while True:
                for token in list(events.books):
                    asked.append(await asyncio.to_thread(ask, demo, token))
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.005)

        async with stream(url(demo, door), channels=channels) as events:
            polling = asyncio.create_task(poll(events))
            async for event in events:
                assert isinstance(event, Message), event
                if event.type not in kinds or changes % 50 == 0:
                    assert valid.is_valid(event.data), event.text
                kinds.add(event.type)
                if event.type in ("snapshot", "delta"):
                    changes += 1
                    token = event.data["token_id"]
                    book = events.books[token]
                    shown[token, book.epoch, book.sequence] = levels(book)
                if changes >= CHANGES and len(asked) >= 6 * COMPARED and wanted <= kinds:
                    break
            polling.cancel()
        compared = 0
        for answer in asked:
            key = (answer["asset_id"], answer["epoch"], answer["sequence"])
            if key in shown:
                compared += 1
                assert shown[key] == (answer["bids"], answer["asks"]), key
        assert compared >= COMPARED, (compared, len(asked))

    asyncio.run(asyncio.wait_for(work(), 120))


@pytest.mark.parametrize("door", ["http", "ws"])
def test_merged_and_limited_books_fit_together(demo: Demo, door: str) -> None:
    async def work() -> None:
        async with stream(url(demo, door), channels=["book"], interval_ms=50, depth=5) as events:
            deltas = 0
            async for event in events:
                assert isinstance(event, Message), event
                if event.type == "delta":
                    deltas += 1
                    book = events.books[event.data["token_id"]]
                    assert len(book.bids) <= 5 and len(book.asks) <= 5
                    assert event.data["conflated"] in (None, "interval", "backlog")
                    assert event.data["depth"] == 5
                if deltas >= 500:
                    return

    asyncio.run(asyncio.wait_for(work(), 120))


@pytest.mark.parametrize("door", ["http", "ws"])
def test_what_is_unknown_is_refused(demo: Demo, door: str) -> None:
    async def work() -> None:
        for parameters, text in [
            ({"channels": ["boook"]}, "channels"),
            ({"depth": 7}, "depth"),
            ({"tokens": ["12345"]}, "12345"),
        ]:
            async with stream(url(demo, door), **parameters) as events:  # type: ignore[arg-type]
                with pytest.raises(StreamError, match=text):
                    async for event in events:
                        assert isinstance(event, Message) and event.type == "hello", event

    asyncio.run(asyncio.wait_for(work(), 60))
