"""The same candles in Confluent Cloud's Flink: the SQL of `flink.py` in its dialect. Pure.

There a topic is a table. Ticks come as bare JSON, without a schema: a table of bytes. The candle
topics are made by their tables, in the Schema Registry's frame. There is no processing time, so
the order of arrival is that of the records' own timestamps. Nothing of this was run.
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

#: What a statement is told beside catalog and database.
PROPERTIES: Final = {"sql.local-time-zone": "UTC"}
_DOUBLES: Final = ("ask", "bid", "mid")
_TEXTS: Final = ("askMarkup", "bidMarkup", "isTradable", "dateTime", "receiveDateTime")


def statements(job: Job, partitions: int) -> Iterator[tuple[str, str]]:
    """Names and texts: tables, which make their topics, and at last the statement that runs."""
    for interval, topic in zip(INTERVALS, job.topics.candles, strict=True):
        yield f"candle-{interval.name}", _table(topic, partitions)
    yield "insert", _inserts(job)


def properties(job: Job) -> dict[str, str]:
    """Of every statement."""
    return {**PROPERTIES, "sql.state-ttl": milliseconds(job.flink.dedupe_ttl)}


def _ticks(topics: Topics) -> str:
    """The fields of bare JSON; what is none comes out null, and breaks the rules."""
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
    told = {
        "changelog.mode": "upsert",
        "key.format": "json-registry",
        "value.format": "json-registry",
        "value.fields-include": "all",
        "kafka.cleanup-policy": "delete-compact",
    }
    lines = ",\n".join(f"  {column}" for column in columns)
    options = ",\n".join(f"  {quoted(name)} = {quoted(value)}" for name, value in told.items())
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
    """One interval, all that it is made of written out: views would have to be made in turn."""
    made = [
        _ticks(job.topics),
        valid_view(job.settings),
        clocked_view(),
        counted_view(job.settings),
        parts_view(job.settings, job.flink),
        candle_view(job.settings, job.flink, interval),
    ]
    parts = ",\n".join(_named(view) for view in made)
    head, _, select = insert(interval).partition("\n")
    assert head == f"INSERT INTO `candle_{interval.name}`"
    return f"INSERT INTO `{topic}`\nWITH {parts}\n{select}"


def _named(view: str) -> str:
    """A view as a named part of a query."""
    head, _, query = view.partition(" AS\n")
    return f"{head.removeprefix('CREATE VIEW ')} AS (\n{query}\n)"
