"""Follows everything by Server-Sent Events, with the package `httpx-sse`."""

import sys

import httpx
from httpx_sse import connect_sse

server = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
# The stream has no end; a heartbeat comes every few seconds.
with (
    httpx.Client(timeout=httpx.Timeout(10, read=20)) as client,
    connect_sse(client, "GET", f"{server}/v1/stream") as source,
):
    for event in source.iter_sse():
        # The event is the message's type, the id its cursor.
        print(event.event, event.json().get("token_id", ""), flush=True)
