"""Follows everything over the WebSocket, with the package `websockets`."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def main(server: str) -> None:
    url = server.replace("http", "ws", 1) + "/v1/ws"
    # A book of many levels is longer than the library's own limit.
    async with connect(url, max_size=16 << 20) as socket:
        await socket.send(json.dumps({"op": "subscribe", "id": 1}))
        async for text in socket:
            message = json.loads(text)
            print(message["type"], message.get("token_id", ""), flush=True)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"))
