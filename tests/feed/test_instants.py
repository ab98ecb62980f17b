"""Dates of recorded ticks in common spellings."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from homma.feed.instants import Unit, format_instant, parse_dates_us

AT = datetime(2014, 5, 1, 0, 0, 1, 787_000, tzinfo=UTC)
AT_US = int(AT.timestamp() * 1_000) * 1_000


@pytest.mark.parametrize(
    "text",
    [
        "2014-05-01T00:00:01.787",
        "2014-05-01T00:00:01.787Z",
        "2014-05-01 00:00:01.787",
        "2014/05/01 00:00:01,787",
        "2014.05.01 00:00:01.787",
        "20140501 000001787",
        "20140501T000001.787",
        "2014-05-01_00:00:01.787000",
        "2014-05-01T00:00:01.787000000",
        "2014-05-01 00:00:01.787 UTC",
        "2014-05-01 02:00:01.787+02:00",
        "2014-04-30T18:30:01.787-0530",
        "  2014-05-01 00:00:01.787 ",
    ],
)
def test_texts(text: str) -> None:
    assert parse_dates_us(pl.Series([text]), "text").to_list() == [AT_US]
    # Also in one column with a date of the contract's form and a text that is not a date.
    mixed = parse_dates_us(pl.Series(["2014-05-01T00:00:01.787", text, "soon", None]), "text")
    assert mixed.to_list() == [AT_US, AT_US, None, None]


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2014-02-30 00:00:00", "2014-05-01", "2014-05-01T00:00:60", "1398902401"],
)
def test_other_texts_are_null(text: str) -> None:
    assert parse_dates_us(pl.Series([text]), "text").to_list() == [None]


@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("s", AT_US / 1e6),
        ("ms", AT_US // 1_000),
        ("ms", float(AT_US // 1_000)),
        ("us", AT_US),
        ("ns", AT_US * 1_000 + 999),
        ("ms", str(AT_US // 1_000)),
        ("s", str(AT_US / 1e6)),
        ("ns", str(AT_US * 1_000 + 999)),
    ],
)
def test_numbers(unit: Unit, number: float | str) -> None:
    assert parse_dates_us(pl.Series([number, None]), unit).to_list() == [AT_US, None]


def test_texts_that_are_not_numbers_are_null() -> None:
    assert parse_dates_us(pl.Series(["12", "x", None]), "s").to_list() == [12_000_000, None, None]


def test_date_columns() -> None:
    naive = AT.replace(tzinfo=None)
    east = AT.astimezone(timezone(timedelta(hours=2)))
    assert parse_dates_us(pl.Series([naive]), "text").to_list() == [AT_US]
    assert parse_dates_us(pl.Series([naive]).cast(pl.Datetime("ns")), "text").to_list() == [AT_US]
    zoned = pl.Series([east]).dt.convert_time_zone("America/New_York")
    assert parse_dates_us(zoned, "text").to_list() == [AT_US]
    assert parse_dates_us(pl.Series([date(1970, 1, 2)]), "text").to_list() == [86_400_000_000]


def test_the_text_format_of_the_contract() -> None:
    frame = pl.DataFrame({"us": [AT_US, AT_US + 1, 0]})
    assert frame.select(format_instant(pl.col("us"))).to_series().to_list() == [
        "2014-05-01T00:00:01.787",
        "2014-05-01T00:00:01.787001",
        "1970-01-01T00:00:00.000",
    ]
