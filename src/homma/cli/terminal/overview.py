"""The live view of `homma up`: processes, rates, lag and the newest candles."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from homma.cli.local import RunningPipeline
from homma.cli.terminal.stages import (
    Sample,
    StageView,
    describe_ingestion,
    describe_ports,
    describe_verification,
    not_counted,
    stage_table,
    stage_view,
    take_sample,
)
from homma.core.interval import BY_CODE, MINUTE_US, Interval
from homma.core.recompute import RecordedCandles
from homma.errors import KafkaError
from homma.settings import TopicSettings
from homma.stack.processes.process import Status
from homma.topics import codec, contract
from homma.topics.kafka.reading import Message, Range, Reader

Stopped = Callable[[], bool]
_SERIES: Final = 6
_RECENT_RECORDS: Final = 200


class Overview:
    """Polls a running pipeline."""

    def __init__(self, pipeline: RunningPipeline, topics: TopicSettings) -> None:
        self._pipeline = pipeline
        self._topics = contract.topics(topics)
        self._reader = Reader({"bootstrap.servers": pipeline.bootstrap})
        self._samples: dict[str, Sample] = {}

    def table(self, home: Path) -> RenderableType:
        """Return the live view."""
        head = Text.assemble(
            ("homma ", "bold"), " · ".join([*self._addresses(), f"data {home}", "Ctrl-C to stop"])
        )
        candles = self.newest_candles()
        return Group(
            head,
            stage_table(self.stages()),
            newest_of(candles, self._topics.calendar.finest),
            all_intervals(candles),
        )

    def _addresses(self) -> list[str]:
        """Return the addresses of the servers."""
        page = self._pipeline.ports.get("serve", {}).get("page")
        lake = self._pipeline.lake
        return [
            *([f"page http://127.0.0.1:{page}"] if page else []),
            f"Kafka {self._pipeline.bootstrap}",
            *([f"S3 {lake.s3}", f"catalog {lake.catalog}"] if lake else []),
        ]

    def line(self) -> str:
        """Return the same as a log line."""
        parts = []
        for view in self.stages():
            rate = "" if view.ticks_per_s is None else f" {view.ticks_per_s:,.0f} ticks/s"
            lag = "" if view.lag is None else f" lag {view.lag:,.0f}"
            parts.append(f"{view.status.name} {view.status.state}{rate}{lag}")
        return " · ".join(parts)

    def stages(self) -> list[StageView]:
        """Return a row for each process."""
        return [self._stage(process.status) for process in self._pipeline.processes]

    def _stage(self, status: Status) -> StageView:
        ports = self._pipeline.ports.get(status.name, {})
        now = take_sample(status, ports)
        before = self._samples.get(status.name)
        self._samples[status.name] = now
        details = _details(now.metrics or {}) or describe_ports(ports)
        return stage_view(status, details, before, now)

    def newest_candles(self) -> RecordedCandles:
        """Return the newest candle of each series and interval among the recent records."""
        finest = self._topics.calendar.finest
        messages: list[Message] = []
        try:
            for partition in range(self._reader.partitions(self._topics.candles[finest.code])):
                messages += self._recent(partition)
        except KafkaError:
            # The broker is being restarted; the next poll shows the candles.
            return codec.decode_candles([], finest)
        frames = []
        for code, topic in self._topics.public_candles.items():
            values = [value for m in messages if m.topic() == topic and (value := m.value())]
            frames.append(codec.decode_candles(values, BY_CODE[code]))
        keys = ["source", "symbol", "interval"]
        return pl.concat(frames).unique(keys, keep="last", maintain_order=True).sort(keys)

    def _recent(self, partition: int) -> list[Message]:
        ranges = {}
        for topic in self._topics.public_candles.values():
            available = self._reader.offset_range(topic, partition)
            start = max(available.start, available.end - _RECENT_RECORDS)
            ranges[topic] = Range(start, available.end)
        return [m for batch in self._reader.read(partition, ranges, 5.0) for m in batch]

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()


def _details(values: Mapping[str, float]) -> str:
    if verification := describe_verification(values, time.time()):
        return verification
    if ingestion := describe_ingestion(values):
        return ingestion
    landed = values.get("homma_ticks_landed_total")
    if landed is not None:
        candles = values.get("homma_candles_landed_total", 0)
        return f"{landed:,.0f} ticks and {candles:,.0f} candles landed"
    written = values.get("homma_candles_written_total")
    if written is None:
        return ""
    series = values.get("homma_series", 0)
    texts = [f"{series:,.0f} series", f"{written:,.0f} candles written"]
    return ", ".join(texts + not_counted(values))


def newest_of(candles: RecordedCandles, interval: Interval) -> Table:
    """Return the newest candles of an interval for several series."""
    newest = candles.filter(pl.col("interval") == interval.code)
    newest = newest.sort("symbol", "source").head(_SERIES)
    title = f"newest {interval.code} candles" if newest.height else "no candles yet"
    return candle_table(title, newest, "start")


def all_intervals(candles: RecordedCandles) -> Table:
    """Return the newest candle of each interval of one series."""
    first = candles.sort("symbol", "source").select("source", "symbol").head(1)
    series = candles.join(first, on=["source", "symbol"], how="semi").sort("interval")
    return candle_table("one series, all intervals" if series.height else "", series, "start")


def candle_table(title: str, candles: RecordedCandles, start_name: str) -> Table:
    """Return candles as a table, with rising ones in green."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column in ("source", "symbol", "interval", start_name):
        table.add_column(column)
    for column in ("open", "high", "low", "close", "ticks"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in candles.iter_rows(named=True):
        start = datetime.fromtimestamp(row["start_us"] / 1e6, UTC)
        colour = "green" if row["close"] >= row["open"] else "red"
        prices = [Text(f"{row[name]:g}", style=colour) for name in ("open", "high", "low", "close")]
        table.add_row(
            row["source"],
            row["symbol"],
            row["interval"],
            f"{start:{_start_format(row['interval'])}}",
            *prices,
            f"{row['volume']:,}",
            "" if row["is_final"] else "open",
        )
    return table


def _start_format(code: str) -> str:
    """Return the date format that tells the starts of an interval apart."""
    return "%m-%d %H:%M:%S" if BY_CODE[code].longest_us < MINUTE_US else "%m-%d %H:%M"
