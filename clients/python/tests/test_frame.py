"""Data frames keep ids as text and numbers right."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest

from files import lines
from polypy_client import Books, to_frame

pandas = pytest.importorskip("pandas")


def books() -> Books:
    books = Books()
    books.take(next(line for line in lines("messages.ndjson") if line["type"] == "snapshot"))
    return books


def test_numbers_are_exact_and_ids_are_text() -> None:
    frame = to_frame(books())
    assert list(frame.columns) == [
        "token_id", "side", "level", "price", "size", "epoch", "sequence", "is_live",
    ]
    first = frame.iloc[0]
    assert first["token_id"].startswith("71321045679252212594626385532706912750332728571942")
    assert (first["price"], first["size"]) == (Decimal("0.489"), Decimal("29.5"))
    assert list(frame["side"]) == ["bid", "bid", "ask", "ask"]
    assert list(frame["level"]) == [0, 1, 0, 1]
    assert frame["is_live"].all() and (frame["sequence"] == 4711).all()


def test_numbers_are_floats_when_asked_for() -> None:
    frame = to_frame(books(), numbers="float")
    assert frame["price"].dtype == "float64" and frame["size"].dtype == "float64"
    assert list(frame["price"]) == [0.489, 0.488, 0.5025, 0.521]
    assert frame["token_id"].dtype == "string"


def test_numbers_of_no_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers has to be 'decimal' or 'float', not 'Float'"):
        to_frame(books(), numbers=cast(Any, "Float"))


def test_no_books_are_an_empty_frame_of_the_same_kinds() -> None:
    empty, full = to_frame({}), to_frame(books())
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(full.dtypes)
