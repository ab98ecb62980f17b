"""Every public field of the table is served, in every form."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.fields import CANDLE_FIELDS
from homma.rendered import page
from homma.serve.http.api import ARROW
from homma.serve.http.app import Server
from homma.serve.http.openapi import document
from tests.support.candle_records import RecordSequence
from tests.support.serving import get_candles, make_server, open_stream, running, with_candles

PUBLIC = [field.json for field in CANDLE_FIELDS if field.public]
#: The start comes first, and once more in seconds.
JSON = [PUBLIC[0], "time", *PUBLIC[1:]]


@pytest.fixture(scope="module")
def server() -> Server:
    return with_candles(make_server())


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    with running(server) as url:
        yield url


def test_the_tick_count_follows_the_volume() -> None:
    assert PUBLIC[0] == "dateTime"
    assert PUBLIC[PUBLIC.index("volume") + 1] == "tickCount"


def test_json_has_the_public_fields(address: str) -> None:
    for filters in ({}, {"fill": "previous"}):
        candles = get_candles(address, limit=30, **filters)
        assert all(list(candle) == JSON for candle in candles)
    overview = httpx.get(f"{address}/api/overview", params={"closes": 0}).json()
    assert list(overview["series"][0]["candle"]) == JSON


def test_arrow_has_the_public_fields(address: str) -> None:
    query = {"source": "S", "symbol": "A", "interval": "m1"}
    answer = httpx.get(f"{address}/api/candles", params=query, headers={"accept": ARROW})
    frame = pl.read_ipc_stream(io.BytesIO(answer.content))
    assert frame.columns == PUBLIC
    dtypes = {f.json: f.dtype for f in CANDLE_FIELDS if f.public and f.kind != "instant"}
    assert {name: frame.schema[name] for name in dtypes} == dtypes
    assert frame["tickCount"].to_list() == frame["volume"].to_list()


def test_arrow_without_candles_has_the_same_columns(address: str) -> None:
    query = {"source": "S", "symbol": "A", "interval": "m1", "from": "2001-01-01"}
    answer = httpx.get(
        f"{address}/api/candles", params={**query, "to": "2001-01-02"}, headers={"accept": ARROW}
    )
    frame = pl.read_ipc_stream(io.BytesIO(answer.content))
    assert (frame.columns, frame.height) == (PUBLIC, 0)


def test_openapi_describes_the_public_fields() -> None:
    schemas = document("1.2.3", DEFAULT_CALENDAR, token=False)["components"]["schemas"]
    assert list(schemas["Candle"]["properties"]) == JSON
    assert schemas["Candle"]["required"] == JSON
    assert list(schemas["Update"]["properties"]) == ["source", "symbol", "interval", *JSON]
    nullable = {
        name for name, schema in schemas["Candle"]["properties"].items() if "null" in schema["type"]
    }
    assert nullable == {"turnover", "isFinal", "revision"}


def test_the_stream_has_the_public_fields(address: str, server: Server) -> None:
    with open_stream(address) as stream:
        change = server.market.live.add("m1", RecordSequence().record(symbol="B"))
        assert change is not None
        server.streams.events.add_change("m1", change)
        server.streams.notify()
        event = stream.until("candle", symbol="B")
    assert list(event.data) == ["source", "symbol", "interval", *JSON]


def test_the_pages_type_has_the_public_fields() -> None:
    module = page.fields()
    properties = [line.split() for line in module.splitlines() if line.startswith("  readonly ")]
    assert [words[1].rstrip(":") for words in properties] == JSON
    names = ", ".join(f'"{name}"' for name in PUBLIC)
    assert f"export const FIELDS = [{names}] as const;" in module


@pytest.mark.parametrize("absent", [..., None])
def test_a_record_without_a_tick_count_has_that_of_its_volume(absent: Any) -> None:
    server = make_server()
    server.market.live.add("m1", RecordSequence().record(volume=7, tickCount=absent))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        [candle] = get_candles(address)
    assert (candle["volume"], candle["tickCount"]) == (7, 7)


def test_the_tick_count_need_not_be_the_volume() -> None:
    server = make_server()
    server.market.live.add("m1", RecordSequence().record(volume=7, tickCount=5))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        [candle] = get_candles(address)
    assert (candle["volume"], candle["tickCount"]) == (7, 5)
