"""`homma verify` on a real pipeline, correct and damaged."""

from pathlib import Path

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE, CODE
from homma.core.recompute import EventSpan
from homma.lake.audit.counted_ticks import SeriesFilter
from tests.support.engines import Feed, market
from tests.support.landing import counts, forge, tamper, verified
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import disturbed, equal_bars, needs_real_ticks, real_ticks
from tests.support.sinks import Sinks

FOUR_MINUTES_US = 240_000_000


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


@needs_real_ticks
@pytest.mark.parametrize("price", ["bid", pytest.param("ask", marks=pytest.mark.stack)])
def test_real_quotes_end_to_end(
    bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path, price: str
) -> None:
    sinks = Sinks(Pipeline(bootstrap), lake, namespace, tmp_path)
    sinks.pipeline.send_frame(disturbed(real_ticks(), FOUR_MINUTES_US, 0.01, seed=3))
    sinks.pipeline.work_off(price=price)
    sinks.work_off()
    report = verified(sinks, price=price, max_ticks=300_000)
    candle_count = sinks.pipeline.candles().height
    assert counts(report) == ({"equal": candle_count}, {"equal": candle_count})
    rows = pl.concat(
        sinks.rows(f"candle_{BY_CODE[code].name}_iceberg").with_columns(interval=pl.lit(code, CODE))
        for code in ("m1", "h1", "D1")
    )
    candles = rows.with_columns(start_us=pl.col("date_time").dt.epoch("us"))
    assert equal_bars(candles, price) == {"minute": 15_857, "hour": 268, "daily": 13}


def run_with_late_ticks(sinks: Sinks) -> None:
    with Feed(sinks.pipeline, market(5, 6_000, 4), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()


def test_candles_without_their_late_ticks_are_wrong(sinks: Sinks) -> None:
    run_with_late_ticks(sinks)
    report = verified(sinks)
    assert report.topic is not None
    late = len(sinks.pipeline.records(sinks.pipeline.topics.late))
    minutes = sum(report.topic.counts.get(("m1", v), 0) for v in ("missing", "different"))
    assert 0 < minutes <= late
    assert report.table.counts == report.topic.counts
    assert report.table.count("extra") == 0
    # In every interval, with examples that show actual and expected values.
    assert {code for code, verdict in report.table.counts if verdict == "different"} == set(
        DEFAULT_CALENDAR.codes
    )
    [example, *_] = report.table.examples["different"]
    assert example["volume"] > example["actual_volume"]
    assert example["tick_count"] == example["volume"]


def test_damaged_candles_are_found(sinks: Sinks) -> None:
    with Feed(sinks.pipeline, market(6, 6_000, 4, noisy=False), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    candles = sinks.pipeline.candles()
    assert counts(verified(sinks)) == ({"equal": candles.height}, {"equal": candles.height})
    # In the topics: some candles are changed, some missing, and one is extra.
    partitions_of_series = [
        m.partition()
        for m in sinks.pipeline.records(sinks.pipeline.topics.candles["M1"])
        if b'"SYM0"' in (m.value() or b"")
    ]
    minutes = candles.filter((pl.col("interval") == "m1") & (pl.col("symbol") == "SYM0"))
    wrong = minutes[2:5].with_columns(high=pl.col("high") + 1, revision=pl.col("revision") + 1)
    alien = minutes[:1].with_columns(start_us=pl.col("start_us") - 86_400_000_000)
    forge(sinks, pl.concat([wrong, alien]), minutes[7:9], partitions_of_series[0] or 0)
    report = verified(sinks)
    expected = {"different": 3, "equal": candles.height - 5, "extra": 1, "missing": 2}
    # The tables are still correct, until the damage is landed.
    assert counts(report) == ({"equal": candles.height}, expected)
    sinks.work_off()
    assert counts(verified(sinks)) == (expected, expected)
    # Damage in the tables only.
    at = pl.col("date_time").dt.epoch("us")
    is_damaged = (pl.col("symbol") == "SYM1") & (at < minutes["start_us"][20])
    dropped = tamper(sinks, "m1", is_damaged)
    changed = tamper(sinks, "m5", is_damaged, low=pl.col("low") - 1)
    report = verified(sinks)
    assert counts(report)[1] == expected
    assert report.table.count("missing") == 2 + dropped
    assert report.table.count("different") == 3 + changed
    assert dropped
    assert changed
    # By series and range.
    assert verified(sinks, series=SeriesFilter("SYM2")).wrong == 0
    only = verified(sinks, series=SeriesFilter("SYM0", "S"), span=EventSpan(minutes["start_us"][5]))
    assert counts(only)[1]["missing"] == 2
    assert "different" not in counts(only)[1]
    assert verified(sinks, topics=False).table.count("missing") == 2 + dropped
