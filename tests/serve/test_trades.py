"""Candles of trades: exact volumes and turnovers in every form."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import polars as pl
import pytest

from homma.core.decimals import DECIMAL
from homma.serve.http.api import ARROW
from homma.serve.http.app import Server
from tests.support.candle_records import RecordSequence, trades
from tests.support.serving import get_candles, make_server, open_stream, running

#: Volumes and turnovers as records have them, and the text that all readers see.
EXACT = {
    "0.1": "0.1",
    "12.50": "12.5",
    "3": "3",
    "3.000000000000": "3",
    "1E+3": "1000",
    "0": "0",
    "0E-12": "0",
    "-0.0": "0",
    "1E-12": "0.000000000001",
    "0.30000000000000004": None,
    "99999999999999999999999999.123456789012": "99999999999999999999999999.123456789012",
    "-7.250": "-7.25",
    "100000000000000000000000000": None,
    "1E+999999999": None,
    "1E-999999999": None,
}
VALID = {text: read for text, read in EXACT.items() if read is not None}


def minute(n: int) -> str:
    return f"2025-03-20T14:{n:02}:00.000"


def served(*volumes: str, **fields: Any) -> Server:
    """A server with candles of trades of S:A in every other minute, of T:A one of quotes."""
    server, records = make_server(), RecordSequence()
    for n, volume in enumerate(volumes):
        values = {**trades(volume, volume), "close": float(n), **fields}
        server.market.live.add("m1", records.record(minute(2 * n), **values))
    server.market.live.add("m1", records.record(source="T"))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    return server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(served("0.5", "2", "1.25")) as url:
        yield url


def query(**more: str) -> dict[str, str]:
    return {"source": "S", "symbol": "A", "interval": "m1", **more}


def texts(address: str, **more: str) -> list[dict[str, str]]:
    """The candles, with each number as its text."""
    answer = httpx.get(f"{address}/api/candles", params=query(**more))
    candles: list[dict[str, str]] = json.loads(answer.text, parse_float=str, parse_int=str)[
        "candles"
    ]
    return candles


def frame(address: str, **more: str) -> pl.DataFrame:
    answer = httpx.get(f"{address}/api/candles", params=query(**more), headers={"accept": ARROW})
    return pl.read_ipc_stream(io.BytesIO(answer.content))


def test_json_has_exact_numbers_without_exponent_or_trailing_zeros() -> None:
    server = served(*EXACT)
    assert server.market.live.invalid_count() == len(EXACT) - len(VALID)
    with running(server) as address:
        candles = texts(address)
        assert [c["volume"] for c in candles] == list(VALID.values())
        assert [c["turnover"] for c in candles] == list(VALID.values())
        assert {c["tickCount"] for c in candles} == {"3"}
        overview = httpx.get(f"{address}/api/overview").text
        assert '"volume":-7.25,"tickCount":3,"turnover":-7.25' in overview
        [quotes] = get_candles(address, source="T")
        assert (quotes["volume"], quotes["turnover"]) == (3, None)


def test_the_tick_count_stays_a_number_of_ticks() -> None:
    # A volume of 3 from 3 trades.
    with running(served("3.0")) as address:
        assert [c["tickCount"] for c in texts(address)] == ["3"]
        series = httpx.get(f"{address}/api/series").json()["series"]
    assert [row["recentTicks"] for row in series] == [3, 3]


def test_a_candle_of_trades_without_a_tick_count_is_none() -> None:
    assert served("2.5", "2", tickCount=None).market.live.invalid_count() == 2


def test_the_tick_count_decides_between_candles_and_not_the_volume() -> None:
    server, records = make_server(), RecordSequence()
    of_another_engine: dict[str, Any] = {"isFinal": None, "revision": None}
    for volume, count in (("9.5", 2), ("1.5", 3), ("20", 1)):
        fields = {**trades(volume, "1"), "tickCount": count, **of_another_engine}
        server.market.live.add("m1", records.record(**fields))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        assert [c["volume"] for c in texts(address)] == ["1.5"]


def test_candles_without_trades_have_neither_volume_nor_turnover(address: str) -> None:
    filled = texts(address, fill="previous")
    assert [(c["volume"], c["turnover"], c["tickCount"]) for c in filled] == [
        ("0.5", "0.5", "3"),
        ("0", "0", "0"),
        ("2", "2", "3"),
        ("0", "0", "0"),
        ("1.25", "1.25", "3"),
    ]
    until = {"to": "2025-03-20T14:33:00Z", "from": "2025-03-20T14:31:00Z", "fill": "previous"}
    quotes = get_candles(address, source="T", **until)
    assert [(c["volume"], c["turnover"]) for c in quotes] == [(3, None), (0, None)]


def test_arrow_has_decimals_for_trades() -> None:
    with running(served(*VALID)) as address:
        candles = frame(address)
        assert (candles.schema["volume"], candles.schema["turnover"]) == (DECIMAL, DECIMAL)
        assert candles["volume"].to_list() == [Decimal(text) for text in VALID]
        assert candles["turnover"].to_list() == [Decimal(text) for text in VALID]
        assert candles.schema["tickCount"] == pl.Int64
        # Also in a range without candles.
        empty = frame(address, **{"from": "2001-01-01", "to": "2001-01-02"})
        assert (empty.height, empty.schema) == (0, candles.schema)
        filled = frame(address, fill="previous")
        assert filled.schema == candles.schema
        quotes = frame(address, source="T")
        assert quotes.schema["volume"] == pl.Int64
        assert quotes["turnover"].to_list() == [None]


def test_udf_has_volumes_as_doubles(address: str) -> None:
    bars = {"symbol": "S:A", "resolution": "1", "from": "1742472600", "to": "1742482800"}
    assert httpx.get(f"{address}/udf/history", params=bars).json()["v"] == [0.5, 2, 1.25]
    precisions = {
        name: httpx.get(f"{address}/udf/symbols", params={"symbol": name}).json()
        for name in ("S:A", "T:A")
    }
    assert precisions["S:A"]["volume_precision"] == 2
    assert precisions["T:A"]["volume_precision"] == 0
    with running(served("0.1", "1E-12", "12345678901234567890")) as other:
        history = httpx.get(f"{other}/udf/history", params=bars)
        assert '"v":[0.1,1e-12,12345678901234567890]' in history.text
        symbol = httpx.get(f"{other}/udf/symbols", params={"symbol": "S:A"}).json()
        assert symbol["volume_precision"] == 12


@pytest.mark.parametrize(
    ("prices", "scale"), [([-37.63, -40.32], 100), ([0.0, -0.0], 1), ([-1e-7, 0.0], 10**10)]
)
def test_prices_may_be_negative_or_zero(prices: list[float], scale: int) -> None:
    fields = dict.fromkeys(("open", "high", "low"), prices[0])
    server, records = make_server(), RecordSequence()
    for n, price in enumerate(prices):
        values = {**fields, **trades("1", str(price)), "close": price}
        server.market.live.add("m1", records.record(minute(n), **values))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        assert [c["close"] for c in get_candles(address)] == prices
        symbol = httpx.get(f"{address}/udf/symbols", params={"symbol": "S:A"}).json()
        assert symbol["pricescale"] == scale
        bars = {"symbol": "S:A", "resolution": "1", "from": "1742472600", "to": "1742482800"}
        assert httpx.get(f"{address}/udf/history", params=bars).json()["c"] == prices


def test_the_stream_has_exact_numbers() -> None:
    server = served("1")
    with running(server) as address, open_stream(address) as stream:
        record = RecordSequence().record(minute(40), **trades("0.10", "84200.050000000000"))
        change = server.market.live.add("m1", record)
        assert change is not None
        server.streams.events.add_change("m1", change)
        server.streams.notify()
        event = stream.until("candle", dateTime="2025-03-20T14:40:00.000Z")
        assert (event.data["volume"], event.data["turnover"]) == (0.1, 84200.05)
    assert change.text.endswith(  # type: ignore[union-attr]
        b'"volume":0.1,"tickCount":3,"turnover":84200.05,"isFinal":true,"revision":1}'
    )
