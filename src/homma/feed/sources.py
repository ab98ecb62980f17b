"""Build tick sources from settings."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import Final

import polars as pl

from homma.core.interval import DAY_US
from homma.durations import microseconds
from homma.errors import FeedError, SettingError
from homma.feed.definitions.definition import FeedDefinition
from homma.feed.history import HistoryTicks, leading_to
from homma.feed.instants import parse_dates_us
from homma.feed.instruments import market
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording, Replay, summarize
from homma.feed.source import Pacer
from homma.feed.synthetic import Flaws, Synthetic
from homma.settings import BackfillSettings, GenerateSettings, ReplaySettings

# Without a seed, prices differ on every run but the instruments stay the same. Otherwise every
# restart would create new series.
_INSTRUMENTS_SEED: Final = "homma"
# Late ticks have event times before the start, and event times before 1970 are invalid.
_EARLIEST_US: Final = 366 * DAY_US


def synthetic(settings: GenerateSettings, now_us: int) -> Synthetic:
    """A source of synthetic ticks that start at the setting `start`, or now."""
    source_count, symbol_count = _counts(settings)
    speed = parse_speed(settings.speed)
    pace = Pacer(parse_start_us(settings.start), speed, now_us) if settings.start else None
    if pace and not settings.rate:
        raise SettingError(
            "start is set, but rate is 0", "set rate, which determines the time between ticks"
        )
    sources, instruments = market(settings.seed or _INSTRUMENTS_SEED, source_count, symbol_count)
    return Synthetic(
        sources,
        instruments,
        settings.rate,
        parse_start_us(settings.start) if settings.start else now_us,
        Random(settings.seed or None),  # noqa: S311  prices, not secrets
        Flaws(
            late=settings.late,
            out_of_order=settings.out_of_order,
            duplicates=settings.duplicates,
            invalid=settings.invalid,
            late_by_us=microseconds(settings.late_by),
            disorder_us=microseconds(settings.disorder),
        ),
        pace,
        settings.kind,
    )


def history(settings: GenerateSettings, length_us: int, now_us: int) -> HistoryTicks:
    """Ticks of the past, up to the first of the ticks that `synthetic` sends."""
    sources, instruments = market(settings.seed or _INSTRUMENTS_SEED, *_counts(settings))
    end_us = parse_start_us(settings.start) if settings.start else now_us
    rng = Random(settings.seed or None)  # noqa: S311  prices, not secrets
    return leading_to(end_us, length_us, sources, instruments, rng, settings.kind)


def _counts(settings: GenerateSettings) -> tuple[int, int]:
    """The number of sources and the number of instruments of each source."""
    for name, count in (("sources", settings.sources), ("series", settings.series)):
        if count < 1:
            raise SettingError(f"{name} is {count}", "it must be at least 1")
    sources = min(settings.sources, settings.series)
    if settings.series % sources:
        raise SettingError(
            f"series is {settings.series}, which is not a multiple of {sources} sources",
            "use a multiple of the number of sources, or --sources 1",
        )
    return sources, settings.series // sources


def mapping_of(
    settings: ReplaySettings | BackfillSettings,
    columns: Sequence[str],
    definition: FeedDefinition | None,
) -> ColumnMapping:
    """How files are read. `columns` are texts such as mid=price."""
    return ColumnMapping(
        columns=parse_columns(columns),
        source=settings.source,
        symbol=settings.symbol,
        unit=settings.time_unit,
        separator=parse_separator(settings.separator),
        skip=settings.skip_invalid_rows,
        definition=definition,
    )


def replay(
    paths: Sequence[Path], mapping: ColumnMapping, settings: ReplaySettings
) -> tuple[Replay, Recording]:
    """A source of recorded ticks, and the recording, which counts skipped rows.

    With rebase, the files are read twice.
    """
    speed = parse_speed(settings.speed)
    recording = Recording(paths, mapping)
    rebase = settings.rebase == "now"
    summary = summarize(recording, settings.limit) if rebase else None
    if rebase and summary is None:
        raise FeedError("the files contain no ticks", "pass files that contain ticks")
    return Replay(recording, speed, summary, rebase=rebase), recording


def parse_separator(separator: str) -> str:
    """Check a separator of columns, which must be one byte."""
    if len(separator.encode()) != 1:
        raise SettingError(f"separator is {separator!r}", "use one ASCII character")
    return separator


def parse_speed(text: str) -> float:
    """Parse a speed, event time over wall time. `max` is infinite."""
    try:
        speed = inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise SettingError(f"speed is {text!r}", "use a number above 0, such as 1 or 60, or max")
    return speed


def parse_start_us(text: str) -> int:
    """Parse the start time to microseconds since the epoch."""
    us = parse_dates_us(pl.Series([text], dtype=pl.String), "text")[0]
    if us is None or us < _EARLIEST_US:
        raise SettingError(
            f"start is {text!r}", "use a date from 1971, such as 2025-03-20T14:31:28"
        )
    return int(us)


def parse_columns(pairs: Sequence[str]) -> dict[str, str]:
    """Parse texts such as mid=price to column names by field."""
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise SettingError(
                f"--column {pair} does not name a column", "use --column FIELD=COLUMN"
            )
        columns[name] = column
    return columns
