"""Every metric in one place. None has a symbol label.

docs/reference/metrics.md is rendered from here.
"""

from collections.abc import Iterator, Sequence
from copy import copy
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
    """A metric: its name, kind, description and labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "bulk histogram"]
    help: str
    labels: tuple[str, ...] = ()


AGGREGATE: Final = (
    Metric("homma_ticks_read", "counter", "ticks read"),
    Metric("homma_ticks_counted", "counter", "ticks counted in candles"),
    Metric("homma_ticks_dead", "counter", "ticks sent to the dead letter topic"),
    Metric("homma_ticks_dropped_late", "counter", "ticks dropped as late"),
    Metric("homma_ticks_duplicate", "counter", "duplicate ticks ignored"),
    Metric(
        "homma_ticks_not_applicable",
        "counter",
        "valid ticks without the price that candles are built from",
    ),
    Metric("homma_candles_written", "counter", "candle records written", ("interval",)),
    Metric("homma_lag_ticks", "gauge", "ticks not yet read", ("partition",)),
    Metric("homma_series", "gauge", "known series"),
    Metric(
        "homma_tick_to_candle_seconds",
        "bulk histogram",
        "time from a tick's Kafka timestamp until its candles are committed",
    ),
    Metric("homma_transaction_seconds", "histogram", "time from begin to commit of a transaction"),
    Metric(
        "homma_restore_seconds",
        "histogram",
        "time from assignment of a partition until reading starts",
    ),
    Metric("homma_transactions", "counter", "transactions by outcome", ("outcome",)),
)
INGEST: Final = (
    Metric("homma_ticks_read", "counter", "records read", ("feed",)),
    Metric("homma_ticks_forwarded", "counter", "ticks written to the tick topic", ("feed",)),
    Metric(
        "homma_records_not_ticks",
        "counter",
        "records that are no ticks by the condition of the feed definition",
        ("feed",),
    ),
    Metric("homma_ticks_dead", "counter", "records sent to the dead letter topic", ("feed",)),
    Metric("homma_lag_ticks", "gauge", "records not yet read", ("feed", "partition")),
    Metric(
        "homma_transaction_seconds",
        "histogram",
        "time from begin to commit of a transaction",
        ("feed",),
    ),
    Metric(
        "homma_restore_seconds",
        "histogram",
        "time from assignment of a partition until reading starts",
        ("feed",),
    ),
    Metric("homma_transactions", "counter", "transactions by outcome", ("feed", "outcome")),
)
FEED: Final = (
    Metric("homma_ticks_sent", "counter", "ticks handed to the Kafka client"),
    Metric("homma_ticks_unacknowledged", "gauge", "ticks not yet acknowledged by Kafka"),
)
LAND: Final = (
    Metric("homma_ticks_read", "counter", "valid ticks read"),
    Metric("homma_ticks_landed", "counter", "ticks committed to the lake"),
    Metric(
        "homma_candles_landed", "counter", "candle records committed to the lake", ("interval",)
    ),
    Metric(
        "homma_records_invalid", "counter", "records that are not candles, skipped", ("interval",)
    ),
    Metric(
        "homma_records_superseded",
        "counter",
        "records without a revision that would have shrunk a candle, skipped",
        ("interval",),
    ),
    Metric("homma_lake_lag_records", "gauge", "records not yet in the lake", ("table",)),
    Metric("homma_lake_commits", "counter", "commits by outcome", ("table", "outcome")),
    Metric("homma_lake_commit_seconds", "histogram", "time from the first upload until the commit"),
    Metric("homma_lake_files", "gauge", "data files of the table", ("table",)),
    Metric("homma_lake_files_deleted", "counter", "files deleted because no snapshot needed them"),
)
VERIFY: Final = (
    Metric(
        "homma_candles_wrong",
        "gauge",
        "candles that differ from those recomputed from the ticks",
        ("side", "verdict"),
    ),
    Metric("homma_ticks_compared", "gauge", "ticks from which candles were recomputed"),
    Metric(
        "homma_verified_timestamp_seconds",
        "gauge",
        "time of the last comparison; 0 until the first one ends",
    ),
    Metric("homma_verify_seconds", "histogram", "duration of a comparison"),
)
SERVE: Final = (
    Metric("homma_candles_read", "counter", "candle records read"),
    Metric("homma_candles_invalid", "gauge", "records in the candle topics that are not candles"),
    Metric(
        "homma_candles_superseded",
        "gauge",
        "superseded candle records of other engines: records with a smaller volume than the "
        "candle kept",
    ),
    Metric("homma_series_split", "gauge", "series found in several partitions"),
    Metric("homma_series", "gauge", "known series"),
    Metric("homma_streams", "gauge", "open live streams"),
    Metric(
        "homma_streams_disconnected",
        "counter",
        "live streams disconnected because the client read nothing",
    ),
    Metric("homma_updates", "counter", "candle updates sent to live streams, each counted once"),
    Metric("homma_requests", "counter", "requests answered", ("status",)),
    Metric(
        "homma_request_seconds", "histogram", "time from a request to the start of its response"
    ),
    Metric("homma_lake_reads", "counter", "lake queries by outcome", ("outcome",)),
    Metric(
        "homma_candle_to_stream_seconds",
        "histogram",
        "time from a candle's Kafka timestamp until it is sent to live streams",
    ),
)
STAGES: Final = {
    "aggregate": AGGREGATE,
    "land": LAND,
    "serve": SERVE,
    "generate and replay": FEED,
    "ingest": INGEST,
    "verify": VERIFY,
}


class BulkHistogram:
    """A histogram that takes counts per bucket, not single observations."""

    def __init__(self, row: Metric) -> None:
        self._row = row
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum_s = 0.0

    def add(self, counts: Sequence[int], sum_s: float) -> None:
        """Add counts per bucket (those of SECONDS, then everything above) and their sum."""
        self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]
        self._sum_s += sum_s

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram, as Prometheus' collector protocol requires."""
        total, buckets = 0, []
        for edge, count in zip((*map(str, SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((edge, total))
        yield HistogramMetricFamily(self._row.name, self._row.help, buckets, self._sum_s)


class Metrics:
    """The metrics of one stage and of its process, in a registry of their own."""

    def __init__(self, rows: Sequence[Metric]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._bulk: dict[str, BulkHistogram] = {}
        self._labels: tuple[str, ...] = ()
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

    def labelled(self, *labels: str) -> "Metrics":
        """These metrics, with the values of the first labels."""
        labelled = copy(self)
        labelled._labels = labels
        return labelled

    def count(self, name: str, by: float = 1, *labels: str) -> None:
        """Increase a counter."""
        counter, labels = self._counters[name], (*self._labels, *labels)
        (counter.labels(*labels) if labels else counter).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        gauge, labels = self._gauges[name], (*self._labels, *labels)
        (gauge.labels(*labels) if labels else gauge).set(value)

    def observe(self, name: str, seconds: float) -> None:
        """Add an observation to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(*self._labels) if self._labels else histogram).observe(seconds)

    def observe_all(self, name: str, counts: Sequence[int], sum_s: float) -> None:
        """Add many observations, as counts per bucket."""
        self._bulk[name].add(counts, sum_s)

    def serve(self, host: str, port: int) -> None:
        """Serve /metrics from a thread; with port 0, do nothing."""
        if port:
            start_http_server(port, host, registry=self.registry)
