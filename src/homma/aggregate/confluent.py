"""SQL for Flink in Confluent Cloud: the SQL of `flink.py` in another dialect. Pure.

In Confluent Cloud a topic is a table. Ticks are bare JSON without a schema: a table of bytes. The
tables create the candle topics, in the Schema Registry's frame. There is no processing time, so the
order of arrival is the order of the records' timestamps. This SQL was never run.
"""

from collections.abc import Iterator
from typing import Final

from homma.aggregate.flink import Job
from homma.aggregate.sql import milliseconds, quoted
from homma.aggregate.views import (
    candle_view,
    clocked_view,
    counted_view,
    insert,
    parts_view,
    valid_view,
)
from homma.core.interval import INTERVALS, Interval
from homma.topics.contract import Topics

#: Properties of every statement, in addition to catalog and database.
PROPERTIES: Final = {"sql.local-time-zone": "UTC"}
_DOUBLES: Final = ("ask", "bid", "mid")
_TEXTS: Final = ("askMarkup", "bidMarkup", "isTradable", "dateTime", "receiveDateTime")


def statements(job: Job, partitions: int) -> Iterator[tuple[str, str]]:
    """Names and texts: the tables, which create their topics, then the statement that runs."""
    for interval, topic in zip(INTERVALS, job.topics.candles, strict=True):
        yield f"candle-{interval.name}", _table(topic, partitions)
    yield "insert", _inserts(job)


def properties(job: Job) -> dict[str, str]:
    """The properties of every statement."""
    return {**PROPERTIES, "sql.state-ttl": milliseconds(job.flink.dedupe_ttl)}


def _ticks(topics: Topics) -> str:
    """The fields of bare JSON; an invalid field is null, which the view `valid` rejects."""
    value = "CAST(`val` AS STRING)"
    columns = [
        f"JSON_VALUE({value}, '$.source') AS `source`",
        f"JSON_VALUE({value}, '$.symbol') AS `symbol`",
        *(
            f"JSON_VALUE({value}, '$.{n}' RETURNING DOUBLE NULL ON ERROR) AS `{n}`"
            for n in _DOUBLES
        ),
        f"TRY_CAST(JSON_VALUE({value}, '$.number') AS BIGINT) AS `number`",
        *(f"JSON_VALUE({value}, '$.{name}') AS `{name}`" for name in _TEXTS),
        "`$rowtime` AS `recorded`",
        "`$rowtime` AS `arrived`",
    ]
    listed = ",\n  ".join(columns)
    return f"CREATE VIEW `ticks` AS\nSELECT {listed}\nFROM `{topics.ticks}`"


def _table(topic: str, partitions: int) -> str:
    columns = [
        "`source` STRING NOT NULL",
        "`symbol` STRING NOT NULL",
        "`dateTime` STRING NOT NULL",
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
    table_options = {
        "changelog.mode": "upsert",
        "key.format": "json-registry",
        "value.format": "json-registry",
        "value.fields-include": "all",
        "kafka.cleanup-policy": "delete-compact",
    }
    lines = ",\n".join(f"  {column}" for column in columns)
    options = ",\n".join(
        f"  {quoted(name)} = {quoted(value)}" for name, value in table_options.items()
    )
    return (
        f"CREATE TABLE `{topic}` (\n{lines}\n)\n"
        f"DISTRIBUTED BY (`source`, `symbol`, `dateTime`) INTO {partitions} BUCKETS\n"
        f"WITH (\n{options}\n)"
    )


def _inserts(job: Job) -> str:
    statements = [
        _insert(job, interval, topic)
        for interval, topic in zip(INTERVALS, job.topics.candles, strict=True)
    ]
    return "\n".join(["EXECUTE STATEMENT SET", "BEGIN", *(f"{s};" for s in statements), "END"])


def _insert(job: Job, interval: Interval, topic: str) -> str:
    """The INSERT of one interval, with the views inlined: a view needs a statement of its own."""
    views = [
        _ticks(job.topics),
        valid_view(job.settings),
        clocked_view(),
        counted_view(job.settings),
        parts_view(job.settings, job.flink),
        candle_view(job.settings, job.flink, interval),
    ]
    parts = ",\n".join(_cte(view) for view in views)
    head, _, select = insert(interval).partition("\n")
    assert head == f"INSERT INTO `candle_{interval.name}`"
    return f"INSERT INTO `{topic}`\nWITH {parts}\n{select}"


def _cte(view: str) -> str:
    """A view as a common table expression."""
    head, _, query = view.partition(" AS\n")
    return f"{head.removeprefix('CREATE VIEW ')} AS (\n{query}\n)"
