"""`homma backfill`: candles of recorded ticks equal those of live ticks, and stay so."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from homma.core.finality import FinalityRules
from homma.errors import FeedError, LakeError, StateError
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from homma.lake.audit.backfill import LoadedTicks, load
from homma.lake.audit.repair import repair
from homma.lake.audit.verify import Scope
from homma.lake.table import Lake
from homma.topics.kafka.writing import Sender
from homma.topics.partitioning import partition_of
from tests.lake.loading import backfill
from tests.support import oracle
from tests.support.engines import Feed, market
from tests.support.landing import counts, engine_of, lake_of, verified
from tests.support.pipeline import Pipeline, batch_candles, same_candles
from tests.support.sinks import Sinks


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


def recorded_ticks(seed: int, count: int) -> pl.DataFrame:
    """Ticks in order of arrival, with duplicates and late ticks."""
    read = [oracle.read(value) for _, value in market(seed, count, 4)]
    columns = ("source", "symbol", "ask", "bid", "mid", "number", "dateTime")
    return pl.DataFrame([tick for tick in read if not isinstance(tick, str)]).select(columns)


def files(folder: Path, ticks: pl.DataFrame) -> Iterator[Path]:
    """Write ticks in parts, each in another format, the latest first."""
    third = ticks.height // 3
    paths = [folder / name for name in ("c.ndjson", "b.csv", "a.parquet")]
    ticks[2 * third :].write_ndjson(paths[0])
    ticks[third : 2 * third].write_csv(paths[1])
    ticks[:third].write_parquet(paths[2])
    yield from paths


def test_backfilled_candles_are_correct_and_the_engine_continues(
    sinks: Sinks, tmp_path: Path
) -> None:
    records = market(21, 9_000, 4)
    ticks = recorded_ticks(21, 6_000)
    # Duplicates differ in price and the first one counts: keep the order.
    ticks.write_parquet(tmp_path / "all.parquet")
    report = backfill(sinks, tmp_path / "all.parquet")
    expected = batch_candles(ticks)
    same_candles(sinks.pipeline.candles(), expected)
    assert sum(report.published.values()) == expected.height
    sinks.work_off()
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})
    # What is over is final.
    states = sinks.pipeline.candles().select("is_final", "revision").unique()
    assert states.rows() == [(True, 1)]
    # The engine continues where the files end.
    with Feed(sinks.pipeline, records[6_000:], 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        repair(lake, engine, Scope(sinks.pipeline.topics.calendar), FinalityRules(), lambda: 0)
    sinks.work_off()
    more = [oracle.read(value) for _, value in records[6_000:]]
    live = pl.DataFrame([tick for tick in more if not isinstance(tick, str)])
    # A live copy of a tick from a file counts instead of it.
    all_ticks = pl.concat([live.select(ticks.columns), ticks])
    same_candles(sinks.pipeline.candles(), batch_candles(all_ticks))
    assert verified(sinks).wrong == 0


def test_files_in_any_order_and_twice_and_with_live_ticks(sinks: Sinks, tmp_path: Path) -> None:
    ticks = recorded_ticks(22, 6_000).unique(
        ["source", "symbol", "number", "dateTime"], keep="first"
    )
    live = ticks.sample(fraction=0.3, seed=1)
    sinks.pipeline.send_frame(live.sort("dateTime"))
    sinks.pipeline.work_off()
    sinks.work_off()
    paths = list(files(tmp_path, ticks))
    assert sum(backfill(sinks, *paths).published.values()) > 0
    expected = batch_candles(ticks)
    same_candles(sinks.pipeline.candles(), expected)
    assert backfill(sinks, *paths[:2]).published == {}
    sinks.work_off()
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})


def test_ticks_that_were_landed_before_the_engine_ever_ran_count_once(
    sinks: Sinks, tmp_path: Path
) -> None:
    ticks = (
        recorded_ticks(25, 3_000)
        .unique(["source", "symbol", "number", "dateTime"], keep="first")
        .sort("dateTime")
    )
    sinks.pipeline.send_frame(ticks[1_000:])
    sinks.work_off()
    ticks[:1_000].write_parquet(tmp_path / "t.parquet")
    backfill(sinks, tmp_path / "t.parquet")
    sinks.pipeline.work_off()
    same_candles(sinks.pipeline.candles(), batch_candles(ticks))
    sinks.work_off()
    assert verified(sinks).wrong == 0


def test_the_first_ticks_of_a_lake_are_published_before_they_are_appended(
    sinks: Sinks, tmp_path: Path
) -> None:
    ticks = recorded_ticks(26, 200)
    ticks.write_parquet(tmp_path / "t.parquet")

    def land() -> None:
        sinks.pipeline.send_frame(ticks)
        sinks.work_off()

    def load_once(lake: Lake, *meanwhile: Callable[[], object]) -> list[int]:
        """The number of pending ticks at each publication."""
        pending = []

        def publish(loaded: LoadedTicks) -> None:
            pending.append(0 if loaded.pending is None else loaded.pending.height)
            if len(pending) == 1:
                for act in meanwhile:
                    act()

        frames = Recording((tmp_path / "t.parquet",), ColumnMapping()).frames()
        load(frames, lake, 0, publish, skip_invalid=False)
        return pending

    with lake_of(sinks) as lake:
        inner: list[int] = []
        # Two first loads at the same time: the last one publishes the candles of both.
        both = load_once(lake, lambda: inner.extend(load_once(lake, land)))
        assert both == [ticks.height, 0]
        assert inner == [ticks.height]
        assert load_once(lake) == [0]


def test_a_first_load_that_was_interrupted_is_completed_by_the_next(
    sinks: Sinks, tmp_path: Path
) -> None:
    ticks = recorded_ticks(27, 2_000)
    ticks.write_parquet(tmp_path / "t.parquet")

    def fail() -> None:
        raise StateError("interrupted", "start again")

    with pytest.raises(StateError, match="interrupted"):
        backfill(sinks, tmp_path / "t.parquet", when_published=fail)
    assert sinks.rows("stock_ticks_iceberg").is_empty()
    with pytest.raises(LakeError, match=r"not in the lake yet; .*load the files again"):
        verified(sinks)
    assert backfill(sinks, tmp_path / "t.parquet").published == {}
    expected = batch_candles(ticks)
    same_candles(sinks.pipeline.candles(), expected)
    sinks.work_off()
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})


def test_invalid_ticks_are_refused_or_skipped(sinks: Sinks, tmp_path: Path) -> None:
    ticks = recorded_ticks(23, 200).with_columns(mid=pl.lit(1.0))
    invalid = ticks.with_columns(
        mid=pl.when(pl.int_range(pl.len()) == 7).then(-1.0).otherwise("mid")
    )
    path = tmp_path / "bad.parquet"
    invalid.write_parquet(path)
    with pytest.raises(FeedError, match="breaks the contract"):
        backfill(sinks, path)
    assert sinks.rows("stock_ticks_iceberg").is_empty()
    backfill(sinks, path, layout=ColumnMapping(skip=True))
    assert sinks.rows("stock_ticks_iceberg").height == ticks.height - 1


def test_candles_of_another_engine_are_not_touched(sinks: Sinks, tmp_path: Path) -> None:
    sender = Sender(sinks.pipeline.config)
    for topic in sinks.pipeline.topics.candles.values():
        sender.send(topic, [b"a", b"b", b"c", b"d"], [b"{}"] * 4)
    assert sender.flush(30) == 0
    path = tmp_path / "t.parquet"
    recorded_ticks(24, 50).write_parquet(path)
    with pytest.raises(StateError, match="no committed offset"):
        backfill(sinks, path)


def test_a_series_gets_the_partition_that_producers_choose(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=7)
    names = [(f"S{n % 3}", f"é{n}" * (n % 9 + 1)) for n in range(60)]
    keys = [f"{source}:{symbol}".encode() for source, symbol in names]
    sender = Sender(pipeline.config)
    sender.send(pipeline.topics.ticks, keys, [b"x"] * len(keys))
    assert sender.flush(30) == 0
    partitions_of_keys = {m.key(): m.partition() for m in pipeline.records(pipeline.topics.ticks)}
    assert partitions_of_keys == {
        key: partition_of(*name, 7) for key, name in zip(keys, names, strict=True)
    }
