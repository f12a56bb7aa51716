"""Books that follow the messages of a stream, with every check that the messages allow.

A book is

- followed: the next delta has to continue it;
- interrupted: a gap was said, and a snapshot has to come;
- paused: the connection was lost; what is known already may come again until `ready`,
  or, where nothing is made good, a snapshot has to come;
- neither, before its first snapshot and after messages that contradict each other.

`docs/stream.md` has the rules. What no number in the messages shows cannot be noticed
here: a wrong size below the top of the book, for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

Data = Mapping[str, Any]


class Step(Enum):
    """What a message did to a book."""

    REPLACED = "replaced"
    CHANGED = "changed"
    OLD = "old"
    """Nothing: it was known, from before the connection was resumed."""
    TRUSTED = "trusted"
    """How far to trust the book may be another answer."""
    INTERRUPTED = "interrupted"
    UNCONCERNED = "unconcerned"


class BrokenError(Exception):
    """The messages contradict each other: something was lost, and nothing said so."""


class _Following(Enum):
    NO = 0
    INTERRUPTED = 1
    PAUSED = 2
    YES = 3


class Book:
    """One token's book."""

    def __init__(self) -> None:
        self._sides: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
        self._following = _Following.NO
        self._previous: int | None = None
        self.epoch = 0
        """History without a known hole."""
        self.sequence = 0
        """The number of the last message that set levels."""
        self.state = "pending"
        """What the server last said of how far to trust the book."""
        self.reason: str | None = None
        """Why it is stale."""
        self.verified: bool | None = None
        """Whether the venue's hash came out of the levels; `None`: no hash says anything."""
        self.outcome: str | None = None
        """What the token pays for."""
        self.tick_size: str | None = None
        self.depth: int | None = None
        """Levels a side at most; `None`: all."""
        self.ts_event_ms: int | None = None
        """The venue's time of the last change."""
        self.ts_recv_us: int | None = None
        """When it reached the server."""

    @property
    def is_followed(self) -> bool:
        """Whether the levels are those of the server, as far as anything has arrived."""
        return self._following is _Following.YES

    @property
    def is_live(self) -> bool:
        """Whether the levels may be traded on: followed, and live."""
        return self.is_followed and self.state == "live"

    @property
    def bids(self) -> list[tuple[Decimal, Decimal]]:
        """Price and size of each level, best first."""
        return sorted(self._sides["bid"].items(), reverse=True)

    @property
    def asks(self) -> list[tuple[Decimal, Decimal]]:
        """Price and size of each level, best first."""
        return sorted(self._sides["ask"].items())

    @property
    def best_bid(self) -> Decimal | None:
        """The highest price that is bid."""
        return max(self._sides["bid"], default=None)

    @property
    def best_ask(self) -> Decimal | None:
        """The lowest price that is asked."""
        return min(self._sides["ask"], default=None)

    def take(self, data: Data) -> Step:
        """Takes a message of this token or of the connection.

        Raises `BrokenError` if it contradicts those before it; a snapshot mends that.
        """
        match data["type"]:
            case "snapshot":
                return self._replace(data)
            case "delta":
                try:
                    return self._change(data)
                except BrokenError:
                    self._following = _Following.NO
                    raise
            case "state":
                return self._trust(data)
            case "gap":
                return self._interrupt(data)
            case "closing":
                self.pause()
                return Step.INTERRUPTED
            case "subscribed" if self._following is _Following.PAUSED and not data["recovered"]:
                self._following = _Following.INTERRUPTED
                return Step.INTERRUPTED
            case "ready" if self._following is _Following.PAUSED:
                self._following = _Following.YES
        return Step.UNCONCERNED

    def pause(self) -> None:
        """The connection is lost. The book is not live until the client is back."""
        # Also after a gap: a cursor from before it brings all that was missed.
        if self._following in (_Following.YES, _Following.INTERRUPTED):
            self._following = _Following.PAUSED

    def _replace(self, data: Data) -> Step:
        for side, levels in (("bid", data["bids"]), ("ask", data["asks"])):
            self._sides[side] = {Decimal(price): Decimal(size) for price, size in levels}
        self._following = _Following.YES
        self._previous = None
        self.epoch, self.sequence = data["epoch"], data["sequence"]
        self.state, self.reason = data["state"], data["reason"]
        self.verified, self.outcome = data["verified"], data["outcome"]
        self.tick_size, self.depth = data["tick_size"], data["depth"]
        self.ts_event_ms, self.ts_recv_us = data["ts_event_ms"], data["ts_recv_us"]
        return Step.REPLACED

    def _change(self, data: Data) -> Step:
        epoch, previous, sequence = data["epoch"], data["prev_sequence"], data["sequence"]
        span = f"a delta from {previous} to {sequence} came for a book at {self.sequence}"
        if self._following in (_Following.NO, _Following.INTERRUPTED):
            raise BrokenError(f"a delta to {sequence} came without a book to apply it to")
        if self._following is _Following.PAUSED:
            # The numbers grow across epochs, so an old delta is old in both.
            if epoch <= self.epoch and sequence <= self.sequence:
                # Where the replay meets the book it has to be the same delta.
                is_last = (epoch, sequence) == (self.epoch, self.sequence)
                if is_last and self._previous not in (None, previous):
                    raise BrokenError(span)
                return Step.OLD
        if epoch != self.epoch:
            raise BrokenError(f"a delta of epoch {epoch} came for a book of epoch {self.epoch}")
        if previous != self.sequence or sequence <= previous:
            raise BrokenError(span)
        changes = data["changes"]
        if data["conflated"] is None and data["depth"] is None:
            if sequence - previous != len(changes):
                raise BrokenError(f"a delta of {sequence - previous} levels has {len(changes)}")
        for side, price, size in changes:
            if Decimal(size):
                self._sides[side][Decimal(price)] = Decimal(size)
            else:
                self._sides[side].pop(Decimal(price), None)
        self.sequence, self._previous = sequence, previous
        self.ts_event_ms, self.ts_recv_us = data["ts_event_ms"], data["ts_recv_us"]
        for name, ours in (("best_bid", self.best_bid), ("best_ask", self.best_ask)):
            theirs = None if data[name] is None else Decimal(data[name])
            if ours != theirs:
                raise BrokenError(f"{name} is {ours} by the levels, and {theirs} by the delta")
        return Step.CHANGED

    def _trust(self, data: Data) -> Step:
        self.state, self.reason, self.verified = data["state"], data["reason"], data["verified"]
        if self.state == "forgotten":
            self._following = _Following.NO
        return Step.TRUSTED

    def _interrupt(self, data: Data) -> Step:
        match data["next"]:
            case "none":
                return Step.UNCONCERNED
            case "closing":
                self.pause()
            case _ if self._following is not _Following.NO:
                self._following = _Following.INTERRUPTED
        return Step.INTERRUPTED


