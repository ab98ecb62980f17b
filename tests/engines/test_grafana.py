"""Every query of the dashboards of candles, as Grafana sends it, on a real Trino with a lake."""

from datetime import timedelta

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import Interval
from tests.engines.candle_board import (
    BOARD,
    BY_SOURCE,
    CANDLES,
    CLOSE_TO,
    DIVERGENCE,
    END,
    HEADER,
    NEWEST,
    board_of,
)
from tests.engines.conftest import QueryResult, RunQuery
from tests.engines.market import SOURCES, START, SYMBOLS, WRITTEN
from tests.support.dashboards import (
    PanelQuery,
    panel_queries,
    sql_for,
    time_range,
    variables,
)

pytestmark = pytest.mark.stack
LAKE = variables("candles")["lake"]["query"]
SYMBOL = SYMBOLS[1][0]
#: The types that Grafana's plugin passes on as times, numbers and text.
TIME = "timestamp(6) with time zone"
VALUES = ("open", "high", "low", "close", "volume")
CANDLE = {
    "time": TIME,
    **dict.fromkeys(VALUES[:4], "double"),
    "volume": "double",
    "SMA 20": "double",
    "VWAP": "double",
}
NEWEST_COLUMNS = (
    "time",
    "source",
    "symbol",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "tick_count",
    "update_date_time",
)
BY_INTERVAL = {query.title: query for query in panel_queries("intervals")}


def choices(name: str, symbol: str = SYMBOL) -> dict[str, str]:
    return {"lake": LAKE, "source": SOURCES[0], "symbol": symbol, "interval": name}


def run_panel(
    run_query: RunQuery, panel: PanelQuery, name: str, symbol: str = SYMBOL
) -> QueryResult:
    span = time_range(board_of(name), panel.panel, END)
    return run_query(sql_for(panel.query, choices(name, symbol), span))


def within(frame: pl.DataFrame, panel: PanelQuery, name: str) -> pl.DataFrame:
    """The candles within the time range of a panel."""
    since, until = time_range(board_of(name), panel.panel, END)
    return frame.filter(pl.col("date_time").is_between(since, until)).sort("date_time")


def one_series(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("source") == SOURCES[0], pl.col("symbol") == SYMBOL)


@pytest.mark.parametrize("interval", list(DEFAULT_CALENDAR), ids=lambda interval: interval.code)
def test_the_candles_of_each_interval(
    run_query: RunQuery, frames: dict[str, pl.DataFrame], interval: Interval
) -> None:
    name = interval.name
    series = one_series(frames[f"candle_{name}_iceberg"])
    for panel in (CANDLES, BY_INTERVAL[interval.code]):
        kinds, (blank, *rows) = run_panel(run_query, panel, name)
        assert kinds == CANDLE
        expected = within(series, panel, name)
        assert [row[:6] for row in rows] == expected.select("date_time", *VALUES).rows()
        assert rows
        # Grafana takes the time between these two rows for the width of a lone candle.
        assert rows[0][0] - blank[0] == timedelta(microseconds=interval.longest_us)
        assert blank[1:] == (None,) * 7
        averages = expected["close"].rolling_mean(20).to_list()
        assert [row[6] for row in rows] == [
            mean if mean is None else pytest.approx(mean, rel=CLOSE_TO) for mean in averages
        ]
        # Quotes have no VWAP.
        assert {row[7] for row in rows} == {None}


def test_the_average_has_few_digits(run_query: RunQuery) -> None:
    _, rows = run_panel(run_query, CANDLES, "1min")
    averages = [row[6] for row in rows if row[6] is not None]
    assert averages
    assert all(len(str(average)) <= len("1.0851234") for average in averages)


def test_without_candles_every_panel_is_empty(run_query: RunQuery) -> None:
    for panel in (*panel_queries("candles"), *panel_queries("intervals")):
        if panel.title != NEWEST.title:  # It shows all series.
            _, rows = run_panel(run_query, panel, "1min", symbol="no symbol yet")
            assert rows == []


def test_the_header_compares_the_newest_price_with_that_of_the_day_before(
    run_query: RunQuery, frames: dict[str, pl.DataFrame]
) -> None:
    *_, yesterday, today = one_series(frames["candle_1day_iceberg"]).sort("date_time").to_dicts()
    _, [row] = run_panel(run_query, HEADER, "1min")
    change = today["close"] - yesterday["close"]
    assert row[0] == today["close"]
    assert row[1] == round(change, 7) != 0
    assert row[2] == pytest.approx(100 * change / yesterday["close"])
    assert row[3:] == (today["high"], today["low"], today["volume"], None)


