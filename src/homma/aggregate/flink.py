"""The same candles from Apache Flink: from the table of intervals and the settings to SQL. Pure.

One statement set, so that the ticks are read once: the tables in here, and the views of views.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homma.aggregate.sql import milliseconds, quoted
from homma.aggregate.views import (
    candle_view,
    clocked_view,
    counted_view,
    in_time,
    insert,
    parts_view,
    valid_view,
)
from homma.core.interval import INTERVALS, Interval
from homma.durations import duration_text
from homma.errors import SettingError
from homma.settings import AggregateSettings, FlinkSettings
from homma.topics.contract import Topics

#: Where the packages of Kafka's clients are in Flink's connector.
SHADED: Final = "org.apache.flink.kafka.shaded."
#: The longest that a broker allows unless told otherwise. What a crash leaves open longer is lost.
TRANSACTION_TIMEOUT_MS: Final = 900_000
#: So many records at most wait for the next emission: more than any machine reads meanwhile.
_BATCH: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """What the SQL is made from.

    `client` are the properties of Kafka's Java clients, `checkpoints` is a URI, and `restore` the
    checkpoint to go on from, if any.
    """

    topics: Topics
    settings: AggregateSettings
    flink: FlinkSettings
    client: Mapping[str, str]
    checkpoints: str
    restore: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings by which ticks would count twice, or that Flink cannot keep to."""
        if self.flink.dedupe_ttl < self.settings.allowed_lateness:
            raise SettingError(
                f"dedupe_ttl is {duration_text(self.flink.dedupe_ttl)}, less than allowed_lateness "
                f"({duration_text(self.settings.allowed_lateness)})",
                "give it more: a copy may come as late as any tick",
            )
        if self.settings.rekey:
            raise SettingError("Flink does not need --rekey", "leave it out: it keys by itself")

    @property
    def name(self) -> str:
        """What the job is called in Flink."""
        return f"homma {self.settings.group} {self.topics.ticks}"


def place_of(checkpoints: str, group: str, ticks: str) -> str:
    """Where one job's state goes: jobs that share a place must not go on from one another's."""
    return f"{checkpoints.rstrip('/')}/{group}-{ticks}"


def script(job: Job) -> str:
    """The whole of it, as `sql-client.sh -f` takes it."""
    parts = [
        *(f"SET {quoted(name)} = {quoted(value)};" for name, value in options(job).items()),
        "",
        *(f"{statement};\n" for statement in definitions(job)),
        inserts(job) + ";",
    ]
    return "\n".join(parts) + "\n"


def options(job: Job) -> dict[str, str]:
    """Flink's own settings."""
    found = {
        "pipeline.name": job.name,
        "parallelism.default": str(job.flink.parallelism),
        # Instants are UTC wherever it runs.
        "table.local-time-zone": "UTC",
        "table.exec.state.ttl": milliseconds(job.flink.dedupe_ttl),
        # What has changed is written every `emit_every`, each candle once.
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": milliseconds(job.settings.emit_every),
        "table.exec.mini-batch.size": str(_BATCH),
        # Rows are handed on as they are, not copied for each of eleven intervals.
        "pipeline.object-reuse": "true",
        "state.backend.type": job.flink.state_backend,
        # Nearly every tick is new: that it was not there before is told without a look at the disk.
        "state.backend.rocksdb.use-bloom-filter": "true",
        "execution.checkpointing.interval": milliseconds(job.flink.checkpoint_every),
        "execution.checkpointing.dir": job.checkpoints,
        "execution.checkpointing.savepoint-dir": job.checkpoints,
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.num-retained": "2",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        "restart-strategy.type": "exponential-delay",
    }
    if job.restore is not None:
        found["execution.state-recovery.path"] = job.restore
        # Flink deletes it once it has newer ones of its own.
        found["execution.state-recovery.claim-mode"] = "CLAIM"
    return found


def definitions(job: Job) -> Iterator[str]:
    """Tables and views, each after those that it reads."""
    yield _ticks(job)
    yield _late(job)
    for interval, topic in zip(INTERVALS, job.topics.candles, strict=True):
        yield _candles(job, interval, topic)
    yield valid_view(job.settings)
    yield clocked_view()
    yield counted_view(job.settings)
    yield parts_view(job.settings, job.flink)
    for interval in INTERVALS:
        yield candle_view(job.settings, job.flink, interval)


def inserts(job: Job) -> str:
    """The one statement that runs."""
    statements = [_insert_late(job), *(insert(interval) for interval in INTERVALS)]
    return "\n".join(["EXECUTE STATEMENT SET BEGIN", *(f"{s};" for s in statements), "END"])


