"""A copy of homma with a new field serves it, with the intervals of the setting."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from homma.core.calendar import calendar_of
from tests.recipes.installation import AFTER, DAY, Installation, aggregate
from tests.support.pipeline import tick
from tests.support.serving import get_candles, open_stream

RESOLUTIONS = ["5S", "1", "120", "1M"]


@pytest.fixture(scope="module")
def address(upgraded: Installation) -> Iterator[str]:
    """Memory has only the newest candles; the others come from the lake."""
    with upgraded.serving("--keep-candles", "10") as url:
        yield url


def get(address: str, path: str, **query: Any) -> Any:
    answer = httpx.get(f"{address}{path}", params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("code", AFTER)
def test_candles_have_the_field_in_every_interval(address: str, code: str) -> None:
    candles = get_candles(address, symbol="S0", interval=code)
    assert candles
    for candle in candles:
        names = list(candle)
        assert names[names.index("tickCount") + 1] == "ticks2"
        assert candle["ticks2"] == candle["tickCount"]


def test_candles_from_before_the_field_have_it(address: str) -> None:
    candles = get_candles(address, symbol="S0", interval="m1")
    assert candles[0]["dateTime"] == DAY + "12:00:00.000Z"
    assert [candle["ticks2"] for candle in candles] == [1] * 120


def test_openapi_has_the_field_and_the_intervals(address: str) -> None:
    schemas = get(address, "/api/openapi.json")["components"]["schemas"]
    assert schemas["Candle"]["properties"]["ticks2"] == {
        **schemas["Candle"]["properties"]["tickCount"],
        "description": "Number of ticks, again.",
    }
    assert "ticks2" in schemas["Candle"]["required"]
    assert "ticks2" in schemas["Update"]["properties"]
    assert schemas["Interval"]["properties"]["code"]["enum"] == list(AFTER)


def test_udf_has_bars_of_the_intervals(address: str) -> None:
    assert get(address, "/udf/config")["supported_resolutions"] == RESOLUTIONS
    for code, resolution in zip(AFTER, RESOLUTIONS, strict=True):
        query = {"symbol": "S:S0", "resolution": resolution, "from": 0, "to": 4_000_000_000}
        bars = get(address, "/udf/history", **query)
        candles = get_candles(address, symbol="S0", interval=code)
        assert (bars["s"], bars["t"]) == ("ok", [candle["time"] for candle in candles])
        assert bars["v"] == [candle["ticks2"] for candle in candles]


def test_the_stream_has_the_field(installed: Installation) -> None:
    pipeline = installed.pipeline
    pipeline.choose(calendar_of(AFTER))
    pipeline.send(tick(DAY + "12:00:01"))
    aggregate(pipeline, installed.homma_copy)
    with (
        installed.serving("--without-lake") as address,
        open_stream(address, interval="h2") as stream,
    ):
        pipeline.send(tick(DAY + "12:00:02", number=2))
        aggregate(pipeline, installed.homma_copy)
        assert stream.until("candle", ticks2=2).data["tickCount"] == 2
