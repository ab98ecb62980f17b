"""The live view of `homma up`: processes, rates, lag and the newest candles."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from homma.cli.local import RunningPipeline, scrape
from homma.core.interval import BY_CODE, MINUTE_US, Interval
from homma.core.recompute import RecordedCandles
from homma.errors import KafkaError
from homma.settings import TopicSettings
from homma.stack.processes.process import State, Status
from homma.topics import codec, contract
from homma.topics.kafka.reading import Message, Range, Reader

Stopped = Callable[[], bool]
_SERIES: Final = 6
_RECENT_RECORDS: Final = 200
#: The ports that users connect to, out of all ports of a server.
_PUBLIC_PORTS: Final = {
    "broker": "port",
    "s3": "S3 on port",
    "catalog": "catalog on port",
    "http": "port",
    "page": "page on port",
}

_COLOURS: Final = {
    State.RUNNING: "green",
    State.FAILED: "red",
    State.WAITING: "yellow",
    State.STARTING: "yellow",
}


@dataclass(frozen=True, slots=True)
class MetricSample:
    """The metrics of a stage at a time in seconds."""

    at_s: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class StageView:
    """A row of the table: the status of a process, its rate and lag."""

    status: Status
    ticks_per_s: float | None
    lag: float | None
    details: str


class Overview:
    """Polls a running pipeline."""

    def __init__(
        self,
        pipeline: RunningPipeline,
        topics: TopicSettings,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._topics = contract.topics(topics)
        self._clock_s = clock_s
        self._reader = Reader({"bootstrap.servers": pipeline.bootstrap})
        self._previous: dict[str, MetricSample] = {}

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
        values = scrape(ports["metrics"]) if "metrics" in ports else None
        if values is None:
            return StageView(status, None, None, describe_ports(ports))
        now = MetricSample(self._clock_s(), values)
        previous = self._previous.get(status.name)
        self._previous[status.name] = now
        counter = tick_counter(status.name)
        rate = None
        if previous is not None and now.at_s > previous.at_s:
            increase = values.get(counter, 0) - previous.values.get(counter, 0)
            rate = max(0.0, increase) / (now.at_s - previous.at_s)
        details = _details(values) or describe_ports(ports)
        return StageView(status, rate, total_lag(values), details)

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


def describe_ports(ports: Mapping[str, int]) -> str:
    """Describe the ports of a server that users connect to."""
    texts = [f"{text} {ports[name]}" for name, text in _PUBLIC_PORTS.items() if name in ports]
    return ", ".join(texts)


def tick_counter(stage: str) -> str:
    """Return the name of the counter of a stage's ticks."""
    return "homma_ticks_sent_total" if stage == "generate" else "homma_ticks_read_total"


def total_lag(values: dict[str, float]) -> float | None:
    """Return how many records of all its topics a stage has not yet processed."""
    return values.get("homma_lag_ticks", values.get("homma_lake_lag_records"))


def _details(values: dict[str, float]) -> str:
    landed = values.get("homma_ticks_landed_total")
    if landed is not None:
        candles = values.get("homma_candles_landed_total", 0)
        return f"{landed:,.0f} ticks and {candles:,.0f} candle records landed"
    written = values.get("homma_candles_written_total")
    if written is None:
        return ""
    excluded = {
        "dead letters": values.get("homma_ticks_dead_total", 0),
        "dropped as late": values.get("homma_ticks_dropped_late_total", 0),
        "duplicates": values.get("homma_ticks_duplicate_total", 0),
    }
    series = values.get("homma_series", 0)
    texts = [f"{series:,.0f} series", f"{written:,.0f} candles written"]
    return ", ".join(texts + [f"{count:,.0f} {name}" for name, count in excluded.items() if count])


def stage_table(views: list[StageView]) -> Table:
    """Return the stages as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "process", "restarts"):
        table.add_column(column)
    for column in ("ticks/s", "lag"):
        table.add_column(column, justify="right")
    table.add_column("")
    for view in views:
        status = view.status
        table.add_row(
            status.name,
            Text(status.state, style=_COLOURS.get(status.state, "")),
            str(status.pid or ""),
            str(status.restarts or ""),
            "" if view.ticks_per_s is None else f"{view.ticks_per_s:,.0f}",
            "" if view.lag is None else f"{view.lag:,.0f}",
            status.trouble or view.details,
        )
    return table


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
