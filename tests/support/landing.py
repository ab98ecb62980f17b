"""Verifies a pipeline and its lake, and damages them on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from homma.core.interval import BY_CODE
from homma.core.tick import kind_of
from homma.lake.audit.engine import Engine
from homma.lake.audit.verify import Report, Scope, verify
from homma.lake.schema import candle_table
from homma.lake.table import Lake, Where
from homma.topics import codec
from homma.topics.offset_metadata import candle_headers, read_offset_metadata
from tests.support.sinks import Sinks


@contextmanager
def engine_of(sinks: Sinks) -> Iterator[Engine]:
    """The engine of a pipeline, seen from outside."""
    pipeline = sinks.pipeline
    engine = Engine(pipeline.config, pipeline.topics, pipeline.settings.group, pipeline.partitions)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def lake_of(sinks: Sinks) -> Iterator[Lake]:
    lake = Lake(sinks.properties, sinks.namespace)
    try:
        yield lake
    finally:
        lake.close()


def verified(sinks: Sinks, *, topics: bool = True, **scope: Any) -> Report:
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        calendar = sinks.pipeline.topics.calendar
        return verify(lake, engine if topics else None, Scope(calendar, **scope))


def counts(report: Report) -> tuple[dict[str, int], dict[str, int]]:
    """The number of candles by verdict, in the tables and in the topics."""
    result = []
    for tally in (report.table, report.topic):
        names = {name for _, name in tally.counts} if tally else set()
        result.append({name: tally.count(name) for name in sorted(names)} if tally else {})
    return result[0], result[1]


def forge(sinks: Sinks, candles: pl.DataFrame, deleted: pl.DataFrame, partition: int = 0) -> None:
    """Write candles and tombstones like a faulty engine.

    `candles` and `deleted` have the columns of `Pipeline.candles`.
    """
    pipeline = sinks.pipeline
    with engine_of(sinks) as engine:
        transactions = pipeline.foreign_transaction(partition)
        transactions.init()
        state = engine.committed_state(partition)
        assert state is not None
        headers = candle_headers(state.metadata.run, state.offset)
        transactions.begin()
        for rows, has_value in ((candles, True), (deleted, False)):
            for code in pipeline.topics.calendar.codes:
                part = rows.filter(pl.col("interval") == code)
                kind = kind_of(state.metadata.price)
                keys, values = codec.encode_candles(part, 0, kind)
                transactions.send(
                    pipeline.topics.candles[code],
                    partition,
                    keys,
                    values if has_value else [None] * len(keys),
                    [state.metadata.clock // 1000] * len(keys),
                    [headers] * len(keys),
                )
        transactions.commit(
            pipeline.topics.ticks,
            partition,
            state.offset,
            state.metadata.text(),
            engine.group_metadata(),
        )
        transactions.close()
        assert read_offset_metadata(state.metadata.text(), "") == state.metadata


def tamper(sinks: Sinks, code: str, rows: pl.Expr, **values: pl.Expr) -> int:
    """Change final rows of a candle table directly, or delete them if there are no values."""
    with lake_of(sinks) as lake:
        table = lake.table(candle_table(BY_CODE[code]))
        parts = table.parts(Where(final=True))
        before = table.read(parts)
        matching = before.filter(rows)
        others = before.filter(~rows)
        changed = matching.with_columns(**values) if values else matching.clear()
        table.commit(table.upload(pl.concat([others, changed])), parts)
        return matching.height
