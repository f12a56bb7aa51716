"""One connection to either door of the server."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

_MOST_BYTES = 16 << 20
_CLOSE_TIMEOUT = 0.5
"""Seconds for the server's part of a close, which stands behind all that is under way."""


class LostError(Exception):
    """The connection is lost; asking again may help, after `retry` seconds."""

    def __init__(self, cause: str, retry: float | None = None) -> None:
        super().__init__(cause)
        self.retry = retry


class RefusedError(Exception):
    """Asking again would end in the same way."""


class Arrived(NamedTuple):
    """A message as it came."""

    text: str
    id: str | None
    """The connection's place with it, if the door says."""


class Door(Protocol):
    """An open connection that was asked."""

    @property
    def retry(self) -> float | None:
        """When to come back, if the door said so for any end."""

    async def next(self) -> Arrived:
        """The next message."""

    async def close(self) -> None:
        """Ends it."""


def refusal(status: int, body: bytes, retry_after: str | None) -> Exception:
    """What an answer that is no stream means."""
    try:
        answer = json.loads(body)
        # An answer that lists routes is about the route, not from it.
        said = "" if "routes" in answer else f": {answer['error']}"
    except (ValueError, KeyError, TypeError):
        said = ""
    if status >= 500 or status in (408, 429):
        retry = float(retry_after) if retry_after and retry_after.isdigit() else None
        return LostError(f"the server answered {status}{said}", retry)
    if status == 401:
        return RefusedError(f"the server wants a token, or another one (401){said}")
    if status == 404 and not said:
        return RefusedError(f"the server has no streams (404)")
    return RefusedError(f"the server answered {status}{said}")


class _Socket:
    retry: float | None = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def next(self) -> Arrived:
        from websockets.exceptions import ConnectionClosed

        try:
            text = await self._connection.recv()
        except ConnectionClosed as closed:
            raise LostError(f"the connection ended: {closed}") from closed
        if not isinstance(text, str):
            raise RefusedError("the server sent bytes, not text")
        return Arrived(text, None)

    async def close(self) -> None:
        await self._connection.close()


async def open_socket(url: str, operation: Mapping[str, Any], token: str | None) -> Door:
    """Connects to the WebSocket, and subscribes."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

    headers = {"Authorization": f"Bearer {token}"} if token is not None else None
    try:
        # No proxy of the environment: the server is near.
        connection = await connect(
            url,
            additional_headers=headers,
            max_size=_MOST_BYTES,
            close_timeout=_CLOSE_TIMEOUT,
            proxy=None,
        )
    except InvalidStatus as error:
        response = error.response
        retry = response.headers.get("Retry-After")
        raise refusal(response.status_code, bytes(response.body or b""), retry) from error
    except (OSError, InvalidHandshake) as error:
        raise LostError(f"no connection: {error}") from error
    try:
        await connection.send(json.dumps(operation))
    except ConnectionClosed as closed:
        raise LostError(f"the connection ended: {closed}") from closed
    return _Socket(connection)


class Parser:
    """Server-Sent Events, from bytes as they arrive."""

    def __init__(self) -> None:
        self.retry: float | None = None
        self.events: deque[Arrived] = deque()
        self._rest = bytearray()
        self._data: list[str] = []
        self._id: str | None = None

    def push(self, data: bytes) -> None:
        """Adds what arrived; complete events are in `events`."""
        *lines, rest = (bytes(self._rest) + data).split(b"\n")
        self._rest = bytearray(rest)
        if len(self._rest) + sum(map(len, self._data)) > _MOST_BYTES:
            raise LostError("an event of more than 16 MiB came")
        for line in lines:
            self._line(line.removesuffix(b"\r").decode(errors="replace"))

    def _line(self, line: str) -> None:
        if not line:
            if self._data:
                self.events.append(Arrived("\n".join(self._data), self._id))
                self._data = []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdigit():
                self.retry = int(value) / 1000


class _Events:
    def __init__(self, session: Any, response: Any) -> None:
        self._session = session
        self._response = response
        self._parser = Parser()

    @property
    def retry(self) -> float | None:
        return self._parser.retry

    async def next(self) -> Arrived:
        import aiohttp

        while not self._parser.events:
            try:
                data = await self._response.content.readany()
            except aiohttp.ClientError as error:
                raise LostError(f"the connection failed: {error}", self.retry) from error
            if not data:
                raise LostError("the connection ended", self.retry)
            self._parser.push(data)
        return self._parser.events.popleft()

    async def close(self) -> None:
        self._response.close()
        await self._session.close()


async def open_events(url: str, cursor: str | None, token: str | None) -> Door:
    """Connects to Server-Sent Events."""
    try:
        import aiohttp
    except ImportError as error:
        raise ImportError(
            "http:// needs aiohttp: pip install 'polypy-client[aiohttp]', or use ws://"
        ) from error
    from yarl import URL

    headers = {"Accept": "text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if cursor is not None:
        headers["Last-Event-ID"] = cursor
    timeout = aiohttp.ClientTimeout(total=None)
    session = aiohttp.ClientSession(timeout=timeout, auto_decompress=True)
    try:
        response = await session.get(URL(url, encoded=True), headers=headers)
        if response.status != 200:
            body = await response.content.read(64 << 10)
            retry = response.headers.get("Retry-After")
            raise refusal(response.status, body, retry)
    except aiohttp.ClientError as error:
        await session.close()
        raise LostError(f"no connection: {error}") from error
    except BaseException:
        await session.close()
        raise
    return _Events(session, response)
