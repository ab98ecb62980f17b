"""Every setting, once: its name, its default, what it means.

A class holds the settings of one stage and is frozen. Its fields are the table from which the
command line makes `--emit-every`, the environment `HOMMA_EMIT_EVERY` and homma.toml
`emit_every = "1s"`; in that order they count. docs/reference/settings.md is rendered from here.
"""

from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

from homma.durations import duration, duration_text
from homma.errors import SettingError


def setting(default: Any, meaning: str) -> Any:
    """A row of the table; without a default (MISSING) it must be given."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to reach Kafka. Everything else is librdkafka's own, by `-X name=value`."""

    bootstrap_servers: str = setting("127.0.0.1:9092", "brokers, host:port, comma-separated")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "how to talk to them; the SASL ones read KAFKA_SASL_USERNAME and _PASSWORD"
    )
    sasl_mechanism: str = setting("PLAIN", "how to log in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """What the topics are called and how long they keep what they hold."""

    topic: str = setting("stock_ticks", "where ticks come in")
    dead_topic: str = setting("{topic}_dead", "where ticks go that break a rule")
    late_topic: str = setting("{topic}_late", "where ticks go that are too late")
    candle_topic: str = setting("candle_{name}", "where candles go; {name} is the interval's")
    rekey_topic: str = setting("{topic}_by_series", "where --rekey puts ticks, keyed by series")
    partitions: int = setting(4, "partitions of a topic of ticks that does not exist yet")
    replication_factor: int = setting(-1, "copies of each topic; -1: as the brokers have it")
    tick_retention: timedelta = setting(timedelta(days=7), "how long ticks stay in Kafka")
    minute_retention: timedelta = setting(timedelta(days=7), "likewise candles up to 30min")
    hour_retention: timedelta = setting(timedelta(days=90), "likewise candles of hours")
    day_retention: timedelta = setting(timedelta(days=800), "likewise candles of days and more")


# Rows of more than one stage: what is valid, late and final is the same for all of them.
_WATERMARK_DELAY: Final = (
    timedelta(seconds=2),
    "a candle is final when its series is this far past its end",
)
_IDLE_TIMEOUT: Final = (
    timedelta(seconds=5),
    "a series quiet for so long is closed by the clock",
)
_MAX_FUTURE: Final = (
    timedelta(minutes=5),
    "a tick dated further ahead of its record's timestamp is refused",
)
_UNTIL_END: Final = (False, "work off what is there now, then exit")
_GROUP: Final = ("homma", "consumer group, the owner of the committed offsets")
_ALLOWED_LATENESS: Final = (
    timedelta(minutes=10),
    "ticks this far behind their series are too late",
)
Price = Literal["mid", "bid", "ask"]
_PRICE: Final = ("mid", "which price candles are made of")
_DIR: Final = (Path(".homma"), "folder of all data, logs and records")
_CACHE: Final = (Path("~/.cache/homma"), "folder of what is downloaded once")
_MAVEN: Final = (
    "https://repo.maven.apache.org/maven2",
    "where the jars of Kafka, Trino and Flink come from",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateSettings:
    """What candles are made of, and when they are written."""

    group: str = setting(*_GROUP)
    price: Price = setting(*_PRICE)
    emit_every: timedelta = setting(timedelta(seconds=1), "changed candles are written this often")
    watermark_delay: timedelta = setting(*_WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*_ALLOWED_LATENESS)
    idle_timeout: timedelta = setting(*_IDLE_TIMEOUT)
    max_future: timedelta = setting(*_MAX_FUTURE)
    until_end: bool = setting(*_UNTIL_END)
    rekey: bool = setting(
        False, "first key the ticks by series anew, where a series is scattered over partitions"
    )
    rebuild: bool = setting(False, "forget candles and offsets, start anew with the oldest tick")

    def __post_init__(self) -> None:
        """Refuse a combination that would make ticks late before their candle is final."""
        least = self.max_future + self.watermark_delay
        if self.allowed_lateness < least:
            raise SettingError(
                f"allowed_lateness is {duration_text(self.allowed_lateness)}, less than max_future "
                f"plus watermark_delay ({duration_text(least)})",
                "give it more, or lower those two",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkSettings:
    """How Flink makes the same candles: what its SQL says beside the settings of any engine."""

    delivery: Literal["exactly-once", "at-least-once"] = setting(
        "exactly-once",
        "exactly-once: readers get candles with each checkpoint; at-least-once: every emit_every, "
        "and some of them anew after a crash",
    )
    checkpoint_every: timedelta = setting(
        timedelta(seconds=5), "Flink saves its state this often, and goes on from there"
    )
    checkpoints: str = setting(
        "", "where to: a folder, or s3://… where the cluster can write; none: in --dir"
    )
    dedupe_ttl: timedelta = setting(
        timedelta(hours=1),
        "so long, by the wall clock, ticks are known again, and how far a "
        "series was: as long as allowed_lateness at least",
    )
    state_retention: timedelta = setting(
        timedelta(days=1), "a candle's state outlives its interval and allowed_lateness by this"
    )
    parallelism: int = setting(1, "into how many parts Flink divides each step")
    state_backend: Literal["rocksdb", "hashmap"] = setting(
        "rocksdb", "where Flink's state is held: on disk, or in Java's heap"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Which engine makes candles, and where another one than homma's own runs."""

    engine: Literal["embedded", "flink"] = setting("embedded", "homma's own, or Apache Flink")
    jobmanager: str = setting("", "HOST:PORT of a Flink cluster's REST; none: one on this machine")
    flink_port: int = setting(8083, "port of the REST and page of the Flink on this machine")
    flink_memory: str = setting("1g", "memory of the Flink on this machine, as Java's -Xmx")
    dir: Path = setting(*_DIR)
    cache: Path = setting(*_CACHE)
    maven: str = setting(*_MAVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus finds the stage."""

    metrics_port: int = setting(0, "port of /metrics; 0: none")
    metrics_host: str = setting("127.0.0.1", "address it binds")


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSettings:
    """Where the lake is. Everything else is pyiceberg's own, by `-C name=value`."""

    catalog_uri: str = setting("http://127.0.0.1:8181", "address of the Iceberg REST catalog")
    warehouse: str = setting("s3://lake", "the catalog's warehouse")
    namespace: str = setting("market_data", "namespace of the tables")
    s3_endpoint: str = setting("http://127.0.0.1:8333", "address of S3")
    s3_region: str = setting("us-east-1", "region of S3")


@dataclass(frozen=True, slots=True, kw_only=True)
class LandSettings:
    """How ticks and candles get into the lake."""

    commit_every: timedelta = setting(
        timedelta(minutes=1), "the tables get what is new this often; coarse ones at most as often"
    )
    maintain_every: int = setting(
        25, "commits of a table from one tidying to the next: snapshots expired, files put together"
    )
    orphan_retention: timedelta = setting(
        timedelta(hours=1), "files that no snapshot needs any more stay so long for their readers"
    )
    watermark_delay: timedelta = setting(*_WATERMARK_DELAY)
    idle_timeout: timedelta = setting(*_IDLE_TIMEOUT)
    max_future: timedelta = setting(*_MAX_FUTURE)
    until_end: bool = setting(*_UNTIL_END)
    candles_by: Literal["homma", "trino"] = setting(
        "homma", "who lands candles; trino: leave their tables to deploy/dbt, and land ticks only"
    )
    accept_loss: bool = setting(
        False, "go on with the oldest tick kept where Kafka has deleted ticks that the lake lacks"
    )


_SERVE_PORT: Final = (8010, "port of the page and the API")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """What `homma up` starts on this machine, and where. Stages read their own settings too."""

    dir: Path = setting(*_DIR)
    cache: Path = setting(*_CACHE)
    maven: str = setting(*_MAVEN)
    kafka_port: int = setting(9092, "port of the broker")
    kafka_controller_port: int = setting(9093, "port of Kafka's controller")
    s3_port: int = setting(8333, "port of S3")
    catalog_port: int = setting(8181, "port of the Iceberg REST catalog")
    seaweed_port: int = setting(
        9340, "first of the eight ports between SeaweedFS's parts; a ninth is 10,000 beyond"
    )
    trino_port: int = setting(8090, "port of Trino, which `homma up --with trino` starts")
    aggregate_metrics_port: int = setting(9301, "port of the engine's /metrics")
    generate_metrics_port: int = setting(9302, "port of the generator's /metrics")
    land_metrics_port: int = setting(9303, "port of the /metrics of what fills the lake")
    serve_port: int = setting(*_SERVE_PORT)
    commit_every: timedelta = setting(
        timedelta(seconds=10), "the lake's tables get what is new this often"
    )
    no_generate: bool = setting(False, "make no synthetic ticks")
    no_lake: bool = setting(False, "start no SeaweedFS, and land nothing there")
    no_serve: bool = setting(False, "start no page and no API")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """Which engine's candles are looked at."""

    group: str = setting(*_GROUP)
    price: Price = setting(*_PRICE)
    max_future: timedelta = setting(*_MAX_FUTURE)
    every: timedelta = setting(timedelta(0), "compare again this often, until stopped; 0s: once")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairSettings:
    """Whose candles are mended, as that engine is set."""

    group: str = setting(*_GROUP)
    price: Price = setting(*_PRICE)
    watermark_delay: timedelta = setting(*_WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*_ALLOWED_LATENESS)
    max_future: timedelta = setting(*_MAX_FUTURE)


# Rows of more than one stage.
_LIMIT: Final = (0, "stop after so many ticks; 0: never before the end")
_SPEED: Final = ("1", "the ticks' own time over wall time, or max: as fast as can be")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSettings:
    """What synthetic ticks are like."""

    rate: float = setting(100.0, "ticks a second, all series together; 0: as many as can be")
    limit: int = setting(*_LIMIT)
    sources: int = setting(2, "how many sources there are: SOURCE_1, SOURCE_2 and so on")
    series: int = setting(20, "how many series in all: each source quotes as many instruments")
    seed: str = setting("", "the same seed gives the same quotes; none: others every time")
    start: str = setting("", "date of the first tick, as 2025-03-20T14:31:28; none: now")
    speed: str = setting(*_SPEED)
    late: float = setting(0.0, "share of ticks (0 to 1) that are late_by behind their time")
    late_by: timedelta = setting(timedelta(minutes=15), "how far the late ticks are behind")
    out_of_order: float = setting(0.0, "share of ticks sent after ticks that follow them")
    duplicates: float = setting(0.0, "share of ticks sent twice")
    disorder: timedelta = setting(
        timedelta(milliseconds=1500), "within which ticks come out of order or again"
    )
    invalid: float = setting(0.0, "share of ticks that break the contract, in many ways")


# Rows of those who read recorded ticks.
_SOURCE: Final = ("", "source of the ticks of files that have no such column")
_SYMBOL: Final = ("", "symbol of the ticks of files that have no such column")
_TIME_UNIT: Final = ("text", "what dates count that are whole numbers since 1970")
_SEPARATOR: Final = (",", "what stands between the columns of a CSV file")
_SKIP: Final = (False, "leave out rows that lack a value, and count them")
TimeUnit = Literal["text", "s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """How recorded ticks are read and sent."""

    speed: str = setting(*_SPEED)
    limit: int = setting(*_LIMIT)
    rebase: Literal["none", "now"] = setting(
        "none", "now: move all dates so that the last tick is dated when it is sent"
    )
    source: str = setting(*_SOURCE)
    symbol: str = setting(*_SYMBOL)
    time_unit: TimeUnit = setting(*_TIME_UNIT)
    separator: str = setting(*_SEPARATOR)
    skip_invalid_rows: bool = setting(*_SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillSettings:
    """How recorded ticks are read that go straight into the lake, and whose candles they make."""

    group: str = setting(*_GROUP)
    price: Price = setting(*_PRICE)
    watermark_delay: timedelta = setting(*_WATERMARK_DELAY)
    allowed_lateness: timedelta = setting(*_ALLOWED_LATENESS)
    source: str = setting(*_SOURCE)
    symbol: str = setting(*_SYMBOL)
    time_unit: TimeUnit = setting(*_TIME_UNIT)
    separator: str = setting(*_SEPARATOR)
    skip_invalid_rows: bool = setting(*_SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where the page and the API are, and how much they give."""

    serve_host: str = setting(
        "127.0.0.1", "address of the page and the API; others than this machine's need a token"
    )
    serve_port: int = setting(*_SERVE_PORT)
    allowed_hosts: str = setting(
        "", "names by which it may be asked for beside its address, comma-separated"
    )
    cors_origins: str = setting(
        "", "origins of other sites' pages that may read the API, comma-separated"
    )
    keep_candles: int = setting(1000, "newest candles of each series and interval held in memory")
    max_connections: int = setting(2000, "connections at a time; more are closed at once")
    max_streams: int = setting(1000, "live streams at a time; more are refused")
    stream_timeout: timedelta = setting(
        timedelta(seconds=20), "who takes nothing from a stream for so long is cut off"
    )
    watermark_delay: timedelta = setting(*_WATERMARK_DELAY)
    idle_timeout: timedelta = setting(*_IDLE_TIMEOUT)
    without_lake: bool = setting(False, "give the newest candles only, ask no lake for older ones")


STAGES: Final = (
    UpSettings,
    KafkaSettings,
    TopicSettings,
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
    BackfillSettings,
    MetricsSettings,
)


def all_settings() -> dict[str, Field[Any]]:
    """Every setting by name."""
    return {row.name: row for stage in STAGES for row in fields(stage)}


def has_default(row: Field[Any]) -> bool:
    """Whether a setting may be left out."""
    return row.default is not MISSING


def parse(row: Field[Any], text: str) -> Any:
    """The value of a setting from its text; ValueError says what it may be."""
    kind = row.type
    if kind is timedelta:
        return duration(text)
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() in ("true", "1")
    if kind in (int, float, Path):
        return kind(text)
    choices = get_args(kind)
    if choices and text not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text
