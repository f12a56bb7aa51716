"""Books as data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from .book import Book

if TYPE_CHECKING:
    import pandas


def to_frame(
    books: Mapping[str, Book], *, numbers: Literal["decimal", "float"] = "decimal"
) -> pandas.DataFrame:
    """A row for each level: `token_id`, `side`, `level` (from 0, best first), `price`,
    `size`, `epoch`, `sequence`, `is_live`.

    Ids are text, whatever they look like: no number type holds them. Prices and sizes are
    exact `Decimal` objects, or `float64` when asked for.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install 'polypy-client[pandas]'") from error
    convert = float if numbers == "float" else (lambda number: number)
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "token_id", "side", "level", "price", "size", "epoch", "sequence", "is_live",
        )
    }
    for token_id, book in books.items():
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            for rank, (price, size) in enumerate(levels):
                row = (
                    token_id, side, rank, convert(price), convert(size),
                    book.epoch, book.sequence, book.is_live,
                )
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    number = "float64" if numbers == "float" else "object"
    kinds = {
        "token_id": "string", "side": "string", "level": "int64", "price": number,
        "size": number, "epoch": "int64", "sequence": "int64", "is_live": "bool",
    }
    return pandas.DataFrame(
        {name: pandas.Series(values, dtype=kinds[name]) for name, values in columns.items()}
    )
