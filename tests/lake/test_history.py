"""History from a real lake: by series, interval and time, and the newest rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import polars as pl
import pytest

from homma.core.interval import CLOCK
from homma.lake import history
from homma.lake.history import HistoryQuery
from homma.lake.schema import TICKS, TableSpec, candle_table
from homma.lake.table import Lake, Table
from tests.support.candle_rows import MINUTES, NOON, candle, tick, ticks

MINUTE = timedelta(minutes=1)
MONTHS = candle_table(CLOCK)
SERIES = (("S", "A"), ("S", "B"), ("T", "A"))


def us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


NOW_US = us(NOON + timedelta(days=2))


@pytest.fixture
def lake_client(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    client = Lake(lake, namespace)
    yield client
    client.close()


def table_with(lake_client: Lake, spec: TableSpec, rows: list[dict[str, object]]) -> Table:
    table = lake_client.ensure_table(spec)
    table.commit(table.upload(pl.DataFrame(rows, schema=spec.schema)))
    return table


@pytest.fixture
def minutes(lake_client: Lake) -> Table:
    """Ten minutes of three series on two days; the fourth minute is missing."""
    rows = [
        candle(
            symbol,
            NOON + timedelta(days=day) + n * MINUTE,
            source=source,
            final=True,
            close=float(n),
        )
        for (source, symbol), day, n in product(SERIES, (0, 1), range(10))
        if n != 3
    ]
    return table_with(lake_client, MINUTES, rows)


def keys(rows: pl.DataFrame) -> list[tuple[str, int]]:
    at = rows["date_time"].dt.minute()
    return list(zip(rows["source"] + rows["symbol"], at, strict=True))


def test_by_symbol_source_and_time(minutes: Table) -> None:
    rows = history.candles(
        minutes, HistoryQuery("A", since_us=us(NOON + timedelta(hours=1))), NOW_US
    )
    assert keys(rows) == [(s, n) for s in ("SA", "TA") for n in range(10) if n != 3]
    span = HistoryQuery("A", "T", us(NOON + 2 * MINUTE), us(NOON + 6 * MINUTE))
    assert keys(history.candles(minutes, span, NOW_US)) == [("TA", 2), ("TA", 4), ("TA", 5)]
    assert keys(history.candles(minutes, HistoryQuery(source="S", last=1), NOW_US)) == [
        ("SA", 9),
        ("SB", 9),
    ]


def test_the_newest_rows_are_found(minutes: Table) -> None:
    for now_us in (us(NOON + timedelta(days=1, minutes=10)), NOW_US, us(NOON) * 2):
        rows = history.candles(minutes, HistoryQuery("B", last=3), now_us)
        assert keys(rows) == [("SB", 7), ("SB", 8), ("SB", 9)]
        assert rows["date_time"].min() == NOON + timedelta(days=1, minutes=7)
    twelve = history.candles(minutes, HistoryQuery("B", last=12), NOW_US)
    assert twelve.height == 12
    assert twelve["date_time"].is_sorted()
    before = HistoryQuery("B", last=2, until_us=us(NOON + timedelta(days=1)))
    assert history.candles(minutes, before, NOW_US)["date_time"].max() == NOON + 9 * MINUTE


def test_the_last_close_is_carried_forward(minutes: Table) -> None:
    span = HistoryQuery("B", "S", us(NOON + 3 * MINUTE), us(NOON + 12 * MINUTE))
    rows = history.candles(minutes, span, NOW_US, fill=True)
    assert rows.columns == MINUTES.schema.names()
    assert rows["close"].to_list() == [2, 4, 5, 6, 7, 8, 9, 9, 9]
    assert rows["volume"].to_list() == [0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert rows["tick_count"].to_list() == rows["volume"].to_list()
    assert rows["open"].to_list()[0] == rows["high"].to_list()[0] == 2
    assert rows["is_final"].all()
    # Gaps are not filled into the future.
    short = history.candles(minutes, span, us(NOON + 11 * MINUTE), fill=True)
    assert short["date_time"].max() == NOON + 10 * MINUTE
    # `last` counts filled candles too.
    last = history.candles(
        minutes, HistoryQuery("B", "S", last=8, until_us=span.until_us), NOW_US, fill=True
    )
    assert last["close"].to_list() == [4, 5, 6, 7, 8, 9, 9, 9]


def test_months_are_filled_by_the_calendar(lake_client: Lake) -> None:
    starts = [datetime(2023, 11, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)]
    table = table_with(lake_client, MONTHS, [candle("A", at, final=True) for at in starts])
    rows = history.candles(table, HistoryQuery("A"), NOW_US, fill=True)
    assert rows["date_time"].dt.strftime("%y-%m-%d").to_list() == [
        "23-11-01",
        "23-12-01",
        "24-01-01",
        "24-02-01",
        "24-03-01",
        "24-04-01",
    ]


def test_ticks_include_duplicates_and_are_in_order(lake_client: Lake) -> None:
    at = NOON + timedelta(microseconds=1)
    table = lake_client.ensure_table(TICKS)
    table.commit(table.upload(ticks(tick(3, at), tick(2), tick(9, NOON, number=2), tick(1))))
    rows = history.ticks(table, HistoryQuery("AAA", last=3), NOW_US)
    assert rows["number"].to_list() == [2, 2, 3]
    formatted = history.format_values(history.to_record_fields(rows, TICKS))
    assert formatted["dateTime"].to_list() == [
        "2025-03-20T12:00:00.000",
        "2025-03-20T12:00:00.000",
        "2025-03-20T12:00:00.000001",
    ]
    assert "kafka_offset" not in formatted.columns


def test_an_unknown_symbol_has_no_rows(minutes: Table) -> None:
    for fill in (False, True):
        assert history.candles(minutes, HistoryQuery("NO"), NOW_US, fill=fill).is_empty()
