"""Subscriptions that come back by themselves."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from . import arguments
from .book import Books, BrokenError, BrokenTradeError, Step
from .door import Arrived, Door, LostError, RefusedError, open_events, open_socket

VERSION = 1
_FIRST_SILENCE = 15.0
_FIRST_WAIT = 0.25
_LONGEST_WAIT = 10.0
_DIAL_TIMEOUT = 10.0


_T = TypeVar("_T")


async def within(
    seconds: float,
    work: Coroutine[Any, Any, _T],
    unwanted: Callable[[_T], Awaitable[None]] | None = None,
) -> _T:
    """What `work` returns, or `TimeoutError`. What it returns and nobody gets any more goes
    to `unwanted`.

    Up to Python 3.11 `asyncio.wait_for` forgets a cancellation that comes together with
    the result: on a busy stream nearly each does.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
    except BaseException:
        # Nothing reads on after this has ended, in whatever way.
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None and unwanted is not None:
            await unwanted(task.result())
        raise
    return task.result()


class StreamError(Exception):
    """The subscription cannot go on: asking again would end in the same way."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message came, and the books have taken it."""

    type: str
    data: dict[str, Any]
    text: str
    """As it came."""
    step: Step
    """What it did to a book."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost; the subscription comes back after `retry` seconds."""

    cause: str
    retry: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """It has come back. Recovered: all that was missed follows. Otherwise it is lost, and
    snapshots follow. A `gap` says more where the server was given a place to go on from,
    which conflated subscriptions do not have.
    """

    recovered: bool
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """The messages contradict each other: a defect. The client subscribes again."""

    cause: str
    data: dict[str, Any]


Event = Message | Lost | Resumed | Broken


def stream(
    url: str,
    *,
    tokens: Sequence[str] = (),
    markets: Sequence[str] = (),
    events: Sequence[str] = (),
    channels: Sequence[str] = (),
    interval_ms: int | None = None,
    depth: int | None = None,
    token: str | None = None,
) -> Stream:
    """A subscription to a server at `ws://HOST:PORT` (WebSocket) or `http://HOST:PORT`
    (Server-Sent Events, with the extra `aiohttp`). The address may end in the route.

    Without `tokens`, `markets` and `events` it covers everything. `interval_ms` asks for
    the latest state at most so often instead of each change. `token` is a bearer token.
    """
    given = {"tokens": tokens, "markets": markets, "events": events, "channels": channels}
    lists = {name: arguments.texts(name, value) for name, value in given.items()}
    filter: dict[str, Any] = {name: value for name, value in lists.items() if value}
    if interval_ms is not None:
        number = arguments.number("interval_ms", interval_ms)
        filter |= {"mode": "conflated", "interval_ms": number}
    if depth is not None:
        filter["depth"] = arguments.number("depth", depth)
    if token is not None:
        arguments.text("token", token)
    url = arguments.text("url", url)
    # As it stands in the server's documents, with the route, it is an address, too.
    url = url.rstrip("/").removesuffix("/v1/ws").removesuffix("/v1/stream").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme in ("https", "wss"):
        raise ValueError(f"{url}: TLS is not spoken here")
    if parts.scheme not in ("http", "ws") or not parts.netloc:
        raise ValueError(f"{url}: must be http://HOST:PORT or ws://HOST:PORT")
    return Stream(url, filter, token)


