"""Older candles from a real lake, joined with the newest: no gaps, no duplicates."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import polars as pl

from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.table import Lake
from homma.metrics import SERVE, Metrics
from homma.serve.http.app import Server
from homma.serve.lake import LakeReader
from homma.serve.lake_client import LakeClient
from tests.support.candle_records import RecordSequence, trades
from tests.support.candle_rows import MINUTES, candle
from tests.support.candle_rows import candles as rows
from tests.support.engines import Feed, flow
from tests.support.pipeline import Pipeline
from tests.support.serving import candle_topics, get_candles, make_server, running, wait_until_ready
from tests.support.sinks import Sinks
from tests.support.waiting import until

START = datetime(2025, 3, 20, 12, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def landed(lake: dict[str, str], namespace: str, minutes: range) -> None:
    table = Lake(lake, namespace).ensure_table(MINUTES)
    candle_rows = [candle("A", at(n), final=True, close=float(n)) for n in minutes]
    table.commit(table.upload(rows(*candle_rows)))


def server(lake: dict[str, str], namespace: str, minutes: range) -> Server:
    """A server with these minutes of S:A in memory."""
    serving = make_server(
        LakeClient(lambda: LakeReader(Lake(lake, namespace)), Metrics(SERVE)), keep_candles=10
    )
    records = RecordSequence()
    for n in minutes:
        start = at(n).isoformat()[:19] + ".000"
        serving.market.live.add("m1", records.record(start, close=float(n)))
    serving.market.live.mark_backfilled()
    serving.market.is_ready = True
    return serving


def closes(address: str, **query: object) -> list[float]:
    return [candle_json["close"] for candle_json in get_candles(address, **query)]  # type: ignore[arg-type]


def test_memory_and_lake_are_merged(lake: dict[str, str], namespace: str) -> None:
    landed(lake, namespace, range(60))
    serving = server(lake, namespace, range(50, 65))
    with running(serving) as address:
        for _ in range(2):
            assert closes(address) == [float(n) for n in range(65)]
            assert closes(address, limit=12) == [float(n) for n in range(53, 65)]
            assert closes(address, limit=5, to=at(40).isoformat()[:19]) == [
                float(n) for n in range(35, 40)
            ]
            around = {"from": at(45).isoformat()[:19], "to": at(63).isoformat()[:19]}
            assert closes(address, **around) == [float(n) for n in range(45, 63)]
            assert closes(address, **{"from": at(-9).isoformat()[:19]}, limit=4) == [0, 1, 2, 3]
        # A symbol that only the lake could have.
        assert closes(address, symbol="Z") == []


def test_the_exact_sizes_of_trades_have_one_text(lake: dict[str, str], namespace: str) -> None:
    sizes = ["0.1", "12.5", "3", "0", "0.000000000001", "12345678901234567890123456.123456789012"]
    table, turnover = Lake(lake, namespace).ensure_table(MINUTES), Decimal("-1.50")
    candle_rows = [
        candle(at=at(n), final=True, traded_volume=Decimal(size), turnover=turnover)
        for n, size in enumerate(sizes)
    ]
    table.commit(table.upload(rows(*candle_rows)))
    serving = server(lake, namespace, range(0))
    for minute, size in ((8, sizes[-1]), (9, sizes[0])):
        start = at(minute).isoformat()[:19] + ".000"
        record = RecordSequence().record(start, symbol="AAA", tickCount=1, **trades(size, "-1.5"))
        serving.market.live.add("m1", record)
    with running(serving) as address:
        query = {"source": "S", "symbol": "AAA", "interval": "m1"}
        for _ in ("from the lake", "from memory"):
            answer = httpx.get(f"{address}/api/candles", params=query).text
            candles = json.loads(answer, parse_float=str, parse_int=str)["candles"]
            assert [c["volume"] for c in candles] == [*sizes, sizes[-1], sizes[0]]
            assert {(c["turnover"], c["tickCount"]) for c in candles} == {("-1.5", "1")}


def test_an_unreachable_lake(lake: dict[str, str], namespace: str) -> None:
    unreachable = {**lake, "uri": "http://127.0.0.1:1"}
    with running(server(unreachable, namespace, range(50, 65))) as address:
        assert closes(address) == [float(n) for n in range(50, 65)]


def of_the_engine(pipeline: Pipeline) -> dict[tuple[str, str], list[tuple[str, float, int]]]:
    """The newest records of the topics by interval and symbol, oldest first."""
    start_text = pl.from_epoch("start_us", "us").dt.to_string("%Y-%m-%dT%H:%M:%S.000Z")
    candles = pipeline.candles().with_columns(at=start_text).sort("start_us")
    return {
        (str(code), str(symbol)): list(rows.select("at", "close", "volume").iter_rows())
        for (code, symbol), rows in candles.group_by("interval", "symbol")
    }


def as_served(address: str, interval: str, symbol: str) -> list[tuple[str, float, int]]:
    served = get_candles(address, interval=interval, symbol=symbol, limit=10_000)
    return [(c["dateTime"], c["close"], c["volume"]) for c in served]


def test_all_candles_of_engine_and_sink_are_served(
    sinks: Sinks, lake: dict[str, str], namespace: str
) -> None:
    pipeline = sinks.pipeline
    market = flow(6, 2, step=timedelta(seconds=3))

    def go_on(ticks: int) -> None:
        with Feed(pipeline, list(itertools.islice(market, ticks)), 0) as feed:
            feed.join()
        pipeline.work_off()

    def same(address: str) -> bool:
        expected = of_the_engine(pipeline)
        assert len(expected) == 2 * len(DEFAULT_CALENDAR.codes)
        return all(as_served(address, *which) == rows for which, rows in expected.items())

    past = LakeClient(lambda: LakeReader(Lake(lake, namespace)), Metrics(SERVE))
    go_on(3000)
    sinks.work_off()
    # Memory drops candles of the first part, but none that the lake does not have yet.
    server = make_server(past, candle_topics(pipeline), keep_candles=60)
    with running(server) as address:
        wait_until_ready(address)
        until(lambda: server.market.live.is_backfilled)
        assert same(address)
        minutes = of_the_engine(pipeline)["m1", "SYM0"]
        assert len(minutes) > 60 + server.market.live.keep
        # More ticks and corrections of old candles, before and after the lake has them.
        go_on(800)
        until(lambda: same(address))
        sinks.work_off()
        assert same(address)


def test_a_gap_between_lake_and_memory_is_reported(lake: dict[str, str], namespace: str) -> None:
    landed(lake, namespace, range(10))
    # Memory has a few of the next 100 candles: those between are only in Kafka.
    with running(server(lake, namespace, range(10, 110))) as address:
        query = {"source": "S", "symbol": "A", "interval": "m1"}
        answer = httpx.get(f"{address}/api/candles", params=query, timeout=30).json()
        assert answer["complete"] is False
        assert answer["candles"][-1]["close"] == 109.0
