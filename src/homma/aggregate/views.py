"""The SQL views that make candles of ticks, for Apache Flink and for Confluent Cloud. Pure.

    ticks → valid → clocked → counted → parts → minutes, 5 minutes, … week, month

A tick's **order key** is a text of fixed width: its dateTime, its number, then its price. MIN and
MAX of the order key give open and close by event time; FIRST_VALUE and LAST_VALUE would go by order
of arrival. Starts of intervals are texts in the format of the records, so that Flink groups by
exactly the keys of its sinks.
"""

import hashlib
from datetime import timedelta
from typing import Final

from homma.aggregate.sql import interval_literal, milliseconds, quoted
from homma.core.interval import DAY_US, FINEST, INTERVALS, MINUTE_US, Interval
from homma.settings import AggregateSettings, FlinkSettings

_NAME: Final = r'^[^\p{Cc}"\\{}\[\]]{1,64}\z'
_INSTANT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?\z"
_LARGEST: Final = "1.7976931348623157E308"
# Positions of the number and the price in an order key.
_NUMBER_AT: Final = 27
_PRICE_AT: Final = 46
_STARTS: Final = ", ".join(f"`{interval.name}`" for interval in INTERVALS)


def sql_hash() -> str:
    """A hash of the SQL: state of another form is incompatible. Changed settings do not matter."""
    settings, flink = AggregateSettings(), FlinkSettings()
    statements = [
        valid_view(settings),
        clocked_view(),
        counted_view(settings),
        parts_view(settings, flink),
        *(candle_view(settings, flink, interval) for interval in INTERVALS),
        *(insert(interval) for interval in INTERVALS),
    ]
    return hashlib.blake2b("\n".join(statements).encode(), digest_size=6).hexdigest()


def valid_view(settings: AggregateSettings) -> str:
    """The ticks that meet the contract; Flink leaves out the others without a dead letter."""
    prices = [f"`{name}` > 0 AND `{name}` <= {_LARGEST}" for name in ("ask", "bid", "mid")]
    markups = [
        f"(`{name}` IS NULL OR ABS(TRY_CAST(`{name}` AS DOUBLE)) <= {_LARGEST})"
        for name in ("askMarkup", "bidMarkup")
    ]
    ahead = interval_literal(settings.max_future)
    rules = [
        f"REGEXP(`source`, {quoted(_NAME)})",
        f"REGEXP(`symbol`, {quoted(_NAME)})",
        *prices,
        "`number` >= 0",
        # Flink parses February 30 as February 28: comparing the formatted date rejects it.
        f"REGEXP(`dateTime`, {quoted(_INSTANT)}) AND {_dated('`dateTime`')}",
        f"(`receiveDateTime` IS NULL OR (REGEXP(`receiveDateTime`, {quoted(_INSTANT)}) "
        f"AND {_dated('`receiveDateTime`')}))",
        *markups,
        "(`isTradable` IS NULL OR `isTradable` IN ('true', 'false'))",
        f"`at` <= CAST(`recorded` AS TIMESTAMP(6)) + {ahead}",
    ]
    where = "\n  AND ".join(rules)
    return (
        f"CREATE VIEW `valid` AS\nSELECT *\nFROM (SELECT *, {_instant('`dateTime`')} AS `at` "
        f"FROM `ticks`)\nWHERE {where}"
    )


def _instant(text: str) -> str:
    return f"TRY_CAST(REPLACE(REPLACE({text}, 'T', ' '), 'Z', '') AS TIMESTAMP(6))"


def _dated(text: str) -> str:
    """Whether the date exists and is not before 1970."""
    formatted = f"SUBSTRING(CAST({_instant(text)} AS STRING) FROM 1 FOR 19)"
    return f"{formatted} = SUBSTRING(REPLACE({text}, 'T', ' ') FROM 1 FOR 19) AND {text} >= '1970'"


def clocked_view() -> str:
    """Each tick with the largest event time of its series so far, in the order of arrival."""
    return (
        "CREATE VIEW `clocked` AS\nSELECT *, MAX(`at`) OVER (PARTITION BY `source`, `symbol` "
        "ORDER BY `arrived`\n  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `clock`\n"
        "FROM `valid`"
    )


def in_time(settings: AggregateSettings) -> str:
    """Whether a tick of `clocked` still counts, or is dropped as late."""
    allowed = interval_literal(timedelta(minutes=1) + settings.allowed_lateness)
    return f"FLOOR(`at` TO MINUTE) + {allowed} > `clock`"


def counted_view(settings: AggregateSettings) -> str:
    """The ticks within the allowed lateness, without duplicates, with order keys and starts."""
    price = f"`{settings.price}`"
    order_key = (
        "REPLACE(CAST(`at` AS STRING), ' ', 'T') || LPAD(CAST(`number` AS STRING), 19, '0')"
        f" || CAST({price} AS STRING)"
    )
    starts = ",\n  ".join(f"{start(i, '`dateTime`')} AS `{i.name}`" for i in INTERVALS)
    # Before the ranking: Flink would not know that columns computed after it never change.
    keyed = (
        f"SELECT `source`, `symbol`, `at`, `number`, `arrived`, {price} AS `price`,\n  {starts},\n"
        f"  {order_key} AS `order_key`\n  FROM `clocked` WHERE {in_time(settings)}"
    )
    return (
        f"CREATE VIEW `counted` AS\nSELECT `source`, `symbol`, {_STARTS}, `price`, `order_key`\n"
        "FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `source`, `symbol`, `at`, `number`\n"
        f"  ORDER BY `arrived`) AS `copy` FROM ({keyed}))\nWHERE `copy` = 1"
    )


