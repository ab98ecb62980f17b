"""Verifying and mending a pipeline and its lake, and damaging them on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from homma.core.interval import INTERVALS
from homma.lake.engine import Engine
from homma.lake.schema import CANDLES
from homma.lake.table import Lake, Where
from homma.lake.verify import Report, Scope, verify
from homma.topics import codec
from homma.topics.offset_metadata import candle_headers, read_offset_metadata
from tests.lake.sinks import Sinks


@contextmanager
def engine_of(sinks: Sinks) -> Iterator[Engine]:
    """The engine of a pipeline, looked at from outside."""
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


def verified(sinks: Sinks, *, topics: bool = True, **question: Any) -> Report:
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        return verify(lake, engine if topics else None, Scope(**question))


def counts(report: Report) -> tuple[dict[str, int], dict[str, int]]:
    """How many of each verdict in the tables and in the topics, those that there are."""
    found = []
    for tally in (report.table, report.topic):
        names = {name for _, name in tally.counts} if tally else set()
        found.append({name: tally.of(name) for name in sorted(names)} if tally else {})
    return found[0], found[1]


def forge(sinks: Sinks, made: pl.DataFrame, gone: pl.DataFrame, partition: int = 0) -> None:
    """Write candles and tombstones as an engine would that has gone wrong.

    `made` and `gone` have the columns of `Pipeline.candles`.
    """
    pipeline = sinks.pipeline
    with engine_of(sinks) as engine:
        transactions = pipeline.foreign_transaction(partition)
        transactions.init()
        standing = engine.standing(partition)
        assert standing is not None
        headers = candle_headers(standing.mark.run, standing.offset)
        transactions.begin()
        for rows, alive in ((made, True), (gone, False)):
            for code in range(len(INTERVALS)):
                part = rows.filter(pl.col("interval") == code)
                keys, values = codec.candles_to(part, 0)
                transactions.send(
                    pipeline.topics.candles[code],
                    partition,
                    keys,
                    values if alive else [None] * len(keys),
                    [standing.mark.clock // 1000] * len(keys),
                    [headers] * len(keys),
                )
        transactions.commit(
            pipeline.topics.ticks, partition, standing.offset, standing.mark.text(), engine.owner()
        )
        transactions.close()
        assert read_offset_metadata(standing.mark.text(), "") == standing.mark


def tamper(sinks: Sinks, interval: int, rows: pl.Expr, **values: pl.Expr) -> int:
    """Change final rows of a candle table behind everybody's back, or without values drop them."""
    with lake_of(sinks) as lake:
        table = lake.table(CANDLES[interval])
        parts = table.parts(Where(final=True))
        held = table.read(parts)
        hit = held.filter(rows)
        left = held.filter(~rows)
        changed = hit.with_columns(**values) if values else hit.clear()
        table.commit(table.upload(pl.concat([left, changed])), parts)
        return hit.height
