"""SQL for Flink in Confluent Cloud: the SQL of `flink.py` in another dialect. Pure.

In Confluent Cloud a topic is a table. Ticks are bare JSON without a schema: a table of bytes. The
tables create the candle topics, in the Schema Registry's frame. There is no processing time, so the
order of arrival is the order of the records' timestamps. This SQL was never run.

It makes candles of quotes. Candles of trades need each digit of a decimal in their JSON, and it is
not known how the registry's JSON writes a DECIMAL.
"""

from typing import Final

from homma.core.fields import TICK_FIELDS, TickField, record_fields
from homma.core.interval import Interval
from homma.errors import SettingError
from homma.flink.sql import Job
from homma.flink.sql_types import FLINK_TYPES, milliseconds, quoted
from homma.flink.tick_rules import read_type
from homma.flink.views import candle_view, insert, tick_views
from homma.formats import CURRENT
from homma.topics.codec import CANDLE_KEY
from homma.topics.contract import Topics

#: Properties of every statement, in addition to catalog and database.
PROPERTIES: Final = {"sql.local-time-zone": "UTC"}


def tables(job: Job, partitions: int) -> dict[str, tuple[str, str]]:
    """By the interval's code: name and text of the statement that creates its table and topic."""
    if job.kind != "quote":
        raise SettingError(
            "the SQL for Confluent Cloud makes candles of quotes only",
            "use --price mid, bid or ask, or homma's own engine",
        )
    return {
        interval.code: (
            f"candle-{interval.name}",
            _table(job.topics.candles[interval.code], partitions),
        )
        for interval in job.calendar
    }


def insert_all(job: Job) -> tuple[str, str]:
    """Name and text of the statement that runs, after those of the tables."""
    return "insert", _inserts(job)


def properties(job: Job) -> dict[str, str]:
    """The properties of every statement."""
    return {**PROPERTIES, "sql.state-ttl": milliseconds(job.flink.dedupe_ttl)}


def _ticks(topics: Topics) -> str:
    """The fields of bare JSON; an invalid field is null, which the view `valid` rejects."""
    columns = [
        *(f"{_extracted(field)} AS `{field.json}`" for field in TICK_FIELDS),
        "`$rowtime` AS `recorded`",
        "`$rowtime` AS `arrived`",
    ]
    listed = ",\n  ".join(columns)
    return f"CREATE VIEW `ticks` AS\nSELECT {listed}\nFROM `{topics.ticks}`"


def _extracted(field: TickField) -> str:
    """A field as a text, or in its own type if it is required."""
    value, path = "CAST(`val` AS STRING)", quoted(f"$.{field.json}")
    kind = read_type(field, "quote")
    if kind == "STRING":
        return f"JSON_VALUE({value}, {path})"
    if kind == "DOUBLE":
        return f"JSON_VALUE({value}, {path} RETURNING DOUBLE NULL ON ERROR)"
    return f"TRY_CAST(JSON_VALUE({value}, {path}) AS {kind})"


def _table(topic: str, partitions: int) -> str:
    key = ", ".join(f"`{name}`" for name in CANDLE_KEY)
    columns = [
        *(
            f"`{f.json}` {FLINK_TYPES[f.kind]}" + (" NOT NULL" if f.json in CANDLE_KEY else "")
            for f in record_fields("quote", CURRENT)
        ),
        f"PRIMARY KEY ({key}) NOT ENFORCED",
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
        f"DISTRIBUTED BY ({key}) INTO {partitions} BUCKETS\n"
        f"WITH (\n{options}\n)"
    )


def _inserts(job: Job) -> str:
    statements = [_insert(job, interval) for interval in job.calendar]
    return "\n".join(["EXECUTE STATEMENT SET", "BEGIN", *(f"{s};" for s in statements), "END"])


def _insert(job: Job, interval: Interval) -> str:
    """The INSERT of one interval, with the views inlined: a view needs a statement of its own."""
    views = [
        _ticks(job.topics),
        *tick_views(job.settings, job.flink, job.calendar),
        candle_view(job.settings, job.flink, interval),
    ]
    parts = ",\n".join(_cte(view) for view in views)
    head, _, select = insert(interval, job.kind).partition("\n")
    assert head == f"INSERT INTO `candle_{interval.name}`"
    topic = job.topics.candles[interval.code]
    return f"INSERT INTO `{topic}`\nWITH {parts}\n{select}"


def _cte(view: str) -> str:
    """A view as a common table expression."""
    head, _, query = view.partition(" AS\n")
    return f"{head.removeprefix('CREATE VIEW ')} AS (\n{query}\n)"
