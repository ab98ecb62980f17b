"""The files of deploy/dbt that repeat for each table and interval. Pure.

Each model is one macro call; the macros are in deploy/dbt/macros.
"""

from collections.abc import Iterator
from typing import Any, Final

from homma.core.interval import DAY_US, INTERVALS, Interval, finer
from homma.lake.schema import CANDLES, TICKS, TableSpec

FOLDER: Final = "deploy/dbt"
_NOTE: Final = "Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead."
_UNITS: Final = ("min", "hour", "day", "week", "month")
_IN_MINUTES: Final = {"min": 1, "hour": 60}
#: A coarse table gets a commit every sixtieth of its interval: warn after twice that time.
_STALE_SHARE: Final = 30
_SLACK_MINUTES: Final = 10


def files() -> dict[str, str]:
    """Every rendered file of the project, by its path."""
    texts = {
        "macros/intervals.sql": _intervals(),
        "models/sources.yml": _sources(),
        "models/staging/candles.yml": _staging(),
        "models/live/candles.yml": _live(),
    }
    for interval in INTERVALS:
        name = interval.name
        texts[f"models/staging/stg_candle_{name}.sql"] = _model("candles_of", name)
        texts[f"models/live/stg_live_candle_{name}.sql"] = _model("live_candles_of", name)
        alias = f"alias='{_table(interval).name}'"
        texts[f"models/land/land_candle_{name}.sql"] = _model("landed_candles_of", name, alias)
    return {f"{FOLDER}/{path}": text for path, text in texts.items()}


def _table(interval: Interval) -> TableSpec:
    return CANDLES[INTERVALS.index(interval)]


def _model(macro: str, name: str, config: str = "") -> str:
    head = f"-- {_NOTE}\n"
    head += f"{{{{ config({config}) }}}}\n" if config else ""
    return f"{head}{{{{ {macro}('{name}') }}}}\n"


def split_name(interval: Interval) -> tuple[int, str]:
    """Split `15min` into 15 and `min`."""
    [unit] = [unit for unit in _UNITS if interval.name.endswith(unit)]
    return int(interval.name.removesuffix(unit)), unit


def _intervals() -> str:
    rows = []
    for interval in INTERVALS:
        count, unit = split_name(interval)
        minutes = count * _IN_MINUTES[unit] if unit in _IN_MINUTES else None
        base = finer(interval)
        row = {
            "code": interval.code,
            "name": interval.name,
            "unit": "minute" if minutes else unit,
            "count": minutes or count,
            "days": -(-interval.longest_us // DAY_US),
            "finer": base.name if base else "",
        }
        rows.append("        " + repr(row) + ",")
    return "\n".join(
        [
            f"{{# {_NOTE} #}}",
            "{% macro intervals() %}",
            "    {{ return([",
            *rows,
            "    ]) }}",
            "{% endmacro %}",
            "",
        ]
    )


def _sources() -> str:
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
    for spec in (TICKS, *CANDLES):
        lines += _source(spec)
    lines += [
        "  - name: topics",
        "    description: Kafka's topics, if Trino has a catalog for them",
        "    database: \"{{ env_var('KAFKA_CATALOG', 'kafka') }}\"",
        "    schema: market_data",
        "    tables:",
        *(f"      - name: candle_{interval.name}" for interval in INTERVALS),
        "  - name: live",
        "    description: candles of the last hour, from the views in deploy/trino/views.sql",
        "    database: iceberg",
        "    tables:",
        *(f"      - name: candle_{interval.name}" for interval in INTERVALS),
    ]
    return "\n".join(lines) + "\n"


def _source(spec: TableSpec) -> Iterator[str]:
    loaded_at = "date_time" if spec.interval is None else "update_date_time"
    warn_min = _SLACK_MINUTES
    if spec.interval is not None:
        warn_min += INTERVALS[spec.interval].longest_us // (_STALE_SHARE * 60_000_000)
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


def _staging() -> str:
    lines = [f"# {_NOTE}", "version: 2", "models:"]
    for interval in INTERVALS:
        lines += [
            f"  - name: stg_candle_{interval.name}",
            f"    description: {_quoted(_table(interval).comment)}",
            "    data_tests:",
            *_test("in_order", interval=interval.name),
            *_test("one_row_per_candle", interval=interval.name),
        ]
        base = finer(interval)
        if base is None:
            lines += _test("no_gap_where_ticks_exist", ticks="ref('stg_ticks')")
        else:
            lines += _test("rolls_up", interval=interval.name, of=f"ref('stg_candle_{base.name}')")
    return "\n".join(lines) + "\n"


def _live() -> str:
    lines = [f"# {_NOTE}", "version: 2", "models:"]
    for interval in INTERVALS:
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
