"""What a server has at a moment: markets by their words, events, books, best prices.

Needs `aiohttp`: `pip install 'polypy-client[aiohttp]'`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote, urlsplit

from . import arguments
from .book import Data

if TYPE_CHECKING:
    import aiohttp
    from typing_extensions import Unpack

_LOG = logging.getLogger("polypy_client")
_PATIENCE = 30.0
_MOST_BEGUN = 10
_MOST_TOKENS = 500
_MOST_PAGE = 1_000
_PROBLEM = "urn:polypy:problem:"

Bound = str | date | datetime | timedelta
"""A date, a moment, or a time from now: `"7d"`, `"12h"`, `timedelta(days=7)`."""

Dollars = str | int | float | Decimal

State = Literal["pending", "live", "stale", "settled"]
"""How a book stands."""

Sort = Literal[
    "relevance", "volume_day", "volume", "liquidity", "end", "listed", "spread", "change"
]


class Filters(TypedDict, total=False):
    """Which markets: all that are followed and open, unless it is narrowed. Within a list one
    has to hold, and of all arguments each. `*` in slugs stands for anything. `None` is as if
    the argument was left out."""

    tags: Sequence[str]
    categories: Sequence[str]
    events: Sequence[str]
    slugs: Sequence[str]
    ids: Sequence[str]
    exclude_tags: Sequence[str]
    exclude_categories: Sequence[str]
    exclude_events: Sequence[str]
    exclude_slugs: Sequence[str]
    exclude_text: Sequence[str]
    exclude_ids: Sequence[str]
    min_volume: Dollars
    min_volume_day: Dollars
    min_liquidity: Dollars
    ends_after: Bound
    ends_before: Bound
    neg_risk: bool
    followed: bool | Literal["any"]
    status: Literal["open", "resolved", "closed", "any"]


class ReadError(Exception):
    """Why something could not be read."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        kind: str | None = None,
        parameter: str | None = None,
        explain: str | None = None,
        retry: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of the server's answer; `None`: there was none."""
        self.kind = kind
        """For programs: `not_followed` and others."""
        self.parameter = parameter
        """The argument that is wrong."""
        self.explain = explain
        """Where the server explains it."""
        self.retry = retry
        """Seconds after which the server wants to be asked again."""


@dataclass(frozen=True, slots=True)
class Top:
    """The best prices of a book."""

    state: str
    reason: str | None
    best_bid: Decimal | None
    best_bid_size: Decimal | None
    best_ask: Decimal | None
    best_ask_size: Decimal | None
    ts_event_ms: int | None
    epoch: int | None
    sequence: int | None
    revision: int | None

    @property
    def is_live(self) -> bool:
        """Whether it may be traded on."""
        return self.state == "live"

    @property
    def spread(self) -> Decimal | None:
        """Best ask less best bid."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return self.best_ask - self.best_bid


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a market."""

    token_id: str
    outcome: str
    top: Top | None
    """Its best prices, if they were asked for and a book is kept."""


@dataclass(frozen=True, slots=True)
class Market:
    """A market as it is listed. Dollars and prices are exact."""

    condition_id: str
    slug: str | None
    question: str
    event_slug: str | None
    event_title: str | None
    group_title: str | None
    tags: tuple[str, ...] | None
    """Their slugs; `None`: the venue has not said."""
    status: str
    followed: bool
    not_followed: str | None
    """Why its books are not kept."""
    volume: Decimal | None
    volume_day: Decimal | None
    liquidity: Decimal | None
    end: datetime | None
    neg_risk: bool
    tick_size: Decimal | None
    winner: str | None
    """The token that won."""
    tokens: tuple[Token, ...]
    data: dict[str, Any] = field(repr=False, compare=False)
    """As it came."""


@dataclass(frozen=True, slots=True)
class MarketTops:
    """The best prices of a market's tokens, read at one moment."""

    condition_id: str
    slug: str | None
    tokens: tuple[Token, ...]


