"""A server with other intervals than the default ones: nothing knows any interval by heart."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.serve.http.app import Server
from homma.serve.http.parameters import default_interval
from tests.support.candle_records import RecordSequence
from tests.support.serving import get_candles, make_server, open_stream, running, with_candles

CODES = ["s1", "m20", "h2", "D1"]
CALENDAR = calendar_of(CODES)
SECONDS = [f"2025-03-20T14:31:0{n}.000" for n in range(5)]


@pytest.fixture(scope="module")
def server() -> Server:
    server, records = make_server(calendar=CALENDAR), RecordSequence()
    for n, start in enumerate(SECONDS):
        server.market.live.add("s1", records.record(start, close=float(n)))
    for code, start in (("m20", "14:20"), ("h2", "14:00"), ("D1", "00:00")):
        server.market.live.add(code, records.record(f"2025-03-20T{start}:00.000"))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    return server


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    with running(server) as url:
        yield url


def get(address: str, path: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{address}{path}", params=query)


def test_the_intervals_are_those_of_the_calendar(address: str) -> None:
    assert get(address, "/api/intervals").json() == [
        {"code": "s1", "name": "1sec"},
        {"code": "m20", "name": "20min"},
        {"code": "h2", "name": "2hour"},
        {"code": "D1", "name": "1day"},
    ]
    assert [c["dateTime"][11:19] for c in get_candles(address, interval="s1", limit=2)] == [
        "14:31:03",
        "14:31:04",
    ]
    assert [len(get_candles(address, interval=code)) for code in CODES] == [5, 1, 1, 1]
    span: dict[str, Any] = {"from": 1742481061, "to": 1742481062}
    [second] = get_candles(address, interval="s1", **span)
    assert (second["time"], second["close"]) == (1742481061, 1.0)


def test_an_interval_that_was_not_chosen_is_refused(address: str) -> None:
    answer = get(address, "/api/candles", source="S", symbol="A", interval="m1")
    assert (answer.status_code, answer.json()["parameter"]) == (400, "interval")
    assert answer.json()["detail"].endswith("expected one of s1 m20 h2 D1")


def test_without_one_minute_the_finest_interval_is_the_default(address: str) -> None:
    assert get(address, "/api/overview").json()["interval"] == "s1"
    calendars = [CALENDAR, DEFAULT_CALENDAR, calendar_of(["s1", "m1"]), calendar_of(["M1"])]
    assert [default_interval(c).code for c in calendars] == ["s1", "m1", "m1", "M1"]


def test_gaps_of_seconds_are_filled() -> None:
    server, records = make_server(calendar=CALENDAR), RecordSequence()
    for n in (0, 3):
        server.market.live.add("s1", records.record(SECONDS[n], close=float(n + 1)))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        filled = get_candles(address, interval="s1", fill="previous")
    assert [(c["close"], c["tickCount"]) for c in filled] == [
        (1.0, 3),
        (1.0, 0),
        (1.0, 0),
        (4.0, 3),
    ]


def test_openapi_lists_the_calendars_intervals(address: str) -> None:
    document = get(address, "/api/openapi.json").json()
    assert document["components"]["schemas"]["Interval"]["properties"]["code"]["enum"] == CODES
    enums = {
        (path, row["name"]): row["schema"]["enum"]
        for path, operations in document["paths"].items()
        for row in operations.get("get", {}).get("parameters", [])
        if row["name"] in ("interval", "resolution")
    }
    assert enums == {
        ("/api/candles", "interval"): CODES,
        ("/api/overview", "interval"): CODES,
        ("/api/live", "interval"): CODES,
        ("/udf/history", "resolution"): ["1S", "20", "120", "1D", "D"],
    }


def test_the_live_stream_has_the_intervals(address: str, server: Server) -> None:
    with (
        open_stream(address) as finest,
        open_stream(address, interval="h2") as hours,
    ):
        record = RecordSequence().record("2025-03-20T14:31:09.000", symbol="B", close=7.0)
        for code in ("s1", "h2"):
            change = server.market.live.add(code, record)
            assert change is not None
            server.streams.events.add_change(code, change)
        server.streams.notify()
        event = finest.until("candle", symbol="B")
        assert (event.data["interval"], event.data["tickCount"]) == ("s1", 3)
        assert event.data["dateTime"] == "2025-03-20T14:31:09.000Z"
        assert hours.until("candle", symbol="B").data["interval"] == "h2"


def test_udf_has_the_calendars_resolutions(address: str) -> None:
    resolutions = ["1S", "20", "120", "1D"]
    assert get(address, "/udf/config").json()["supported_resolutions"] == resolutions
    symbol = get(address, "/udf/symbols", symbol="S:A").json()
    assert symbol["supported_resolutions"] == resolutions
    assert {name: symbol[name] for name in symbol if name.startswith("has_")} == {
        "has_seconds": True,
        "has_intraday": True,
        "has_daily": True,
        "has_weekly_and_monthly": False,
    }
    multipliers = {name: symbol[name] for name in symbol if name.endswith("_multipliers")}
    assert multipliers == {
        "seconds_multipliers": ["1"],
        "intraday_multipliers": ["20", "120"],
        "daily_multipliers": ["1"],
        "weekly_multipliers": [],
        "monthly_multipliers": [],
    }


def test_udf_has_no_seconds_by_default() -> None:
    with running(with_candles(make_server())) as address:
        symbol = get(address, "/udf/symbols", symbol="S:A").json()
    assert "has_seconds" not in symbol
    assert symbol["intraday_multipliers"] == ["1", "5", "10", "15", "30", "60", "180", "240"]
    names = ("has_intraday", "has_daily", "has_weekly_and_monthly")
    assert [symbol[name] for name in names] == [True] * 3
    for name in ("daily", "weekly", "monthly"):
        assert symbol[f"{name}_multipliers"] == ["1"]


def test_udf_history_of_seconds(address: str) -> None:
    query: dict[str, Any] = {"symbol": "S:A", "from": 1742481060, "to": 1742481063}
    bars = get(address, "/udf/history", resolution="1S", **query).json()
    assert (bars["t"], bars["c"]) == ([1742481060, 1742481061, 1742481062], [0.0, 1.0, 2.0])
    day: dict[str, Any] = {"symbol": "S:A", "from": 1742428800, "to": 1742515200}
    for resolution in ("20", "120", "1D", "D"):
        assert get(address, "/udf/history", resolution=resolution, **day).json()["s"] == "ok"
    for resolution in ("1", "1W", "W", "2S"):
        answer = get(address, "/udf/history", resolution=resolution, **day)
        assert (answer.status_code, answer.json()["s"]) == (400, "error")
