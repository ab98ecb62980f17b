"""Checks that the rows that sinks have stored equal the topics, whatever they are stored in."""

from abc import ABC, abstractmethod

import polars as pl

from homma.lake.schema import TICKS, candle_tables
from tests.support import oracle
from tests.support.pipeline import Pipeline

KEY = ["source", "symbol", "date_time"]


class Landed(ABC):
    """What the sinks of a pipeline have stored."""

    pipeline: Pipeline

    @abstractmethod
    def rows(self, name: str) -> pl.DataFrame:
        """The rows of a table of `homma.lake.schema`."""

    def check(self) -> int:
        """Check that the lake equals the topics; returns the number of ticks."""
        topics = self.pipeline.topics
        for spec, code in zip(candle_tables(topics.calendar), topics.calendar.codes, strict=True):
            self.check_candles(spec.name, code)
        return self.check_ticks()

    def check_ticks(self) -> int:
        """Check that the ticks are the valid records of the topic, each once."""
        expected = []
        for message in self.pipeline.records(self.pipeline.topics.ticks):
            read = oracle.read(message.value())
            if not isinstance(read, str):
                position = (message.partition(), message.offset())
                expected.append(
                    (
                        *position,
                        read["source"],
                        read["symbol"],
                        read["mid"],
                        read["number"],
                        oracle.at_of(read),
                    )
                )
        rows = self.rows(TICKS.name)
        actual = rows.select(
            "kafka_partition",
            "kafka_offset",
            "source",
            "symbol",
            "mid",
            "number",
            pl.col("date_time").dt.replace_time_zone(None),
        )
        assert sorted(actual.rows()) == sorted(expected)
        return len(expected)

    def check_candles(self, name: str, code: str) -> None:
        """Check that the candles are the newest records of the topic, one row per key."""
        rows = self.rows(name)
        assert rows.select(KEY).is_unique().all(), f"{name} has a key twice"
        candles = self.pipeline.candles()
        expected = candles.filter(pl.col("interval") == code).select(
            "source",
            "symbol",
            pl.from_epoch("start_us", "us").alias("date_time"),
            "open",
            "high",
            "low",
            "close",
            "volume",
            "tick_count",
            "is_final",
            "revision",
        )
        actual = rows.select(
            pl.col("date_time").dt.replace_time_zone(None) if c == "date_time" else c
            for c in expected.columns
        )
        assert actual.sort(KEY).equals(expected.sort(KEY)), name
