"""Follows PolyPy's streams of order books, and proves that nothing was missed; and asks for
what a server has at a moment.

`stream` gives events and keeps books; `Book` and `Books` follow messages without doing
any I/O. `Client` finds markets and reads books and best prices. `to_frame` makes data
frames of all of them.
"""

from .book import Book, Books, BrokenError, Step
from .frame import to_frame
from .reads import (
    BookRead,
    BooksRead,
    Client,
    Found,
    ListedEvent,
    Market,
    MarketTops,
    ReadError,
    Token,
    Top,
    Tops,
)
from .stream import Broken, Event, Lost, Message, Resumed, Stream, StreamError, stream

__all__ = [
    "Book",
    "BookRead",
    "Books",
    "BooksRead",
    "Broken",
    "BrokenError",
    "Client",
    "Event",
    "Found",
    "ListedEvent",
    "Lost",
    "Market",
    "MarketTops",
    "Message",
    "ReadError",
    "Resumed",
    "Step",
    "Stream",
    "StreamError",
    "Token",
    "Top",
    "Tops",
    "stream",
    "to_frame",
]
