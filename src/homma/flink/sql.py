"""SQL for Apache Flink, generated from the tables of fields and the settings. Pure.

A single statement set, so that Flink reads the ticks once: the tables of this module, and the views
of views.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homma.core.calendar import Calendar
from homma.core.fields import TICK_FIELDS, TickField, TickKind, record_fields
from homma.core.interval import Interval
from homma.core.tick import kind_of
from homma.durations import format_duration
from homma.errors import SettingError
from homma.flink.sql_types import FLINK_TYPES, milliseconds, quoted
from homma.flink.tick_rules import read_type
from homma.flink.views import RECORD, in_time, insert, views
from homma.formats import CURRENT
from homma.settings import AggregateSettings, FlinkSettings
from homma.topics.codec import CANDLE_KEY
from homma.topics.contract import Topics

#: The package prefix of Kafka's clients in Flink's connector.
SHADED: Final = "org.apache.flink.kafka.shaded."
#: The broker's default maximum. A transaction left open for longer after a crash is lost.
TRANSACTION_TIMEOUT_MS: Final = 900_000
#: Maximum records per mini-batch: more than any machine reads in one `emit_every`.
_BATCH: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """The settings of a Flink job.

    `client` has the properties of Kafka's Java clients, `checkpoints` is a URI, `restore` is the
    checkpoint to restore, if any.
    """

    topics: Topics
    settings: AggregateSettings
    flink: FlinkSettings
    client: Mapping[str, str]
    checkpoints: str
    restore: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings that would count ticks twice, and settings unsupported by Flink."""
        if self.flink.dedupe_ttl < self.settings.allowed_lateness:
            raise SettingError(
                f"dedupe_ttl is {format_duration(self.flink.dedupe_ttl)}, less than "
                f"allowed_lateness ({format_duration(self.settings.allowed_lateness)})",
                "increase dedupe_ttl to at least allowed_lateness: otherwise late duplicates count "
                "twice",
            )
        if self.settings.rekey:
            raise SettingError(
                "Flink does not need --rekey",
                "leave out --rekey: Flink groups ticks by series itself",
            )

    @property
    def calendar(self) -> Calendar:
        """The intervals of the candles. Flink needs no others."""
        return self.topics.calendar

    @property
    def kind(self) -> TickKind:
        """What the ticks of the candles are."""
        return kind_of(self.settings.price)

    @property
    def name(self) -> str:
        """The name of the job in Flink."""
        return f"homma {self.settings.group} {self.topics.ticks}"


def state_folder(checkpoints: str, group: str, ticks: str) -> str:
    """The folder of one job's state: jobs with the same `checkpoints` must not share state."""
    return f"{checkpoints.rstrip('/')}/{group}-{ticks}"


def script(job: Job) -> str:
    """The whole script for `sql-client.sh -f`."""
    parts = [
        *(f"SET {quoted(name)} = {quoted(value)};" for name, value in options(job).items()),
        "",
        *(f"{statement};\n" for statement in definitions(job)),
        inserts(job) + ";",
    ]
    return "\n".join(parts) + "\n"