def parts_view(settings: AggregateSettings, flink: FlinkSettings) -> str:
    """The ticks aggregated by minute; the candles of all intervals are built from these parts.

    Grouping by the starts of all intervals is equivalent to grouping by minute. It makes the start
    of each candle a plain column, so that Flink knows that the high only rises; otherwise Flink
    would keep the values of all parts and spend most of its time on them.
    """
    aggregates = _aggregates(
        "MIN(`order_key`)", "MAX(`price`)", "MIN(`price`)", "MAX(`order_key`)", "COUNT(*)"
    )
    return (
        f"CREATE VIEW `parts` AS\nSELECT {_ttl_hint(settings, flink, INTERVALS[FINEST])}\n"
        f"  `source`, `symbol`, {_STARTS},\n  {aggregates}\n"
        f"FROM `counted` AS `t`\nGROUP BY `source`, `symbol`, {_STARTS}"
    )


def candle_view(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> str:
    """The candles of an interval."""
    aggregates = _aggregates(
        "MIN(`first`)", "MAX(`high`)", "MIN(`low`)", "MAX(`last`)", "SUM(`volume`)"
    )
    return (
        f"CREATE VIEW `candles_{interval.name}` AS\nSELECT {_ttl_hint(settings, flink, interval)}\n"
        f"  `source`, `symbol`, `{interval.name}` AS `dateTime`,\n  {aggregates}\n"
        f"FROM `parts` AS `t`\nGROUP BY `source`, `symbol`, `{interval.name}`"
    )


def _aggregates(*parts: str) -> str:
    names = ("first", "high", "low", "last", "volume")
    return ", ".join(f"{part} AS `{name}`" for part, name in zip(parts, names, strict=True))


def _ttl_hint(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> str:
    return f"/*+ STATE_TTL('t' = {quoted(milliseconds(state_ttl(settings, flink, interval)))}) */"


def state_ttl(settings: AggregateSettings, flink: FlinkSettings, interval: Interval) -> timedelta:
    """How long Flink keeps a candle's state after the last change: longer for longer intervals."""
    length = timedelta(microseconds=interval.longest_us)
    return length + settings.allowed_lateness + flink.state_retention


def start(interval: Interval, at: str) -> str:
    """SQL for the start of the interval around `at`; both are texts."""
    minutes = interval.longest_us // MINUTE_US
    if interval.longest_us > 7 * DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 7) || '-01T00:00:00.000'"
    if interval.longest_us > DAY_US:
        # Days since a Monday before 1970.
        day = f"CAST(SUBSTRING({at} FROM 1 FOR 10) AS DATE)"
        since = f"MOD(TIMESTAMPDIFF(DAY, DATE '1969-12-29', {day}), 7)"
        return f"CAST(TIMESTAMPADD(DAY, -{since}, {day}) AS STRING) || 'T00:00:00.000'"
    if interval.longest_us == DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 10) || 'T00:00:00.000'"
    if minutes == 1:
        return f"SUBSTRING({at} FROM 1 FOR 16) || ':00.000'"
    if minutes >= 60:
        return f"SUBSTRING({at} FROM 1 FOR 11) || {_floored(at, 12, minutes // 60)} || ':00:00.000'"
    return f"SUBSTRING({at} FROM 1 FOR 14) || {_floored(at, 15, minutes)} || ':00.000'"


def _floored(at: str, position: int, step: int) -> str:
    """Two digits of a text, rounded down to a multiple of `step`."""
    digits = f"SUBSTRING({at} FROM {position} FOR 2)"
    if step == 1:
        return digits
    number = f"CAST({digits} AS INT)"
    return f"LPAD(CAST({number} - MOD({number}, {step}) AS STRING), 2, '0')"


def insert(interval: Interval) -> str:
    """The INSERT that writes the candles of an interval, with the fields of the contract."""

    def tick(order_key: str, name: str) -> list[str]:
        return [
            f"SUBSTRING(`{order_key}` FROM 1 FOR {_NUMBER_AT - 1}) AS `{name}DateTime`",
            f"CAST(SUBSTRING(`{order_key}` FROM {_NUMBER_AT} FOR 19) AS BIGINT) AS `{name}Number`",
        ]

    columns = [
        "`source`",
        "`symbol`",
        "`dateTime`",
        f"CAST(SUBSTRING(`first` FROM {_PRICE_AT}) AS DOUBLE) AS `open`",
        "`high`",
        "`low`",
        f"CAST(SUBSTRING(`last` FROM {_PRICE_AT}) AS DOUBLE) AS `close`",
        "`volume`",
        *tick("first", "open"),
        *tick("last", "close"),
        "CAST(NULL AS BOOLEAN) AS `isFinal`",
        "CAST(NULL AS INT) AS `revision`",
        "DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS "
        "`updateDateTime`",
    ]
    listed = ",\n  ".join(columns)
    return f"INSERT INTO `candle_{interval.name}`\nSELECT {listed}\nFROM `candles_{interval.name}`"
