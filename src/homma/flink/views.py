"""The SQL views that make candles of ticks, for Apache Flink and for Confluent Cloud. Pure.

    ticks → valid → clocked → counted → parts → candles of each interval

A tick's **order key** is a text of fixed width: its dateTime, its number, then its price. MIN and
MAX of the order key give open and close by event time; FIRST_VALUE and LAST_VALUE would go by order
of arrival. Starts of intervals are texts in the format of the records, so that Flink groups by
exactly the keys of its sinks. Columns derive from `core/fields.py`.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from homma.core.calendar import Calendar
from homma.core.fields import CandleField, TickKind, record_fields
from homma.core.interval import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Interval
from homma.core.tick import PRICE_FIELDS, Price, kind_of
from homma.flink import traded
from homma.flink.sql_types import FLINK_TYPES, interval_literal, milliseconds, quoted
from homma.flink.tick_rules import instant, tick_rules
from homma.formats import CURRENT
from homma.settings import AggregateSettings, FlinkSettings
from homma.topics.codec import CANDLE_KEY

# Positions of the number and the price in an order key.
_NUMBER_AT: Final = 27
_PRICE_AT: Final = 46
#: The price that stands for all prices of a kind in the hash of the SQL.
_PRICES: Final[dict[TickKind, Price]] = {"quote": "mid", "trade": "trade"}


#: The column that has a record of candles of trades.
RECORD: Final = "record"


def sql_hash(calendar: Calendar, kind: TickKind) -> str:
    """A hash of the SQL: state of another form is incompatible. Changed settings do not matter."""
    settings, flink = AggregateSettings(price=_PRICES[kind]), FlinkSettings()
    statements = [
        *views(settings, flink, calendar),
        *(insert(interval, kind) for interval in calendar),
    ]
    return hashlib.blake2b("\n".join(statements).encode(), digest_size=6).hexdigest()


def views(settings: AggregateSettings, flink: FlinkSettings, calendar: Calendar) -> Iterator[str]:
    """All views over the ticks, in order of dependency."""
    yield from tick_views(settings, flink, calendar)
    for interval in calendar:
        yield candle_view(settings, flink, interval)


def tick_views(
    settings: AggregateSettings, flink: FlinkSettings, calendar: Calendar
) -> Iterator[str]:
    """The views that the candles of all intervals are made of, in order of dependency."""
    yield _valid_view(settings)
    yield _clocked_view(kind_of(settings.price))
    yield _counted_view(settings, calendar)
    yield _parts_view(settings, flink, calendar)


def _valid_view(settings: AggregateSettings) -> str:
    """The valid ticks that have the price; Flink leaves out the others without a dead letter."""
    ahead = interval_literal(settings.max_future)
    rules = [
        *tick_rules(kind_of(settings.price), settings.prices),
        f"`at` <= CAST(`recorded` AS TIMESTAMP(6)) + {ahead}",
    ]
    where = "\n  AND ".join(rules)
    return (
        f"CREATE VIEW `valid` AS\nSELECT *\nFROM (SELECT *, {instant('`dateTime`')} AS `at` "
        f"FROM `ticks`)\nWHERE {where}"
    )


def _clocked_view(kind: TickKind) -> str:
    """Each tick with the largest event time of its series so far, in the order of arrival."""
    window = (
        "(PARTITION BY `source`, `symbol` ORDER BY `arrived`\n"
        "  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    view = f"CREATE VIEW `clocked` AS\nSELECT *, MAX(`at`) OVER {window} AS `clock`"
    if kind == "trade":
        view = f"{view},\n  {traded.running_totals('`price`', '`size`', window)}"
    return f"{view}\nFROM `valid`"


def in_time(settings: AggregateSettings) -> str:
    """Whether a tick of `clocked` still counts, or is dropped as late (core/finality.py)."""
    allowed = interval_literal(timedelta(minutes=1) + settings.allowed_lateness)
    # From the end of the tick's minute, whatever intervals there are.
    return f"FLOOR(`at` TO MINUTE) + {allowed} > `clock`"


def _starts(calendar: Calendar) -> list[Interval]:
    """The intervals whose starts the parts have: all chosen ones and the base, finest first."""
    base = calendar.base
    return [*calendar] if base in calendar.intervals else [base, *calendar]


def _start_columns(calendar: Calendar) -> str:
    return ", ".join(f"`{interval.name}`" for interval in _starts(calendar))


def _counted_view(settings: AggregateSettings, calendar: Calendar) -> str:
    """The ticks within the allowed lateness, without duplicates, with order keys and starts."""
    price = f"`{PRICE_FIELDS[settings.price]}`"
    if settings.prices == "any":
        # -0.0 counts as 0.0.
        price = f"{price} + CAST(0 AS DOUBLE)"
    order_key = (
        "REPLACE(CAST(`at` AS STRING), ' ', 'T') || LPAD(CAST(`number` AS STRING), 19, '0')"
        f" || CAST({price} AS STRING)"
    )
    starts = ",\n  ".join(f"{start(i, '`dateTime`')} AS `{i.name}`" for i in _starts(calendar))
    sums, computed, where = "", "", in_time(settings)
    if kind_of(settings.price) == "trade":
        values = traded.columns("`price`", "`size`")
        sums = "".join(f", `{name}`" for name in values)
        computed = "".join(f",\n  {value} AS `{name}`" for name, value in values.items())
        where = f"{where}\n  AND {traded.are_below_bound()}"
    # Before the ranking: Flink would not know that columns computed after it never change.
    keyed = (
        f"SELECT `source`, `symbol`, `at`, `number`, `arrived`, {price} AS `price`{computed},\n"
        f"  {starts},\n  {order_key} AS `order_key`\n  FROM `clocked` WHERE {where}"
    )
    return (
        f"CREATE VIEW `counted` AS\nSELECT `source`, `symbol`, {_start_columns(calendar)}, "
        f"`price`{sums}, `order_key`\n"
        "FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `source`, `symbol`, `at`, `number`\n"
        f"  ORDER BY `arrived`) AS `copy` FROM ({keyed}))\nWHERE `copy` = 1"
    )


def _parts_view(settings: AggregateSettings, flink: FlinkSettings, calendar: Calendar) -> str:
    """The ticks aggregated by the calendar's base, from which all candles are built.

    Grouping by the starts of all intervals is equivalent to grouping by the base. It makes the
    start of each candle a plain column, so that Flink knows that the high only rises; otherwise
    Flink would keep the values of all parts and spend most of its time on them.
    """
    starts = _start_columns(calendar)
    return (
        f"CREATE VIEW `parts` AS\nSELECT {_ttl_hint(settings, flink, calendar.base)}\n"
        f"  `source`, `symbol`, {starts},\n  {_aggregates(_of_ticks, kind_of(settings.price))}\n"
        f"FROM `counted` AS `t`\nGROUP BY `source`, `symbol`, {starts}"
    )


def candle_view(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> str:
    """The candles of an interval."""
    aggregates = _aggregates(_of_parts, kind_of(settings.price))
    return (
        f"CREATE VIEW `candles_{interval.name}` AS\nSELECT {_ttl_hint(settings, flink, interval)}\n"
        f"  `source`, `symbol`, `{interval.name}` AS `dateTime`,\n  {aggregates}\n"
        f"FROM `parts` AS `t`\nGROUP BY `source`, `symbol`, `{interval.name}`"
    )


def _aggregates(aggregate: Callable[[CandleField], str], kind: TickKind) -> str:
    """The aggregates of all fields that depend on ticks; first and last are order keys."""
    fields = [field for field in record_fields(kind, CURRENT) if field.merge]
    return ", ".join(f"{aggregate(field)} AS `{_part(field)}`" for field in fields)


def _part(field: CandleField) -> str:
    """The column of a field in `parts` and in the candle views."""
    return field.merge if field.merge in ("first", "last") else field.json


def _of_ticks(field: CandleField) -> str:
    if field.of_tick == "one":
        return "COUNT(*)"
    return _merged(field, "order_key" if field.merge in ("first", "last") else str(field.of_tick))


def _of_parts(field: CandleField) -> str:
    return _merged(field, _part(field))


def _merged(field: CandleField, column: str) -> str:
    functions = {"first": "MIN", "last": "MAX", "max": "MAX", "min": "MIN", "sum": "SUM"}
    assert field.merge is not None
    return f"{functions[field.merge]}(`{column}`)"


def _ttl_hint(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> str:
    return f"/*+ STATE_TTL('t' = {quoted(milliseconds(state_ttl(settings, flink, interval)))}) */"


def state_ttl(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> timedelta:
    """How long Flink keeps a candle's state after the last change: longer for longer intervals."""
    # A tick of the candle's last minute may still be in time.
    length = timedelta(microseconds=max(interval.longest_us, MINUTE_US))
    return length + settings.allowed_lateness + flink.state_retention