def options(job: Job) -> dict[str, str]:
    """Flink's options by name."""
    values = {
        "pipeline.name": job.name,
        "parallelism.default": str(job.flink.parallelism),
        # Instants are UTC, whatever the machine's zone is.
        "table.local-time-zone": "UTC",
        "table.exec.state.ttl": milliseconds(job.flink.dedupe_ttl),
        # Every `emit_every` Flink writes the changed candles, each once.
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": milliseconds(job.settings.emit_every),
        "table.exec.mini-batch.size": str(_BATCH),
        # Pass rows by reference instead of copying them for each interval.
        "pipeline.object-reuse": "true",
        "state.backend.type": job.flink.state_backend,
        # Nearly every tick is new: the filter shows this without reading the disk.
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
        values["execution.state-recovery.path"] = job.restore
        # Flink deletes the checkpoint after making newer ones.
        values["execution.state-recovery.claim-mode"] = "CLAIM"
    return values


def definitions(job: Job) -> Iterator[str]:
    """Tables and views in order of dependency."""
    yield _ticks(job)
    yield _late(job)
    for interval in job.calendar:
        yield _candles(job, interval)
    yield from views(job.settings, job.flink, job.calendar)


def inserts(job: Job) -> str:
    """The statement set, the only statement that runs."""
    statements = [_insert_late(job), *(insert(interval, job.kind) for interval in job.calendar)]
    return "\n".join(["EXECUTE STATEMENT SET BEGIN", *(f"{s};" for s in statements), "END"])


def _table(name: str, columns: Sequence[str], options: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {column}" for column in columns)
    listed = ",\n".join(f"  {quoted(key)} = {quoted(value)}" for key, value in options.items())
    return f"CREATE TABLE `{name}` (\n{lines}\n) WITH (\n{listed}\n)"


def _client(job: Job) -> dict[str, str]:
    return {f"properties.{name}": value for name, value in job.client.items()}


def _ticks(job: Job) -> str:
    columns = [
        *(f"`{field.json}` {read_type(field, job.kind)}" for field in TICK_FIELDS),
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
        "`partition` INT METADATA",
        "`offset` BIGINT METADATA",
        "`arrived` AS PROCTIME()",
    ]
    table_options = {
        "connector": "kafka",
        "topic": job.topics.ticks,
        **_client(job),
        "properties.group.id": job.settings.group,
        "properties.isolation.level": "read_committed",
        # Without a checkpoint: without state, the job has to read from the beginning.
        "scan.startup.mode": "earliest-offset",
        # Added partitions would move series away from their state.
        "scan.topic-partition-discovery.interval": "0",
        "format": "json",
        "json.ignore-parse-errors": "true",
    }
    return _table("ticks", columns, table_options)


def _sink(job: Job, name: str) -> dict[str, str]:
    table_options = {
        **_client(job),
        "properties.max.request.size": "2097152",
        "sink.delivery-guarantee": job.flink.delivery,
    }
    if job.flink.delivery == "exactly-once":
        table_options |= {
            "sink.transactional-id-prefix": f"homma-{job.settings.group}-{job.topics.ticks}-{name}",
            "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
        }
    return table_options


def _candles(job: Job, interval: Interval) -> str:
    key = ", ".join(f"`{name}`" for name in CANDLE_KEY)
    fields = record_fields(job.kind, CURRENT)
    columns = [f"`{field.json}` {FLINK_TYPES[field.kind]}" for field in fields]
    value_options = {"value.format": "json"}
    if job.kind == "trade":
        # The record is a text, because Flink's JSON has all twelve digits of a decimal.
        columns = [*(f"`{name}` STRING" for name in CANDLE_KEY), f"`{RECORD}` STRING"]
        value_options = {"value.format": "raw", "value.fields-include": "EXCEPT_KEY"}
    columns.append(f"PRIMARY KEY ({key}) NOT ENFORCED")
    table_options = {
        "connector": "upsert-kafka",
        "topic": job.topics.candles[interval.code],
        **_sink(job, interval.name),
        "key.format": "json",
        **value_options,
    }
    return _table(f"candle_{interval.name}", columns, table_options)


def _late(job: Job) -> str:
    columns = [
        "`key` STRING",
        *(f"`{field.json}` {FLINK_TYPES[field.kind]}" for field in TICK_FIELDS),
        "`headers` MAP<STRING NOT NULL, BYTES NOT NULL> METADATA",
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
    ]
    table_options = {
        "connector": "kafka",
        "topic": job.topics.late,
        **_sink(job, "late"),
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "json",
        "value.fields-include": "EXCEPT_KEY",
        "value.json.encode.ignore-null-fields": "true",
        "value.json.encode.decimal-as-plain-number": "true",
    }
    return _table("late", columns, table_options)


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
        *(_converted(field, job.kind) for field in TICK_FIELDS),
        f"MAP[{headers}]",
        "`recorded`",
    ]
    listed = ",\n  ".join(columns)
    return (
        f"INSERT INTO `late`\nSELECT {listed}\nFROM `clocked`\nWHERE NOT ({in_time(job.settings)})"
    )


def _converted(field: TickField, kind: TickKind) -> str:
    column, written = f"`{field.json}`", FLINK_TYPES[field.kind]
    return column if read_type(field, kind) == written else f"CAST({column} AS {written})"
