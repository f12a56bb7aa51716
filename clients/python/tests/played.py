"""A server that plays what it was given, over real sockets, through either door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Script = list[dict[str, Any]] | tuple[int, str]
"""Messages, after which the connection ends; or a status with a body. A `None` message
holds the connection open."""


@dataclass
class Played:
    url: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def play(door: str, scripts: list[Script]) -> AsyncIterator[Played]:
    waiting = iter(scripts)
    if door == "ws" and not any(isinstance(script, tuple) for script in scripts):
        played = Played("")

        async def socket(connection: ServerConnection) -> None:
            script = next(waiting, [{"hold": True}])
            assert isinstance(script, list)
            played.asked.append(str(await connection.recv()))
            try:
                for message in script:
                    if "hold" in message:
                        await connection.wait_closed()
                        return
                    await connection.send(json.dumps(message))
            except ConnectionClosed:
                return

        async with serve(socket, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            played.url = f"ws://127.0.0.1:{port}"
            yield played
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        script = next(waiting, [{"hold": True}])
        try:
            if isinstance(script, tuple):
                status, body = script
                writer.write(
                    f"HTTP/1.1 {status} So\r\nContent-Length: {len(body)}\r\n"
                    f"Retry-After: 0\r\nConnection: close\r\n\r\n{body}".encode()
                )
                return
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Connection: close\r\n\r\nretry: 1\n\n"
            )
            for at, message in enumerate(script):
                if "hold" in message:
                    await reader.read()
                    return
                place = f"id: place-{at}\n" if message["type"] == "delta" else ""
                text = f"event: {message['type']}\n{place}data: {json.dumps(message)}\n\n"
                writer.write(text.encode())
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    played = Played(f"{door}://127.0.0.1:{port}")
    async with listener:
        yield played