class Books(Mapping[str, Book]):
    """Every book of one subscription, by token id, and the numbers of its trades."""

    def __init__(self) -> None:
        self._books: dict[str, Book] = {}
        # The last trade's number, and whether there was a gap since.
        self._trades: dict[str, tuple[int, bool]] = {}
        self._is_paused = False
        # Tokens from before the connection was lost of which the new one has said nothing.
        self._untold: set[str] = set()

    def __getitem__(self, token_id: str) -> Book:
        return self._books[token_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def take(self, data: Data) -> Step:
        """Takes a message, whatever it is about.

        Raises `BrokenError` if it contradicts those before it.
        """
        kind = data["type"]
        token = data.get("token_id")
        if token is None:
            return self._take_for_all(data)
        self._untold.discard(token)
        if kind == "trade":
            return self._trade(token, data["trade_sequence"])
        if kind == "state" and data["state"] == "forgotten":
            self._books.pop(token, None)
            self._trades.pop(token, None)
            return Step.TRUSTED
        if kind == "gap" and token in self._trades:
            self._trades[token] = (self._trades[token][0], True)
        if kind not in ("snapshot", "delta", "state", "gap"):
            return Step.UNCONCERNED
        book = self._books.get(token)
        if book is not None:
            return book.take(data)
        # One that is broken or only interrupted is no book yet.
        book = Book()
        step = book.take(data)
        if step is not Step.INTERRUPTED:
            self._books[token] = book
        return step

    def pause(self) -> None:
        """The connection is lost: no book is live until the client is back."""
        self._is_paused = True
        for book in self._books.values():
            book.pause()

    def _take_for_all(self, data: Data) -> Step:
        match data["type"]:
            case "gap" if data["scope"] != "token":
                self._doubt_trades()
            case "closing":
                self._is_paused = True
            case "subscribed" if self._is_paused and not data["recovered"]:
                # Nothing of before comes again, and a server that was restarted may not
                # have these tokens any more.
                self._is_paused = False
                self._doubt_trades()
                self._untold = {*self._books, *self._trades}
            case "ready":
                self._is_paused = False
                for gone in self._untold:
                    self._books.pop(gone, None)
                    self._trades.pop(gone, None)
                self._untold.clear()
            case _:
                return Step.UNCONCERNED
        steps = [book.take(data) for book in self._books.values()]
        return Step.INTERRUPTED if Step.INTERRUPTED in steps else Step.UNCONCERNED

    def _doubt_trades(self) -> None:
        """Trades may be missing: the next number of each token may be any."""
        self._trades = {token: (last, True) for token, (last, _) in self._trades.items()}

    def _trade(self, token: str, found: int) -> Step:
        last, has_gap = self._trades.get(token, (None, False))
        if last is not None and self._is_paused and found <= last:
            return Step.OLD
        self._trades[token] = (found, False)
        if last is None or has_gap or found == last + 1:
            return Step.UNCONCERNED
        raise BrokenTradeError(f"trade {found} came after trade {last}")


class BrokenTradeError(BrokenError):
    """A trade is missing. Books are followed on."""
