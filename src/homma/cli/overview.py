"""What runs, how fast, how far behind, and the newest candles: for people."""

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

from homma.cli.local import Local, measured
from homma.core.interval import FINEST, INTERVALS
from homma.errors import KafkaError
from homma.settings import TopicSettings
from homma.stack.process import State, Status
from homma.topics import codec, contract
from homma.topics.kafka.reading import Message, Range, Reader

Stopped = Callable[[], bool]
_SERIES: Final = 6
_LOOK_BACK: Final = 200
#: The ports that are not for the parts of a server alone.
_DOORS: Final = {
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
class Reading:
    """A stage's metrics at a moment, seconds."""

    at_s: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class StageView:
    """One line: how a process stands, and what it does a second."""

    status: Status
    ticks_per_s: float | None
    lag: float | None
    more: str


class Overview:
    """Looks at a running pipeline again and again."""

    def __init__(
        self, runs: Local, topics: TopicSettings, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._runs = runs
        self._names = contract.topics(topics)
        self._clock_s = clock_s
        self._reader = Reader({"bootstrap.servers": runs.bootstrap})
        self._before: dict[str, Reading] = {}

    def table(self, home: Path) -> RenderableType:
        """The live table."""
        head = Text.assemble(
            ("homma ", "bold"), " · ".join([*self._places(), f"data {home}", "Ctrl-C stops"])
        )
        candles = self.newest()
        return Group(
            head,
            stage_table(self.stages()),
            newest_minutes(candles),
            all_intervals(candles),
        )

    def _places(self) -> list[str]:
        """Where its servers are reached from outside."""
        page = self._runs.ports.get("serve", {}).get("page")
        lake = self._runs.lake
        return [
            *([f"page http://127.0.0.1:{page}"] if page else []),
            f"Kafka {self._runs.bootstrap}",
            *([f"S3 {lake.s3}", f"catalog {lake.catalog}"] if lake else []),
        ]

    def line(self) -> str:
        """The same in one line of a log."""
        said = []
        for view in self.stages():
            rate = "" if view.ticks_per_s is None else f" {view.ticks_per_s:,.0f} ticks/s"
            lag = "" if view.lag is None else f" lag {view.lag:,.0f}"
            said.append(f"{view.status.name} {view.status.state}{rate}{lag}")
        return " · ".join(said)

    def stages(self) -> list[StageView]:
        """How each process stands."""
        return [self._stage(process.status) for process in self._runs.processes]

    def _stage(self, status: Status) -> StageView:
        ports = self._runs.ports.get(status.name, {})
        values = measured(ports["metrics"]) if "metrics" in ports else None
        if values is None:
            return StageView(status, None, None, listening(ports))
        now = Reading(self._clock_s(), values)
        before = self._before.get(status.name)
        self._before[status.name] = now
        counter = counter_of(status.name)
        rate = None
        if before is not None and now.at_s > before.at_s:
            gained = values.get(counter, 0) - before.values.get(counter, 0)
            rate = max(0.0, gained) / (now.at_s - before.at_s)
        more = _details(values) or listening(ports)
        return StageView(status, rate, lag_of(values), more)

    def newest(self) -> pl.DataFrame:
        """The newest candle of each series and interval, as far as recent records tell."""
        found: list[Message] = []
        try:
            for partition in range(self._reader.partitions(self._names.candles[FINEST])):
                found += self._recent(partition)
        except KafkaError:
            # The broker is being restarted; the next look will tell.
            return codec.candles_from([], FINEST)
        frames = []
        for code, topic in enumerate(self._names.candles):
            values = [value for m in found if m.topic() == topic and (value := m.value())]
            frames.append(codec.candles_from(values, code))
        keys = ["source", "symbol", "interval"]
        return pl.concat(frames).unique(keys, keep="last", maintain_order=True).sort(keys)

    def _recent(self, partition: int) -> list[Message]:
        spans = {}
        for topic in self._names.candles:
            kept = self._reader.kept(topic, partition)
            spans[topic] = Range(max(kept.start, kept.end - _LOOK_BACK), kept.end)
        return [m for batch in self._reader.read(partition, spans, 5.0) for m in batch]

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()


def listening(ports: Mapping[str, int]) -> str:
    """The ports of a server that people come to, in words."""
    return ", ".join(f"{said} {ports[name]}" for name, said in _DOORS.items() if name in ports)


def counter_of(stage: str) -> str:
    """What counts a stage's ticks."""
    return "homma_ticks_sent_total" if stage == "generate" else "homma_ticks_read_total"


def lag_of(values: dict[str, float]) -> float | None:
    """How much a stage still has before it, of all its topics."""
    return values.get("homma_lag_ticks", values.get("homma_lake_lag_records"))


def _details(values: dict[str, float]) -> str:
    landed = values.get("homma_ticks_landed_total")
    if landed is not None:
        candles = values.get("homma_candles_landed_total", 0)
        return f"{landed:,.0f} ticks and {candles:,.0f} candle records landed"
    written = values.get("homma_candles_written_total")
    if written is None:
        return ""
    refused = {
        word: values.get(f"homma_ticks_{word}_total", 0) for word in ("bad", "late", "duplicate")
    }
    series = values.get("homma_series", 0)
    told = [f"{series:,.0f} series", f"{written:,.0f} candles written"]
    return ", ".join(told + [f"{count:,.0f} {word}" for word, count in refused.items() if count])


def stage_table(views: list[StageView]) -> Table:
    """The stages as a table."""
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
            status.trouble or view.more,
        )
    return table


def newest_minutes(candles: pl.DataFrame) -> Table:
    """The newest minute of several series."""
    minutes = candles.filter(pl.col("interval") == FINEST).sort("symbol", "source").head(_SERIES)
    title = "newest minutes" if minutes.height else "no candles yet"
    return candle_table(title, minutes, "minute")


def all_intervals(candles: pl.DataFrame) -> Table:
    """The newest candle of every interval of one series."""
    first = candles.sort("symbol", "source").select("source", "symbol").head(1)
    its = candles.join(first, on=["source", "symbol"], how="semi").sort("interval")
    return candle_table("one series, all intervals" if its.height else "", its, "start")


def candle_table(title: str, candles: pl.DataFrame, start_name: str) -> Table:
    """Candles as a table: rising ones green, open ones marked."""
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
            INTERVALS[row["interval"]].code,
            f"{start:%m-%d %H:%M}",
            *prices,
            f"{row['volume']:,}",
            "" if row["is_final"] else "open",
        )
    return table
