"""What is not in the histories."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from files import lines
from polypy_client import Book, Books, BrokenError, Step

TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"


def trade(sequence: int) -> dict[str, Any]:
    return {"type": "trade", "token_id": TOKEN, "trade_sequence": sequence}


def gap(next: str) -> dict[str, Any]:
    return {"type": "gap", "scope": "connection", "token_id": None, "next": next}


def test_golden_messages_are_followed() -> None:
    books = Books()
    for message in lines("messages.ndjson"):
        if message["type"] not in ("closing", "gap") or message.get("token_id"):
            books.take(message | {"added": "by a newer server"})
    book = books[TOKEN]
    assert (book.epoch, book.sequence, book.state, book.reason) == (2, 4735, "stale", "hash")
    assert (book.bids, book.asks) == ([], [(Decimal("0.6"), Decimal("10"))])
    assert book.is_followed and not book.is_live
    assert books.take({"type": "weather", "token_id": TOKEN}) is Step.UNCONCERNED


def test_trades_are_counted() -> None:
    books = Books()
    assert books.take(trade(7)) is Step.UNCONCERNED
    assert books.take(trade(8)) is Step.UNCONCERNED
    with pytest.raises(BrokenError, match="trade 10 came after trade 8"):
        books.take(trade(10))
    books.take(trade(11))
    books.take(gap("none"))
    books.take(trade(20))
    with pytest.raises(BrokenError):
        books.take(trade(20))
    books.pause()
    assert books.take(trade(20)) is Step.OLD
    books.take({"type": "ready", "id": 1, "cursor": None})
    with pytest.raises(BrokenError):
        books.take(trade(20))


def test_trades_of_a_new_subscription_are_counted_anew() -> None:
    books = Books()
    again = {"type": "subscribed", "recovered": False}
    books.take(trade(7))
    # Another subscription of a connection that was not lost.
    books.take(again)
    with pytest.raises(BrokenError, match="trade 9 came after trade 7"):
        books.take(trade(9))
    books.pause()
    books.take(again)
    assert books.take(trade(3)) is Step.UNCONCERNED, "the server was restarted"
    with pytest.raises(BrokenError, match="trade 5 came after trade 3"):
        books.take(trade(5))
    books.pause()
    books.take(again | {"recovered": True})
    assert books.take(trade(5)) is Step.OLD
    with pytest.raises(BrokenError, match="trade 7 came after trade 5"):
        books.take(trade(7))


@pytest.mark.parametrize(
    ("next", "is_followed"), [("none", True), ("snapshot", False), ("closing", False)]
)
def test_a_gap_interrupts(next: str, is_followed: bool) -> None:
    book = Book()
    snapshot, delta = (
        message
        for message in lines("messages.ndjson")
        if message["type"] in ("snapshot", "delta") and message["sequence"] in (4711, 4713)
    )
    book.take(snapshot)
    book.take(gap(next))
    assert book.is_followed is is_followed
    if not is_followed:
        book.pause()
        assert book.take(delta) is Step.CHANGED, "coming back from before the gap"


def test_a_forgotten_token_is_gone() -> None:
    books = Books()
    for message in lines("messages.ndjson"):
        if message["type"] == "state" and message["state"] == "forgotten":
            books.take(message)
            assert message["token_id"] not in books
            return
        if message["type"] == "state":
            books.take(message)
    pytest.fail("no token is forgotten")


def test_a_replay_has_to_meet_the_book() -> None:
    book = Book()
    for message in lines("messages.ndjson"):
        if message["type"] in ("snapshot", "delta") and message["sequence"] in (4711, 4713):
            book.take(message)
            last = message
    book.pause()
    assert book.take(last) is Step.OLD
    with pytest.raises(BrokenError):
        book.take(last | {"prev_sequence": 4712})