class Tops(list[MarketTops]):
    """Best prices, a market each."""

    unknown_tags: Sequence[str] = ()
    """Tags that were asked for and that nothing has: misspelt, perhaps."""


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event: the question that its markets divide."""

    slug: str
    title: str
    neg_risk: bool
    neg_risk_augmented: bool
    market_count: int
    followed_count: int
    volume: Decimal | None
    volume_day: Decimal | None
    liquidity: Decimal | None
    end: datetime | None
    markets: tuple[Market, ...]
    """Of one that was asked for by its slug."""
    sum_best_bid: Decimal | None
    """Over the first outcomes of its open markets, if all of their books are live."""
    sum_best_ask: Decimal | None
    data: dict[str, Any] = field(repr=False, compare=False)
    """As it came."""


@dataclass(frozen=True, slots=True)
class BookRead:
    """A book at a moment."""

    token_id: str
    condition_id: str
    outcome: str | None
    state: str
    reason: str | None
    epoch: int
    sequence: int
    bids: list[tuple[Decimal, Decimal]]
    """Price and size of each level, best first."""
    asks: list[tuple[Decimal, Decimal]]

    @property
    def is_live(self) -> bool:
        """Whether it may be traded on."""
        return self.state == "live"


class BooksRead(Mapping[str, BookRead]):
    """Books at a moment, by token id, in the order in which they were named. Those of one
    market were read together."""

    def __init__(self) -> None:
        self._books: dict[str, BookRead] = {}
        self.missing: list[dict[str, Any]] = []
        """What was named and has no book here: `name`, `code`, `message`, `explain`."""

    def __getitem__(self, token_id: str) -> BookRead:
        return self._books[token_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def _add(self, data: Data) -> None:
        self.missing += data["missing"]
        for book in data["books"]:
            sides = (
                [(Decimal(price), Decimal(size)) for price, size in book[side]]
                for side in ("bids", "asks")
            )
            self._books[book["token_id"]] = BookRead(
                book["token_id"], book["condition_id"], book["outcome"], book["state"],
                book["reason"], book["epoch"], book["sequence"], *sides,
            )


_T = TypeVar("_T")


class Found(Generic[_T]):
    """A list, of which the next page is asked for when it is needed: an asynchronous
    iterator.

    Most orders move, and the server keeps the order of a moment for about a minute. Where
    that is over before the list is read to its end, it is begun again in the order of
    another moment: nothing comes twice, and `begun_again` counts it.
    """

    def __init__(
        self,
        ask: Callable[[dict[str, str]], Any],
        key: str,
        query: dict[str, str],
        read: Callable[[dict[str, Any]], _T],
        name: str,
    ) -> None:
        self.matched: int | None = None
        """How many match; `None` before the first page."""
        self.unfollowed: int | None = None
        """How many match and are left out, since their books are not kept."""
        self.unknown_tags: list[str] = []
        """Tags that were asked for and that nothing has: misspelt, perhaps."""
        self.complete: bool | None = None
        """Whether the server has read the venue's listing to its end."""
        self.begun_again = 0
        self._ask = ask
        self._key = key
        self._query = query
        self._read = read
        self._name = name
        self._items = self._run()

    def __aiter__(self) -> AsyncIterator[_T]:
        return self._items

    async def all(self) -> list[_T]:
        """All that are left."""
        return [item async for item in self]

    async def first(self, most: int) -> list[_T]:
        """The next ones, at most so many."""
        arguments.number("most", most)
        items: list[_T] = []
        while len(items) < most:
            try:
                items.append(await anext(self._items))
            except StopAsyncIteration:
                break
        return items

    async def _run(self) -> AsyncIterator[_T]:
        given: set[str] = set()
        cursor: str | None = None
        while True:
            query = self._query if cursor is None else {**self._query, "cursor": cursor}
            try:
                page = await self._ask(query)
            except ReadError as error:
                if error.kind != "moment_expired":
                    raise
                self.begun_again += 1
                if self.begun_again >= _MOST_BEGUN:
                    raise
                _LOG.info("%s: the order's moment is over: begun again", self._key)
                cursor = None
                continue
            self.matched, self.unfollowed = page["matched"], page["unfollowed"]
            self.unknown_tags = page.get("unknown_tags", [])
            self.complete = page.get("complete")
            for item in page[self._key]:
                if item[self._name] not in given:
                    given.add(item[self._name])
                    yield self._read(item)
            cursor = page["next_cursor"]
            if cursor is None:
                return


