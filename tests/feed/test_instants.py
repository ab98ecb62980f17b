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
        "2014-05-01 01:00:01.787 GMT+0100",
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


@pytest.mark.parametrize(
    ("text", "pattern", "zone", "utc"),
    [
        ("2024-05-06 10:00", "", "", "2024-05-06T10:00:00"),
        ("2024-05-06 10:00", "", "Europe/Berlin", "2024-05-06T08:00:00"),
        ("2024-02-01 10:00:00", "", "Etc/GMT+5", "2024-02-01T15:00:00"),
        ("2024-05-06T10:00:00Z", "", "Europe/Berlin", "2024-05-06T10:00:00"),
        ("06.05.2024 10:00:00", "%d.%m.%Y %H:%M:%S", "Europe/Berlin", "2024-05-06T08:00:00"),
        ("06.05.2024 10:00 +0300", "%d.%m.%Y %H:%M %z", "Europe/Berlin", "2024-05-06T07:00:00"),
        # The hour exists twice, and the earlier one is in summer time.
        ("2024-10-27 02:30", "", "Europe/Berlin", "2024-10-27T00:30:00"),
        # The clocks go from 2 to 3.
        ("2024-03-31 02:30", "", "Europe/Berlin", None),
    ],
)
def test_patterns_and_zones(text: str, pattern: str, zone: str, utc: str | None) -> None:
    expected = int(datetime.fromisoformat(utc + "+00:00").timestamp()) * 10**6 if utc else None
    # A text that is not a date does not change the others.
    dates = pl.Series([text, "soon", None])
    assert parse_dates_us(dates, "text", pattern, zone).to_list() == [expected, None, None]


def test_a_zone_of_naive_columns() -> None:
    naive = pl.Series([datetime(2024, 5, 6, 10)])
    hour_us = 3_600_000_000
    [utc], [local] = (parse_dates_us(naive, "text", "", zone) for zone in ("", "Europe/Berlin"))
    assert utc - local == 2 * hour_us
    aware = naive.dt.replace_time_zone("UTC")
    assert parse_dates_us(aware, "text", "", "Europe/Berlin").to_list() == [utc]


def test_an_epoch_of_any_unit() -> None:
    seconds = AT_US // 10**6
    texts = [f"{seconds}", f"{seconds}.787", f"{AT_US // 1000}", f"{AT_US}", f"{AT_US}123", "x"]
    assert parse_dates_us(pl.Series(texts), "epoch").to_list() == [
        seconds * 10**6,
        *[AT_US] * 4,
        None,
    ]
    numbers = pl.Series([AT_US // 1000, AT_US, AT_US * 1000])
    assert parse_dates_us(numbers, "epoch").to_list() == [AT_US] * 3
