"""The API, without Kafka or a lake: the tests add the candles to memory."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.serve.http.api import ARROW
from homma.serve.http.app import Server
from homma.serve.http.openapi import document
from homma.topics.latest import CandleRecord
from tests.support.candle_records import RecordSequence
from tests.support.serving import (
    NOW,
    get_candles,
    make_server,
    open_stream,
    running,
    with_candles,
)


@pytest.fixture(scope="module")
def server() -> Server:
    return with_candles(make_server())


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    with running(server) as url:
        yield url


def get(
    address: str, path: str, headers: dict[str, str] | None = None, **query: Any
) -> httpx.Response:
    return httpx.get(f"{address}{path}", params=query, headers=headers)


# --- candles -----------------------------------------------------------------------------------


def test_candles_are_sorted_oldest_first(address: str) -> None:
    assert [c["close"] for c in get_candles(address, limit=3)] == [117.0, 118.0, 119.0]
    [newest] = get_candles(address, limit=1)
    assert newest == {
        "dateTime": "2025-03-20T13:59:00.000Z",
        "time": 1742479140,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 119.0,
        "volume": 3,
        "tickCount": 3,
        "turnover": None,
        "isFinal": False,
        "revision": 0,
    }


def test_from_is_inclusive_and_to_is_exclusive(address: str) -> None:
    inside: dict[str, Any] = {"from": "2025-03-20T12:10:00Z", "to": "2025-03-20T12:13:00Z"}
    assert [c["close"] for c in get_candles(address, **inside)] == [10.0, 11.0, 12.0]
    assert [c["close"] for c in get_candles(address, **inside, limit=2)] == [10.0, 11.0]
    seconds: dict[str, Any] = {"from": 1742472600, "to": 1742472780}
    assert get_candles(address, **seconds) == get_candles(address, **inside)
    assert [c["close"] for c in get_candles(address, to=inside["to"], limit=2)] == [11.0, 12.0]


def test_fill_repeats_the_last_close_in_a_gap(address: str) -> None:
    around: dict[str, Any] = {"from": "2025-03-20T13:40:00Z", "to": "2025-03-20T13:43:00Z"}
    assert [c["close"] for c in get_candles(address, **around)] == [102.0]
    full = get_candles(address, **around, fill="previous")
    assert [(c["close"], c["volume"]) for c in full] == [(99.0, 0), (99.0, 0), (102.0, 3)]
    # Up to `to`, but not into the future.
    end: dict[str, Any] = {"to": "2025-03-20T14:02:00Z", "limit": 3, "fill": "previous"}
    assert [c["volume"] for c in get_candles(address, **end)] == [3, 0, 0]
    last = get_candles(address, fill="previous", limit=30)
    assert len(last) == 30
    assert last[-1]["close"] == 119.0


def test_only_final_candles(address: str) -> None:
    assert [c["close"] for c in get_candles(address, final="true", limit=2)] == [117.0, 118.0]


def test_later_candles_make_candles_final_if_the_engine_does_not_record_it() -> None:
    server, records = make_server(), RecordSequence()
    unrecorded: dict[str, Any] = {"isFinal": None, "revision": None}
    for n in range(5):
        start = f"2025-03-20T14:3{n}:00.000"
        server.market.live.add("m1", records.record(start, close=float(n), **unrecorded))
    for start in ("2025-03-20T14:25:00.000", "2025-03-20T14:30:00.000"):
        server.market.live.add("m5", records.record(start, **unrecorded))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        assert [c["close"] for c in get_candles(address, final="true")] == [0.0, 1.0, 2.0]
        assert [c["isFinal"] for c in get_candles(address)] == [None] * 5
        [five] = get_candles(address, interval="m5", final="true")
        assert five["dateTime"] == "2025-03-20T14:25:00.000Z"


def test_arrow(address: str) -> None:
    query: dict[str, Any] = {"source": "S", "symbol": "A", "interval": "m1", "limit": 3}
    answer = get(address, "/api/candles", {"accept": ARROW}, **query)
    assert answer.headers["content-type"] == ARROW
    frame = pl.read_ipc_stream(io.BytesIO(answer.content))
    listed = get_candles(address, limit=3)
    assert frame["close"].to_list() == [c["close"] for c in listed]
    assert frame["dateTime"].dt.epoch("s").to_list() == [c["time"] for c in listed]


def test_unchanged_final_candles_are_not_sent_twice(address: str, server: Server) -> None:
    query: dict[str, Any] = {
        "source": "S",
        "symbol": "A",
        "interval": "m1",
        "from": "2025-03-20T12:10:00Z",
        "to": "2025-03-20T12:13:00Z",
    }
    first = get(address, "/api/candles", **query)
    known = {"if-none-match": first.headers["etag"]}
    again = get(address, "/api/candles", known, **query)
    assert (again.status_code, again.content) == (304, b"")
    correction = RecordSequence().record("2025-03-20T12:11:00.000", close=77.0, revision=2)
    changed = server.market.live.add(
        "m1", type(correction)(0, 10**6, 10**6, correction.key, correction.value)
    )
    assert changed is not None
    corrected = get(address, "/api/candles", known, **query)
    assert corrected.status_code == 200
    assert corrected.json()["candles"][1]["close"] == 77.0
    assert "etag" not in get(address, "/api/candles", source="S", symbol="A", interval="m1").headers


def test_overview(address: str) -> None:
    overview = get(address, "/api/overview", interval="h1", closes=2).json()
    assert overview["interval"] == "h1"
    assert [(s["source"], s["symbol"]) for s in overview["series"]] == [("S", "A"), ("T", "A")]
    assert overview["series"][0]["closes"] == [118.0, 119.0]
    assert overview["series"][0]["candle"]["close"] == 119.0
    assert get(address, "/api/overview", closes=0).json()["series"][1]["closes"] == []


def test_the_most_active_series_can_be_told(address: str) -> None:
    series = get(address, "/api/series").json()["series"]
    # The newest candle starts at 14:31, and 27 candles of S start at 13:31 or later.
    assert [(s["symbol"], s["source"], s["recentTicks"]) for s in series] == [
        ("A", "S", 81),
        ("A", "T", 3),
    ]


def test_how_long_a_series_has_been_silent() -> None:
    app, now_ms = make_server(), int(NOW.timestamp() * 1000)
    record = RecordSequence().record()
    for interval, written_ms in (("m1", now_ms - 90_000), ("m1", now_ms - 95_000), ("h1", now_ms)):
        key = f"{record.key!r} {written_ms}".encode()
        app.market.live.add(interval, CandleRecord(0, written_ms, written_ms, key, record.value))
    app.market.is_ready = True
    with running(app) as address:
        for interval in ("m1", "h1"):
            [series] = get(address, "/api/overview", interval=interval).json()["series"]
            assert series["silenceMs"] == 90_000


def test_a_stream_continues_from_an_answer(address: str, server: Server) -> None:
    last_event_id = get(address, "/api/overview").headers["last-event-id"]
    answer = get(address, "/api/candles", source="S", symbol="A", interval="m1")
    assert answer.headers["last-event-id"] == last_event_id
    with open_stream(address, lastEventId=last_event_id) as stream:
        assert not stream.events


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ("source", "symbol=A&interval=m1"),
        ("source", "source=&symbol=A&interval=m1"),
        ("source", "source=%00&symbol=A&interval=m1"),
        ("symbol", f"source=S&symbol={'x' * 65}&interval=m1"),
        ("symbol", "source=S&symbol=A&symbol=B&interval=m1"),
        ("interval", "source=S&symbol=A"),
        ("interval", "source=S&symbol=A&interval=1min"),
        ("from", "source=S&symbol=A&interval=m1&from=yesterday"),
        ("from", "source=S&symbol=A&interval=m1&from=-1"),
        ("from", "source=S&symbol=A&interval=m1&from=99999999999999"),
        ("from", "source=S&symbol=A&interval=m1&from=2025-01-02&to=2025-01-01"),
        ("to", "source=S&symbol=A&interval=m1&to=2025-02-30"),
        ("to", "source=S&symbol=A&interval=m1&to=0001-01-01"),
        ("limit", "source=S&symbol=A&interval=m1&limit=0"),
        ("limit", "source=S&symbol=A&interval=m1&limit=10001"),
        ("limit", "source=S&symbol=A&interval=m1&limit=1e3"),
        ("fill", "source=S&symbol=A&interval=m1&fill=next"),
        ("final", "source=S&symbol=A&interval=m1&final=yes"),
        ("colour", "source=S&symbol=A&interval=m1&colour=red"),
    ],
)
def test_an_invalid_parameter_is_named(address: str, parameter: str, query: str) -> None:
    answer = httpx.get(f"{address}/api/candles?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["parameter"]) == (400, parameter)
    assert problem["detail"]


def test_unknown_series_and_paths_are_not_found(address: str) -> None:
    unknown = get(address, "/api/candles", source="S", symbol="Z", interval="m1")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)
    assert get(address, "/api/nothing").status_code == 404
    assert httpx.post(f"{address}/api/series").status_code == 405
    assert get(address, "/api/live", series="A").json()["parameter"] == "series"
    # A range without candles is no mistake.
    long_ago: dict[str, Any] = {"from": "2001-01-01", "to": "2001-01-02"}
    assert get_candles(address, **long_ago) == []


def test_the_page_is_not_built(tmp_path: Any) -> None:
    with running(make_server(static_dir=tmp_path)) as address:
        answer = get(address, "/")
        assert answer.status_code == 404
        assert "make page" in answer.text
        assert get(address, "/assets/../../app.py").status_code == 404


def test_the_built_page_is_served(tmp_path: Any) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>candles")
    (tmp_path / "assets" / "a-1.js").write_text("1")
    with running(make_server(static_dir=tmp_path)) as address:
        assert get(address, "/").text == "<p>candles"
        assert "immutable" in get(address, "/assets/a-1.js").headers["cache-control"]
        assert get(address, "/assets/b.js").status_code == 404


def test_the_page_to_try_the_api(address: str) -> None:
    for path, kind in (("", "html"), ("/docs.js", "javascript"), ("/docs.css", "css")):
        answer = get(address, f"/api/docs{path}")
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]
        assert "<script>" not in answer.text
    assert get(address, "/api/docs/app.py").status_code == 404
    assert get(address, "/api/openapi.json").json() == document(
        "1.2.3", DEFAULT_CALENDAR, token=False
    )


# --- TradingView -------------------------------------------------------------------------------


def test_udf_lists_resolutions_and_symbols(address: str) -> None:
    config = get(address, "/udf/config").json()
    assert config["supported_resolutions"] == [
        "1",
        "5",
        "10",
        "15",
        "30",
        "60",
        "180",
        "240",
        "1D",
        "1W",
        "1M",
    ]
    symbol = get(address, "/udf/symbols", symbol="T:A").json()
    assert (symbol["ticker"], symbol["pricescale"], symbol["exchange"]) == ("T:A", 100, "T")
    rows = get(address, "/udf/search", query="a", limit=5, exchange="S").json()
    assert [row["ticker"] for row in rows] == ["S:A"]
    assert int(get(address, "/udf/time").text) == 1742515200
    several = get(address, "/udf/symbols", symbol="A")
    assert (several.status_code, several.json()["s"]) == (400, "error")
    assert get(address, "/udf/symbols", symbol="Z").status_code == 404


def test_udf_history(address: str) -> None:
    bars: dict[str, Any] = {"symbol": "S:A", "resolution": "1"}
    day: dict[str, Any] = {"from": 1742472600, "to": 1742472720}
    history = get(address, "/udf/history", **bars, **day).json()
    assert history == {
        "s": "ok",
        "t": [1742472600, 1742472660],
        "o": [1.0, 1.0],
        "h": [2.0, 2.0],
        "l": [0.5, 0.5],
        "c": history["c"],
        "v": [3, 3],
    }
    counted = get(address, "/udf/history", **bars, **day, countback=7).json()
    assert len(counted["t"]) == 7
    assert counted["t"][-1] == 1742472660
    after: dict[str, Any] = {"from": 1742500000, "to": 1742500060}
    later = get(address, "/udf/history", **bars, **after).json()
    assert later == {"s": "no_data", "nextTime": 1742479140}
    long_ago: dict[str, Any] = {"from": 0, "to": 60}
    assert get(address, "/udf/history", **bars, **long_ago).json() == {"s": "no_data"}
    for resolution in ("D", "W", "M", "1D", "240"):
        answer = get(address, "/udf/history", symbol="S:A", resolution=resolution, **day)
        assert answer.json()["s"] == "ok"
    invalid = get(address, "/udf/history", symbol="S:A", resolution="2", **day)
    assert (invalid.status_code, invalid.json()["s"]) == (400, "error")
