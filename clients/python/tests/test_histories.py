"""The histories on which the Rust client was tried: this one finds the same in them."""

from __future__ import annotations

from typing import Any

import pytest

from files import lines
from polypy_client import Books, BrokenError

HISTORIES = lines("histories.ndjson")


def found(messages: list[dict[str, Any]]) -> dict[str, Any]:
    books = Books()
    for at, message in enumerate(messages):
        try:
            books.take(message)
        except BrokenError:
            return {"broken_at": at}
    return {
        "books": {
            token: {
                "epoch": book.epoch,
                "sequence": book.sequence,
                "is_followed": book.is_followed,
                "is_live": book.is_live,
                "state": book.state,
                "reason": book.reason,
                "bids": [[f"{price:f}", f"{size:f}"] for price, size in book.bids],
                "asks": [[f"{price:f}", f"{size:f}"] for price, size in book.asks],
            }
            for token, book in books.items()
        }
    }


@pytest.mark.parametrize("at", range(len(HISTORIES)))
def test_the_same_is_found(at: int) -> None:
    history = HISTORIES[at]
    assert found(history["messages"]) == history["found"], history["mutation"]


def test_there_are_right_and_wrong_ones() -> None:
    broken = sum("broken_at" in history["found"] for history in HISTORIES)
    assert 10 <= broken <= len(HISTORIES) - 10
