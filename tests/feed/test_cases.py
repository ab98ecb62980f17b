"""Inputs that people really have, and what is right for each; the files are not in the project."""

from pathlib import Path

import polars as pl
import pytest

from homma.errors import FeedError
from homma.feed.definitions.catalog import shipped
from homma.feed.definitions.definition import FeedDefinition
from homma.feed.definitions.record_values import KafkaRecords, read_records
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.definitions.toml import read_definitions
from homma.feed.instants import format_instant
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from tests.support.real_ticks import FOLDER

CASES = FOLDER / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason="../shared/data/cases is missing")


def definition(text: str) -> FeedDefinition:
    return read_definitions(text, "case.toml")["case"]


def read(file: str, feed: FeedDefinition, symbol: str = "X") -> pl.DataFrame:
    mapping = ColumnMapping(source="S", symbol=symbol, definition=feed)
    ticks = pl.concat(list(Recording([CASES / file], mapping).frames()))
    return ticks.with_columns(dateTime=format_instant(pl.col("event_us")))


def test_k01_no_header() -> None:
    """The first line is a tick too."""
    ticks = read("k01_headerless.csv", shipped()["truefx"].definition)
    assert ticks.select("symbol", "bid", "ask", "dateTime").rows() == [
        ("EURUSD", 1.07651, 1.07655, "2024-05-06T08:00:00.212"),
        ("EURUSD", 1.07652, 1.07656, "2024-05-06T08:00:00.412"),
        ("EURUSD", 1.0764, 1.07644, "2024-05-06T08:01:00.100"),
    ]


def test_k02_semicolons_and_decimal_commas() -> None:
    feed = definition(
        """
        format = "csv"
        separator = ";"
        ask = { field = "Ask", decimal = "," }
        bid = { field = "Bid", decimal = "," }
        date_time = { field = "Time (UTC)" }
        """
    )
    assert read("k02_decimal_comma.csv", feed).select("ask", "bid", "dateTime").rows() == [
        (1.07551, 1.07549, "2024-05-06T10:00:01.482"),
        (1.0756, 1.07548, "2024-05-06T10:00:07.512"),
    ]


def test_k03_days_first_and_offsets_from_greenwich() -> None:
    feed = definition(
        """
        format = "csv"
        ask = { field = "Ask" }
        bid = { field = "Bid" }
        date_time = { field = "Local time", format = "%d.%m.%Y %H:%M:%S%.f GMT%z" }
        """
    )
    ticks = read("k03_dmy_gmt.csv", feed)
    assert ticks["dateTime"].to_list() == ["2024-05-06T10:00:00.605", "2024-05-06T09:00:01.476"]


def test_k03_dates_and_times_in_two_columns_and_unchanged_prices() -> None:
    ticks = read("k03_date_and_time_columns.csv", shipped()["metatrader"].definition)
    assert ticks.select("bid", "ask", "dateTime").rows() == [
        (1.07549, 1.07551, "2024-05-06T10:00:01.482"),
        (1.0755, 1.07551, "2024-05-06T10:00:02.000"),
    ]


def test_k03_dates_without_seconds() -> None:
    feed = definition(
        """
        format = "csv"
        ask = { field = "askPrice" }
        bid = { field = "bidPrice" }
        date_time = { field = "timestamp" }
        """
    )
    assert read("k03_no_seconds.csv", feed)["dateTime"].to_list() == ["2024-05-06T10:00:00.000"] * 2


FIXED_POINT = """
    format = "csv"
    where = "price <> '9223372036854775807'"
    price = { field = "price", scale = 1e-9 }
    size = { field = "size" }
    date_time = { field = "ts_event", unit = "ns" }
    """


def test_k17_scaled_integers() -> None:
    """A price that stands for none is no trade."""
    ticks = read("k17_fixed_point.csv", definition(FIXED_POINT))
    assert ticks.select("price", "dateTime").rows() == [
        (5187.25, "2024-05-06T12:53:20.123456"),
        (5187.5, "2024-05-06T12:53:20.123456"),
    ]
    where, null = FIXED_POINT.splitlines()[2], ", null = 9223372036854775807 }"
    without = FIXED_POINT.replace(where, "").replace("scale = 1e-9 }", "scale = 1e-9" + null)
    with pytest.raises(FeedError, match="row 3: column price is empty"):
        read("k17_fixed_point.csv", definition(without))


KAFKA_FEED = """
    format = "json"
    source = { field = "source" }
    symbol = { field = "symbol" }
    ask = { field = "ask" }
    bid = { field = "bid" }
    date_time = { field = "dateTime"%s }
    """


def test_k20_spellings_of_records() -> None:
    lines = (CASES / "k20_feed_variants.txt").read_bytes().splitlines()
    keys, values = zip(*(line.split(b"|", 1) for line in lines), strict=True)
    records = KafkaRecords(keys, values, [0] * len(values))

    def ticks(unit: str) -> dict[str, str]:
        reader = TickReader(definition(KAFKA_FEED % unit))
        read = read_records(reader, records)
        assert read.malformed == [7]
        result = reader.read(read.values)
        good = result.ticks.filter(result.error.is_null())
        assert set(good["mid"]) <= {1.15, 1.2}
        dates = good.select("symbol", format_instant(pl.col("event_us")).alias("dateTime"))
        return dict(dates.iter_rows())

    assert ticks("") == {
        "OK": "2026-11-28T19:29:54.000",
        "ISO": "2026-11-28T19:29:54.123456",
        "NANO": "2026-11-28T19:29:54.123456",
        "STR": "2026-11-28T19:29:54.000",
        "NONUM": "2026-11-28T19:29:54.000",
        # The ask is below the bid, which `homma feeds try` points out.
        "CROSS": "2026-11-28T19:29:54.000",
    }
    assert ticks(', unit = "ms"') == {"EPOCH": "2026-11-28T19:29:54.335"}


def test_k26_local_times() -> None:
    feed = definition(
        """
        format = "csv"
        mid = { field = "mid" }
        date_time = { field = "dateTime", zone = "Europe/Berlin" }
        """
    )
    assert read("k26_local_time.csv", feed)["dateTime"].to_list() == ["2024-05-05T22:00:00.212"]


def test_the_cases_are_all_there() -> None:
    names = {path.name[:3] for path in Path(CASES).iterdir()}
    assert {"k01", "k02", "k03", "k17", "k20", "k26"} <= names
