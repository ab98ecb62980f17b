"""What a feed definition makes of records, and what looks odd about them."""

from typing import Any

import polars as pl
import pytest

from homma.errors import FeedError
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.definitions.toml import read_definitions
from homma.feed.trial import Trial, try_records

NOW_US = 1_795_000_000_000_000
FEED = """
    format = "csv"
    where = "kind = 'q'"
    source = "S"
    symbol = "X"
    bid = { field = "bid" }
    ask = { field = "ask" }
    number = { field = "id" }
    date_time = { field = "at" }
    """
GOOD = {"kind": "q", "bid": "1.1", "ask": "1.2", "id": "1", "at": "2026-01-02T03:04:05"}


def tried(*records: dict[str, Any], feed: str = FEED) -> Trial:
    reader = TickReader(read_definitions(feed, "case.toml")["case"])
    frame = pl.DataFrame(records, schema=dict.fromkeys(reader.paths, pl.String))
    return try_records(reader, frame, NOW_US)


def test_ticks_errors_and_other_records_are_counted() -> None:
    trial = tried(GOOD, {**GOOD, "kind": "x"}, {**GOOD, "bid": "high"}, {**GOOD, "id": None})
    assert trial.ticks.rows(named=True) == [
        {
            "source": "S",
            "symbol": "X",
            "ask": 1.2,
            "bid": 1.1,
            "mid": 1.15,
            "number": 1,
            "dateTime": "2026-01-02T03:04:05.000",
        }
    ]
    assert (trial.records, trial.not_ticks) == (4, 1)
    assert trial.errors == [
        "record 3: bid has 'high', which is not a finite number",
        "record 4: id is empty",
    ]
    assert trial.findings == []


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"at": "2026-01-02T03:04:05.123456789"}, "date_time has more digits than microseconds"),
        ({"at": "1970-01-20T03:04:05"}, "1 of 1 dates are before 1971"),
        ({"at": "2056-01-20T03:04:05"}, "1 of 1 dates are in the future"),
        ({"bid": "1.3"}, "1 of 1 quotes have an ask below the bid: are they swapped?"),
        ({"bid": "-1"}, "bid has prices of 0 or below, which need --prices any"),
    ],
)
def test_what_looks_odd(values: dict[str, str], finding: str) -> None:
    assert any(text.startswith(finding) for text in tried({**GOOD, **values}).findings)


def test_repeated_ticks_missing_numbers_and_missing_paths() -> None:
    assert tried(GOOD, GOOD).findings == ["1 of 2 ticks repeat the date and number of another one"]
    without = FEED.replace('number = { field = "id" }', "")
    assert "the definition has no number" in tried(GOOD, feed=without).findings[0]
    assert "no record has id" in tried({**GOOD, "id": None}).findings


def test_a_condition_that_compares_texts_with_numbers() -> None:
    with pytest.raises(FeedError, match="the condition of the feed definition case cannot be"):
        tried(GOOD, feed=FEED.replace("kind = 'q'", "kind = 5"))


def test_no_records() -> None:
    assert tried().ticks.is_empty()
