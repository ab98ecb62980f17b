"""What a feed definition makes of the first records of a feed, and what looks odd. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.fields import TICK_FIELDS
from homma.core.interval import DAY_US
from homma.feed.definitions.definition import BY_NAME
from homma.feed.definitions.tick_reader import INSTANTS, ReadRecords, TickReader
from homma.feed.instants import format_instant

#: More than six digits of a second.
_LONG_FRACTION: Final = r"[.,][0-9]{7,9}(?:[^0-9]|$)"
_FUTURE_US: Final = DAY_US


@dataclass(frozen=True, slots=True)
class Trial:
    """The ticks of some records, in the order of the records, and what looks odd.

    ticks: the fields of a tick by their JSON names, dates as texts. errors: sentences about records
    that should be ticks and are none. findings: sentences.
    """

    records: int
    ticks: pl.DataFrame
    not_ticks: int
    errors: list[str]
    findings: list[str]


def try_records(reader: TickReader, records: pl.DataFrame, now_us: int) -> Trial:
    """Read records by a definition."""
    read = reader.read(records)
    is_wrong = read.error.is_not_null()
    ticks = read.ticks.filter(read.is_tick & ~is_wrong)
    return Trial(
        records=records.height,
        ticks=_shown(ticks),
        not_ticks=records.height - int(read.is_tick.sum()),
        errors=list(_errors(reader, read)),
        findings=list(_findings(reader, records, ticks, now_us)),
    )


def _shown(ticks: pl.DataFrame) -> pl.DataFrame:
    texts = {
        name: format_instant(pl.col(column))
        for name, column in INSTANTS.items()
        if column in ticks.columns
    }
    shown = ticks.with_columns(**texts)
    return shown.select(row.json for row in TICK_FIELDS if row.json in shown.columns)


def _errors(reader: TickReader, read: ReadRecords) -> Iterator[str]:
    for index in read.error.is_not_null().arg_true():
        name = str(read.error_field[index])
        paths = " and ".join(reader.definition.fields[name].paths)
        yield f"record {index + 1}: {paths} {read.error[index]}"


def _findings(
    reader: TickReader, records: pl.DataFrame, ticks: pl.DataFrame, now_us: int
) -> Iterator[str]:
    fields = reader.definition.fields
    for path in reader.paths:
        if records.height and records[path].null_count() == records.height:
            yield f"no record has {path}"
    if "number" not in fields:
        yield (
            "the definition has no number, so homma numbers the ticks itself: ticks that come "
            "again from another file or topic are not recognized as duplicates"
        )
    for name in fields.keys() & {BY_NAME[row].column for row in ("date_time", "receive_date_time")}:
        if _has_nanoseconds(reader, records, name):
            yield f"{name} has more digits than microseconds, which are cut"
    if ticks.height:
        yield from _odd_dates(ticks["event_us"], now_us)
        yield from _odd_values(ticks)


def _odd_values(ticks: pl.DataFrame) -> Iterator[str]:
    if {"ask", "bid"} <= set(ticks.columns):
        crossed = int((ticks["ask"] < ticks["bid"]).sum())
        if crossed:
            yield f"{crossed} of {ticks.height} quotes have an ask below the bid: are they swapped?"
    for name in ("bid", "ask", "mid", "price"):
        if name in ticks.columns and (ticks[name] <= 0).any():
            yield f"{name} has prices of 0 or below, which need --prices any"
    if "number" in ticks.columns:
        key = ["source", "symbol", "event_us", "number"]
        repeated = ticks.height - ticks.select(key).unique().height
        if repeated:
            yield f"{repeated} of {ticks.height} ticks repeat the date and number of another one"


def _has_nanoseconds(reader: TickReader, records: pl.DataFrame, name: str) -> bool:
    origin = reader.definition.fields[name]
    if origin.unit == "ns":
        return True
    texts = [records[p] for p in origin.paths if records[p].dtype == pl.String]
    return any(bool(text.str.contains(_LONG_FRACTION).any()) for text in texts)


def _odd_dates(event_us: pl.Series, now_us: int) -> Iterator[str]:
    """Dates that are most likely read with a wrong unit."""
    for is_odd, problem in (
        (event_us < 366 * DAY_US, "before 1971"),
        (event_us > now_us + _FUTURE_US, "in the future"),
    ):
        count = int(is_odd.sum())
        if count:
            yield (
                f'{count} of {event_us.len()} dates are {problem}: try unit = "epoch", which '
                "tells s, ms, us and ns apart"
            )
