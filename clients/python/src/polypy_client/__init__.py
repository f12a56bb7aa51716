"""Follows PolyPy's streams of order books, and proves that nothing was missed.

`stream` gives events and keeps books; `Book` and `Books` follow messages without doing
any I/O; `to_frame` makes data frames of them.
"""

from .book import Book, Books, BrokenError, Step
from .frame import to_frame
from .stream import Broken, Event, Lost, Message, Resumed, Stream, StreamError, stream

__all__ = [
    "Book",
    "Books",
    "Broken",
    "BrokenError",
    "Event",
    "Lost",
    "Message",
    "Resumed",
    "Step",
    "Stream",
    "StreamError",
    "stream",
    "to_frame",
]