class Client:
    """Asks a server at `http://HOST:PORT`. A context manager that closes its connections.

    `token` is a bearer token. A client is of the event loop in which it first asks.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        url = arguments.text("url", url).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url}: must be http://HOST:PORT")
        self._url = url
        self._token = None if token is None else arguments.text("token", token)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def __aenter__(self) -> Client:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. The client asks nothing any more."""
        self._is_closed = True
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this client is closed: make another one, or ask within its `async with`")

    def find(
        self,
        words: str | None = None,
        *,
        sort: Sort | None = None,
        tops: bool = False,
        state: State | None = None,
        page: int | None = None,
        **filters: Unpack[Filters],
    ) -> Found[Market]:
        """The markets with these words in question, event or slug; the beginning of each
        word is enough. `tops` brings the best prices of their tokens; with `state` only those
        come of which a book stands so."""
        query = _query(words, sort, page, filters)
        if state is not None:
            query["state"] = quote(arguments.text("state", state), safe="")
        if arguments.flag("tops", tops):
            query["tops"] = "true"
        return Found(self._asking("/v1/markets"), "markets", query, _market, "condition_id")

    async def market(self, name: str) -> Market | None:
        """A market by condition id or slug, with its best prices; `None` if nobody knows it."""
        name = quote(arguments.text("name", name), safe="")
        data = await self._known(f"/v1/markets/{name}", {"tops": "true"})
        return None if data is None else _market(data)

    def events(
        self,
        words: str | None = None,
        *,
        sort: Sort | None = None,
        page: int | None = None,
        **filters: Unpack[Filters],
    ) -> Found[ListedEvent]:
        """The events that have a market with these words."""
        query = _query(words, sort, page, filters)
        return Found(self._asking("/v1/events"), "events", query, _event, "slug")

    async def event(self, slug: str) -> ListedEvent | None:
        """An event with all its markets and their best prices; `None` if nobody knows it."""
        data = await self._known(f"/v1/events/{quote(arguments.text('slug', slug), safe='')}", {})
        return None if data is None else _event(data)

    async def books(
        self,
        *,
        tokens: Sequence[str] = (),
        markets: Sequence[str] = (),
        events: Sequence[str] = (),
        depth: int | None = None,
    ) -> BooksRead:
        """Books at a moment: of token ids, of markets by condition id or slug, of events."""
        given = {"tokens": tokens, "markets": markets, "events": events}
        lists = {name: arguments.texts(name, value) for name, value in given.items()}
        tokens, markets, events = lists["tokens"], lists["markets"], lists["events"]
        own = max(_MOST_TOKENS - len(markets) - len(events), 0)
        parts = [{**lists, "tokens": tokens[:own]}]
        rest = range(own, len(tokens), _MOST_TOKENS)
        parts += [{"tokens": tokens[at : at + _MOST_TOKENS]} for at in rest]
        read = BooksRead()
        for part in parts:
            body: dict[str, Any] = {name: list(value) for name, value in part.items() if value}
            if depth is not None:
                body["depth"] = arguments.number("depth", depth)
            read._add(await self._ask("POST", "/v1/books", {}, body))
        return read

    async def tops(
        self, words: str | None = None, **filters: Unpack[Filters]
    ) -> Tops:
        """The best prices of all markets whose books are kept, or of those with these words.
        Others have none: `followed` may be `True` alone."""
        if filters.get("followed") not in (None, True):
            raise ValueError(
                f"followed={filters['followed']!r}: best prices are of what is followed, leave "
                "it out; find() has what is not"
            )
        query = _query(words, None, None, filters)
        query.pop("followed", None)
        data = await self._ask("GET", "/v1/tops", query)
        columns = data["columns"]
        rows = (_named(columns["market"], row) for row in data["rows"])
        tops = Tops(
            MarketTops(
                row["condition_id"],
                row["slug"],
                tuple(_token_top(_named(columns["top"], top)) for top in row["tops"]),
            )
            for row in rows
        )
        tops.unknown_tags = data.get("unknown_tags", [])
        return tops

    def _asking(self, path: str) -> Callable[[dict[str, str]], Any]:
        return lambda query: self._ask("GET", path, query)

    async def _known(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        try:
            return await self._ask("GET", path, query)
        except ReadError as error:
            if error.kind in ("unknown_market", "unknown_event"):
                return None
            raise

    async def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            import aiohttp
            from yarl import URL
        except ImportError as error:
            raise ImportError("reads need aiohttp: pip install 'polypy-client[aiohttp]'") from error
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is not loop:
            raise RuntimeError(
                "this client has asked in another event loop: make one in each asyncio.run()"
            )
        self._loop = loop
        if self._session is None:
            headers = {"Accept": "application/json"}
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token}"
            timeout = aiohttp.ClientTimeout(total=_PATIENCE)
            self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        text = "&".join(f"{name}={value}" for name, value in query.items())
        url = URL(f"{self._url}{path}" + (f"?{text}" if text else ""), encoded=True)
        try:
            async with self._session.request(method, url, json=body) as response:
                answer = await response.read()
                retry = response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError) as error:
            cause = str(error) or f"nothing came for {_PATIENCE:.0f} s"
            raise ReadError(f"no answer: {cause}") from error
        if response.status >= 400:
            raise _problem(response.status, answer, retry)
        data: dict[str, Any] = json.loads(answer)
        return data


