"""Every query of the dashboard *Candles*, as Grafana sends it, on a real Trino over a real lake."""

from datetime import timedelta

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import Interval
from tests.engines.conftest import QueryResult, RunQuery
from tests.engines.market import DAYS, SOURCES, START, SYMBOLS
from tests.support.dashboards import (
    PanelQuery,
    dashboard,
    panel_queries,
    sql_for,
    time_range,
    variables,
)

pytestmark = pytest.mark.stack
END = START + timedelta(days=DAYS)
BOARD = dashboard("candles")
LAKE = variables("candles")["lake"]["query"]
SYMBOL = SYMBOLS[1][0]
#: The types that Grafana's plugin passes on as times, numbers and text.
TIME = "timestamp(6) with time zone"
CANDLE = {
    "time": TIME,
    **dict.fromkeys(("open", "high", "low", "close"), "double"),
    "volume": "bigint",
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
)
#: Queries for the selected interval, and queries for a fixed interval.
SELECTED = [q for q in panel_queries("candles") if "${interval}" in q.query]
FIXED = [q for q in panel_queries("candles") if "${interval}" not in q.query]
NEWEST, BY_SOURCE = "Newest candles of all series", "Close of $symbol by source"
DIVERGENCE = "Divergence"


def choices(name: str) -> dict[str, str]:
    return {"lake": LAKE, "source": SOURCES[0], "symbol": SYMBOL, "interval": name}


def run_panel(run_query: RunQuery, panel: PanelQuery, name: str) -> QueryResult:
    sql = sql_for(panel.query, choices(name), time_range(BOARD, panel.panel, END))
    return run_query(sql)


def within(frame: pl.DataFrame, panel: PanelQuery) -> pl.DataFrame:
    """The candles within the time range of a panel."""
    since, until = time_range(BOARD, panel.panel, END)
    return frame.filter(pl.col("date_time").is_between(since, until)).sort("date_time")


@pytest.mark.parametrize("interval", list(DEFAULT_CALENDAR), ids=lambda interval: interval.code)
def test_the_candles_of_each_interval(
    run_query: RunQuery, frames: dict[str, pl.DataFrame], interval: Interval
) -> None:
    name = interval.name
    frame = frames[f"candle_{name}_iceberg"]
    one_series = frame.filter(pl.col("source") == SOURCES[0], pl.col("symbol") == SYMBOL)
    [fixed] = [panel for panel in FIXED if panel.title == interval.code]
    for panel in (SELECTED[0], fixed):
        kinds, rows = run_panel(run_query, panel, name)
        assert kinds == CANDLE
        expected = within(one_series, panel).select(
            "date_time", "open", "high", "low", "close", "volume"
        )
        assert rows == expected.rows()
    assert rows


@pytest.mark.parametrize("name", ["1min", "1hour"])
def test_the_newest_candles_the_sources_and_their_divergence(
    run_query: RunQuery, frames: dict[str, pl.DataFrame], name: str
) -> None:
    newest, by_source, divergence = SELECTED[1:]
    assert (newest.title, by_source.title) == (NEWEST, BY_SOURCE)
    assert DIVERGENCE in divergence.title
    frame = frames[f"candle_{name}_iceberg"]

    kinds, rows = run_panel(run_query, newest, name)
    assert set(NEWEST_COLUMNS) <= set(kinds)
    assert (kinds["time"], kinds["close"], kinds["source"]) == (TIME, "double", "varchar")
    expected = within(frame, newest).sort(
        "date_time", "source", "symbol", descending=[True, False, False]
    )
    assert [row[:3] for row in rows] == expected.head(100).select(
        "date_time", "source", "symbol"
    ).rows()

    kinds, rows = run_panel(run_query, by_source, name)
    assert kinds == {"time": TIME, "source": "varchar", "close": "double"}
    of_symbol = within(frame.filter(pl.col("symbol") == SYMBOL), by_source)
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


def test_the_values_of_the_variables(run_query: RunQuery, frames: dict[str, pl.DataFrame]) -> None:
    for name, expected in (("source", SOURCES), ("symbol", [symbol for symbol, *_ in SYMBOLS])):
        sql = sql_for(variables("candles")[name]["query"], choices("1min"), (START, END))
        kinds, rows = run_query(sql)
        assert list(kinds.values()) == ["varchar"]
        assert [value for (value,) in rows] == list(expected)
