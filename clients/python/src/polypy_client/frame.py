"""Books, markets and best prices as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import arguments

if TYPE_CHECKING:
    import pandas

    from .reads import Market, MarketTops, Top

Numbers = Literal["decimal", "float"]


class HasLevels(Protocol):
    """A book: one that follows a stream, or one that was read."""

    @property
    def bids(self) -> list[tuple[Decimal, Decimal]]: ...
    @property
    def asks(self) -> list[tuple[Decimal, Decimal]]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def is_live(self) -> bool: ...


_BOOK = {
    "token_id": "string", "side": "string", "level": "int64", "price": "number",
    "size": "number", "epoch": "int64", "sequence": "int64", "is_live": "bool",
}
_TOP = {
    "state": "string", "is_live": "bool", "best_bid": "number", "best_bid_size": "number",
    "best_ask": "number", "best_ask_size": "number", "spread": "number",
}
_TOKEN = {
    "token_id": "string", "outcome": "string", "condition_id": "string", "slug": "string",
}
_MARKET = {
    "question": "string", "event_slug": "string", "status": "string", "followed": "bool",
    "end": "datetime64[ms, UTC]", "volume": "number", "volume_day": "number",
    "liquidity": "number", "tick_size": "number",
}


def to_frame(
    what: Mapping[str, HasLevels] | Iterable[Market] | Iterable[MarketTops],
    *,
    numbers: Numbers = "decimal",
) -> pandas.DataFrame:
    """Of books a row for each level: `token_id`, `side`, `level` (from 0, best first), `price`,
    `size`, `epoch`, `sequence`, `is_live`.

    Of markets, and of best prices, a row for each token, with what its market says and its
    best prices; where no book is kept these are empty, and `is_live` is false.

    Ids are text, whatever they look like: no number type holds them. Prices, sizes and
    dollars are exact `Decimal` objects, or `float64` when asked for.
    """
    arguments.one_of("numbers", numbers, ("decimal", "float"))
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install 'polypy-client[pandas]'") from error
    if isinstance(what, Mapping):
        kinds, rows = _BOOK, _levels(what)
    else:
        markets: list[Any] = list(what)
        # Of none nobody can tell which they were.
        are_tops = bool(markets) and not hasattr(markets[0], "question")
        kinds = {**_TOKEN, **({} if are_tops else _MARKET), **_TOP}
        rows = _tokens(markets)
    columns: dict[str, list[Any]] = {name: [] for name in kinds}
    for row in rows:
        for name, values in columns.items():
            value = row[name]
            if numbers == "float" and isinstance(value, Decimal):
                value = float(value)
            values.append(value)
    number = "float64" if numbers == "float" else "object"
    return pandas.DataFrame(
        {
            name: pandas.Series(values, dtype=number if kinds[name] == "number" else kinds[name])
            for name, values in columns.items()
        }
    )


def _levels(books: Mapping[str, HasLevels]) -> Iterable[dict[str, Any]]:
    for token_id, book in books.items():
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            for rank, (price, size) in enumerate(levels):
                yield {
                    "token_id": token_id, "side": side, "level": rank, "price": price,
                    "size": size, "epoch": book.epoch, "sequence": book.sequence,
                    "is_live": book.is_live,
                }


def _tokens(markets: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for market in markets:
        of_market = {name: getattr(market, name, None) for name in ("condition_id", "slug", *_MARKET)}
        for token in market.tokens:
            top: Top | None = token.top
            of_top = {name: getattr(top, name, None) for name in _TOP}
            of_top["is_live"] = top is not None and top.is_live
            yield {**of_market, **of_top, "token_id": token.token_id, "outcome": token.outcome}
