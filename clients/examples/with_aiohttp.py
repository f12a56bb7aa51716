"""Follows everything over the WebSocket, with the package `aiohttp`."""

import asyncio
import sys

import aiohttp


async def main(server: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        # A book of many levels is longer than the library's own limit.
        session.ws_connect(f"{server}/v1/ws", max_msg_size=16 << 20) as socket,
    ):
        await socket.send_json({"op": "subscribe", "id": 1})
        async for frame in socket:
            message = frame.json()
            print(message["type"], message.get("token_id", ""), flush=True)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"))