def test_the_header_of_the_first_day_compares_with_its_open(
    run_query: RunQuery, frames: dict[str, pl.DataFrame]
) -> None:
    first = one_series(frames["candle_1day_iceberg"]).sort("date_time").to_dicts()[0]
    span = (START, first["date_time"] + timedelta(hours=23))
    _, [row] = run_query(sql_for(HEADER.query, choices("1min"), span))
    assert row[:2] == (first["close"], round(first["close"] - first["open"], 7))


def test_corrections_are_candles_with_a_revision_above_one(
    run_query: RunQuery, frames: dict[str, pl.DataFrame]
) -> None:
    [annotation] = BOARD["annotations"]["list"]
    sql = sql_for(annotation["target"]["rawSQL"], choices("1min"), (START, END))
    kinds, rows = run_query(sql)
    assert kinds == {"time": TIME, "text": "varchar"}
    assert rows == []
    # No candle of this market was corrected: look for those that are final.
    _, rows = run_query(sql.replace("revision > 1", "revision > 0"))
    final = one_series(frames["candle_1min_iceberg"]).filter("is_final").sort("date_time")
    assert [at for at, _ in rows] == final["date_time"].tail(100).reverse().to_list()
    assert {text for _, text in rows} == {f"Corrected: revision 1, written {WRITTEN:%F %T}"}


@pytest.mark.parametrize("name", ["1min", "1hour"])
def test_the_newest_candles_the_sources_and_their_divergence(
    run_query: RunQuery, frames: dict[str, pl.DataFrame], name: str
) -> None:
    newest, by_source, divergence = NEWEST, BY_SOURCE, DIVERGENCE
    frame = frames[f"candle_{name}_iceberg"]

    kinds, rows = run_panel(run_query, newest, name)
    assert set(NEWEST_COLUMNS) <= set(kinds)
    assert (kinds["time"], kinds["close"], kinds["source"]) == (TIME, "double", "varchar")
    expected = within(frame, newest, name).sort(
        "date_time", "source", "symbol", descending=[True, False, False]
    )
    assert [row[:3] for row in rows] == expected.head(100).select(
        "date_time", "source", "symbol"
    ).rows()

    kinds, rows = run_panel(run_query, by_source, name)
    assert kinds == {"time": TIME, "source": "varchar", "close": "double"}
    of_symbol = within(frame.filter(pl.col("symbol") == SYMBOL), by_source, name)
    assert (
        rows == of_symbol.sort("date_time", "source").select("date_time", "source", "close").rows()
    )

    kinds, rows = run_panel(run_query, divergence, name)
    assert kinds == {"time": TIME, "divergence": "double"}
    spread = of_symbol.group_by("date_time").agg(
        pl.len(),
        divergence=1e4 * (pl.col("close").max() - pl.col("close").min()) / pl.mean("close"),
    )
    both = dict(spread.filter(pl.col("len") > 1).select("date_time", "divergence").rows())
    assert dict(rows) == pytest.approx(both)
    assert len(rows) == len(both) > 0


def run_variable(run_query: RunQuery, name: str, rows: str = "") -> list[str]:
    """The values of a variable; `rows` of source, symbol, start and volume replace the table."""
    sql = sql_for(variables("candles")[name]["query"], choices("1min"), (START, END))
    table = f"{LAKE}.candle_1month_iceberg"
    assert table in sql
    if rows:
        sql = sql.replace(table, f"({rows}) AS t (source, symbol, date_time, volume)")
    kinds, values = run_query(sql)
    [kind] = kinds.values()
    assert kind.startswith("varchar")
    return [value for (value,) in values]


def test_the_values_of_the_variables(run_query: RunQuery, frames: dict[str, pl.DataFrame]) -> None:
    assert run_variable(run_query, "source") == list(SOURCES)
    assert run_variable(run_query, "symbol") == [symbol for symbol, *_ in SYMBOLS]


def test_the_most_active_comes_first(run_query: RunQuery) -> None:
    rows = """VALUES
      ('SOURCE_1', 'A', DATE '2025-03-01', 5), ('SOURCE_1', 'B', DATE '2025-03-01', 7),
      ('SOURCE_2', 'A', DATE '2025-03-01', 9), ('SOURCE_2', 'A', DATE '2025-02-01', 9),
      ('CLOSED', 'A', DATE '2025-02-01', 99), ('SOURCE_1', 'C', DATE '2025-02-01', 99)"""
    # SOURCE_1 has 111 ticks and SOURCE_2 has 18; CLOSED has none in the newest month.
    assert run_variable(run_query, "source", rows) == ["SOURCE_1", "SOURCE_2", "CLOSED"]
    assert run_variable(run_query, "symbol", rows) == ["B", "A", "C"]


def test_in_an_empty_lake_each_variable_has_a_value(run_query: RunQuery) -> None:
    rows = "SELECT '', '', DATE '2025-03-01', 1 WHERE false"
    assert run_variable(run_query, "source", rows) == ["no source yet"]
    assert run_variable(run_query, "symbol", rows) == ["no symbol yet"]
