"""`homma backfill`: the candles of recorded ticks are those of the live way, and stay so."""

import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from homma.errors import FeedError, StateError
from homma.feed.recorded import Layout
from homma.feed.replay import Recording
from homma.lake.backfill import beginning, load
from homma.lake.correction import CorrectionRules
from homma.lake.repair import Repaired, repair
from homma.lake.schema import CANDLES
from homma.lake.verify import Scope
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from homma.topics.partitioning import partition_of
from tests import oracle
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles
from tests.faults.engines import Feed, market
from tests.lake.checking import counts, engine_of, lake_of, verified
from tests.lake.sinks import Sinks


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


def filled(sinks: Sinks, *files: Path, layout: Layout | None = None) -> Repaired:
    pipeline = sinks.pipeline
    topic_id = Admin(pipeline.config).topic_id(pipeline.topics.ticks) or ""
    recording = Recording(files, layout or Layout())
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        for spec in CANDLES:
            lake.make(spec)
        skip = bool(layout and layout.skip)
        loaded = load(recording.frames(), lake, time.time_ns() // 1000, skip_bad=skip)
        now_us = time.time_ns() // 1000
        return repair(
            lake,
            engine,
            Scope(span=loaded.span()),
            CorrectionRules(),
            lambda: now_us,
            first=beginning(engine, topic_id, "mid", now_us),
            clocks=loaded.clocks,
        )


def recorded(seed: int, count: int) -> pl.DataFrame:
    """Ticks with copies and late ones, as they would come."""
    read = [oracle.read(value) for _, value in market(seed, count, 4)]
    columns = ("source", "symbol", "ask", "bid", "mid", "number", "dateTime")
    return pl.DataFrame([tick for tick in read if not isinstance(tick, str)]).select(columns)


def files(folder: Path, ticks: pl.DataFrame) -> Iterator[Path]:
    """In parts, each in another format, the later ones first."""
    third = ticks.height // 3
    paths = [folder / name for name in ("c.ndjson", "b.csv", "a.parquet")]
    ticks[2 * third :].write_ndjson(paths[0])
    ticks[third : 2 * third].write_csv(paths[1])
    ticks[:third].write_parquet(paths[2])
    yield from paths


def test_the_candles_are_those_of_the_ticks_and_the_engine_goes_on(
    sinks: Sinks, tmp_path: Path
) -> None:
    records = market(21, 9_000, 4)
    ticks = recorded(21, 6_000)
    # Copies differ in price, and of copies the first counts: keep their order.
    ticks.write_parquet(tmp_path / "all.parquet")
    done = filled(sinks, tmp_path / "all.parquet")
    wanted = batch_candles(ticks)
    same_candles(sinks.pipeline.candles(), wanted)
    assert sum(done.published.values()) == wanted.height
    sinks.work_off()
    assert counts(verified(sinks)) == ({"equal": wanted.height}, {"equal": wanted.height})
    found = sinks.pipeline.candles()
    over = found.group_by("symbol").agg(pl.col("close_order_key").max().alias("newest"))
    final = found.join(over, on="symbol").select(
        pl.col("is_final") == (pl.col("end_us") <= (pl.col("newest") // (1 << 63)) - 2_000_000)
    )
    assert final.to_series().all()
    assert found.select((pl.col("revision") == pl.col("is_final").cast(pl.Int32)).all()).item()
    # The engine goes on where the files end.
    with Feed(sinks.pipeline, records[6_000:], 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        repair(lake, engine, Scope(), CorrectionRules(), lambda: 0)
    sinks.work_off()
    more = [oracle.read(value) for _, value in records[6_000:]]
    live = pl.DataFrame([tick for tick in more if not isinstance(tick, str)])
    # A copy of a tick that came from a file counts instead of it.
    every = pl.concat([live.select(ticks.columns), ticks])
    same_candles(sinks.pipeline.candles(), batch_candles(every))
    assert verified(sinks).wrong == 0


def test_files_in_any_order_twice_and_beside_what_was_live(sinks: Sinks, tmp_path: Path) -> None:
    ticks = recorded(22, 6_000).unique(["source", "symbol", "number", "dateTime"], keep="first")
    live = ticks.sample(fraction=0.3, seed=1)
    sinks.pipeline.send_frame(live.sort("dateTime"))
    sinks.pipeline.work_off()
    sinks.work_off()
    paths = list(files(tmp_path, ticks))
    assert sum(filled(sinks, *paths).published.values()) > 0
    wanted = batch_candles(ticks)
    same_candles(sinks.pipeline.candles(), wanted)
    assert filled(sinks, *paths[:2]).published == {}
    sinks.work_off()
    assert counts(verified(sinks)) == ({"equal": wanted.height}, {"equal": wanted.height})


def test_what_breaks_the_contract_is_refused_or_left_out(sinks: Sinks, tmp_path: Path) -> None:
    ticks = recorded(23, 200).with_columns(mid=pl.lit(1.0))
    bad = ticks.with_columns(mid=pl.when(pl.int_range(pl.len()) == 7).then(-1.0).otherwise("mid"))
    path = tmp_path / "bad.parquet"
    bad.write_parquet(path)
    with pytest.raises(FeedError, match="breaks the contract"):
        filled(sinks, path)
    assert sinks.rows("stock_ticks_iceberg").is_empty()
    filled(sinks, path, layout=Layout(skip=True))
    assert sinks.rows("stock_ticks_iceberg").height == ticks.height - 1


def test_candles_of_another_engine_are_not_touched(sinks: Sinks, tmp_path: Path) -> None:
    sender = Sender(sinks.pipeline.config)
    for code, topic in enumerate(sinks.pipeline.topics.candles):
        del code
        sender.send(topic, [b"a", b"b", b"c", b"d"], [b"{}"] * 4)
    assert sender.flush(30) == 0
    path = tmp_path / "t.parquet"
    recorded(24, 50).write_parquet(path)
    with pytest.raises(StateError, match="no committed offset"):
        filled(sinks, path)


def test_a_series_is_placed_where_producers_would(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=7)
    names = [(f"S{n % 3}", f"é{n}" * (n % 9 + 1)) for n in range(60)]
    keys = [f"{source}:{symbol}".encode() for source, symbol in names]
    sender = Sender(pipeline.config)
    sender.send(pipeline.topics.ticks, keys, [b"x"] * len(keys))
    assert sender.flush(30) == 0
    placed = {m.key(): m.partition() for m in pipeline.records(pipeline.topics.ticks)}
    assert placed == {key: partition_of(*name, 7) for key, name in zip(keys, names, strict=True)}
