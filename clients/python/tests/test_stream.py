"""Subscriptions over real sockets, through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from played import Script, play
from polypy_client import (
    Broken,
    Event,
    Lost,
    Message,
    Resumed,
    Stream,
    StreamError,
    stream,
)
from polypy_client.door import LostError, Parser
from polypy_client.stream import within

DOORS = ["http", "ws"]
TOKEN = "71"
HOLD = {"hold": True}


def subscribed(was_resuming: bool, recovered: bool, heartbeat_ms: int = 5000) -> dict[str, Any]:
    return {
        "type": "subscribed", "id": 1, "tokens": 1, "unknown": [], "channels": ["book"],
        "mode": "every", "interval_ms": None, "depth": None, "heartbeat_ms": heartbeat_ms,
        "was_resuming": was_resuming, "recovered": recovered, "cursor": None,
    }


def snapshot(sequence: int) -> dict[str, Any]:
    return {
        "type": "snapshot", "token_id": TOKEN, "condition_id": "0xa", "outcome": None,
        "epoch": 1, "sequence": sequence, "cause": "subscribed", "state": "live",
        "reason": None, "verified": None, "hash": None, "tick_size": None, "depth": None,
        "ts_event_ms": 1, "ts_recv_us": 1, "bids": [["0.48", "1"]], "asks": [],
    }


def delta(sequence: int) -> dict[str, Any]:
    return {
        "type": "delta", "token_id": TOKEN, "epoch": 1, "prev_sequence": sequence - 1,
        "sequence": sequence, "ts_event_ms": 1, "ts_recv_us": 1,
        "changes": [["bid", "0.48", str(sequence)]], "best_bid": "0.48", "best_ask": None,
        "conflated": None, "depth": None,
    }


def ready(cursor: str) -> dict[str, Any]:
    return {"type": "ready", "id": 1, "cursor": cursor}


def closing(code: int, retry_ms: int | None) -> dict[str, Any]:
    return {"type": "closing", "code": code, "reason": "because", "retry_ms": retry_ms}


def word(event: Event) -> str:
    match event:
        case Message(type=kind):
            return kind
        case Lost():
            return "lost"
        case Resumed(recovered=recovered):
            return f"resumed {recovered}"
        case Broken():
            return "broken"


async def expect(events: Stream, *words: str) -> None:
    for expected in words:
        assert word(await asyncio.wait_for(anext(events), 20)) == expected


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(bounded())


@pytest.mark.parametrize("door", DOORS)
def test_a_lost_connection_is_resumed_from_the_last_place(door: str) -> None:
    async def work() -> None:
        again = [subscribed(True, True), delta(6), delta(7), delta(8), ready("r-8"), HOLD]
        if door == "http":
            del again[1:3]
        opening = [subscribed(False, False), snapshot(5), ready("r-5"), delta(6), delta(7)]
        async with play(door, [opening, again]) as played:
            async with stream(played.url, tokens=[TOKEN], token="secret") as events:
                await expect(events, "subscribed", "snapshot", "ready", "delta", "delta")
                book = events.books[TOKEN]
                assert book.is_live
                assert events.cursor == ("place-4" if door == "http" else "r-5")
                await expect(events, "lost")
                assert not book.is_live
                await expect(events, "resumed True")
                if door == "ws":
                    await expect(events, "delta", "delta")
                await expect(events, "delta")
                assert not book.is_live and book.sequence == 8
                await expect(events, "ready")
                assert book.is_live
            first, second = played.asked
            if door == "http":
                assert first.startswith("GET /v1/stream?tokens=71 HTTP/1.1\r\n")
                assert "Authorization: Bearer secret\r\n" in first
                assert "Last-Event-ID: place-4\r\n" in second
            else:
                assert first == '{"op": "subscribe", "id": 1, "tokens": ["71"]}'
                assert second.endswith('"cursor": "r-5"}')

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_of_what_was_told_before_a_new_subscription_nothing_is_trusted(door: str) -> None:
    async def work() -> None:
        gone = snapshot(5) | {"token_id": "72"}
        opening = [subscribed(False, False), snapshot(5), gone, ready("r-5")]
        again = [subscribed(False, False), snapshot(1), ready("r-1"), HOLD]
        async with play(door, [opening, again]) as played:
            async with stream(played.url, interval_ms=200) as events:
                await expect(events, "subscribed", "snapshot", "snapshot", "ready")
                books = dict(events.books)
                assert all(book.is_live for book in books.values())
                await expect(events, "lost", "resumed False")
                assert not any(book.is_live for book in books.values())
                await expect(events, "snapshot")
                assert books[TOKEN].is_live and not books["72"].is_live
                await expect(events, "ready")
                assert books[TOKEN].is_live and not books["72"].is_live
                assert dict(events.books) == {TOKEN: books[TOKEN]}

    run(work)


def test_a_cancellation_that_comes_with_a_message_ends_the_stream() -> None:
    async def work() -> None:
        async def message() -> str:
            reader.cancel()
            return "come"

        reader = asyncio.create_task(within(20, message()))
        with pytest.raises(asyncio.CancelledError):
            await reader

    run(work)


def test_what_was_opened_for_one_who_is_cancelled_is_closed() -> None:
    async def work() -> None:
        closed: list[str] = []

        async def opened() -> str:
            opener.cancel()
            return "door"

        async def close(door: str) -> None:
            closed.append(door)

        opener = asyncio.create_task(within(20, opened(), close))
        with pytest.raises(asyncio.CancelledError):
            await opener
        assert closed == ["door"]

        async def too_late() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "late"
            raise AssertionError

        with pytest.raises(TimeoutError):
            await within(0.01, too_late(), close)
        assert closed == ["door", "late"]
        assert await within(20, taken(), close) == "taken"
        assert closed == ["door", "late"]

    async def taken() -> str:
        return "taken"

    run(work)


@pytest.mark.parametrize("path", ["/v1/ws", "/v1/ws/", "/v1/stream", "/"])
@pytest.mark.parametrize("door", DOORS)
def test_an_address_may_end_in_the_route(door: str, path: str) -> None:
    async def work() -> None:
        async with play(door, [[ready("a"), HOLD]]) as played:
            async with stream(played.url + path) as events:
                await expect(events, "ready")

    run(work)


def test_what_takes_too_long_is_ended_before_anything_else_is_read() -> None:
    async def work() -> None:
        ended: list[bool] = []

        async def nothing() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        with pytest.raises(TimeoutError):
            await within(0.01, nothing())
        assert ended == [True]

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_a_connection_that_is_dropped_on_purpose_is_resumed_at_once(door: str) -> None:
    async def work() -> None:
        scripts: list[Script] = [
            [subscribed(False, False), snapshot(5), ready("r-5"), HOLD],
            [subscribed(True, True), delta(6), ready("r-6"), HOLD],
        ]
        async with play(door, scripts) as played:
            async with stream(played.url, tokens=[TOKEN]) as events:
                await expect(events, "subscribed", "snapshot", "ready")
                await events.reconnect()
                assert not events.books[TOKEN].is_live
                # Nothing is lost, and nobody waits.
                await expect(events, "resumed True", "delta", "ready")
                assert events.books[TOKEN].is_live and events.books[TOKEN].sequence == 6
            assert "r-5" in played.asked[1] or "place-" in played.asked[1]

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_the_server_says_whether_and_when_to_come_back(door: str) -> None:
    async def work() -> None:
        scripts: list[Script] = [[ready("a"), closing(1001, 7), HOLD], [closing(1008, None)]]
        async with play(door, scripts) as played, stream(played.url) as events:
            await expect(events, "ready")
            lost = await anext(events)
            assert isinstance(lost, Lost) and lost.retry == 0.007
            with pytest.raises(StreamError, match="because"):
                await anext(events)

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_broken_books_are_had_again_without_a_cursor(door: str) -> None:
    async def work() -> None:
        scripts: list[Script] = [
            [snapshot(5), ready("r-5"), delta(7), HOLD],
            [snapshot(9), ready("r-9"), HOLD],
        ]
        async with play(door, scripts) as played, stream(played.url) as events:
            await expect(events, "snapshot", "ready", "broken")
            assert not events.books[TOKEN].is_live
            await expect(events, "snapshot", "ready")
            assert events.books[TOKEN].is_live
            assert "cursor" not in played.asked[1] and "Last-Event-ID" not in played.asked[1]

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_a_refusal_ends_it_and_a_busy_server_is_asked_again(door: str) -> None:
    async def work() -> None:
        scripts: list[Script] = [
            (503, '{"error": "no place left"}'),
            (401, '{"error": "a token is needed"}'),
        ]
        async with play(door, scripts) as played, stream(played.url) as events:
            lost = await anext(events)
            assert isinstance(lost, Lost) and "no place left" in lost.cause
            with pytest.raises(StreamError, match="a token is needed"):
                await anext(events)

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_says_nothing_is_left(door: str) -> None:
    async def work() -> None:
        scripts: list[Script] = [[subscribed(False, False, heartbeat_ms=50), HOLD]]
        async with play(door, scripts) as played, stream(played.url) as events:
            await expect(events, "subscribed")
            lost = await anext(events)
            assert isinstance(lost, Lost) and "nothing came for 0.15 s" in lost.cause

    run(work)


def test_a_refused_subscription_ends_it() -> None:
    async def work() -> None:
        error = {"type": "error", "id": 1, "code": "unknown_token", "temporary": False}
        scripts: list[Script] = [[error | {"message": "no token"}, HOLD]]
        async with play("ws", scripts) as played, stream(played.url) as events:
            with pytest.raises(StreamError, match="no token"):
                await anext(events)

    run(work)


@pytest.mark.parametrize("door", DOORS)
def test_nobody_there_is_told(door: str) -> None:
    async def work() -> None:
        async with play("http", []) as played:
            url = played.url.replace("http", door)
        async with stream(url) as events:
            lost = await anext(events)
            assert isinstance(lost, Lost) and "no connection" in lost.cause
            assert 0.125 <= lost.retry <= 0.25

    run(work)


def test_mistakes_are_named_at_once() -> None:
    for url, text in [("https://a", "TLS"), ("localhost:8080", "must be http://")]:
        with pytest.raises(ValueError, match=text):
            stream(url)
    with pytest.raises(TypeError, match="a list"):
        stream("ws://a", tokens="71")


def test_events_are_the_same_however_the_bytes_arrive() -> None:
    text = b": hi\nretry: 2000\n\ndata: {}\n\nevent: b\r\nid: 7-1\r\ndata:two\r\ndata: l\r\n\r\n"
    for size in range(1, len(text)):
        parser = Parser()
        for at in range(0, len(text), size):
            parser.push(text[at : at + size])
        assert [tuple(event) for event in parser.events] == [("{}", None), ("two\nl", "7-1")]
        assert parser.retry == 2
    with pytest.raises(LostError):
        for _ in range(20):
            parser.push(b"data: " + b"x" * (1 << 20) + b"\n")
