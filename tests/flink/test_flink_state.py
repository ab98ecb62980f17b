"""Flink's state: it expires, is restored, and is refused if it belongs to something else."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import MINUTE, MINUTE_US
from homma.errors import StateError
from homma.lake.schema import candle_table
from homma.topics.latest import CandleRecord, LatestCandles
from tests.flink.flinks import TIMEOUT_S, Flink
from tests.support.landed import KEY
from tests.support.landing import counts, verified
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.support.serving import candle_topics, get_candles, make_server, running, wait_until_ready
from tests.support.sinks import Sinks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
DAY = "2025-03-20T"
WATERMARK_DELAY_US = 2_000_000
#: The shortest state retention: a 1-minute candle expires a minute and a second after its last
#: change, and the series' clock a second after its last tick.
SHORT_RETENTION = (
    "--allowed-lateness",
    "1s",
    "--max-future",
    "500ms",
    "--watermark-delay",
    "0s",
    "--state-retention",
    "0s",
    "--dedupe-ttl",
    "1s",
)
EXPIRED_S = 63.0


def volume(flink: Flink, start: str) -> int:
    return int(flink.pipeline.candle("m1", start)["volume"])


def test_a_tick_after_the_state_expired_does_not_replace_a_full_candle(
    bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(bootstrap)
    flink = Flink(pipeline, tmp_path / "home")
    pipeline.send(*(tick(f"{DAY}14:31:{s:02}", float(s + 1), s) for s in range(5)))
    topic = flink.pipeline.topics.candles["m1"]
    with flink.running(*SHORT_RETENTION):
        until(lambda: bool(flink.pipeline.records(topic)), TIMEOUT_S)
        time.sleep(EXPIRED_S)
        # The series has been idle long enough that its clock has expired, too.
        pipeline.send(tick(f"{DAY}14:31:30", 99.0, 30))
        until(lambda: volume(flink, f"{DAY}14:31:00") == 1, TIMEOUT_S)
    # Flink has written a candle of this tick only. Readers keep the larger candle.
    latest = LatestCandles(keep=10)
    for message in flink.pipeline.records(topic):
        latest.add(
            CandleRecord(
                0, message.offset() or 0, message.timestamp()[1], message.key(), message.value()
            )
        )
    [candle] = latest.candles(("S", "AAA"))
    assert (candle.volume, candle.close, candle.is_final) == (5, 5.0, None)
    with Sinks(flink.pipeline, lake, namespace, tmp_path) as sinks:
        sinks.work_off()
        rows = sinks.rows(candle_table(MINUTE).name)
    assert rows.select("volume", "close").rows() == [(5, 5.0)]


@dataclass(frozen=True)
class Resumed:
    """A Flink that was stopped and resumed, and its ticks on three partitions.

    `log` is that of homma since it was resumed.
    """

    flink: Flink
    log: str
    ticks: list[dict[str, Any]]


@pytest.fixture(scope="module")
def resumed(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    pipeline = Pipeline(bootstrap, partitions=3)
    flink = Flink(pipeline, tmp_path_factory.mktemp("resumed"))
    first = [tick(f"{DAY}14:3{n}:10", float(n + 1), n, f"SYM{n % 4}") for n in range(9)]
    pipeline.send(*first)
    flink.run_to_end("--parallelism", "2")
    # Duplicates, and ticks that correct candles already written.
    corrections = [tick(f"{DAY}14:3{n}:20", n + 1.5, n + 100, f"SYM{n % 4}") for n in range(3, 9)]
    pipeline.send(*first[-4:], *corrections)
    stopped = flink.log_text()
    flink.run_to_end("--parallelism", "2", "--delivery", "at-least-once")
    log = flink.log_text().removeprefix(stopped)
    return Resumed(flink, log, [*first, *corrections])


def test_it_resumes_from_its_checkpoint(resumed: Resumed) -> None:
    assert "Flink from the oldest tick in Kafka" not in resumed.log, resumed.log
    assert "starting Flink from file:" in resumed.log, resumed.log
    same_candles(resumed.flink.pipeline.candles(), batch_candles(resumed.ticks))
    # The candles of a series are in several partitions.
    pipeline = resumed.flink.pipeline
    records = [m for topic in pipeline.topics.candles.values() for m in pipeline.records(topic)]
    written = {
        (m.partition(), m.key()) for m in records if m.topic() == pipeline.topics.candles["m1"]
    }
    assert len({partition for partition, key in written if key and b'"SYM0"' in key}) > 1
    # Each version of a candle replaces the previous one, without a tombstone in between.
    assert all(m.value() for m in records)


def test_the_lake_lands_its_candles_with_finality(
    resumed: Resumed, lake: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    with Sinks(resumed.flink.pipeline, lake, namespace, tmp_path) as sinks:
        sinks.work_off()
        sinks.check_ticks()
        assert counts(verified(sinks, topics=False))[0] == {
            "equal": batch_candles(resumed.ticks).height
        }
        # Repair needs the offset metadata of homma's own engine.
        with pytest.raises(StateError, match="was not written by homma"):
            verified(sinks)
        tables = {i: sinks.rows(candle_table(i).name) for i in DEFAULT_CALENDAR}
    expected = batch_candles(resumed.ticks)
    clocks = {t["symbol"]: t["dateTime"] for t in sorted(resumed.ticks, key=lambda t: t["number"])}
    for interval, rows in tables.items():
        candles = expected.filter(pl.col("interval") == interval.code).select(
            "source",
            "symbol",
            pl.from_epoch("start_us", "us").alias("date_time"),
            "open",
            "high",
            "low",
            "close",
            "volume",
            "tick_count",
        )
        bare = rows.with_columns(pl.col("date_time").dt.replace_time_zone(None))
        assert bare.select(candles.columns).sort(KEY).equals(candles.sort(KEY)), interval.name
        assert rows["revision"].null_count() == rows.height
        assert rows["is_final"].null_count() == 0
        # Candles behind the watermark are final. The clock may have made some of the others final.
        clock = pl.col("symbol").replace_strict(clocks).str.to_datetime(time_unit="us")
        ends = interval.next(pl.col("date_time").dt.epoch("us"))
        behind = rows.filter(ends <= clock.dt.epoch("us") - WATERMARK_DELAY_US)
        assert behind["is_final"].all(), interval.name
        assert behind.height or interval.longest_us > MINUTE_US
    assert not tables[DEFAULT_CALENDAR.coarsest]["is_final"].any()


def test_the_api_serves_its_candles(resumed: Resumed) -> None:
    with running(make_server(topics=candle_topics(resumed.flink.pipeline))) as address:
        wait_until_ready(address)
        for interval in DEFAULT_CALENDAR:
            expected = batch_candles(resumed.ticks).filter(
                (pl.col("interval") == interval.code) & (pl.col("symbol") == "SYM0")
            )
            served = get_candles(address, symbol="SYM0", interval=interval.code)
            fields = ["open", "high", "low", "close", "volume"]
            rows = [tuple(candle[name] for name in fields) for candle in served]
            assert rows == expected.sort("start_us").select(fields).rows(), interval.name
            assert {candle["isFinal"] for candle in served} == {None}
        final_candles = get_candles(address, symbol="SYM0", final="true")
        assert [c["dateTime"][11:16] for c in final_candles] == ["14:30", "14:34"]


def test_foreign_state_is_refused(bootstrap: str, tmp_path: Path) -> None:
    pipeline, only_tick = Pipeline(bootstrap), tick(f"{DAY}14:31:10")
    pipeline.send(only_tick)
    pipeline.work_off()
    flink = Flink(pipeline, tmp_path / "home")
    # The embedded engine's candles, in the embedded engine's topics.
    flink.settings = pipeline.topic_settings
    process = flink.start("--until-end")
    assert process.wait(TIMEOUT_S) == 1
    assert "are not empty, but there is no Flink checkpoint" in flink.log_text()
    assert "--rebuild" in flink.log_text()
    flink.run_to_end("--rebuild")
    newest = pipeline.records(pipeline.topics.candles["m1"])[-1]
    assert json.loads(newest.value() or b"")["revision"] is None
    same_candles(pipeline.candles(), batch_candles([only_tick]))
    assert flink.start("--until-end", "--price", "bid").wait(TIMEOUT_S) == 1
    assert "the candles are built from mid, but --price is bid" in flink.log_text()
    [basis] = flink.home.glob("flink/*/basis.json")
    assert flink.start("--until-end", "--intervals", "m1").wait(TIMEOUT_S) == 1
    assert "but --intervals is m1: Flink's SQL and its state depend on" in flink.log_text()
    basis.write_text(json.dumps(json.loads(basis.read_text()) | {"sql": "of yesterday"}))
    assert flink.start("--until-end").wait(TIMEOUT_S) == 1
    assert "the checkpoints are from another version of homma" in flink.log_text()
