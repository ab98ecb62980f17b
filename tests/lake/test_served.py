"""Older candles out of a real lake, joined with the newest: no gap, no repeat."""

import itertools
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl

from homma.core.interval import INTERVALS
from homma.lake.schema import CANDLES
from homma.lake.table import Lake
from homma.metrics import SERVE, Metrics
from homma.serve.app import Server
from homma.serve.lake import LakeReader
from homma.serve.lake_client import LakeClient
from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import Feed, flow
from tests.lake.rows import candle
from tests.lake.rows import candles as rows
from tests.lake.sinks import Sinks
from tests.serve.serving import Counting, candles, following, made, ready, running
from tests.stack.waiting import until

START = datetime(2025, 3, 20, 12, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def landed(lake: dict[str, str], namespace: str, minutes: range) -> None:
    table = Lake(lake, namespace).make(CANDLES[0])
    found = [candle("A", at(n), final=True, close=float(n)) for n in minutes]
    table.commit(table.upload(rows(*found)))


def server(lake: dict[str, str], namespace: str, minutes: range) -> Server:
    """One whose memory has these minutes of S:A."""
    found = made(
        LakeClient(lambda: LakeReader(Lake(lake, namespace)), Metrics(SERVE)), keep_candles=10
    )
    records = Counting()
    for n in minutes:
        start = at(n).isoformat()[:19] + ".000"
        found.market.live.add(0, records.record(start, close=float(n)))
    found.market.live.settle()
    found.market.ready = True
    return found


def closes(address: str, **query: object) -> list[float]:
    return [found["close"] for found in candles(address, **query)]  # type: ignore[arg-type]


def test_memory_and_lake_are_one(lake: dict[str, str], namespace: str) -> None:
    landed(lake, namespace, range(60))
    found = server(lake, namespace, range(50, 65))
    with running(found) as address:
        for _ in range(2):
            assert closes(address) == [float(n) for n in range(65)]
            assert closes(address, limit=12) == [float(n) for n in range(53, 65)]
            assert closes(address, limit=5, to=at(40).isoformat()[:19]) == [
                float(n) for n in range(35, 40)
            ]
            around = {"from": at(45).isoformat()[:19], "to": at(63).isoformat()[:19]}
            assert closes(address, **around) == [float(n) for n in range(45, 63)]
            assert closes(address, **{"from": at(-9).isoformat()[:19]}, limit=4) == [0, 1, 2, 3]
        # Of the lake alone.
        assert closes(address, symbol="Z") == []


def test_without_an_answer_from_the_lake(lake: dict[str, str], namespace: str) -> None:
    gone = {**lake, "uri": "http://127.0.0.1:1"}
    with running(server(gone, namespace, range(50, 65))) as address:
        assert closes(address) == [float(n) for n in range(50, 65)]


def of_the_engine(pipeline: Pipeline) -> dict[tuple[str, str], list[tuple[str, float, int]]]:
    """The newest records of the topics: of each interval and symbol, oldest first."""
    shown = pl.from_epoch("start_us", "us").dt.to_string("%Y-%m-%dT%H:%M:%S.000Z")
    found = pipeline.candles().with_columns(at=shown).sort("start_us")
    return {
        (INTERVALS[code].code, symbol): list(one.select("at", "close", "volume").iter_rows())
        for (code, symbol), one in found.group_by("interval", "symbol")
    }


def as_served(address: str, interval: str, symbol: str) -> list[tuple[str, float, int]]:
    found = candles(address, interval=interval, symbol=symbol, limit=10_000)
    return [(c["dateTime"], c["close"], c["volume"]) for c in found]


def test_what_engine_and_sink_make_is_served_whole(
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
        assert len(expected) == 2 * len(INTERVALS)
        return all(as_served(address, *which) == rows for which, rows in expected.items())

    past = LakeClient(lambda: LakeReader(Lake(lake, namespace)), Metrics(SERVE))
    go_on(3000)
    sinks.work_off()
    # Memory forgets some of the first part, and none of what the lake does not have yet.
    server = made(past, following(pipeline), keep_candles=60)
    with running(server) as address:
        ready(address)
        until(lambda: server.market.live.settled)
        assert same(address)
        minutes = of_the_engine(pipeline)["m1", "SYM0"]
        assert len(minutes) > 60 + server.market.live.keep
        # More comes, corrections of old candles too, before the lake has any of it and after.
        go_on(800)
        until(lambda: same(address))
        sinks.work_off()
        assert same(address)


def test_it_is_told_where_the_lake_is_behind_what_was_let_go(
    lake: dict[str, str], namespace: str
) -> None:
    landed(lake, namespace, range(10))
    # Of 100 that came after, memory has a few: what lies between is in Kafka alone.
    with running(server(lake, namespace, range(10, 110))) as address:
        query = {"source": "S", "symbol": "A", "interval": "m1"}
        found = httpx.get(f"{address}/api/candles", params=query, timeout=30).json()
        assert found["complete"] is False
        assert found["candles"][-1]["close"] == 109.0
