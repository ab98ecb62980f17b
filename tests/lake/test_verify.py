"""`homma verify` on a real pipeline: nothing on a sound one, all that is wrong on a damaged one."""

from pathlib import Path

import polars as pl
import pytest

from homma.core.recompute import EventSpan
from homma.lake.counted_ticks import SeriesFilter
from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import Feed, market
from tests.lake.checking import counts, forge, tamper, verified
from tests.lake.sinks import Sinks
from tests.real_ticks import disturbed, equal_bars, needs_real_ticks, real_ticks

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
    report = verified(sinks, price=price, at_once=300_000)
    made = sinks.pipeline.candles().height
    assert counts(report) == ({"equal": made}, {"equal": made})
    rows = pl.concat(
        sinks.rows(f"candle_{name}_iceberg").with_columns(interval=pl.lit(code, pl.UInt8))
        for code, name in ((0, "1min"), (5, "1hour"), (8, "1day"))
    )
    candles = rows.with_columns(start_us=pl.col("date_time").dt.epoch("us"))
    assert equal_bars(candles, price) == {"minute": 15_857, "hour": 268, "daily": 13}


def late_and_copied(sinks: Sinks) -> None:
    with Feed(sinks.pipeline, market(5, 6_000, 4), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()


def test_late_ticks_are_missed_where_candles_lack_them(sinks: Sinks) -> None:
    late_and_copied(sinks)
    report = verified(sinks)
    assert report.topic is not None
    late = len(sinks.pipeline.records(sinks.pipeline.topics.late))
    minutes = sum(report.topic.counts.get((0, v), 0) for v in ("missing", "different"))
    assert 0 < minutes <= late
    assert report.table.counts == report.topic.counts
    assert report.table.of("extra") == 0
    # In every interval, and each with examples that show what is and what must be.
    assert {code for code, verdict in report.table.counts if verdict == "different"} == set(
        range(11)
    )
    [example, *_] = report.table.examples["different"]
    assert example["volume"] > example["found_volume"]


def test_what_is_damaged_is_found(sinks: Sinks) -> None:
    with Feed(sinks.pipeline, market(6, 6_000, 4, spoiled=False), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    candles = sinks.pipeline.candles()
    assert counts(verified(sinks)) == ({"equal": candles.height}, {"equal": candles.height})
    # In the topics: some are changed, some gone, some should not be.
    its = [
        m.partition()
        for m in sinks.pipeline.records(sinks.pipeline.topics.candles[-1])
        if b'"SYM0"' in (m.value() or b"")
    ]
    minutes = candles.filter((pl.col("interval") == 0) & (pl.col("symbol") == "SYM0"))
    wrong = minutes[2:5].with_columns(high=pl.col("high") + 1, revision=pl.col("revision") + 1)
    alien = minutes[:1].with_columns(start_us=pl.col("start_us") - 86_400_000_000)
    forge(sinks, pl.concat([wrong, alien]), minutes[7:9], its[0] or 0)
    report = verified(sinks)
    wanted = {"different": 3, "equal": candles.height - 5, "extra": 1, "missing": 2}
    # The tables are as they should be, and will not be once this is landed.
    assert counts(report) == ({"equal": candles.height}, wanted)
    sinks.work_off()
    assert counts(verified(sinks)) == (wanted, wanted)
    # In the tables alone.
    at = pl.col("date_time").dt.epoch("us")
    place = (pl.col("symbol") == "SYM1") & (at < minutes["start_us"][20])
    dropped = tamper(sinks, 0, place)
    changed = tamper(sinks, 1, place, low=pl.col("low") - 1)
    report = verified(sinks)
    assert counts(report)[1] == wanted
    assert report.table.of("missing") == 2 + dropped
    assert report.table.of("different") == 3 + changed
    assert dropped
    assert changed
    # By series and range.
    assert verified(sinks, series=SeriesFilter("SYM2")).wrong == 0
    only = verified(sinks, series=SeriesFilter("SYM0", "S"), span=EventSpan(minutes["start_us"][5]))
    assert counts(only)[1]["missing"] == 2
    assert "different" not in counts(only)[1]
    assert verified(sinks, topics=False).table.of("missing") == 2 + dropped