class Stream:
    """A subscription: events in order, and the books that follow them.

    An asynchronous iterator, and a context manager that closes the connection.
    """

    def __init__(self, url: str, filter: dict[str, Any], token: str | None) -> None:
        self.books = Books()
        """The books as far as they have been told."""
        self.cursor: str | None = None
        """The place from which the subscription would come back."""
        self._url = url
        self._filter = filter
        self._token = token
        self._failures = 0
        self._was_subscribed = False
        # The connection is not the first one that subscribes, and has not yet.
        self._is_back = False
        self._door: Door | None = None
        self._events = self._run()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; the iteration is over."""
        await self._events.aclose()

    async def reconnect(self) -> None:
        """Drops the connection and comes back at once, from where it was: for a machine that
        slept, or went to another network. Not while an event is awaited."""
        self.books.pause()
        if self._door is not None:
            door, self._door = self._door, None
            await door.close()

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self._events

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def _run(self) -> AsyncGenerator[Event, None]:
        while True:
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
                continue
            except RefusedError as refused:
                self.books.pause()
                raise StreamError(str(refused)) from refused
            except LostError as lost:
                self.books.pause()
                self._failures += 1
                wait = self._wait(lost.retry)
                yield Lost(str(lost), wait)
                await asyncio.sleep(wait)

    async def _connection(self) -> AsyncGenerator[Event, None]:
        """The events of one connection; ends when it is to be opened again."""
        try:
            door = await within(_DIAL_TIMEOUT, self._open(), Door.close)
        except TimeoutError:
            raise LostError(f"no connection within {_DIAL_TIMEOUT:.0f} s") from None
        silence = _FIRST_SILENCE
        self._is_back = self._was_subscribed
        self._door = door
        try:
            while self._door is door:
                try:
                    arrived = await within(silence, door.next())
                except TimeoutError:
                    raise LostError(f"nothing came for {silence} s", door.retry) from None
                data = json.loads(arrived.text)
                try:
                    step = self.books.take(data)
                except BrokenError as broken:
                    yield Broken(str(broken), data)
                    if isinstance(broken, BrokenTradeError):
                        continue
                    self.cursor = None
                    self.books.pause()
                    self._failures += 1
                    await asyncio.sleep(self._wait(None))
                    return
                event = self._taken(data, arrived, step)
                if data["type"] == "subscribed":
                    silence = 3 * data["heartbeat_ms"] / 1000
                yield event
        finally:
            await door.close()

    def _taken(self, data: dict[str, Any], arrived: Arrived, step: Step) -> Event:
        # Only once the message is in the books: a cursor promises what was before it.
        cursor = arrived.id if arrived.id is not None else data.get("cursor")
        if cursor is not None and data["type"] != "subscribed":
            self.cursor = cursor
        match data["type"]:
            case "hello" if data["version"] != VERSION:
                raise RefusedError(f"the server's messages have version {data['version']}")
            case "subscribed" if self._is_back:
                self._is_back = False
                return Resumed(data["recovered"], data)
            case "subscribed":
                self._was_subscribed = True
            case "ready":
                self._failures = 0
            case "closing":
                if data["retry_ms"] is None:
                    raise RefusedError(f"the server closed the connection: {data['reason']}")
                reason = f"the server closed the connection: {data['reason']}"
                raise LostError(reason, data["retry_ms"] / 1000)
            case "error" if data["id"] is not None:
                if data["temporary"]:
                    raise LostError(data["message"])
                raise RefusedError(data["message"])
        return Message(data["type"], data, arrived.text, step)

    async def _open(self) -> Door:
        if self._url.startswith("ws"):
            operation = {"op": "subscribe", "id": 1, **self._filter}
            if self.cursor is not None:
                operation["cursor"] = self.cursor
            return await open_socket(f"{self._url}/v1/ws", operation, self._token)
        query = "&".join(
            f"{name}={','.join(quote(text, safe='') for text in value)}"
            if isinstance(value, list)
            else f"{name}={value}"
            for name, value in self._filter.items()
        )
        url = f"{self._url}/v1/stream" + (f"?{query}" if query else "")
        return await open_events(url, self.cursor, self._token)

    def _wait(self, said: float | None) -> float:
        """As the server says, or twice as long each time; never all clients at once."""
        doublings = min(max(self._failures - 1, 0), 16)
        own = min(_FIRST_WAIT * 2.0**doublings, _LONGEST_WAIT) * random.uniform(0.5, 1)
        if said is None:
            return own
        return said if self._failures <= 1 else max(said, own)
