"""What becomes of state: it ends, it goes on, and it is refused where it does not belong."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.interval import FINEST, INTERVALS
from homma.errors import StateError
from homma.lake.schema import CANDLES, TABLES
from homma.topics.latest import CandleRecord, Latest
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.flink.flinks import PATIENCE_S, Flink
from tests.lake import conftest as lakes
from tests.lake.checking import counts, verified
from tests.lake.sinks import KEY, Sinks
from tests.serve.serving import candles, following, made, ready, running

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
lake, server, namespace = lakes.lake, lakes.server, lakes.namespace
DAY = "2025-03-20T"
LATENESS_US = 2_000_000
#: State as short-lived as can be: a minute's candle is forgotten a minute and a second after its
#: last change, and the series' clock a second after its last tick.
SHORT = (
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
FORGOTTEN_S = 63.0


def minute(flink: Flink, start: str) -> int:
    return int(flink.pipeline.candle("m1", start)["volume"])


def test_a_tick_after_the_states_end_destroys_no_finished_candle(
    bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(bootstrap)
    flink = Flink(pipeline, tmp_path / "home")
    pipeline.send(*(tick(f"{DAY}14:31:{s:02}", float(s + 1), s) for s in range(5)))
    topic = flink.pipeline.topics.candles[FINEST]
    with flink.running(*SHORT):
        until(lambda: bool(flink.pipeline.records(topic)), PATIENCE_S)
        time.sleep(FORGOTTEN_S)
        # The series has been quiet for so long that its clock is gone, too.
        pipeline.send(tick(f"{DAY}14:31:30", 99.0, 30))
        until(lambda: minute(flink, f"{DAY}14:31:00") == 1, PATIENCE_S)
    # Flink has written a candle of that tick alone. Readers keep the larger one.
    held = Latest(keep=10)
    for message in flink.pipeline.records(topic):
        held.add(
            CandleRecord(
                0, message.offset() or 0, message.timestamp()[1], message.key(), message.value()
            )
        )
    [candle] = held.candles(("S", "AAA"))
    assert (candle.volume, candle.close, candle.is_final) == (5, 5.0, None)
    with Sinks(flink.pipeline, lake, namespace, tmp_path) as sinks:
        sinks.work_off()
        rows = sinks.rows(CANDLES[FINEST].name)
    assert rows.select("volume", "close").rows() == [(5, 5.0)]


@dataclass(frozen=True)
class Resumed:
    """What Flink made, stopped in between, of ticks on three partitions."""

    flink: Flink
    ticks: list[dict[str, Any]]


@pytest.fixture(scope="module")
def resumed(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    pipeline = Pipeline(bootstrap, partitions=3)
    flink = Flink(pipeline, tmp_path_factory.mktemp("resumed"))
    first = [tick(f"{DAY}14:3{n}:10", float(n + 1), n, f"SYM{n % 4}") for n in range(9)]
    pipeline.send(*first)
    flink.work_off("--parallelism", "2")
    # Copies, and what corrects candles that are out already.
    more = [tick(f"{DAY}14:3{n}:20", n + 1.5, n + 100, f"SYM{n % 4}") for n in range(3, 9)]
    pipeline.send(*first[-4:], *more)
    flink.work_off("--parallelism", "2", "--delivery", "at-least-once")
    return Resumed(flink, [*first, *more])


def test_it_goes_on_where_it_was_stopped(resumed: Resumed) -> None:
    said = resumed.flink.said()
    assert said.count("from the oldest tick kept") == 1
    assert said.count("starting Flink, from file:") == 1
    same_candles(resumed.flink.pipeline.candles(), batch_candles(resumed.ticks))
    # A series stands in several partitions.
    pipeline = resumed.flink.pipeline
    records = [m for topic in pipeline.topics.candles for m in pipeline.records(topic)]
    written = {
        (m.partition(), m.key()) for m in records if m.topic() == pipeline.topics.candles[FINEST]
    }
    assert len({partition for partition, key in written if key and b'"SYM0"' in key}) > 1
    # A version of a candle follows on the one before: it is never gone in between.
    assert all(m.value() for m in records)


def test_the_lake_takes_its_candles_and_says_what_is_final(
    resumed: Resumed, lake: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    with Sinks(resumed.flink.pipeline, lake, namespace, tmp_path) as sinks:
        sinks.work_off()
        sinks.check_ticks()
        assert counts(verified(sinks, topics=False))[0] == {
            "equal": batch_candles(resumed.ticks).height
        }
        # What repair would go by is homma's own engine's alone.
        with pytest.raises(StateError, match="has not been written by homma"):
            verified(sinks)
        tables = [sinks.rows(spec.name) for spec in TABLES[1:]]
    wanted = batch_candles(resumed.ticks)
    clocks = {t["symbol"]: t["dateTime"] for t in sorted(resumed.ticks, key=lambda t: t["number"])}
    for code, (found, interval) in enumerate(zip(tables, INTERVALS, strict=True)):
        its = wanted.filter(pl.col("interval") == code).select(
            "source",
            "symbol",
            pl.from_epoch("start_us", "us").alias("date_time"),
            "open",
            "high",
            "low",
            "close",
            "volume",
        )
        bare = found.with_columns(pl.col("date_time").dt.replace_time_zone(None))
        assert bare.select(its.columns).sort(KEY).equals(its.sort(KEY)), interval.name
        assert found["revision"].null_count() == found.height
        assert found["is_final"].null_count() == 0
        # What lies behind the series' newest tick is final. Of the rest, time may have closed some.
        clock = pl.col("symbol").replace_strict(clocks).str.to_datetime(time_unit="us")
        ends = interval.next(pl.col("date_time").dt.epoch("us"))
        behind = found.filter(ends <= clock.dt.epoch("us") - LATENESS_US)
        assert behind["is_final"].all(), interval.name
        assert behind.height or interval.longest_us > INTERVALS[FINEST].longest_us
    assert not tables[-1]["is_final"].any()


def test_the_page_takes_its_candles(resumed: Resumed) -> None:
    with running(made(source=following(resumed.flink.pipeline))) as address:
        ready(address)
        for code, interval in enumerate(INTERVALS):
            wanted = batch_candles(resumed.ticks).filter(
                (pl.col("interval") == code) & (pl.col("symbol") == "SYM0")
            )
            found = candles(address, symbol="SYM0", interval=interval.code)
            fields = ["open", "high", "low", "close", "volume"]
            told = [tuple(candle[name] for name in fields) for candle in found]
            assert told == wanted.sort("start_us").select(fields).rows(), interval.name
            assert {candle["isFinal"] for candle in found} == {None}
        over = candles(address, symbol="SYM0", final="true")
        assert [c["dateTime"][11:16] for c in over] == ["14:30", "14:34"]


def test_what_does_not_belong_together_is_refused(bootstrap: str, tmp_path: Path) -> None:
    pipeline, one = Pipeline(bootstrap), tick(f"{DAY}14:31:10")
    pipeline.send(one)
    pipeline.work_off()
    flink = Flink(pipeline, tmp_path / "home")
    # The embedded engine's candles, in the embedded engine's topics.
    flink.settings = pipeline.topic_settings
    process = flink.start("--until-end")
    assert process.wait(PATIENCE_S) == 1
    assert "there are candles of group" in flink.said()
    assert "--rebuild" in flink.said()
    flink.work_off("--rebuild")
    newest = pipeline.records(pipeline.topics.candles[FINEST])[-1]
    assert json.loads(newest.value() or b"")["revision"] is None
    same_candles(pipeline.candles(), batch_candles([one]))
    assert flink.start("--until-end", "--price", "bid").wait(PATIENCE_S) == 1
    assert "the candles are made of mid, and --price says bid" in flink.said()
    [basis] = flink.home.glob("flink/*/basis.json")
    basis.write_text(json.dumps(json.loads(basis.read_text()) | {"sql": "of yesterday"}))
    assert flink.start("--until-end").wait(PATIENCE_S) == 1
    assert "the checkpoints are another version of homma's" in flink.said()
