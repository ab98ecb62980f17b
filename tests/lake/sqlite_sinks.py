"""Sinks of another kind than Iceberg: each transaction stores rows and position in SQLite.

The candles must be those of homma's own engine, whose newest record is the candle.

    python -m tests.lake.sqlite_sinks BROKER TICK_TOPIC CANDLE_TOPIC FILE
"""

import json
import os
import signal
import sqlite3
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from homma.core.tick import TickRules
from homma.errors import StaleSink
from homma.failpoint import OnStep, Step, failpoint, ignore_step
from homma.lake.land.buffers import CandleBatch, CandleBuffer, TickBatch, TickBuffer
from homma.lake.land.loop import LandingTopics, open_landing
from homma.lake.land.newest import SERIES_TIMES
from homma.lake.land.sink import Pending, Sink, SinkFactory, SourceTopic
from homma.lake.schema import CANDLE_KEY, INSTANT, TICKS, TableSpec, candle_table
from homma.metrics import LAND, Metrics
from homma.settings import LandSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Message

EVERY_S = 0.05
RULES = TickRules(10**15)
SINKS = "CREATE TABLE IF NOT EXISTS sinks (name PRIMARY KEY, topic, topic_id, next, owner)"


def connect(file: Path) -> sqlite3.Connection:
    """A connection on which transactions begin and end explicitly."""
    return sqlite3.connect(file, timeout=120, isolation_level=None)


def table_of(source: SourceTopic) -> TableSpec:
    return TICKS if source.interval is None else candle_table(source.interval)


def stored_schema(spec: TableSpec) -> pl.Schema:
    """SQLite has neither instants nor booleans."""
    kinds = {INSTANT: pl.Int64(), pl.Boolean(): pl.Int64()}
    return pl.Schema({name: kinds.get(kind, kind) for name, kind in spec.schema.items()})


def rows_of(file: Path, spec: TableSpec) -> pl.DataFrame:
    """The stored rows of a table."""
    with closing(connect(file)) as db:
        rows = db.execute(f"SELECT * FROM {spec.name}").fetchall()
    return pl.DataFrame(rows, stored_schema(spec), orient="row").cast(spec.schema)


class SqliteSink:
    """The part of both sinks."""

    commit_every_s = EVERY_S

    def __init__(self, file: Path, source: SourceTopic, on_step: OnStep) -> None:
        self.source = source
        self.spec = table_of(source)
        self.name = self.label = self.spec.name
        self._file = file
        self._on_step = on_step
        self._owner = uuid.uuid4().hex
        with closing(connect(file)) as db, db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(self.spec.schema)})")
            new = (self.name, source.topic, source.topic_id, "{}", self._owner)
            claim = "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner RETURNING next"
            [(text,)] = db.execute(f"INSERT INTO sinks VALUES (?, ?, ?, ?, ?) {claim}", new)
        self.position: Mapping[int, int] = {int(p): end for p, end in json.loads(text).items()}

    def insert(self, db: sqlite3.Connection, rows: pl.DataFrame) -> None:
        stored = rows.select(self.spec.schema.names()).cast(stored_schema(self.spec))
        marks = ", ".join("?" * stored.width)
        db.executemany(f"INSERT INTO {self.name} VALUES ({marks})", stored.iter_rows())

    def store(
        self, write: Callable[[sqlite3.Connection], None], position: Mapping[int, int]
    ) -> None:
        """Store rows and position in one transaction."""
        stored = {**self.position, **position}
        with closing(connect(self._file)) as db, db:
            db.execute("BEGIN IMMEDIATE")
            self._on_step(Step.LANDING)
            write(db)
            self._on_step(Step.UPLOADED)
            advance = "UPDATE sinks SET next = ? WHERE name = ? AND owner = ?"
            if not db.execute(advance, (json.dumps(stored), self.name, self._owner)).rowcount:
                raise StaleSink(f"another sink has taken over {self.name}", "stop this one")
            self._on_step(Step.ASKING)
        self._on_step(Step.ANSWERED)
        self.position = stored
        self._on_step(Step.LANDED)


class SqliteTicks(SqliteSink):
    """Inserts ticks."""

    def __init__(self, file: Path, source: SourceTopic, metrics: Metrics, on_step: OnStep) -> None:
        super().__init__(file, source, on_step)
        self._buffer = TickBuffer(metrics, RULES)

    @property
    def pending(self) -> Pending:
        return self._buffer.pending(self.position)

    def take(self, records: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        self._buffer.take(records, ends)

    def cut(self) -> TickBatch:
        return self._buffer.cut()

    def commit(self, batch: TickBatch) -> None:
        self.store(lambda db: self.insert(db, batch.rows), batch.position)


class SqliteCandles(SqliteSink):
    """Replaces candles."""

    def __init__(self, file: Path, source: SourceTopic, metrics: Metrics, on_step: OnStep) -> None:
        super().__init__(file, source, on_step)
        self._buffer = CandleBuffer(source, metrics, pl.DataFrame(schema=SERIES_TIMES))

    @property
    def pending(self) -> Pending:
        return self._buffer.pending

    def take(self, records: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        del ends
        self._buffer.take(records)

    def cut(self) -> CandleBatch:
        return self._buffer.cut()

    def commit(self, batch: CandleBatch) -> None:
        self.store(lambda db: self._replace(db, batch.reduced), batch.position)

    def _replace(self, db: sqlite3.Connection, reduced: pl.DataFrame) -> None:
        keys = reduced.select(CANDLE_KEY).cast({"date_time": pl.Int64})
        where = " AND ".join(f"{column} = ?" for column in CANDLE_KEY)
        db.executemany(f"DELETE FROM {self.name} WHERE {where}", keys.iter_rows())
        self.insert(db, reduced.filter(~pl.col("is_deleted")))


def sqlite_sinks(file: Path, metrics: Metrics, on_step: OnStep = ignore_step) -> SinkFactory:
    """The factory of sinks that write to a file."""
    return partial(_open_sinks, file=file, metrics=metrics, on_step=on_step)


def _open_sinks(
    sources: Sequence[SourceTopic], file: Path, metrics: Metrics, on_step: OnStep
) -> list[Sink[Any]]:
    with closing(connect(file)) as db:
        db.execute(SINKS)
        filled = {name: at for name, *at in db.execute("SELECT name, topic, topic_id FROM sinks")}
    for source in sources:
        name = table_of(source).name
        if name in filled:
            source.require_same(name, *filled[name])
    return [
        SqliteTicks(file, source, metrics, on_step)
        if source.interval is None
        else SqliteCandles(file, source, metrics, on_step)
        for source in sources
    ]


def main(bootstrap: str, ticks: str, candles: str, file: str) -> None:
    """Land until killed."""
    text = os.environ["HOMMA_FAILPOINT"]
    on_step = failpoint(text, lambda: os.kill(os.getpid(), signal.SIGKILL))
    config = {"bootstrap.servers": bootstrap}
    topics = contract.topics(TopicSettings(topic=ticks, candle_topic=candles))
    metrics = Metrics(LAND)
    sinks = sqlite_sinks(Path(file), metrics, on_step)
    to_land = LandingTopics(config, topics, Admin(config))
    open_landing(sinks, to_land, LandSettings(), metrics).run(lambda: False)


if __name__ == "__main__":
    main(*sys.argv[1:])