def _table(name: str, columns: Sequence[str], options: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {column}" for column in columns)
    told = ",\n".join(f"  {quoted(key)} = {quoted(value)}" for key, value in options.items())
    return f"CREATE TABLE `{name}` (\n{lines}\n) WITH (\n{told}\n)"


def _client(job: Job) -> dict[str, str]:
    return {f"properties.{name}": value for name, value in job.client.items()}


def _ticks(job: Job) -> str:
    columns = [
        "`source` STRING",
        "`symbol` STRING",
        "`ask` DOUBLE",
        "`bid` DOUBLE",
        "`mid` DOUBLE",
        # As texts, to tell what is absent from what has the wrong type.
        "`askMarkup` STRING",
        "`bidMarkup` STRING",
        "`isTradable` STRING",
        "`number` BIGINT",
        "`dateTime` STRING",
        "`receiveDateTime` STRING",
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
        "`partition` INT METADATA",
        "`offset` BIGINT METADATA",
        "`arrived` AS PROCTIME()",
    ]
    told = {
        "connector": "kafka",
        "topic": job.topics.ticks,
        **_client(job),
        "properties.group.id": job.settings.group,
        "properties.isolation.level": "read_committed",
        # Where no checkpoint says otherwise: without its state it has to begin at the beginning.
        "scan.startup.mode": "earliest-offset",
        # Partitions that are added would move series away from their state.
        "scan.topic-partition-discovery.interval": "0",
        "format": "json",
        "json.ignore-parse-errors": "true",
    }
    return _table("ticks", columns, told)


def _sink(job: Job, name: str) -> dict[str, str]:
    told = {
        **_client(job),
        "properties.max.request.size": "2097152",
        "sink.delivery-guarantee": job.flink.delivery,
    }
    if job.flink.delivery == "exactly-once":
        told |= {
            "sink.transactional-id-prefix": f"homma-{job.settings.group}-{job.topics.ticks}-{name}",
            "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
        }
    return told


def _candles(job: Job, interval: Interval, topic: str) -> str:
    columns = [
        "`source` STRING",
        "`symbol` STRING",
        "`dateTime` STRING",
        "`open` DOUBLE",
        "`high` DOUBLE",
        "`low` DOUBLE",
        "`close` DOUBLE",
        "`volume` BIGINT",
        "`openDateTime` STRING",
        "`openNumber` BIGINT",
        "`closeDateTime` STRING",
        "`closeNumber` BIGINT",
        "`isFinal` BOOLEAN",
        "`revision` INT",
        "`updateDateTime` STRING",
        "PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED",
    ]
    told = {
        "connector": "upsert-kafka",
        "topic": topic,
        **_sink(job, interval.name),
        "key.format": "json",
        "value.format": "json",
    }
    return _table(f"candle_{interval.name}", columns, told)


def _late(job: Job) -> str:
    columns = [
        "`key` STRING",
        "`source` STRING",
        "`symbol` STRING",
        "`ask` DOUBLE",
        "`bid` DOUBLE",
        "`mid` DOUBLE",
        "`askMarkup` DOUBLE",
        "`bidMarkup` DOUBLE",
        "`isTradable` BOOLEAN",
        "`number` BIGINT",
        "`dateTime` STRING",
        "`receiveDateTime` STRING",
        "`headers` MAP<STRING NOT NULL, BYTES NOT NULL> METADATA",
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
    ]
    told = {
        "connector": "kafka",
        "topic": job.topics.late,
        **_sink(job, "late"),
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "json",
        "value.fields-include": "EXCEPT_KEY",
        "value.json.encode.ignore-null-fields": "true",
    }
    return _table("late", columns, told)


def _insert_late(job: Job) -> str:
    headers = ", ".join(
        f"{quoted(name)}, ENCODE({value}, 'UTF-8')"
        for name, value in (
            ("topic", quoted(job.topics.ticks)),
            ("partition", "CAST(`partition` AS STRING)"),
            ("offset", "CAST(`offset` AS STRING)"),
        )
    )
    columns = [
        "`source` || ':' || `symbol`",
        "`source`",
        "`symbol`",
        "`ask`",
        "`bid`",
        "`mid`",
        "CAST(`askMarkup` AS DOUBLE)",
        "CAST(`bidMarkup` AS DOUBLE)",
        "CAST(`isTradable` AS BOOLEAN)",
        "`number`",
        "`dateTime`",
        "`receiveDateTime`",
        f"MAP[{headers}]",
        "`recorded`",
    ]
    listed = ",\n  ".join(columns)
    return (
        f"INSERT INTO `late`\nSELECT {listed}\nFROM `clocked`\nWHERE NOT ({in_time(job.settings)})"
    )