def _problem(status: int, body: bytes, retry: str | None) -> ReadError:
    try:
        said = json.loads(body)
        text = said["error"]
    except (ValueError, KeyError, TypeError):
        said, text = {}, f"the server answered {status}"
    if status == 401:
        text = "the server wants a token, or another one (401)"
    kind = said.get("type") or ""
    return ReadError(
        text,
        status=status,
        kind=kind.removeprefix(_PROBLEM) if kind.startswith(_PROBLEM) else None,
        parameter=said.get("parameter"),
        explain=said.get("explain"),
        retry=float(retry) if retry and retry.isdigit() else None,
    )


def _query(
    words: str | None, sort: str | None, page: int | None, filters: Mapping[str, Any]
) -> dict[str, str]:
    """The parameters of an address, with their values as they stand there."""
    unknown = sorted(filters.keys() - Filters.__annotations__.keys())
    if unknown:
        known = ", ".join(Filters.__annotations__)
        raise TypeError(f"no filter {', '.join(unknown)}: there are {known}")
    query: dict[str, str] = {}
    if words is not None:
        query["q"] = quote(arguments.text("words", words), safe="")
    for name, value in filters.items():
        if value is not None:
            query[name] = _value(name, value)
    if sort is not None:
        query["sort"] = quote(arguments.text("sort", sort), safe="")
    if page is not None:
        if not 1 <= arguments.number("page", page) <= _MOST_PAGE:
            raise ValueError(f"page has to be 1 to {_MOST_PAGE}, not {page}")
        query["limit"] = str(page)
    return query


_LISTS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "exclude_")
    for name in ("tags", "categories", "events", "slugs", "ids", "text")
)


def _value(name: str, value: Any) -> str:
    """A filter as it stands in an address."""
    if name in _LISTS:
        return ",".join(quote(_one(name, one), safe="") for one in arguments.texts(name, value))
    if name in ("ends_after", "ends_before"):
        return quote(_bound(name, value), safe="")
    if name.startswith("min_"):
        return quote(_dollars(name, value), safe="")
    if name in ("neg_risk", "followed"):
        if isinstance(value, bool):
            return "true" if value else "false"
        if value != "any" or name != "followed":
            wanted = "True, False or 'any'" if name == "followed" else "True or False"
            raise TypeError(f"{name} has to be {wanted}, not {value!r}")
    return quote(arguments.text(name, value), safe="")


