"""Embedded engine, batch and Flink: equal candles, field by field, in all 11 intervals."""

import json
from collections import Counter
from datetime import timedelta

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.candle import order_key_number, order_key_us
from homma.core.interval import DAY_US, Interval
from homma.core.recompute import END_OF_TIME_US, FROM_FILE, TICKS, EventSpan, Slice, recompute
from homma.core.tick import TickRules, measures
from homma.topics.kafka.reading import Message
from homma.topics.ticks import parse_ticks
from tests.flink.cases import ACCEPTED, MISREAD
from tests.flink.conftest import EngineResults
from tests.support import oracle
from tests.support.oracle import Candle
from tests.support.pipeline import same_candles

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
RULES = TickRules(300_000_000, price="mid")


def of_prefix(candles: pl.DataFrame, prefix: str) -> pl.DataFrame:
    return candles.filter(pl.col("source").str.starts_with(prefix))


def candle_rows(candles: pl.DataFrame, interval: Interval) -> list[Candle]:
    """Rows in the form of golden cases, sorted, without the fields that Flink leaves null."""
    rows = candles.filter(pl.col("interval") == interval.code).sort("source", "symbol", "start_us")

    def text(us: pl.Expr, digits: int) -> pl.Expr:
        return us.cast(pl.Datetime("us")).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.{digits}f")

    return rows.select(
        "source",
        "symbol",
        text(pl.col("start_us"), 3).alias("dateTime"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        pl.col("tick_count").alias("tickCount"),
        text(order_key_us(pl.col("open_order_key")), 6).alias("openDateTime"),
        order_key_number(pl.col("open_order_key")).alias("openNumber"),
        text(order_key_us(pl.col("close_order_key")), 6).alias("closeDateTime"),
        order_key_number(pl.col("close_order_key")).alias("closeNumber"),
    ).to_dicts()


@pytest.mark.parametrize("engine", ["embedded", "candles"])
def test_golden_cases_and_generated_logs(results: EngineResults, engine: str) -> None:
    """The expected candles are the oracle's, as in tests/core/test_golden.py."""
    compared = 0
    for case in results.cases:
        candles = of_prefix(getattr(results, engine), case.prefix)
        by_key = oracle.candles(oracle.counted(case.ticks, timedelta(minutes=10)))
        for interval in DEFAULT_CALENDAR:
            expected = [
                c
                for key, c in by_key.items()
                if key[0] == interval.name and c["source"].startswith(case.prefix)
            ]
            expected.sort(key=lambda c: (c["source"], c["symbol"], c["dateTime"]))
            assert candle_rows(candles, interval) == expected, (case.name, interval.code)
            compared += len(expected)
    assert compared > 500


def without_invalid(candles: pl.DataFrame) -> pl.DataFrame:
    """Candles without the series of invalid records."""
    is_valid_series = pl.col("source").str.contains(r"^[gp]\d+\.") | pl.col(
        "symbol"
    ).str.starts_with("SYM")
    return candles.filter(is_valid_series)


def test_the_invalid_records_that_flink_accepts(results: EngineResults) -> None:
    accepted = {
        case.name
        for prefix, case in results.invalid.items()
        if of_prefix(results.candles, prefix).height
    }
    assert accepted == ACCEPTED
    assert of_prefix(results.embedded, "d")["source"].n_unique() == len(MISREAD)


def test_flink_and_the_embedded_engine_agree_on_everything(results: EngineResults) -> None:
    candles = without_invalid(results.candles)
    assert candles.height > 2_500
    assert set(candles["interval"].unique()) == set(DEFAULT_CALENDAR.codes)
    same_candles(candles, without_invalid(results.embedded))


def test_batch_agrees(results: EngineResults) -> None:
    """`homma verify`, `repair` and `backfill` recompute candles this way."""
    pipeline = results.pipeline
    messages = pipeline.records(pipeline.topics.ticks)
    refused = {_origin(message) for message in pipeline.records(pipeline.topics.late)}
    valid = parse_ticks({0: messages}, RULES)[0].valid
    ticks = (
        valid.filter(~pl.col("offset").is_in([offset for _, offset in refused]))
        .select(
            "source",
            "symbol",
            "event_us",
            "number",
            *measures("mid"),
            pl.lit(FROM_FILE + 1, pl.Int64).alias("partition"),
            "offset",
        )
        .cast(TICKS)
    )
    # The first week began before the epoch.
    span = EventSpan(start_us=-7 * DAY_US)
    candles = pl.concat(recompute([Slice(0, END_OF_TIME_US, ticks)], DEFAULT_CALENDAR, span))
    same_candles(without_invalid(results.candles), without_invalid(candles))


def test_ticks_dropped_as_late_are_the_same(results: EngineResults) -> None:
    late = [p.records(p.topics.late) for p in (results.pipeline, results.flink.pipeline)]
    embedded, flink = (Counter(_origin(message) for message in messages) for messages in late)
    assert flink == embedded
    assert flink.total() > 100
    # Flink writes them again with the same values.
    values = [{_origin(m): oracle.read(m.value()) for m in messages} for messages in late]
    for origin, tick in values[0].items():
        flink_tick = values[1][origin]
        assert isinstance(tick, dict)
        assert isinstance(flink_tick, dict)
        assert {k: v for k, v in tick.items() if v is not None} == {
            k: v for k, v in flink_tick.items() if v is not None
        }


def test_records_meet_the_contract(results: EngineResults) -> None:
    pipeline = results.flink.pipeline
    topics = pipeline.topics.candles
    for message in pipeline.records(topics["m1"], topics["M1"])[:500]:
        candle = json.loads(message.value() or b"")
        key = {name: candle[name] for name in ("source", "symbol", "dateTime")}
        assert json.loads(message.key() or b"") == key
        assert candle["tickCount"] == candle["volume"] > 0
        assert candle["isFinal"] is None
        assert candle["revision"] is None
        assert b" " not in (message.key() or b"").replace(b" a/b", b"")


def _origin(message: Message) -> tuple[int, int]:
    headers = dict(message.headers() or ())
    return int(headers["partition"] or 0), int(headers["offset"] or 0)
