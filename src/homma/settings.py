"""Every setting in one place: its name, its default and its meaning.

A frozen class holds the settings of one stage. Each field defines a flag (`--emit-every`), an
environment variable (`HOMMA_EMIT_EVERY`) and an entry in homma.toml (`emit_every = "1s"`), in this
order of precedence. docs/reference/settings.md is rendered from here.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from homma import shared_settings as shared
from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.fields import Prices
from homma.core.tick import Price
from homma.durations import format_duration
from homma.errors import SettingError
from homma.formats import CURRENT

TickKinds = Literal["quotes", "trades", "both"]
TimeUnit = Literal["text", "s", "ms", "us", "ns", "epoch"]


def setting(default: Any, meaning: str) -> Any:
    """Define a setting; one without a default (MISSING) is required."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to connect to Kafka. Pass any other librdkafka property with `-X name=value`."""

    bootstrap_servers: str = setting(
        "127.0.0.1:9092",
        "Kafka brokers as host:port, comma-separated; if not set, those of the `homma up` in --dir",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT",
        "security protocol; with SASL, the login is read from KAFKA_SASL_USERNAME and "
        "KAFKA_SASL_PASSWORD",
    )
    sasl_mechanism: str = setting("PLAIN", "SASL mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """Names, partitions and retention of the topics."""

    intervals: Calendar = setting(
        DEFAULT_CALENDAR, "codes of the candles' intervals, comma-separated: s1 to s30, m1 to M1"
    )
    topic: str = setting("stock_ticks", "topic with the incoming ticks")
    dead_topic: str = setting(
        "{topic}_dead", "topic for dead letters, records that break the contract"
    )
    late_topic: str = setting("{topic}_late", "topic for ticks dropped as late")
    candle_topic: str = setting(
        "candle_{name}", "topics for candles; {name} is the interval's name"
    )
    rekey_topic: str = setting(
        "{topic}_by_series", "topic where --rekey writes ticks keyed by series"
    )
    partitions: int = setting(4, "number of partitions of the tick topic, if homma creates it")
    replication_factor: int = setting(
        -1, "replication factor of new topics; -1: the brokers' default"
    )
    tick_retention: timedelta = setting(timedelta(days=7), "how long Kafka keeps ticks")
    minute_retention: timedelta = setting(
        timedelta(days=7), "how long Kafka keeps candles of up to 30 minutes"
    )
    hour_retention: timedelta = setting(timedelta(days=90), "how long Kafka keeps candles of hours")
    day_retention: timedelta = setting(
        timedelta(days=800), "how long Kafka keeps candles of a day or more"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateSettings:
    """How candles are built, and when they are written."""

    group: str = setting(*shared.GROUP)
    price: Price = setting(*shared.PRICE)
    prices: Prices = setting(*shared.PRICES)
    emit_every: timedelta = setting(timedelta(seconds=1), "how often changed candles are written")
    watermark_delay: timedelta = setting(*shared.WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*shared.ALLOWED_LATENESS)
    idle_timeout: timedelta = setting(*shared.IDLE_TIMEOUT)
    max_future: timedelta = setting(*shared.MAX_FUTURE)
    until_end: bool = setting(*shared.UNTIL_END)
    rekey: bool = setting(
        False, "key ticks by series first, for feeds that spread a series over several partitions"
    )
    write_format: int = setting(
        CURRENT,
        f"format of candles and offsets, 1 to {CURRENT}; an older one while older engines of the "
        "group still run",
    )
    rebuild: bool = setting(
        False, "discard candles and offsets, and start again from the oldest tick"
    )

    def __post_init__(self) -> None:
        """Reject an unknown format, and ticks dropped as late before their candle is final."""
        if not 1 <= self.write_format <= CURRENT:
            raise SettingError(
                f"write_format is {self.write_format}, which is not a format of candles",
                f"choose a format from 1 to {CURRENT}",
            )
        minimum = self.max_future + self.watermark_delay
        if self.allowed_lateness < minimum:
            raise SettingError(
                f"allowed_lateness is {format_duration(self.allowed_lateness)}, less than "
                f"max_future plus watermark_delay ({format_duration(minimum)})",
                "raise allowed_lateness, or lower max_future or watermark_delay",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkSettings:
    """Settings that apply only to Flink."""

    delivery: Literal["exactly-once", "at-least-once"] = setting(
        "exactly-once",
        "exactly-once: candles appear with each checkpoint; at-least-once: candles appear after "
        "each emit_every, and some are repeated after a crash",
    )
    checkpoint_every: timedelta = setting(
        timedelta(seconds=5), "how often Flink saves its state, from which it resumes"
    )
    checkpoints: str = setting(
        "", "folder for Flink's state, or an s3:// URI on a cluster; none: a folder in --dir"
    )
    dedupe_ttl: timedelta = setting(
        timedelta(hours=1),
        "how long, by the wall clock, duplicates are recognized and the watermark of a series is "
        "kept; at least allowed_lateness",
    )
    state_retention: timedelta = setting(
        timedelta(days=1),
        "how much longer than its interval and allowed_lateness a candle's state is kept",
    )
    parallelism: int = setting(1, "number of parallel subtasks of each step")
    state_backend: Literal["rocksdb", "hashmap"] = setting(
        "rocksdb", "where Flink keeps its state: rocksdb, on disk; hashmap, on Java's heap"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Which engine builds candles, and where Flink runs."""

    engine: Literal["embedded", "flink"] = setting(
        "embedded", "homma's own engine, or Apache Flink"
    )
    jobmanager: str = setting("", "HOST:PORT of a Flink cluster's REST API; none: start Flink here")
    flink_port: int = setting(8083, "port of Flink's REST API and web page, if it runs here")
    flink_memory: str = setting("1g", "memory of Flink if it runs here, as for Java's -Xmx")
    dir: Path = setting(*shared.DIR)
    cache: Path = setting(*shared.CACHE)
    maven: str = setting(*shared.MAVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where the stage serves its Prometheus metrics."""

    metrics_port: int = setting(0, "port of /metrics; 0: no metrics")
    metrics_host: str = setting("127.0.0.1", "address that /metrics listens on")


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSettings:
    """How to reach the lake. Pass any other pyiceberg property with `-C name=value`."""

    catalog_uri: str = setting(
        "http://127.0.0.1:8181",
        "URI of the Iceberg REST catalog; if not set, that of the `homma up` in --dir",
    )
    warehouse: str = setting("s3://lake", "warehouse of the catalog")
    namespace: str = setting("market_data", "namespace of the tables")
    s3_endpoint: str = setting(
        "http://127.0.0.1:8333", "URL of S3; if not set, that of the `homma up` in --dir"
    )
    s3_region: str = setting("us-east-1", "region of S3")


@dataclass(frozen=True, slots=True, kw_only=True)
class LandSettings:
    """How ticks and candles are written to the lake."""

    commit_every: timedelta = setting(
        timedelta(minutes=1), "how often new rows are committed; less often for long intervals"
    )
    maintain_every: int = setting(
        25, "commits of a table between maintenance runs, which expire snapshots and compact files"
    )
    orphan_retention: timedelta = setting(
        timedelta(hours=1), "how long files stay for running queries once no snapshot needs them"
    )
    watermark_delay: timedelta = setting(*shared.WATERMARK_DELAY)
    idle_timeout: timedelta = setting(*shared.IDLE_TIMEOUT)
    prices: Prices = setting(*shared.PRICES)
    max_future: timedelta = setting(*shared.MAX_FUTURE)
    until_end: bool = setting(*shared.UNTIL_END)
    candles_by: Literal["homma", "trino"] = setting(
        "homma",
        "program that lands candles; trino: land only ticks, and leave candles to deploy/dbt",
    )
    accept_loss: bool = setting(
        False, "continue from the oldest tick if Kafka has deleted ticks that the lake lacks"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """What `homma up` starts on this machine, and where. Each stage also reads its own settings."""

    dir: Path = setting(*shared.DIR)
    cache: Path = setting(*shared.CACHE)
    maven: str = setting(*shared.MAVEN)
    kafka_port: int = setting(9092, "port of the Kafka broker")
    kafka_controller_port: int = setting(9093, "port of the Kafka controller")
    s3_port: int = setting(8333, "port of S3")
    catalog_port: int = setting(8181, "port of the Iceberg REST catalog")
    seaweed_port: int = setting(
        9340, "first of eight ports that SeaweedFS uses internally; a ninth is 10,000 above it"
    )
    trino_port: int = setting(8090, "port of Trino, with `homma up --with trino`")
    aggregate_metrics_port: int = setting(9301, "metrics port of `homma aggregate`")
    generate_metrics_port: int = setting(9302, "metrics port of `homma generate`")
    land_metrics_port: int = setting(9303, "metrics port of `homma land`")
    ingest_metrics_port: int = setting(9304, "metrics port of `homma ingest`")
    verify_metrics_port: int = setting(9305, "metrics port of `homma verify`")
    verify_every: timedelta = setting(
        timedelta(minutes=5),
        "how often the candles of the last 70 minutes are compared with their ticks; 0s: never",
    )
    serve_port: int = setting(*shared.SERVE_PORT)
    commit_every: timedelta = setting(
        timedelta(seconds=10), "how often new rows are committed to the lake's tables"
    )
    history: timedelta = setting(
        timedelta(days=400),
        "how much synthetic history a new data folder gets, if ticks are generated; 0: none",
    )
    ingest: str = setting(
        "",
        "ingest feeds instead of generating ticks: the arguments of `homma ingest`, separated by "
        "spaces",
    )
    no_generate: bool = setting(False, "do not generate synthetic ticks")
    no_lake: bool = setting(False, "do not start SeaweedFS or `homma land`")
    no_serve: bool = setting(False, "do not start the page and the API")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """What the candles of `homma up` are made of. Its stages use the same settings."""

    price: Price = setting(*shared.PRICE)
    prices: Prices = setting(*shared.PRICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """Which engine's candles are compared, and how often."""

    group: str = setting(*shared.GROUP)
    price: Price = setting(*shared.PRICE)
    prices: Prices = setting(*shared.PRICES)
    max_future: timedelta = setting(*shared.MAX_FUTURE)
    every: timedelta = setting(
        timedelta(0), "repeat the comparison this often until stopped; 0s: once"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairSettings:
    """Which engine's candles are repaired. Use the same settings as that engine."""

    group: str = setting(*shared.GROUP)
    price: Price = setting(*shared.PRICE)
    prices: Prices = setting(*shared.PRICES)
    watermark_delay: timedelta = setting(*shared.WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*shared.ALLOWED_LATENESS)
    idle_timeout: timedelta = setting(*shared.IDLE_TIMEOUT)
    max_future: timedelta = setting(*shared.MAX_FUTURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSettings:
    """What the synthetic ticks look like."""

    kind: TickKinds = setting(
        "quotes", "what the ticks are: quotes, trades, or both, about a third of them trades"
    )
    rate: float = setting(100.0, "ticks per second across all series; 0: as many as possible")
    limit: int = setting(*shared.LIMIT)
    sources: int = setting(2, "number of sources: SOURCE_1, SOURCE_2 and so on")
    series: int = setting(20, "total number of series, divided equally among the sources")
    seed: str = setting(
        "",
        "seed of the random generator: the same seed gives the same quotes; none: different quotes "
        "in each run",
    )
    start: str = setting("", "date of the first tick, such as 2025-03-20T14:31:28; none: now")
    speed: str = setting(*shared.SPEED)
    late: float = setting(0.0, "share of ticks (0 to 1) that arrive late, by late_by")
    late_by: timedelta = setting(timedelta(minutes=15), "delay of late ticks")
    out_of_order: float = setting(0.0, "share of ticks (0 to 1) sent out of order")
    duplicates: float = setting(0.0, "share of ticks (0 to 1) sent twice")
    disorder: timedelta = setting(
        timedelta(milliseconds=1500), "longest delay of out-of-order and duplicate ticks"
    )
    invalid: float = setting(0.0, "share of ticks (0 to 1) that break the contract")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """How recorded ticks are read and sent."""

    speed: str = setting(*shared.SPEED)
    limit: int = setting(*shared.LIMIT)
    rebase: Literal["none", "now"] = setting(
        "none",
        "now: shift all dates so that the date of the last tick is the time it is sent",
    )
    feed: str = setting(*shared.FEED)
    source: str = setting(*shared.SOURCE)
    symbol: str = setting(*shared.SYMBOL)
    time_unit: TimeUnit = setting(*shared.TIME_UNIT)
    separator: str = setting(*shared.SEPARATOR)
    skip_invalid_rows: bool = setting(*shared.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How the records of other topics become ticks."""

    group: str = setting(*shared.GROUP)
    emit_every: timedelta = setting(
        timedelta(milliseconds=250), "how often ticks are forwarded, if there are any"
    )
    prices: Prices = setting(*shared.PRICES)
    max_future: timedelta = setting(*shared.MAX_FUTURE)
    allowed_lateness: timedelta = setting(*shared.ALLOWED_LATENESS)
    until_end: bool = setting(*shared.UNTIL_END)
    accept_loss: bool = setting(
        False, "continue from the oldest record if Kafka has deleted records that were not read"
    )
    wait_for_topic: bool = setting(False, "wait until the topics exist, instead of failing")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillSettings:
    """How recorded ticks are loaded into the lake, and which engine's candles are rebuilt."""

    group: str = setting(*shared.GROUP)
    price: Price = setting(*shared.PRICE)
    prices: Prices = setting(*shared.PRICES)
    watermark_delay: timedelta = setting(*shared.WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*shared.ALLOWED_LATENESS)
    idle_timeout: timedelta = setting(*shared.IDLE_TIMEOUT)
    feed: str = setting(*shared.FEED)
    source: str = setting(*shared.SOURCE)
    symbol: str = setting(*shared.SYMBOL)
    time_unit: TimeUnit = setting(*shared.TIME_UNIT)
    separator: str = setting(*shared.SEPARATOR)
    skip_invalid_rows: bool = setting(*shared.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where the page and the API listen, and their limits."""

    serve_host: str = setting(
        "127.0.0.1",
        "address the page and the API listen on; any address except loopback requires a token",
    )
    serve_port: int = setting(*shared.SERVE_PORT)
    allowed_hosts: str = setting(
        "", "host names accepted in addition to the address, comma-separated"
    )
    cors_origins: str = setting("", "origins of other sites that may read the API, comma-separated")
    keep_candles: int = setting(1000, "newest candles of each series and interval kept in memory")
    max_connections: int = setting(
        2000, "maximum number of open connections; further connections are closed immediately"
    )
    max_streams: int = setting(1000, "maximum number of live streams; further streams are refused")
    stream_timeout: timedelta = setting(
        timedelta(seconds=20), "a client that reads nothing for this long is disconnected"
    )
    watermark_delay: timedelta = setting(*shared.WATERMARK_DELAY)
    idle_timeout: timedelta = setting(*shared.IDLE_TIMEOUT)
    without_lake: bool = setting(
        False, "serve only the newest candles, without history from the lake"
    )


STAGES: Final = (
    UpSettings,
    KafkaSettings,
    TopicSettings,
    PriceSettings,
    GenerateSettings,
    ReplaySettings,
    AggregateSettings,
    FlinkSettings,
    EngineSettings,
    LakeSettings,
    LandSettings,
    ServeSettings,
    VerifySettings,
    RepairSettings,
    IngestSettings,
    BackfillSettings,
    MetricsSettings,
)
