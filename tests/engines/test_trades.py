"""Trino, Spark and DuckDB read the candles of trades as pyiceberg does, to the last digit."""

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

import polars as pl
import pytest
from pyiceberg.catalog import Catalog

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import Interval
from homma.stack.servers.statements import split
from tests.engines.candle_board import CANDLES, CLOSE_TO, END, HEADER, NEWEST, board_of
from tests.engines.code_blocks import code_blocks, of_trades, run, traded_blocks
from tests.engines.conftest import NAMESPACE, ROOT, TRADED, Query, RunQuery, Spark
from tests.engines.market import DAYS, SOURCES, START, SYMBOLS
from tests.engines.views import as_view
from tests.support.dashboards import PanelQuery, sql_for, time_range

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
DAY = "candle_1day_iceberg"
COLUMNS = ("source", "symbol", "volume", "traded_volume", "turnover")
#: Rows of text in which a number has all of its digits.
SELECT = f"""
SELECT source, symbol, volume, CAST(traded_volume AS varchar(60)), CAST(turnover AS varchar(60))
FROM {{}}.{DAY}"""
Row = tuple[str, str, int, Decimal, Decimal]


@pytest.fixture(scope="module")
def candles(catalog: Catalog, traded: dict[str, pl.DataFrame]) -> set[Row]:
    """The candles of days, as pyiceberg reads them."""
    scan = catalog.load_table(f"{TRADED}.{DAY}").scan(selected_fields=COLUMNS)
    rows = {tuple(row[name] for name in COLUMNS) for row in scan.to_arrow().to_pylist()}
    assert rows == set(traded[DAY].select(COLUMNS).rows())
    assert len(rows) == 4 * (DAYS + 1)
    # A double has 17 digits, and Python's decimals have 28 if they are computed with.
    assert max(len(turnover.as_tuple().digits) for *_, turnover in rows) > 28
    return rows


def parsed(lines: list[str]) -> set[Row]:
    rows = (line.split("\t") for line in lines if line.count("\t") == len(COLUMNS) - 1)
    return {
        (source, symbol, int(ticks), Decimal(size), Decimal(turnover))
        for source, symbol, ticks, size, turnover in rows
    }


def test_trino(query: Query, candles: set[Row]) -> None:
    assert set(query(f"SELECT {', '.join(COLUMNS)} FROM {TRADED}.{DAY}")) == candles
    texts = query(SELECT.format(TRADED))
    assert parsed(["\t".join(map(str, row)) for row in texts]) == candles


def test_duckdb(environment: dict[str, str], candles: set[Row]) -> None:
    code = code_blocks()["DuckDB"].code.partition('duckdb.sql("""\n')[0] + (
        f'for row in duckdb.sql("""{SELECT.format(TRADED)}""").fetchall():\n'
        '    print(*row, sep="\\t")\n'
    )
    assert parsed(run(code, environment).splitlines()) == candles


def test_spark(spark: Spark, candles: set[Row]) -> None:
    process = spark(f"use demo;{SELECT.format(TRADED)};\n")
    assert process.returncode == 0, process.stderr
    assert parsed(process.stdout.splitlines()) == candles


def test_a_sum_of_days_is_exact_in_trino(query: Query, candles: set[Row]) -> None:
    [(volume, turnover)] = query(f"SELECT sum(traded_volume), sum(turnover) FROM {TRADED}.{DAY}")
    with localcontext(prec=38):
        sizes, turnovers = zip(*(row[3:] for row in candles), strict=True)
        assert (volume, turnover) == (sum(sizes), sum(turnovers))


# --- the views over the lake's candles ------------------------------------------------------------
@pytest.fixture(scope="module")
def view_schemas() -> dict[str, str]:
    """The schema of the views by that of the tables."""
    return {NAMESPACE: "lake", TRADED: "traded_lake"}


@pytest.fixture
def views(
    query: Query,
    view_schemas: dict[str, str],
    frames: dict[str, pl.DataFrame],
    traded: dict[str, pl.DataFrame],
) -> dict[str, dict[str, pl.DataFrame]]:
    """Views over both lakes; the rows of the tables by the schema of the views."""
    text = (ROOT / "deploy" / "trino" / "lake-views.sql").read_text("utf-8")
    for tables, schema in view_schemas.items():
        of_schema = text.replace("iceberg.market_data.", f"iceberg.{tables}.")
        for statement in split(of_schema.replace("iceberg.lake", f"iceberg.{schema}")):
            query(statement)
    return dict(zip(view_schemas.values(), (frames, traded), strict=True))


