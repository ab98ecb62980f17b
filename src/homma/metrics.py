"""Every metric, once. Never a label by symbol. docs/reference/metrics.md is rendered from here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import HistogramMetricFamily

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "bulk histogram"]
    help: str
    labels: tuple[str, ...] = ()


AGGREGATE: Final = (
    Metric("homma_ticks_read", "counter", "ticks read"),
    Metric("homma_ticks_counted", "counter", "ticks that are in candles"),
    Metric("homma_ticks_dead", "counter", "ticks that break a rule, sent to the dead topic"),
    Metric("homma_ticks_dropped_late", "counter", "ticks too late, sent to the late topic"),
    Metric("homma_ticks_duplicate", "counter", "ticks counted before"),
    Metric("homma_candles_written", "counter", "candle records written", ("interval",)),
    Metric("homma_lag_ticks", "gauge", "ticks not read yet", ("partition",)),
    Metric("homma_series", "gauge", "series known"),
    Metric(
        "homma_tick_to_candle_seconds",
        "bulk histogram",
        "from a tick's Kafka timestamp until its candles are committed",
    ),
    Metric("homma_transaction_seconds", "histogram", "from begin to commit of a transaction"),
    Metric("homma_restore_seconds", "histogram", "from assignment of a partition until it is read"),
    Metric("homma_transactions", "counter", "transactions by how they ended", ("outcome",)),
)
FEED: Final = (
    Metric("homma_ticks_sent", "counter", "ticks handed over to Kafka"),
    Metric("homma_ticks_unacknowledged", "gauge", "ticks Kafka has not acknowledged yet"),
)
LAND: Final = (
    Metric("homma_ticks_read", "counter", "valid ticks read"),
    Metric("homma_ticks_landed", "counter", "ticks that are in the lake"),
    Metric("homma_candles_landed", "counter", "candle records that are in the lake", ("interval",)),
    Metric(
        "homma_records_invalid", "counter", "records that are no candles, left out", ("interval",)
    ),
    Metric(
        "homma_records_superseded",
        "counter",
        "records without revision that would have made a candle smaller, left out",
        ("interval",),
    ),
    Metric("homma_lake_lag_records", "gauge", "records the lake does not have yet", ("table",)),
    Metric("homma_lake_commits", "counter", "commits by how they ended", ("table", "outcome")),
    Metric("homma_lake_commit_seconds", "histogram", "from the first upload until it is committed"),
    Metric("homma_lake_files", "gauge", "data files of a table", ("table",)),
    Metric("homma_lake_files_deleted", "counter", "files deleted that no snapshot needed"),
)
VERIFY: Final = (
    Metric(
        "homma_candles_wrong",
        "gauge",
        "candles that are not those of the ticks",
        ("side", "verdict"),
    ),
    Metric("homma_ticks_compared", "gauge", "ticks that candles were recomputed from"),
    Metric("homma_verified_timestamp_seconds", "gauge", "when candles were last compared"),
    Metric("homma_verify_seconds", "histogram", "how long a comparison took"),
)
SERVE: Final = (
    Metric("homma_candles_read", "counter", "candle records read"),
    Metric("homma_candles_invalid", "gauge", "records in the candle topics that are no candles"),
    Metric(
        "homma_candles_superseded", "gauge", "records of other engines that lack a part of a candle"
    ),
    Metric("homma_series_split", "gauge", "series that stand in several partitions"),
    Metric("homma_series", "gauge", "series known"),
    Metric("homma_streams", "gauge", "live streams open"),
    Metric(
        "homma_streams_disconnected", "counter", "live streams cut off because nobody took anything"
    ),
    Metric("homma_updates", "counter", "candle updates for live streams, each counted once"),
    Metric("homma_requests", "counter", "requests answered", ("status",)),
    Metric("homma_request_seconds", "histogram", "from a request to the start of its answer"),
    Metric("homma_lake_reads", "counter", "questions put to the lake", ("outcome",)),
    Metric(
        "homma_candle_to_stream_seconds",
        "histogram",
        "from a candle's Kafka timestamp until it goes out to live streams",
    ),
)
STAGES: Final = {
    "aggregate": AGGREGATE,
    "land": LAND,
    "serve": SERVE,
    "generate and replay": FEED,
    "verify": VERIFY,
}


class BulkHistogram:
    """A histogram that is told counts by bucket, not one observation at a time."""

    def __init__(self, row: Metric) -> None:
        self._row = row
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum_s = 0.0

    def add(self, counts: Sequence[int], sum_s: float) -> None:
        """Add so many observations in each bucket (as SECONDS, then above) and their sum."""
        self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]
        self._sum_s += sum_s

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Prometheus' collector protocol."""
        total, buckets = 0, []
        for edge, count in zip((*map(str, SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((edge, total))
        yield HistogramMetricFamily(self._row.name, self._row.help, buckets, self._sum_s)


class Metrics:
    """The metrics of one stage, and those of its process, in a registry of their own."""

    def __init__(self, rows: Sequence[Metric]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._bulk: dict[str, BulkHistogram] = {}
        for row in rows:
            if row.kind == "counter":
                self._counters[row.name] = Counter(
                    row.name, row.help, row.labels, registry=self.registry
                )
            elif row.kind == "gauge":
                self._gauges[row.name] = Gauge(
                    row.name, row.help, row.labels, registry=self.registry
                )
            elif row.kind == "histogram":
                self._histograms[row.name] = Histogram(
                    row.name, row.help, row.labels, buckets=SECONDS, registry=self.registry
                )
            else:
                self._bulk[row.name] = BulkHistogram(row)
                self.registry.register(self._bulk[row.name])

    def count(self, name: str, by: float = 1, *labels: str) -> None:
        """Raise a counter."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def show(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def observe(self, name: str, seconds: float) -> None:
        """Add one observation to a histogram."""
        self._histograms[name].observe(seconds)

    def observe_all(self, name: str, counts: Sequence[int], sum_s: float) -> None:
        """Add many observations, by bucket."""
        self._bulk[name].add(counts, sum_s)

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus in a thread of its own; port 0 for none."""
        if port:
            start_http_server(port, host, registry=self.registry)