def _one(name: str, value: str) -> str:
    """One value of a list, which the server would take for several if it had commas."""
    if "," in value:
        parts = [part.strip() for part in value.split(",")]
        raise ValueError(f"{name}: {value!r} has a comma, give each on its own: {parts!r}")
    return value


def _dollars(name: str, value: Dollars) -> str:
    """In plain digits, which is how the server reads them."""
    match value:
        case str():
            return value
        case float():
            exact = Decimal(repr(value))
        case int() | Decimal() if not isinstance(value, bool):
            exact = Decimal(value)
        case _:
            raise TypeError(f"{name} has to be a number of dollars, not {value!r}")
    if not exact.is_finite():
        raise ValueError(f"{name} has to be a number of dollars, not {value!r}")
    return format(exact, "f")


def _bound(name: str, bound: Bound) -> str:
    match bound:
        case str():
            return bound
        case timedelta() if bound < timedelta(0):
            raise ValueError(f"{name}: {bound} is before now: give a date or a datetime")
        case timedelta():
            return f"{round(bound.total_seconds() / 60)}m"
        case datetime() if bound.tzinfo is None:
            raise ValueError(f"{name}: {bound}: of which time zone? timezone.utc, for one")
        case datetime():
            moment = bound.astimezone(timezone.utc).replace(tzinfo=None)
            return f"{moment.isoformat(timespec='milliseconds')}Z"
        case date():
            return bound.isoformat()
    raise TypeError(
        f"{name} has to be a date, a datetime, a timedelta or a text such as '7d', not {bound!r}"
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)


def _named(columns: list[str], row: list[Any]) -> dict[str, Any]:
    return dict(zip(columns, row, strict=True))


def _top(data: Data) -> Top:
    return Top(
        data["state"], data["reason"], _decimal(data["best_bid"]), _decimal(data["best_bid_size"]),
        _decimal(data["best_ask"]), _decimal(data["best_ask_size"]), data["ts_event_ms"],
        data["epoch"], data["sequence"], data["revision"],
    )


def _token_top(data: Data) -> Token:
    return Token(data["token_id"], data["outcome"], _top(data))


def _market(data: dict[str, Any]) -> Market:
    event = data["event"] or {}
    tokens = (
        Token(token["token_id"], token["outcome"], _top(top) if (top := token.get("top")) else None)
        for token in data["tokens"]
    )
    tags = data["tags"]
    return Market(
        condition_id=data["condition_id"],
        slug=data["slug"],
        question=data["question"],
        event_slug=event.get("slug"),
        event_title=event.get("title"),
        group_title=data["group_title"],
        tags=None if tags is None else tuple(tag["slug"] or tag["label"] for tag in tags),
        status=data["status"],
        followed=data["followed"],
        not_followed=data["not_followed"],
        volume=_decimal(data["volume"]),
        volume_day=_decimal(data["volume_day"]),
        liquidity=_decimal(data["liquidity"]),
        end=_moment(data["end_ms"]),
        neg_risk=data["neg_risk"],
        tick_size=_decimal(data["tick_size"]),
        winner=(data["resolution"] or {}).get("winner"),
        tokens=tuple(tokens),
        data=data,
    )


def _event(data: dict[str, Any]) -> ListedEvent:
    return ListedEvent(
        slug=data["slug"],
        title=data["title"],
        neg_risk=data["neg_risk"],
        neg_risk_augmented=data["neg_risk_augmented"],
        market_count=data["market_count"],
        followed_count=data["followed_count"],
        volume=_decimal(data["volume"]),
        volume_day=_decimal(data["volume_day"]),
        liquidity=_decimal(data["liquidity"]),
        end=_moment(data["end_ms"]),
        markets=tuple(_market(market) for market in data.get("markets", ())),
        sum_best_bid=_decimal(data.get("sum_best_bid")),
        sum_best_ask=_decimal(data.get("sum_best_ask")),
        data=data,
    )