@pytest.mark.parametrize("interval", list(DEFAULT_CALENDAR), ids=lambda interval: interval.code)
def test_a_view_shows_the_volume_that_readers_mean(
    query: Query, views: dict[str, dict[str, pl.DataFrame]], interval: Interval
) -> None:
    for schema, frames in views.items():
        rows = query(f"SELECT * FROM {schema}.candle_{interval.name}")
        assert set(rows) == set(as_view(frames[f"candle_{interval.name}_iceberg"]))


def test_the_volume_of_quotes_is_their_number(
    run_query: RunQuery, views: dict[str, dict[str, pl.DataFrame]]
) -> None:
    columns = "volume, tick_count, turnover, vwap"
    kinds, rows = run_query(f"SELECT {columns} FROM lake.candle_1day")
    assert kinds == dict.fromkeys(("volume", "turnover"), "decimal(38, 12)") | {
        "tick_count": "bigint",
        "vwap": "double",
    }
    assert rows
    assert all(row == (row[1], row[1], None, None) for row in rows)


def test_the_vwap_is_between_low_and_high(
    query: Query, views: dict[str, dict[str, pl.DataFrame]]
) -> None:
    # A candle of one trade: the price, up to the last bit of a double.
    slack = "1e-12 * high"
    outside = f"NOT coalesce(vwap BETWEEN low - {slack} AND high + {slack}, false)"
    assert query(f"SELECT count(*) FROM traded_lake.candle_1min WHERE {outside}") == [(0,)]


def test_trino_prints_the_output_on_the_page(
    environment: dict[str, str],
    trino_node: tuple[int, int],
    views: dict[str, dict[str, pl.DataFrame]],
) -> None:
    before, block, (port, _) = code_blocks()["Trino"], traded_blocks()["Trino"], trino_node
    code = before.code + of_trades(block.code)
    output = run(code, environment, **{"port=8090": f"port={port}"})
    assert output.strip() == before.output + block.output.strip()


# --- Grafana --------------------------------------------------------------------------------------
def run_panel(
    run_query: RunQuery, panel: PanelQuery, symbol: str
) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    choices = {"lake": f"iceberg.{TRADED}", "source": SOURCES[0], "symbol": symbol}
    span = time_range(board_of("1min"), panel.panel, END)
    return run_query(sql_for(panel.query, choices | {"interval": "1min"}, span))


def of_series(frame: pl.DataFrame, symbol: str, since: datetime) -> list[dict[str, Any]]:
    series = frame.filter(
        pl.col("source") == SOURCES[0], pl.col("symbol") == symbol, pl.col("date_time") >= since
    )
    return series.sort("date_time").to_dicts()


@pytest.mark.parametrize("symbol", [symbol for symbol, *_ in SYMBOLS])
def test_the_candles_panel_shows_the_traded_volume_and_the_vwap(
    run_query: RunQuery, traded: dict[str, pl.DataFrame], symbol: str
) -> None:
    kinds, (_, *rows) = run_panel(run_query, CANDLES, symbol)
    assert set(kinds) >= {"volume", "VWAP"}
    assert {kind for name, kind in kinds.items() if name != "time"} == {"double"}
    expected = of_series(traded["candle_1min_iceberg"], symbol, rows[0][0])
    assert len(rows) == len(expected) > 50
    volume, vwap = list(kinds).index("volume"), list(kinds).index("VWAP")
    for row, candle in zip(rows, expected, strict=True):
        assert row[volume] == float(candle["traded_volume"])
        mean = float(candle["turnover"]) / float(candle["traded_volume"])
        assert row[vwap] == pytest.approx(mean, rel=CLOSE_TO)


def test_the_header_shows_the_traded_volume_and_the_vwap_of_the_day(
    run_query: RunQuery, traded: dict[str, pl.DataFrame]
) -> None:
    symbol = SYMBOLS[0][0]
    kinds, [row] = run_panel(run_query, HEADER, symbol)
    today = of_series(traded[DAY], symbol, START)[-1]
    shown = dict(zip(kinds, row, strict=True))
    assert shown["Day's volume"] == float(today["traded_volume"])
    mean = float(today["turnover"]) / float(today["traded_volume"])
    assert shown["Day's VWAP"] == pytest.approx(mean, rel=CLOSE_TO)


def test_the_newest_candles_have_doubles(
    run_query: RunQuery, traded: dict[str, pl.DataFrame]
) -> None:
    kinds, rows = run_panel(run_query, NEWEST, SYMBOLS[0][0])
    assert kinds["volume"] == kinds["turnover"] == "double"
    assert "traded_volume" not in kinds
    assert rows
