"""The files of deploy/dbt that repeat for each table, interval and field. Pure.

Each model is one macro call; the macros are in deploy/dbt/macros.
"""

from collections.abc import Iterator
from typing import Any, Final

from homma.core.calendar import Calendar
from homma.core.fields import CANDLE_FIELDS, TICK_FIELDS
from homma.core.interval import DAY_US, MINUTE_US, Interval
from homma.lake.schema import CANDLE_COLUMNS, TICK_COLUMNS, TableSpec, candle_table, tables
from homma.rendered.trino import TYPES

FOLDER: Final = "deploy/dbt"
_NOTE: Final = "Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead."
_UNITS: Final = ("sec", "min", "hour", "day", "week", "month")
#: By unit of a name: Trino's unit and how many of these it is.
_TRINO_UNITS: Final = {"sec": ("second", 1), "min": ("minute", 1), "hour": ("minute", 60)}
#: A coarse table gets a commit every sixtieth of its interval: warn after twice that time.
_STALE_SHARE: Final = 30
_SLACK_MINUTES: Final = 10


def files(calendar: Calendar) -> dict[str, str]:
    """Every rendered file of the project, by its path."""
    texts = {
        "macros/intervals.sql": _macro("intervals", _intervals(calendar)),
        "macros/fields.sql": _macro("candle_columns", _candle_columns())
        + _macro("tick_columns", _tick_columns()),
        "models/sources.yml": _sources(calendar),
        "models/staging/candles.yml": _staging(calendar),
        "models/live/candles.yml": _live(calendar),
    }
    for interval in calendar:
        name = interval.name
        texts[f"models/staging/stg_candle_{name}.sql"] = _model("candles_of", name)
        texts[f"models/live/stg_live_candle_{name}.sql"] = _model("live_candles_of", name)
        alias = f"alias='{candle_table(interval).name}'"
        texts[f"models/land/land_candle_{name}.sql"] = _model("landed_candles_of", name, alias)
    return {f"{FOLDER}/{path}": text for path, text in texts.items()}


def _model(macro: str, name: str, config: str = "") -> str:
    head = f"-- {_NOTE}\n"
    head += f"{{{{ config({config}) }}}}\n" if config else ""
    return f"{head}{{{{ {macro}('{name}') }}}}\n"


def split_name(interval: Interval) -> tuple[int, str]:
    """Split `15min` into 15 and `min`."""
    [unit] = [unit for unit in _UNITS if interval.name.endswith(unit)]
    return int(interval.name.removesuffix(unit)), unit


def _intervals(calendar: Calendar) -> Iterator[dict[str, Any]]:
    for interval in calendar:
        count, unit = split_name(interval)
        trino_unit, factor = _TRINO_UNITS.get(unit, (unit, 1))
        finer = calendar.next_finer(interval)
        yield {
            "code": interval.code,
            "name": interval.name,
            "unit": trino_unit,
            "count": count * factor,
            "days": -(-interval.longest_us // DAY_US),
            "finer": finer.name if finer else "",
        }


def _candle_columns() -> Iterator[dict[str, Any]]:
    for field, column in zip(CANDLE_FIELDS, CANDLE_COLUMNS, strict=True):
        yield {
            "name": column.name,
            "json": column.json,
            "type": TYPES[column.kind],
            "required": field.in_every_record and field.required,
            "merge": field.merge or "",
            "if_null": column.if_null,
        }


def _tick_columns() -> Iterator[dict[str, Any]]:
    fields = {field.column: field for field in TICK_FIELDS}
    for column in TICK_COLUMNS:
        if column.json:
            yield {
                "name": column.name,
                "type": TYPES[column.kind],
                "required": column.required,
                "of": fields[column.name].of or "",
            }


def _macro(name: str, rows: Iterator[dict[str, Any]]) -> str:
    """A macro that returns a list."""
    return "\n".join(
        [
            f"{{# {_NOTE} #}}",
            f"{{% macro {name}() %}}",
            "    {{ return([",
            *(f"        {row!r}," for row in rows),
            "    ]) }}",
            "{% endmacro %}",
            "",
        ]
    )


def _sources(calendar: Calendar) -> str:
    lines = [
        f"# {_NOTE}",
        "version: 2",
        "sources:",
        "  - name: lake",
        "    description: tables written by `homma land`",
        "    database: iceberg",
        "    schema: \"{{ env_var('HOMMA_NAMESPACE', 'market_data') }}\"",
        "    tables:",
    ]
    for spec in tables(calendar):
        lines += _source(spec)
    lines += [
        "  - name: topics",
        "    description: Kafka's topics, if Trino has a catalog for them",
        "    database: \"{{ env_var('KAFKA_CATALOG', 'kafka') }}\"",
        "    schema: market_data",
        "    tables:",
        *(f"      - name: candle_{interval.name}" for interval in calendar),
        "  - name: live",
        "    description: candles of the last hour, from the views in deploy/trino/views.sql",
        "    database: iceberg",
        "    tables:",
        *(f"      - name: candle_{interval.name}" for interval in calendar),
    ]
    return "\n".join(lines) + "\n"


def _source(spec: TableSpec) -> Iterator[str]:
    loaded_at, warn_min = "date_time", _SLACK_MINUTES
    if spec.interval is not None:
        loaded_at = "update_date_time"
        warn_min += spec.interval.longest_us // (_STALE_SHARE * MINUTE_US)
    yield f"      - name: {spec.name}"
    yield f"        description: {_quoted(spec.comment)}"
    yield f"        loaded_at_field: {loaded_at}"
    yield "        config:"
    yield "          freshness:"
    yield f"            warn_after: {{count: {warn_min}, period: minute}}"
    yield f"            error_after: {{count: {6 * warn_min}, period: minute}}"
    yield "        columns:"
    for column in spec.columns:
        yield f"          - name: {column.name}"
        yield f"            description: {_quoted(column.comment)}"


def _staging(calendar: Calendar) -> str:
    lines = [f"# {_NOTE}", "version: 2", "models:"]
    for interval in calendar:
        lines += [
            f"  - name: stg_candle_{interval.name}",
            f"    description: {_quoted(candle_table(interval).comment)}",
            "    data_tests:",
            *_test("in_order", interval=interval.name),
            *_test("one_row_per_candle", interval=interval.name),
        ]
        finer = calendar.next_finer(interval)
        if finer is None:
            lines += _test(
                "no_gap_where_ticks_exist", interval=interval.name, ticks="ref('stg_ticks')"
            )
        else:
            lines += _test("rolls_up", interval=interval.name, of=f"ref('stg_candle_{finer.name}')")
    return "\n".join(lines) + "\n"


def _live(calendar: Calendar) -> str:
    lines = [f"# {_NOTE}", "version: 2", "models:"]
    for interval in calendar:
        lines += [
            f"  - name: stg_live_candle_{interval.name}",
            f"    description: candles of {interval.name} from the topic, last hour",
            "    data_tests:",
            *_test("agrees_with", lake=f"ref('stg_candle_{interval.name}')"),
        ]
    return "\n".join(lines) + "\n"


def _test(name: str, **arguments: Any) -> Iterator[str]:
    yield f"      - {name}:"
    yield "          arguments:"
    for argument, value in arguments.items():
        yield f"            {argument}: {value}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'
