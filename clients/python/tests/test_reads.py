"""Reads over real sockets: lists that page by themselves, refusals, data frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast

import pytest

from polypy_client import Client, Market, MarketTops, ReadError, stream, to_frame

Answer = dict[str, Any] | tuple[int, Any]

pytest.importorskip("aiohttp")


def market(number: int) -> dict[str, Any]:
    top = {
        "state": "live", "reason": None, "epoch": 1, "sequence": 7, "revision": 9,
        "ts_event_ms": 1795429799750, "best_bid": "0.489", "best_bid_size": "29.5",
        "best_ask": "0.5025", "best_ask_size": "0.29", "spread": "0.0135", "mid_price": "0.49575",
    }
    return {
        "condition_id": f"0x{number:064x}", "slug": f"market-{number}",
        "question": "Will it rain?", "group_title": None, "category": None,
        "event": {"slug": "rain", "title": "Rain", "neg_risk": False, "neg_risk_augmented": False},
        "tags": [{"slug": "weather", "label": "Weather"}, {"slug": None, "label": "Lisbon"}],
        "status": "open", "followed": True, "not_followed": None, "volume": "1321616.85",
        "volume_day": None, "liquidity": "12.00", "start_ms": None, "start": None,
        "end_ms": 1795429800123, "end": "2026-11-23T10:30:00.123Z", "neg_risk": False,
        "tick_size": "0.001", "min_order_size": "5", "resolution": None, "of_later": {},
        "tokens": [
            {"token_id": f"{number}" * 77, "outcome": "Yes", "top": top},
            {"token_id": f"{number}" * 76, "outcome": "No", "top": None},
        ],
    }


def page(numbers: list[int], following: str | None) -> Answer:
    return {
        "markets": [market(number) for number in numbers], "next_cursor": following,
        "matched": 5, "unfollowed": 12, "listed": 50000, "complete": False, "sort": "volume_day",
    }


def problem(status: int, kind: str) -> Answer:
    return status, {"type": f"urn:polypy:problem:{kind}", "error": f"it is {kind}"}


class Asked:
    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[Any] = []


@asynccontextmanager
async def asked(*answers: Answer) -> AsyncIterator[tuple[Client, Asked]]:
    """A client, of a server that gives these answers in their order."""
    waiting, said = iter(answers), Asked()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line[16:] for line in head.split("\r\n") if line.startswith("Content-Length: ")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b"null"
        said.heads.append(head)
        said.bodies.append(json.loads(body))
        given = next(waiting)
        status, data = given if isinstance(given, tuple) else (200, given)
        text = json.dumps(data).encode()
        writer.write(
            f"HTTP/1.1 {status} So\r\nContent-Length: {len(text)}\r\n"
            f"Retry-After: 3\r\nConnection: close\r\n\r\n".encode() + text
        )
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, Client(f"http://127.0.0.1:{port}/", token="secret") as client:
        yield client, said


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(bounded())


def test_a_list_is_paged_to_its_end() -> None:
    async def work() -> None:
        async with asked(page([1, 2], "c+1"), page([3], None)) as (client, said):
            found = client.find(
                "bitcoin price", tags=["crypto", "a b"], ends_before=timedelta(days=7),
                min_volume_day=1e5, min_volume=Decimal("1E+3"), neg_risk=False, followed="any",
                sort="spread", tops=True, state="live", categories=cast(Any, None),
            )
            before = found.matched
            assert before is None
            markets = await found.all()
            assert [one.slug for one in markets] == ["market-1", "market-2", "market-3"]
            assert (found.matched, found.unfollowed, found.begun_again) == (5, 12, 0)
            assert found.complete is False
            first = markets[0]
            assert first.volume == Decimal("1321616.85") and first.volume_day is None
            assert first.end == datetime(2026, 11, 23, 10, 30, 0, 123000, timezone.utc)
            assert first.tags == ("weather", "Lisbon") and first.event_slug == "rain"
            top = first.tokens[0].top
            assert top is not None and top.is_live and top.spread == Decimal("0.0135")
            assert first.tokens[1].top is None
            query = (
                "q=bitcoin%20price&tags=crypto,a%20b&ends_before=10080m&min_volume_day=100000.0"
                "&min_volume=1000&neg_risk=false&followed=any&sort=spread&state=live&tops=true"
            )
            assert said.heads[0].startswith(f"GET /v1/markets?{query} HTTP/1.1\r\n")
            assert "Authorization: Bearer secret\r\n" in said.heads[0]
            assert said.heads[1].startswith(f"GET /v1/markets?{query}&cursor=c+1 HTTP/1.1\r\n")

    run(work)


def test_a_list_whose_moment_is_over_is_begun_again_and_repeats_nothing() -> None:
    over = problem(410, "moment_expired")

    async def work() -> None:
        answers = [page([1, 2], "a"), over, page([2, 3], "b"), page([1, 4], None)]
        async with asked(*answers) as (client, said):
            found = client.find()
            assert len(await found.first(1)) == 1
            slugs = [one.slug async for one in found]
            assert slugs == ["market-2", "market-3", "market-4"]
            assert found.begun_again == 1
            assert said.heads[2].startswith("GET /v1/markets HTTP")
        async with asked(*[page([1], "a"), over] * 10) as (client, _):
            with pytest.raises(ReadError, match="moment_expired"):
                await client.find().all()

    run(work)


def test_who_is_unknown_is_none_and_other_refusals_say_what_is_wrong() -> None:
    async def work() -> None:
        bad = 400, {"type": "about:blank", "error": "sort: no order", "parameter": "sort"}
        answers: list[Answer] = [
            market(7), problem(404, "unknown_market"), problem(404, "unknown_event"), bad,
            (401, {"error": "no"}), (503, {"error": "busy"}), (404, "<html>"),
        ]
        async with asked(*answers) as (client, said):
            found = await client.market("a/b")
            assert found is not None and found.slug == "market-7"
            assert said.heads[0].startswith("GET /v1/markets/a%2Fb?tops=true HTTP")
            assert await client.market("nobody") is None
            assert await client.event("nobody") is None
            with pytest.raises(ReadError, match="sort: no order") as refused:
                await client.find().all()
            assert (refused.value.status, refused.value.parameter) == (400, "sort")
            with pytest.raises(ReadError, match="wants a token"):
                await client.tops()
            with pytest.raises(ReadError, match="busy") as busy:
                await client.tops()
            assert busy.value.retry == 3.0
            with pytest.raises(ReadError, match="the server answered 404"):
                await client.tops()
        async with Client("http://127.0.0.1:1") as nobody:
            with pytest.raises(ReadError, match="no answer"):
                await nobody.tops()

    run(work)


def tops() -> dict[str, Any]:
    return {
        "columns": {
            "market": ["slug", "tops", "condition_id", "more"],
            "top": [
                "outcome", "token_id", "state", "reason", "best_bid", "best_bid_size", "best_ask",
                "best_ask_size", "ts_event_ms", "epoch", "sequence", "revision", "x",
            ],
        },
        "rows": [
            [None, [
                ["Yes", "1" * 77, "live", None, "0.489", "29.5", "0.5025", "0.29", 5, 1, 7, 9, []],
                ["No", "12", "pending", *[None] * 9, 1],
            ], "0xa", {}],
        ],
    }


def test_columns_of_tops_are_found_by_their_names() -> None:
    async def work() -> None:
        async with asked(tops()) as (client, _):
            [row] = await client.tops()
            assert (row.condition_id, row.slug) == ("0xa", None)
            yes, no = row.tokens
            assert yes.outcome == "Yes" and yes.top is not None and no.top is not None
            assert yes.top.best_ask == Decimal("0.5025")
            assert (no.top.state, no.top.spread) == ("pending", None)
        async with asked({**tops(), "unknown_tags": ["wether"]}, tops()) as (client, said):
            assert (await client.tops(tags=["wether"])).unknown_tags == ["wether"]
            assert not (await client.tops(followed=True)).unknown_tags
            assert said.heads[1].startswith("GET /v1/tops HTTP")
            others: tuple[Any, ...] = (False, "any")
            for followed in others:
                with pytest.raises(ValueError, match="best prices are of what is followed"):
                    await client.tops(followed=followed)

    run(work)


def test_many_books_are_asked_for_in_several_questions() -> None:
    def answer(token: str) -> Answer:
        book = {
            "token_id": token, "condition_id": "0xa", "outcome": "Yes", "state": "live",
            "reason": None, "epoch": 1, "sequence": 7, "bids": [["0.40", "1"]], "asks": [],
        }
        return {"books": [book], "missing": [{"name": "x", "code": "unknown_token"}]}

    async def work() -> None:
        async with asked(answer("1"), answer("2"), answer("3")) as (client, said):
            ids = [str(number) for number in range(1200)]
            books = await client.books(tokens=ids, markets=["m"], depth=5)
            assert list(books) == ["1", "2", "3"] and len(books.missing) == 3
            assert books["1"].bids == [(Decimal("0.40"), Decimal("1"))] and books["1"].is_live
            assert [len(body["tokens"]) for body in said.bodies] == [499, 500, 201]
            assert said.bodies[0]["markets"] == ["m"] and "markets" not in said.bodies[1]
            assert all(body["depth"] == 5 for body in said.bodies)
            frame = to_frame(books)
            assert list(frame["token_id"]) == ["1", "2", "3"]

    run(work)


def test_mistakes_are_named_at_once() -> None:
    client = Client("http://a")
    with pytest.raises(TypeError, match="tags has to be a list"):
        client.find(tags="crypto")
    with pytest.raises(TypeError, match="no filter tag: there are tags"):
        client.find(**{"tag": ["crypto"]})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        client.find(ends_after=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="must be http://"):
        Client("localhost:8080")
    for page in (0, 1_001, -1):
        with pytest.raises(ValueError, match=f"page has to be 1 to 1000, not {page}"):
            client.events(page=page)
    with pytest.raises(ValueError, match=r"tags: 'a, b' has a comma, .*: \['a', 'b'\]"):
        client.find(tags=["crypto", "a, b"])


def test_arguments_of_another_type_are_named_with_what_they_have_to_be() -> None:
    client = Client("http://a")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"tags": 5}, "tags has to be a list of texts, not 5"),
        ({"ids": [7]}, "ids has to have nothing but texts in it, such as '7', not 7"),
        ({"min_volume": True}, "min_volume has to be a number of dollars, not True"),
        ({"min_volume": [1]}, r"min_volume has to be a number of dollars, not \[1\]"),
        ({"ends_after": 7}, "ends_after has to be a date, .* such as '7d', not 7"),
        ({"neg_risk": "yes"}, "neg_risk has to be True or False, not 'yes'"),
        ({"neg_risk": "any"}, "neg_risk has to be True or False, not 'any'"),
        ({"followed": "yes"}, "followed has to be True, False or 'any', not 'yes'"),
        ({"status": 1}, "status has to be a text, not 1"),
        ({"state": 1}, "state has to be a text, not 1"),
        ({"words": 1}, "words has to be a text, not 1"),
        ({"sort": 1}, "sort has to be a text, not 1"),
        ({"page": "5"}, "page has to be a whole number, not '5'"),
        ({"tops": "false"}, "tops has to be True or False, not 'false'"),
    ]
    for arguments, text in wrong:
        with pytest.raises(TypeError, match=f"^{text}$"):
            client.find(**arguments)
    for value in (float("nan"), Decimal("inf")):
        with pytest.raises(ValueError, match="min_volume has to be a number of dollars"):
            client.find(min_volume=value)
    with pytest.raises(ValueError, match="ends_after: .* is before now"):
        client.find(ends_after=timedelta(days=-1))
    odd: Any = 5
    with pytest.raises(TypeError, match="url has to be a text, not 5"):
        Client(odd)
    with pytest.raises(TypeError, match="depth has to be a whole number, not '5'"):
        stream("ws://a", depth=cast(Any, "5"))
    with pytest.raises(TypeError, match="tokens has to have nothing but texts in it"):
        stream("ws://a", tokens=[odd])

    async def work() -> None:
        for call in (client.market(odd), client.event(odd), client.books(tokens=[odd])):
            with pytest.raises(TypeError, match="has to "):
                await call
        with pytest.raises(TypeError, match="most has to be a whole number, not '5'"):
            await client.find().first(cast(Any, "5"))

    run(work)


def test_a_client_that_is_closed_or_of_another_loop_says_so() -> None:
    async def work() -> None:
        async with asked(page([1], None)) as (client, _):
            found = client.find()
        with pytest.raises(RuntimeError, match="this client is closed: make another one"):
            await found.all()
        with pytest.raises(RuntimeError, match="this client is closed"):
            async with client:
                pass
        await client.close()

    run(work)
    clients: list[Client] = []

    async def first() -> None:
        # Left open on purpose, as by who makes one for the whole program.
        async with asked(page([1], None)) as (client, _):
            other = Client(client._url)
            await other.find().all()
            clients.append(other)

    async def second() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await clients[0].tops()
        await clients[0].close()

    run(first)
    run(second)


def test_bounds_are_dates_moments_or_times_from_now() -> None:
    from polypy_client.reads import _bound as bound_of

    def _bound(bound: Any) -> str:
        return bound_of("ends_after", bound)

    lisbon = timezone(timedelta(hours=1))
    moment = datetime(2026, 7, 1, 0, 30, tzinfo=lisbon)
    assert _bound(moment) == "2026-06-30T23:30:00.000Z"
    assert _bound(date(2026, 7, 1)) == "2026-07-01"
    assert _bound(timedelta(hours=12)) == "720m"
    assert _bound("7d") == "7d"


def read_markets() -> list[Market]:
    from polypy_client.reads import _market

    return [_market(market(1)), _market(market(2))]


def read_tops() -> list[MarketTops]:
    rows: list[MarketTops] = []

    async def work() -> None:
        async with asked(tops()) as (client, _):
            rows.extend(await client.tops())

    run(work)
    return rows


def test_frames_of_markets_keep_ids_as_text_and_numbers_right() -> None:
    pytest.importorskip("pandas")
    frame = to_frame(read_markets())
    assert list(frame["token_id"]) == ["1" * 77, "1" * 76, "2" * 77, "2" * 76]
    assert frame["token_id"].dtype == "string"
    first = frame.iloc[0]
    assert (first["best_bid"], first["volume"]) == (Decimal("0.489"), Decimal("1321616.85"))
    assert first["volume_day"] is None and first["spread"] == Decimal("0.0135")
    assert first["end"] == datetime(2026, 11, 23, 10, 30, 0, 123000, timezone.utc)
    assert list(frame["is_live"]) == [True, False, True, False]
    floats = to_frame(read_markets(), numbers="float")
    assert floats["best_ask"].dtype == "float64" and floats["volume_day"].isna().all()
    assert floats.iloc[0]["best_ask"] == 0.5025
    assert dict(to_frame([]).dtypes) == dict(frame.dtypes)


def test_frames_of_tops_have_what_tops_have() -> None:
    pytest.importorskip("pandas")
    frame = to_frame(read_tops(), numbers="float")
    assert "question" not in frame.columns
    assert list(frame["state"]) == ["live", "pending"]
    assert list(frame["token_id"]) == ["1" * 77, "12"]