def start(interval: Interval, at: str) -> str:
    """SQL for the start of the interval around `at`; both are texts."""
    length_us = interval.longest_us
    if length_us > 7 * DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 7) || '-01T00:00:00.000'"
    if length_us > DAY_US:
        # Days since a Monday before 1970.
        day = f"CAST(SUBSTRING({at} FROM 1 FOR 10) AS DATE)"
        since = f"MOD(TIMESTAMPDIFF(DAY, DATE '1969-12-29', {day}), 7)"
        return f"CAST(TIMESTAMPADD(DAY, -{since}, {day}) AS STRING) || 'T00:00:00.000'"
    if length_us == DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 10) || 'T00:00:00.000'"
    if length_us >= HOUR_US:
        return _floored(at, 12, length_us // HOUR_US) + " || ':00:00.000'"
    if length_us >= MINUTE_US:
        return _floored(at, 15, length_us // MINUTE_US) + " || ':00.000'"
    return _floored(at, 18, length_us // SECOND_US) + " || '.000'"


def _floored(at: str, position: int, step: int) -> str:
    """A text up to two digits at `position`, which are rounded down to a multiple of `step`."""
    if step == 1:
        return f"SUBSTRING({at} FROM 1 FOR {position + 1})"
    number = f"CAST(SUBSTRING({at} FROM {position} FOR 2) AS INT)"
    digits = f"LPAD(CAST({number} - MOD({number}, {step}) AS STRING), 2, '0')"
    return f"SUBSTRING({at} FROM 1 FOR {position - 1}) || {digits}"


def insert(interval: Interval, kind: TickKind) -> str:
    """The INSERT that writes the candles of an interval, with the fields of the contract."""
    if kind == "quote":
        outputs = [_output(field) for field in record_fields(kind, CURRENT)]
    else:
        outputs = [*(f"`{name}`" for name in CANDLE_KEY), f"{_record()} AS `{RECORD}`"]
    listed = ",\n  ".join(outputs)
    return f"INSERT INTO `candle_{interval.name}`\nSELECT {listed}\nFROM `candles_{interval.name}`"


def _tick_time(order_key: str) -> str:
    return f"SUBSTRING(`{order_key}` FROM 1 FOR {_NUMBER_AT - 1})"


def _tick_number(order_key: str) -> str:
    return f"CAST(SUBSTRING(`{order_key}` FROM {_NUMBER_AT} FOR 19) AS BIGINT)"


#: Fields that are not columns of the candle views, by column.
_COMPUTED: Final = {
    "open_date_time": _tick_time("first"),
    "open_number": _tick_number("first"),
    "close_date_time": _tick_time("last"),
    "close_number": _tick_number("last"),
    "update_date_time": "DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000'",
}


def _output(field: CandleField) -> str:
    """A field of a candle record; null if plain SQL cannot know its value."""
    name, value = f"`{field.json}`", _value(field)
    if value is None:
        value = f"CAST(NULL AS {FLINK_TYPES[field.kind]})"
    return value if value == name else f"{value} AS {name}"


def _value(field: CandleField) -> str | None:
    if field.merge in ("first", "last"):
        kind = FLINK_TYPES[field.kind]
        return f"CAST(SUBSTRING(`{_part(field)}` FROM {_PRICE_AT}) AS {kind})"
    if field.merge or field.json in CANDLE_KEY:
        return f"`{field.json}`"
    return _COMPUTED.get(field.column)


def _record() -> str:
    """The JSON object of a candle of trades, as Flink would write decimals with all their zeros."""
    fields = record_fields("trade", CURRENT)
    members = [f"'\"{field.json}\":' || {_json(field)}" for field in fields]
    return "'{' || " + "\n  || ',' || ".join(members) + " || '}'"


def _json(field: CandleField) -> str:
    value = _value(field)
    if value is None:
        return "'null'"
    if field.kind in ("string", "instant"):
        # Names have no character that JSON escapes.
        return f"'\"' || {value} || '\"'"
    return traded.text(value) if field.kind == "decimal" else f"CAST({value} AS STRING)"
