"""Follows a server for the tests in Rust, and says what its books are at each place.

`follower.py URL` says, a line each:

- `digest N`: of a book that both sides know, so that digests can be compared;
- `place TOKEN EPOCH SEQUENCE N`: a book's digest, at one sequence in `EVERY`;
- `changes N`: levels set by deltas so far;
- `gap REASON OWNER`, `resumed BOOL`, `lost CAUSE`, `broken CAUSE`;
- `book TOKEN LIVE N` for each book and then `books`, when it is asked for `books`.

It is told `reconnect`, `books` and `end`.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from decimal import Decimal

from polypy_client import Book, Broken, Lost, Message, Resumed, Stream, stream

EVERY = 8
"""Places of which one is said: a wrong level stays until it is set again."""
LEAST = 1_000
"""Changes between two words about them."""

Side = list[tuple[Decimal, Decimal]]


def digest(bids: Side, asks: Side) -> int:
    """As the exchange's: SipHash-1-3 without a key, which is that of bytes in here when
    `PYTHONHASHSEED` is 0."""
    data = bytearray()
    for side in (bids, asks):
        for price, size in side:
            data += struct.pack("=IQ", int(price * 1_000_000), int(size * 1_000_000))
        data += struct.pack("=Q", len(side))
    return hash(bytes(data)) & 0xFFFF_FFFF_FFFF_FFFF


def of(book: Book) -> int:
    return digest(book.bids, book.asks)


class Follower:
    def __init__(self, events: Stream) -> None:
        self.events = events
        self.changes = 0
        self.said = 0

    def note(self, message: Message) -> None:
        data = message.data
        match message.type:
            case "delta" if message.step.value == "changed":
                self.changes += len(data["changes"])
                if self.changes >= self.said + LEAST:
                    self.said = self.changes
                    print("changes", self.changes)
            case "snapshot":
                pass
            case "gap":
                print("gap", data["reason"], data["owner"])
                return
            case _:
                return
        token = data["token_id"]
        book = self.events.books[token]
        if message.type == "snapshot" or book.sequence % EVERY == 0:
            print("place", token, book.epoch, book.sequence, of(book))

    async def obey(self, wish: str) -> bool:
        """Whether it goes on."""
        match wish:
            case "reconnect":
                await self.events.reconnect()
            case "books":
                for token, book in self.events.books.items():
                    print("book", token, book.is_live, of(book))
                print("books")
            case _:
                return False
        return True


async def wishes(queue: asyncio.Queue[str]) -> None:
    wish = ""
    while wish != "end":
        wish = (await asyncio.to_thread(sys.stdin.readline)).strip() or "end"
        await queue.put(wish)


async def follow(url: str) -> None:
    print("digest", digest([(Decimal("0.489"), Decimal("29.5"))], []))
    queue: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(wishes(queue))
    async with stream(url, channels=["book", "state", "trade"]) as events:
        follower = Follower(events)
        async for event in events:
            match event:
                case Message():
                    follower.note(event)
                case Resumed(recovered=recovered):
                    print("resumed", recovered)
                case Lost(cause=cause):
                    print("lost", cause)
                case Broken(cause=cause):
                    print("broken", cause)
            goes_on = True
            while goes_on and not queue.empty():
                goes_on = await follower.obey(queue.get_nowait())
            if not goes_on:
                break
    await listening


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(follow(sys.argv[1]))
